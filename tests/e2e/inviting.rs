//! Inviting: many at once, again, by the organization's rules, and for whom an invitation is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testkit::{
    Cluster,
    caller::{text, unique},
};
use tonic::Code;

use crate::tenant_walls::superuser;

const ACCEPT: &str = "InvitationService/AcceptInvitation";
const CREATE: &str = "InvitationService/CreateInvitation";
const RESEND: &str = "InvitationService/ResendInvitation";

/// As if an invitation had been mailed so long ago.
async fn age(cluster: &Cluster, invitation: &Value, by: &str) {
    let id = text(invitation, "invitation_id");
    let uuid = id.parse::<tenancy::InvitationId>().unwrap().uuid();
    let sql = format!(
        "update member.invitation set send_time = send_time - interval '{by}', expire_time = expire_time - interval '{by}'
         where invitation_id = '{uuid}'"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&mut superuser(cluster).await).await.unwrap();
}

#[tokio::test]
async fn many_are_invited_in_one_write_or_nobody() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = &acme.owner().caller;
    let addresses: Vec<String> = (0..3).map(|_| unique("g") + "@acme.test").collect();
    let entries = |addresses: &[String]| -> Vec<Value> {
        let entry = |a: &String| json!({"invitation": {"email_address": a}, "roles": ["member"]});
        addresses.iter().map(entry).collect()
    };
    let request = json!({"organization_id": acme.id, "invitations": entries(&addresses), "request_id": unique("r")});
    let made = owner.call("InvitationService/BatchCreateInvitations", request.clone()).await;
    assert_eq!(made["invitations"].as_array().unwrap().len(), 3);
    assert_eq!(owner.call("InvitationService/BatchCreateInvitations", request).await, made);
    for address in &addresses {
        let token = project.cluster.mailbox(address).await[0].token();
        project.anyone().call(ACCEPT, json!({"token": token})).await;
    }
    let more = [unique("h") + "@acme.test", addresses[0].clone()];
    let request = json!({"organization_id": acme.id, "invitations": entries(&more)});
    let refused = owner
        .refused("InvitationService/BatchCreateInvitations", request, Code::AlreadyExists, "MEMBER_EMAIL_TAKEN")
        .await;
    assert!(format!("{:?}", refused.status).contains("invitations[1]"), "{:?}", refused.status);
    let twice = [more[0].clone(), more[0].to_uppercase()];
    let request = json!({"organization_id": acme.id, "invitations": entries(&twice)});
    let refused = owner
        .refused("InvitationService/BatchCreateInvitations", request, Code::InvalidArgument, "INVALID_FIELDS")
        .await;
    assert_eq!(refused.fields, ["invitations[1].invitation.email_address"]);
    let listed = owner
        .call(
            "InvitationService/ListInvitations",
            json!({"organization_id": acme.id, "state": "INVITATION_STATE_PENDING"}),
        )
        .await;
    assert!(listed["invitations"].as_array().unwrap().is_empty(), "{listed}");
}

#[tokio::test]
async fn a_resent_invitation_opens_by_the_new_secret_alone_and_not_too_soon() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let owner = &acme.owner().caller;
    let email = unique("grace") + "@acme.test";
    let create = json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": ["member"]});
    let made = owner.call(CREATE, create.clone()).await;
    let first = cluster.mailbox(&email).await[0].token();
    let resend = json!({"organization_id": acme.id, "invitation_id": text(&made, "invitation_id")});
    let refused = owner.refused(RESEND, resend.clone(), Code::ResourceExhausted, "RATE_LIMITED").await;
    assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(30) && wait <= Duration::from_secs(60)));

    age(cluster, &made, "61 seconds").await;
    let again = owner.call(RESEND, resend.clone()).await;
    assert_ne!(again["etag"], made["etag"]);
    let second = cluster.mails(&email, 2).await[1].token();
    project.anyone().refused(ACCEPT, json!({"token": first}), Code::NotFound, "INVITATION_UNKNOWN").await;
    let refused = owner.refused(RESEND, resend.clone(), Code::ResourceExhausted, "RATE_LIMITED").await;
    assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(90)), "twice as long as at first");

    // Expired, it is shown so, opens nothing, and can be sent again.
    age(cluster, &made, "10 days").await;
    let about = json!({"organization_id": acme.id, "invitation_id": text(&made, "invitation_id")});
    let shown = owner.call("InvitationService/GetInvitation", about.clone()).await;
    assert_eq!(shown["state"], "INVITATION_STATE_EXPIRED");
    project
        .anyone()
        .refused(ACCEPT, json!({"token": second}), Code::FailedPrecondition, "INVITATION_NOT_PENDING")
        .await;
    let back = project
        .account
        .call(
            RESEND,
            json!({"organization_id": acme.id, "invitation_id": text(&made, "invitation_id"), "return_token": true}),
        )
        .await;
    assert_eq!(back["state"], "INVITATION_STATE_PENDING");
    owner.refused(CREATE, create, Code::AlreadyExists, "INVITATION_PENDING").await;
    project.anyone().call(ACCEPT, json!({"token": text(&back, "token")})).await;
    owner.refused(RESEND, about, Code::FailedPrecondition, "INVITATION_NOT_PENDING").await;
}

/// The old secret was looked at while it was good. What counts is what the invitation opens by when somebody becomes a member.
#[tokio::test]
async fn an_acceptance_under_way_by_the_old_secret_is_refused_once_the_invitation_was_sent_again() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let email = unique("grace") + "@acme.test";
    let create = json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": ["member"], "return_token": true});
    let made = project.account.call(CREATE, create).await;
    age(cluster, &made, "61 seconds").await;

    // The roles of the organization are held still, so the acceptance waits for its own, announced and not there yet.
    let uuid = acme.id.parse::<tenancy::OrganizationId>().unwrap().uuid();
    let mut database = superuser(cluster).await;
    let held = format!("select from authz.head where organization_id = '{uuid}' for update");
    let announced =
        format!("select exists (select from member.prospect where organization_id = '{uuid}' and not abandoned)");
    sqlx::query("begin").execute(&mut database).await.unwrap();
    sqlx::query(AssertSqlSafe(held)).execute(&mut database).await.unwrap();
    let anyone = project.anyone();
    let accepted = anyone.try_call(ACCEPT, json!({"token": text(&made, "token")}));
    let resent = async {
        let begun = Instant::now();
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(announced.clone())).fetch_one(&mut database).await.unwrap() {
            assert!(begun.elapsed() < Duration::from_secs(5), "the acceptance does not begin");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let resend =
            json!({"organization_id": acme.id, "invitation_id": text(&made, "invitation_id"), "return_token": true});
        let again = project.account.call(RESEND, resend).await;
        sqlx::query("rollback").execute(&mut database).await.unwrap();
        text(&again, "token")
    };
    let (accepted, token) = futures::future::join(accepted, resent).await;
    let refused = accepted.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "INVITATION_NOT_PENDING"));
    anyone.refused(ACCEPT, json!({"token": text(&made, "token")}), Code::NotFound, "INVITATION_UNKNOWN").await;
    anyone.call(ACCEPT, json!({"token": token})).await;
}

#[tokio::test]
async fn whoever_is_signed_in_accepts_invitations_for_their_own_address_alone() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let eve = globex.join("eve", &["member"]).await;
    let token = acme.invite(&(unique("grace") + "@acme.test"), &["admin"]).await;
    let accept = json!({"token": token});
    eve.caller.refused(ACCEPT, accept.clone(), Code::PermissionDenied, "INVITATION_FOR_ANOTHER").await;
    project.anyone().call(ACCEPT, accept).await;
    let token = acme.invite(&eve.email, &["member"]).await;
    let joined = eve.caller.call(ACCEPT, json!({"token": token})).await;
    let own = globex
        .project
        .account
        .call("MemberService/GetMember", json!({"organization_id": globex.id, "member_id": eve.id}))
        .await;
    assert_eq!(text(&joined, "member.identity_id"), text(&own, "identity_id"), "one person");
}

#[tokio::test]
async fn a_personal_organization_becomes_a_team_when_its_owner_invites_somebody() {
    let project = Cluster::shared().await.project().await;
    let made = project
        .account
        .call(
            "OrganizationService/CreateOrganization",
            json!({"organization": {"display_name": "Ada", "slug": unique("ada"), "kind": "ORGANIZATION_KIND_PERSONAL"}}),
        )
        .await;
    let id = text(&made, "organization_id");
    let kind = || async {
        text(&project.account.call("OrganizationService/GetOrganization", json!({"organization_id": id})).await, "kind")
    };
    let create =
        |email: &str| json!({"organization_id": id, "invitation": {"email_address": email}, "roles": ["member"]});
    let member = json!({"organization_id": id, "member": {"email_address": "ada@personal.test"}, "roles": ["owner"]});
    project.account.call("MemberService/CreateMember", member).await;
    // What is refused changes nothing.
    project.account.refused(CREATE, create("ada@personal.test"), Code::AlreadyExists, "MEMBER_EMAIL_TAKEN").await;
    assert_eq!(kind().await, "ORGANIZATION_KIND_PERSONAL");
    project.account.call(CREATE, create(&(unique("grace") + "@acme.test"))).await;
    assert_eq!(kind().await, "ORGANIZATION_KIND_TEAM");
    let events = json!({"organization_id": id, "kinds": ["organization.updated"]});
    let events = project.account.try_all("EventService/ListEvents", events).await;
    assert!(format!("{events:?}").contains("organization.updated"), "{events:?}");
}

/// The rules of an organization, once org-service says which are in force.
#[tokio::test]
async fn an_organization_says_who_may_be_invited_and_how_many_at_once() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let update = |organization: Value, mask: &str| {
        let mut organization = organization;
        organization["organization_id"] = json!(acme.id);
        project.account.call(
            "OrganizationService/UpdateOrganization",
            json!({"organization_id": acme.id, "organization": organization, "update_mask": mask}),
        )
    };
    let create = |email: String| json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": ["member"]});
    let settings = json!({"settings": {"email_invites": "EMAIL_INVITES_POLICY_RESTRICTED", "allowed_email_domains": ["acme.test"]}});
    update(settings, "settings.emailInvites,settings.allowedEmailDomains").await;
    let owner = &acme.owner().caller;
    let other = create(unique("x") + "@sub.acme.test");
    owner.refused(CREATE, other, Code::FailedPrecondition, "INVITATION_NOT_ALLOWED").await;
    owner.call(CREATE, create(unique("x") + "@ACME.test")).await;
    update(json!({"settings": {"email_invites": "EMAIL_INVITES_POLICY_NOT_ALLOWED"}}), "settings.emailInvites").await;
    let one = create(unique("x") + "@acme.test");
    owner.refused(CREATE, one, Code::FailedPrecondition, "INVITATION_NOT_ALLOWED").await;
    update(json!({"settings": {"email_invites": "EMAIL_INVITES_POLICY_ALL_ALLOWED"}}), "settings.emailInvites").await;
    update(json!({"limits": {"max_pending_invitations": {"value": 3}}}), "limits.maxPendingInvitations").await;
    let outcomes = futures::future::join_all(
        (0..8).map(|n| owner.insist(CREATE, create(format!("{}-{n}@acme.test", unique("y"))))),
    );
    let outcomes = outcomes.await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2, "{outcomes:?}");
    assert!(outcomes.iter().filter_map(|o| o.as_ref().err()).all(|refused| refused.reason == "LIMIT_REACHED"));
}
