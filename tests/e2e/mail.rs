//! Mail: it shows the organization's own face, and none is lost to what an operator can mend.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Cluster, caller::unique};

use crate::tenant_walls::superuser;

#[tokio::test]
async fn an_invitation_shows_the_organizations_branding() {
    let cluster = Cluster::shared().await;
    let acme = cluster.project().await.organization("acme").await;
    let branding = json!({"organization_id": acme.id, "organization": {"organization_id": acme.id, "display_name": "Acme & <Sons>",
        "branding": {"logo_uri": "https://acme.test/logo.png", "primary_color": "#0a7f3c", "sender_name": "Acme Post"}},
        "update_mask": "displayName,branding"});
    acme.project.account.call("OrganizationService/UpdateOrganization", branding).await;
    let email = unique("grace") + "@acme.test";
    acme.invite(&email, &["member"]).await;
    let mail = cluster.mailbox(&email).await.pop().unwrap();
    assert!(mail.subject.contains("Acme & <Sons>") && mail.text.contains("to join Acme & <Sons>."), "{mail:?}");
    assert!(mail.html.contains("Acme &amp; &lt;Sons&gt;") && !mail.html.contains("<Sons>"), "{}", mail.html);
    assert!(mail.html.contains("#0a7f3c") && mail.html.contains("acme.test"), "{}", mail.html);
}

/// Sealed with a key that this process has not got, as while keys are being rotated: it waits, and is in nobody's way.
#[tokio::test]
async fn a_mail_that_cannot_be_opened_waits() {
    let cluster = Cluster::shared().await;
    let acme = cluster.project().await.organization("acme").await;
    let mut database = superuser(cluster).await;
    let id: String = sqlx::query_scalar(
        "insert into member.outbox (organization_id, project_id, mail_id, content, give_up_time)
         values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '\\x00', now() + interval '1 hour')
         returning mail_id::text",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    let email = unique("grace") + "@acme.test";
    acme.invite(&email, &["member"]).await;
    let begun = Instant::now();
    loop {
        let tries: Option<i32> = sqlx::query_scalar("select tries from member.outbox where mail_id = $1::uuid")
            .bind(&id)
            .fetch_optional(&mut database)
            .await
            .unwrap();
        // The loan ends before the try does where it was dropped: looked at again a moment later.
        if tries.expect("the mail is gone") > 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody tried to send it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let there = sqlx::query("select from member.outbox where mail_id = $1::uuid").bind(&id);
    assert!(there.fetch_optional(&mut database).await.unwrap().is_some(), "a mail was dropped for want of a key");
}
