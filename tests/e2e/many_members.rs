//! Adding a thousand people in one call, and what stands beside a member: whether their address is proven, and how many they are.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tokio::time::sleep;
use tonic::Code;

const BATCH: &str = "MemberService/BatchCreateMembers";

fn outcomes(answer: &Value) -> &Vec<Value> {
    answer["outcomes"].as_array().unwrap()
}

fn reason(outcome: &Value) -> &str {
    outcome["refusal"]["reason"].as_str().unwrap_or_else(|| panic!("not refused: {outcome}"))
}

async fn members(organization: &Organization<'_>) -> Vec<Value> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = json!({"organization_id": organization.id, "page_size": 500, "page_token": token});
        let page = organization.project.account.call("MemberService/ListMembers", page).await;
        all.extend(page["members"].as_array().unwrap().iter().cloned());
        token = text(&page, "next_page_token");
        if token.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn a_thousand_are_added_in_one_call_and_once() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let name = unique("p");
    let entries: Vec<Value> = (0..1000)
        .map(|n| {
            json!({"member": {"email_address": format!("{name}-{n}@acme.test"), "external_id": format!("{name}-{n}")},
            "roles": if n % 3 == 0 { vec!["admin", "member"] } else { vec!["member"] }})
        })
        .collect();
    let request = json!({"organization_id": acme.id, "members": entries, "request_id": unique("request")});
    let twice = join_all((0..2).map(|_| project.account.insist(BATCH, request.clone()))).await;
    let [first, second] = [&twice[0], &twice[1]].map(|answer| answer.as_ref().unwrap());
    assert_eq!(first, second);
    assert_eq!(outcomes(first).len(), 1000);
    let mut revisions = BTreeSet::new();
    for (n, outcome) in outcomes(first).iter().enumerate() {
        assert_eq!(text(outcome, "member.email_address"), format!("{name}-{n}@acme.test"), "in the request's order");
        let keys: Vec<_> =
            outcome["member"]["roles"].as_array().unwrap().iter().map(|role| text(role, "key")).collect();
        assert_eq!(keys, if n % 3 == 0 { vec!["admin", "member"] } else { vec!["member"] });
        revisions.insert(text(outcome, "member.etag"));
    }
    assert_eq!(revisions.len(), 1, "one write");
    assert_eq!(members(&acme).await.len(), 1001);
}

#[tokio::test]
async fn an_entry_is_refused_by_itself() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let admin = acme.join("admin", &["admin"]).await;
    let address = |word: &str| unique(word) + "@acme.test";
    let twice = address("twice");
    let entries = json!([
        {"member": {"email_address": address("good")}, "roles": ["member"]},
        {"member": {"email_address": "no address", "display_name": "x".repeat(5000)}},
        {"member": {"email_address": admin.email.to_uppercase()}},
        {"member": {"email_address": twice}},
        {"member": {"email_address": twice.to_uppercase()}},
        {"member": {"email_address": address("owner")}, "roles": ["owner"]},
        {"member": {"email_address": address("nobody")}, "roles": ["no-such-role", "member"]},
        {},
    ]);
    let request = json!({"organization_id": acme.id, "members": entries});
    let answer = admin.caller.call(BATCH, request).await;
    let answers = outcomes(&answer);
    assert_eq!(text(&answers[0], "member.roles.0.key"), "member");
    assert_eq!(reason(&answers[1]), "ERROR_REASON_INVALID_FIELDS");
    let fields: Vec<_> =
        answers[1]["refusal"]["violations"].as_array().unwrap().iter().map(|v| text(v, "field")).collect();
    assert_eq!(fields, ["members[1].member.email_address", "members[1].member.display_name"]);
    assert_eq!(reason(&answers[2]), "ERROR_REASON_MEMBER_EMAIL_TAKEN");
    assert_eq!(text(&answers[3], "member.email_address"), twice);
    assert_eq!(reason(&answers[4]), "ERROR_REASON_MEMBER_EMAIL_TAKEN");
    assert_eq!(reason(&answers[5]), "ERROR_REASON_GRANT_EXCEEDS_GRANTOR", "an admin makes no owner");
    assert_eq!(reason(&answers[6]), "ERROR_REASON_NOT_FOUND");
    assert_eq!(reason(&answers[7]), "ERROR_REASON_INVALID_FIELDS");
    assert_eq!(members(&acme).await.len(), 4, "the owner, the admin, and the two that were good");
    // Those who did not come to be hold nothing.
    let bindings = project.account.call("BindingService/ListBindings", json!({"organization_id": acme.id})).await;
    assert_eq!(bindings["bindings"].as_array().unwrap().len(), 3, "{bindings}");
}

#[tokio::test]
async fn a_batch_is_bounded_and_keeps_what_is_the_projects() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let entry = |n: usize| json!({"member": {"email_address": format!("x{n}@acme.test")}});
    for count in [0, 1001] {
        let entries: Vec<_> = (0..count).map(entry).collect();
        let request = json!({"organization_id": acme.id, "members": entries});
        project.account.refused(BATCH, request, Code::InvalidArgument, "INVALID_FIELDS").await;
    }
    let entries = json!([entry(1), {"member": {"email_address": "y@acme.test", "is_breakglass": true}}]);
    let request = json!({"organization_id": acme.id, "members": entries});
    acme.owner().caller.refused(BATCH, request, Code::PermissionDenied, "WRONG_AUDIENCE").await;
    assert_eq!(members(&acme).await.len(), 1);
}

#[tokio::test]
async fn an_address_that_is_proven_once_is_proven_wherever_its_person_is_a_member() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let email = unique("ada") + "@people.test";
    let request = json!({"organization_id": globex.id, "member": {"email_address": email}});
    let before = project.account.call("MemberService/CreateMember", request).await;
    assert_eq!(before["email_verified"], json!(false));
    let token = acme.invite(&email, &["member"]).await;
    let accepted = project.anyone().call("InvitationService/AcceptInvitation", json!({"token": token})).await;
    assert_eq!(accepted["member"]["email_verified"], json!(true));
    let lookup = json!({"organization_id": globex.id, "email_address": email});
    let after = project.account.call("MemberService/LookupMember", lookup).await;
    assert_eq!(after["email_verified"], json!(true));
    assert_eq!(after["etag"], before["etag"], "nothing was written in the other organization");
}

#[tokio::test]
async fn usage_is_what_is_there_now() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let usage = || async {
        let org = cluster.workload("org-service", "member-service");
        org.call("member.v1.TenantService/GetUsage", json!({"organization_id": acme.id})).await
    };
    let counts = |usage: &Value| {
        [&usage["members"], &usage["pending_invitations"], &usage["service_accounts"]].map(|n| n.as_i64().unwrap())
    };
    assert_eq!(counts(&usage().await), [1, 0, 0]);
    let token = acme.invite(&(unique("grace") + "@acme.test"), &["member"]).await;
    acme.invite(&(unique("eve") + "@acme.test"), &["member"]).await;
    let account = json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}});
    project.account.call("ServiceAccountService/CreateServiceAccount", account).await;
    assert_eq!(counts(&usage().await), [1, 2, 1]);
    project.anyone().call("InvitationService/AcceptInvitation", json!({"token": token})).await;
    assert_eq!(counts(&usage().await), [2, 1, 1]);
}

/// Limits, once org-service says which are in force.
#[tokio::test]
async fn no_more_members_than_the_limit_come_in_by_any_door() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let limits = json!({"organization_id": acme.id, "organization": {"organization_id": acme.id, "limits": {"max_members": {"value": 5}}}, "update_mask": "limits.maxMembers"});
    project.account.call("OrganizationService/UpdateOrganization", limits).await;
    let token = acme.invite(&(unique("grace") + "@acme.test"), &["member"]).await;
    let create = |n: usize| {
        let request = json!({"organization_id": acme.id, "member": {"email_address": format!("{}-{n}@acme.test", unique("x"))}, "roles": ["member"]});
        project.account.insist("MemberService/CreateMember", request)
    };
    let outcomes = join_all((0..20).map(create)).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 4, "and the owner");
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "LIMIT_REACHED"));
    }
    project
        .anyone()
        .refused(
            "InvitationService/AcceptInvitation",
            json!({"token": token}),
            Code::ResourceExhausted,
            "LIMIT_REACHED",
        )
        .await;
    let entries = json!([{"member": {"email_address": unique("y") + "@acme.test"}}]);
    let batch = project.account.call(BATCH, json!({"organization_id": acme.id, "members": entries})).await;
    assert_eq!(reason(&batch["outcomes"][0]), "ERROR_REASON_LIMIT_REACHED");
    assert_eq!(members(&acme).await.len(), 5);
    // Who is not there holds nothing, once what was bound for them is taken back.
    let begun = Instant::now();
    loop {
        let bindings = project.account.call("BindingService/ListBindings", json!({"organization_id": acme.id})).await;
        if bindings["bindings"].as_array().unwrap().len() == 5 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{bindings}");
        sleep(Duration::from_millis(50)).await;
    }
}
