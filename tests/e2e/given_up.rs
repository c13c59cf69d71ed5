//! Calls that their caller does not wait for.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use testkit::{Cluster, caller::text};

use crate::tenant_walls::superuser;

/// Thousands of calls are given up at random moments. No connection is left in a transaction, no tenant's settings stay behind on one,
/// and what was answered is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_given_up_at_random_leave_no_transaction_and_no_foreign_row_behind() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let mut organizations = Vec::new();
    for name in ["acme", "globex", "initech"] {
        organizations.push(project.organization(name).await);
    }
    let mut answered: Vec<(usize, String)> = Vec::new();
    for round in 0.. {
        // Enough of both: of those that were given up, and of those that were answered.
        if round >= 40 && answered.len() > 10 {
            break;
        }
        // A busy machine is waited for longer, as long as too little was answered.
        let longer = 20 * u32::try_from(1 + round / 40).unwrap();
        assert!(round < 400, "{} creates were answered: patience is too short to show anything", answered.len());
        let calls = (0..75).map(|n| {
            let at = n % organizations.len();
            let organization = &organizations[at];
            let patience = Duration::from_micros(((round * 75 + n) as u64).wrapping_mul(2_654_435_761) % 25_000);
            async move {
                let list = json!({"organization_id": organization.id});
                if n % 5 == 0 {
                    let member = json!({"organization_id": organization.id,
                        "member": {"email_address": format!("m{round}-{n}@{}.test", organization.slug)}});
                    let call = organization.project.account.try_call("MemberService/CreateMember", member);
                    let answer = tokio::time::timeout(patience * longer, call).await.ok()?.ok()?;
                    Some((at, text(&answer, "member_id")))
                } else {
                    let method =
                        ["MemberService/ListMembers", "OrganizationService/GetOrganization", "RoleService/ListRoles"]
                            [n % 3];
                    let _ = tokio::time::timeout(patience, organization.owner().caller.try_call(method, list)).await;
                    None
                }
            }
        });
        answered.extend(join_all(calls).await.into_iter().flatten());
    }
    // Whatever was begun comes to its end.
    let mut database = superuser(&cluster).await;
    let mut open = i64::MAX;
    for _ in 0..100 {
        let statement = "select count(*) from pg_stat_activity where usename like 'guildhall\\_%' and state like 'idle in transaction%' and state_change < now() - interval '500 ms'";
        open = sqlx::query_scalar(statement).fetch_one(&mut database).await.unwrap();
        if open == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(open, 0, "connections were left inside a transaction");

    for organization in &organizations {
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let list = json!({"organization_id": organization.id, "page_size": 500, "page_token": token});
            let page = organization.owner().caller.call("MemberService/ListMembers", list).await;
            for member in page["members"].as_array().unwrap() {
                assert_eq!(text(member, "organization_id"), organization.id, "a foreign row");
                seen.push(text(member, "member_id"));
            }
            token = text(&page, "next_page_token");
            if token.is_empty() {
                break;
            }
        }
        for (at, member) in &answered {
            if organizations[*at].id == organization.id {
                assert!(seen.contains(member), "{member} was acknowledged and is lost");
            }
        }
    }
}
