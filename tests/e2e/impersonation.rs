//! Acting as a member: who may, what it gives, what it cannot become, and that everybody sees who it was.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text},
};
use tonic::Code;

use crate::oauth::{ACCESS_TOKEN, Answer, EXCHANGE, MEMBER, claims, post, robot_of, robot_of_project};

const METHOD: &str = "TokenService/ExchangeToken";

async fn act_as(cluster: &Cluster, member: &str, actor: &str, more: &[(&str, &str)]) -> Answer {
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", member),
        ("subject_token_type", if member.contains('.') { ACCESS_TOKEN } else { MEMBER }),
        ("actor_token", actor),
        ("actor_token_type", ACCESS_TOKEN),
    ];
    post(cluster, "token", &[&form[..], more].concat()).await
}

/// A role of the organization with these permissions.
async fn role(acme: &Organization<'_>, permissions: &[&str]) -> String {
    let key = testkit::caller::unique("role");
    let role =
        json!({"organization_id": acme.id, "role": {"key": key, "display_name": "x", "permissions": permissions}});
    acme.owner().caller.call("RoleService/CreateRole", role).await;
    key
}

async fn events(acme: &Organization<'_>) -> Vec<Value> {
    let listed = json!({"organization_id": acme.id, "page_size": 500});
    acme.project.account.call("EventService/ListEvents", listed).await["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn who_acts_as_a_member_may_what_the_member_may_and_is_seen_to_be_the_one() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (admin, inviter) =
        (acme.join("admin", &["admin"]).await, role(&acme, &["guildhall.invitation:*", "guildhall.member:read"]).await);
    let ada = acme.join("ada", &[&inviter]).await;
    let answer = act_as(cluster, &ada.id, &admin.tokens.access, &[]).await;
    let token = answer.token();
    assert!(answer.body.get("refresh_token").is_none());
    let said = claims(&token);
    assert_eq!((&said["sub"], &said["act"]["sub"]), (&json!(ada.id), &json!(admin.id)));
    assert_eq!(said["act"]["sid"], claims(&admin.tokens.access)["sid"]);
    assert!(said["exp"].as_u64() <= claims(&admin.tokens.access)["exp"].as_u64());
    assert!(said.get("amr").is_none(), "the member has proven nothing: {said}");

    // What she does as Ada, at one service and, through it, at another, is hers and Ada's.
    let acting = cluster.bearer(&token);
    let email = testkit::caller::unique("new") + "@acme.test";
    let invite = json!({"organization_id": acme.id, "invitation": {"email_address": email}});
    acting.call("InvitationService/CreateInvitation", invite).await;
    let remove = json!({"organization_id": acme.id, "member_id": admin.id});
    acting.refused("MemberService/RemoveMember", remove, Code::PermissionDenied, "PERMISSION_MISSING").await;
    let events = events(&acme).await;
    let of =
        |kind: &str| events.iter().find(|event| event["kind"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone();
    let began = of("session.impersonated");
    assert_eq!(began["session"]["after"]["impersonator"]["member_id"], admin.id.as_str());
    assert_eq!((&began["actor"]["member_id"], &began["on_behalf_of"]["member_id"]), (&json!(admin.id), &json!(ada.id)));
    for id in [&ada.id, &admin.id] {
        assert!(began["subject_ids"].as_array().unwrap().contains(&json!(id)), "{began}");
    }
    let invited = of("invitation.created");
    assert_eq!(
        (&invited["actor"]["member_id"], &invited["on_behalf_of"]["member_id"]),
        (&json!(admin.id), &json!(ada.id))
    );
    // Ada sees it, and ends it.
    let own = json!({"organization_id": acme.id, "member_id": ada.id});
    let sessions = ada.caller.call("SessionService/ListSessions", own.clone()).await;
    let hers =
        sessions["sessions"].as_array().unwrap().iter().find(|session| !session["impersonator"].is_null()).unwrap();
    assert_eq!(text(hers, "session_id"), text(&said, "sid"));
    let robot = robot_of_project(&project).await;
    let described = crate::oauth::post_as(cluster, "introspect", Some(&robot.basic()), &[("token", &token)]).await;
    assert_eq!(described.body["act"]["sub"], admin.id.as_str());
    ada.caller.call("SessionService/RevokeMemberSessions", own).await;
    acting.is_out_within_a_second().await;
}

#[tokio::test]
async fn whoever_may_act_no_more_acts_no_more() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let support = role(&acme, &["guildhall.member:impersonate", "guildhall.member:*"]).await;
    let (grace, ada) = (acme.join("grace", &[&support]).await, acme.join("ada", &[&support]).await);
    let token = act_as(cluster, &ada.id, &grace.tokens.access, &[]).await.token();
    let (acting, directly) = (cluster.bearer(&token), cluster.bearer_at(cluster.access().member, Some(&token)));
    let members = json!({"organization_id": acme.id});
    acting.call("MemberService/ListMembers", members.clone()).await;
    let held = json!({"organization_id": acme.id, "subject": {"member_id": grace.id}});
    let bindings = project.account.call("BindingService/ListBindings", held).await;
    let binding = json!({"organization_id": acme.id, "binding_id": text(&bindings, "bindings.0.binding_id")});
    project.account.call("BindingService/DeleteBinding", binding).await;
    // At a service at once, whatever it has heard; and everywhere within a second.
    let refused = directly.try_call("MemberService/ListMembers", members).await.expect_err("she acts as Ada still");
    let told = (refused.code, refused.reason.as_str());
    let known = [(Code::PermissionDenied, "PERMISSION_MISSING"), (Code::Unauthenticated, "CREDENTIAL_REVOKED")];
    assert!(known.contains(&told), "{refused:?}");
    acting.is_out_within_a_second().await;
    // Ada goes on.
    ada.caller.call("AuthenticationService/WhoAmI", json!({})).await;
}

#[tokio::test]
async fn a_role_given_by_an_impersonator_is_given_by_them_at_authz_service_too() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (admin, ada) = (acme.join("admin", &["admin"]).await, acme.join("ada", &["admin"]).await);
    let acting = cluster.bearer(&act_as(cluster, &ada.id, &admin.tokens.access, &[]).await.token());
    let email = testkit::caller::unique("new") + "@acme.test";
    let create = json!({"organization_id": acme.id, "member": {"email_address": email, "display_name": "x"}, "roles": ["member"]});
    acting.call("MemberService/CreateMember", create).await;
    // authz-service was called by member-service, for Ada, as whom the admin acts.
    let begun = Instant::now();
    loop {
        let events = events(&acme).await;
        let bound = events
            .iter()
            .find(|event| event["kind"] == "binding.created" && event["actor"]["member_id"] == admin.id.as_str());
        if let Some(bound) = bound {
            assert_eq!(bound["on_behalf_of"]["member_id"], ada.id.as_str(), "{bound}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{events:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nobody_comes_to_more_than_they_hold_by_acting_as_somebody() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (admin, member) = (acme.join("admin", &["admin"]).await, acme.join("member", &["member"]).await);
    let support = role(&acme, &["guildhall.member:impersonate", "guildhall.member:read"]).await;
    let support = acme.join("support", &[&support, "member"]).await;
    let owner = acme.owner();
    let refused = |subject: String, actor: String, reason: &'static str| async move {
        act_as(cluster, &subject, &actor, &[]).await.is(400, "invalid_request");
        let rpc = json!({"token_exchange": {"subject_member_id": subject, "actor_token": actor}});
        cluster.anyone().refused(METHOD, rpc, Code::PermissionDenied, reason).await;
    };
    let (id, token) =
        (|of: &testkit::caller::Member| of.id.clone(), |of: &testkit::caller::Member| of.tokens.access.clone());
    refused(id(&admin), token(&member), "PERMISSION_MISSING").await;
    refused(id(owner), token(&admin), "GRANT_EXCEEDS_GRANTOR").await;
    refused(id(&admin), token(&support), "GRANT_EXCEEDS_GRANTOR").await;
    act_as(cluster, &member.id, &support.tokens.access, &[]).await.token();
    act_as(cluster, &admin.id, &owner.tokens.access, &[]).await.token();
    // A token that is good for some things is not good for this, whatever they are.
    let narrowed = [
        ("grant_type", EXCHANGE),
        ("subject_token", &support.tokens.access),
        ("subject_token_type", ACCESS_TOKEN),
        ("scope", "guildhall.member:impersonate"),
    ];
    let narrowed = post(cluster, "token", &narrowed).await.token();
    act_as(cluster, &member.id, &narrowed, &[]).await.is(400, "invalid_request");
    // An owner, by an owner.
    let second = acme.join("second", &["owner"]).await;
    act_as(cluster, &owner.id, &second.tokens.access, &[]).await.token();
    // Service accounts: an organization's by permission, a project's in its project, but no owner.
    let robot = robot_of(&acme).await.token(cluster).await;
    refused(id(&member), robot, "PERMISSION_MISSING").await;
    let rpc = json!({"token_exchange": {"subject_member_id": owner.id, "actor_token": project.token, "organization_id": acme.id}});
    cluster.anyone().refused(METHOD, rpc, Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    let there = [("organization_id", acme.id.as_str())];
    let acting = act_as(cluster, &admin.id, &project.token, &there).await.token();
    assert_eq!(claims(&acting)["act"]["sub"], claims(&project.token)["sub"]);
    act_as(cluster, &owner.id, &project.token, &there).await.is(400, "invalid_request");
    act_as(cluster, &admin.id, &project.token, &[]).await.is(400, "invalid_request");
    // Oneself.
    act_as(cluster, &admin.id, &admin.tokens.access, &[]).await.is(400, "invalid_request");
}

#[tokio::test]
async fn an_impersonation_is_exchanged_for_nothing_and_changes_nothing_of_the_person() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let (admin, ada) = (acme.join("admin", &["admin"]).await, acme.join("ada", &["admin"]).await);
    let create = json!({"organization_id": globex.id, "member": {"email_address": ada.email, "display_name": "x"}});
    project.account.call("MemberService/CreateMember", create).await;
    let acting = act_as(cluster, &ada.id, &admin.tokens.access, &[]).await.token();
    let own = [("grant_type", EXCHANGE), ("subject_token", &acting), ("subject_token_type", ACCESS_TOKEN)];
    for more in [vec![], vec![("scope", "guildhall.member:read")], vec![("organization_id", globex.id.as_str())]] {
        post(cluster, "token", &[own.to_vec(), more].concat()).await.is(400, "invalid_request");
    }
    let third = acme.join("third", &["member"]).await;
    act_as(cluster, &third.id, &acting, &[]).await.is(400, "invalid_request");
    act_as(cluster, &acting, &admin.tokens.access, &[]).await.is(400, "invalid_request");
    let caller = cluster.bearer(&acting);
    let wrong = "WRONG_AUDIENCE";
    let there = json!({"organization_id": globex.id});
    caller.refused("AuthenticationService/SwitchOrganization", there, Code::PermissionDenied, wrong).await;
    caller.refused("AuthenticationService/SignOut", json!({}), Code::PermissionDenied, wrong).await;
    // Whoever acts as somebody is not that somebody: what is everybody's own right is not theirs.
    let member = acme.join("member", &["member"]).await;
    let acting = cluster.bearer(&act_as(cluster, &member.id, &admin.tokens.access, &[]).await.token());
    let own = json!({"organization_id": acme.id, "member_id": member.id});
    let method = "SessionService/RevokeMemberSessions";
    acting.refused(method, own.clone(), Code::PermissionDenied, "PERMISSION_MISSING").await;
    member.caller.call("SessionService/ListSessions", own).await;
    // One that is good for some permissions acts as nobody.
    let narrow = [
        ("grant_type", EXCHANGE),
        ("subject_token", &admin.tokens.access),
        ("subject_token_type", ACCESS_TOKEN),
        ("scope", "guildhall.member:impersonate"),
    ];
    let narrow = post(cluster, "token", &narrow).await.token();
    act_as(cluster, &member.id, &narrow, &[]).await.is(400, "invalid_request");
    // And acting as somebody may itself be for some permissions.
    let few = act_as(cluster, &member.id, &admin.tokens.access, &[("scope", "guildhall.member:read")]).await.token();
    assert_eq!(claims(&few)["permissions"], json!(["guildhall.member:read"]));
}

#[tokio::test]
async fn it_ends_with_either_of_the_two_and_never_crosses_a_wall() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let foreign = other.organization("foreign").await;
    let ada = acme.join("ada", &["member"]).await;
    // The actor signs out; the actor is removed; the subject is suspended; the actor's key is revoked.
    let admin = acme.join("admin", &["admin"]).await;
    let acting = cluster.bearer(&act_as(cluster, &ada.id, &admin.tokens.access, &[]).await.token());
    admin.caller.call("AuthenticationService/SignOut", json!({})).await;
    acting.is_out_within_a_second().await;
    let admin = acme.join("admin", &["admin"]).await;
    let acting = cluster.bearer(&act_as(cluster, &ada.id, &admin.tokens.access, &[]).await.token());
    let remove = json!({"organization_id": acme.id, "member_id": admin.id});
    acme.owner().caller.call("MemberService/RemoveMember", remove).await;
    acting.is_out_within_a_second().await;
    let robot = robot_of_project(&project).await;
    let there = [("organization_id", acme.id.as_str())];
    let acting = cluster.bearer(&act_as(cluster, &ada.id, &robot.token(cluster).await, &there).await.token());
    let revoke = json!({"service_account_id": robot.id, "api_key_id": robot.key});
    project.account.call("ServiceAccountService/RevokeApiKey", revoke).await;
    acting.is_out_within_a_second().await;
    let acting = act_as(cluster, &ada.tokens.access, &acme.owner().tokens.access, &[]).await.token();
    let suspend = json!({"organization_id": acme.id, "member_id": ada.id});
    acme.owner().caller.call("MemberService/SuspendMember", suspend).await;
    cluster.bearer(&acting).is_out_within_a_second().await;
    // One who is suspended is acted as by nobody.
    act_as(cluster, &ada.id, &acme.owner().tokens.access, &[]).await.is(400, "invalid_request");

    let owner = acme.owner();
    for (member, actor) in [
        (&globex.owner().id, &owner.tokens.access),
        (&foreign.owner().id, &owner.tokens.access),
        (&globex.owner().tokens.access, &owner.tokens.access),
        (&foreign.owner().tokens.access, &owner.tokens.access),
        (&owner.id, &foreign.owner().tokens.access),
        (&owner.tokens.access, &other.token),
    ] {
        let answer = act_as(cluster, member, actor, &[]).await;
        let error = text(&answer.body, "error");
        assert!(answer.status == 400 && ["invalid_request", "invalid_target"].contains(&error.as_str()), "{answer:?}");
    }
    let elsewhere = [("organization_id", foreign.id.as_str())];
    act_as(cluster, &foreign.owner().id, &project.token, &elsewhere).await.is(400, "invalid_request");
    act_as(cluster, &globex.owner().id, &owner.tokens.access, &[("organization_id", &globex.id)])
        .await
        .is(400, "invalid_target");
}

/// A service account of the organization acts by a role of its own, and a role can change.
#[tokio::test]
async fn a_service_account_whose_role_permits_it_no_more_acts_no_more() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let support = role(&acme, &["guildhall.member:impersonate", "guildhall.member:*"]).await;
    let reader = role(&acme, &["guildhall.member:read"]).await;
    let (ada, robot) = (acme.join("ada", &[&reader]).await, robot_of(&acme).await);
    let roles = acme.owner().caller.call("RoleService/ListRoles", json!({"organization_id": acme.id})).await;
    let found = roles["roles"].as_array().unwrap().iter().find(|role| role["key"] == support.as_str()).unwrap();
    let binding = json!({"organization_id": acme.id,
        "binding": {"subject": {"service_account_id": robot.id}, "role_id": text(found, "role_id")}});
    project.account.call("BindingService/CreateBinding", binding).await;
    let token = act_as(cluster, &ada.id, &robot.token(cluster).await, &[]).await.token();
    assert_eq!((&claims(&token)["act"]["sub"], &claims(&token)["act"]["org_id"]), (&json!(robot.id), &json!(acme.id)));
    let directly = cluster.bearer_at(cluster.access().member, Some(&token));
    let members = json!({"organization_id": acme.id});
    directly.call("MemberService/ListMembers", members.clone()).await;
    // Ada keeps what she has; who acts as her loses what it takes to act.
    let update = json!({"organization_id": acme.id, "update_mask": "permissions",
        "role": {"role_id": text(found, "role_id"), "permissions": ["guildhall.member:read"]}});
    acme.owner().caller.call("RoleService/UpdateRole", update).await;
    directly.refused("MemberService/ListMembers", members, Code::PermissionDenied, "PERMISSION_MISSING").await;
}
