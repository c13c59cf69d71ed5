//! Signing in at a provider of the project's: for everybody, into whichever organization they may enter.

use serde_json::json;
use testkit::caller::{text, unique};
use tonic::Code;

use crate::{
    entering::{SELECT, SIGN_UP, SWITCH, intermediate, select, settings, somebody},
    identity_provider::IdentityProvider,
    sso::{START, allow, cluster, project, sign_in, start_request, why},
};

#[tokio::test]
async fn a_project_has_a_provider_of_its_own_for_everybody() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (cluster, _) = cluster().await;
    let project = project(cluster).await;
    let acme = project.organization("acme").await;
    let create = "ConnectionService/CreateConnection";
    // The project's backend alone makes one, and it gives no roles.
    let request = json!({"connection": idp.connection("social")});
    acme.owner().caller.refused(create, request.clone(), Code::InvalidArgument, "INVALID_FIELDS").await;
    let mut giving = idp.connection("social");
    giving["group_role_ids"] = json!({"staff": {"role_ids": ["owner"]}});
    let refused =
        project.account.refused(create, json!({"connection": giving}), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["connection.group_role_ids"]);
    let connection = project.account.call(create, request).await;
    assert_eq!(connection["organization_id"].as_str().unwrap_or_default(), "");
    let listed = project.account.call("ConnectionService/ListConnections", json!({})).await;
    assert_eq!(listed["connections"][0]["connection_id"], connection["connection_id"]);
    let theirs = json!({"organization_id": acme.id, "connection_id": connection["connection_id"]});
    acme.owner().caller.refused("ConnectionService/GetConnection", theirs, Code::NotFound, "NOT_FOUND").await;
    let by_it = json!({"connection_id": connection["connection_id"]});

    // A new person, made of a verified address that nobody has; the second time they are known.
    let ada = unique("ada") + "@people.test";
    idp.account("a-1", json!({"email": ada, "email_verified": false, "name": "Ada"})).await;
    assert_eq!(why(sign_in(&project, &idp, by_it.clone(), "a-1").await), "EMAIL_NOT_VERIFIED");
    idp.account("a-1", json!({"email": ada, "email_verified": true, "name": "Ada"})).await;
    let known = sign_in(&project, &idp, by_it.clone(), "a-1").await.unwrap();
    assert_eq!(text(&known, "intermediate_session.email_address"), ada);
    let found = json!({"intermediate_session_token": intermediate(&known), "organization": {"display_name": "Ada's"}});
    let signed_up = project.anyone().call(SIGN_UP, found).await;
    idp.account("a-1", json!({"email": "another@people.test", "email_verified": true})).await;
    let again = sign_in(&project, &idp, by_it.clone(), "a-1").await.unwrap();
    assert_eq!(text(&again, "intermediate_session.email_address"), ada);
    let mine = json!({"organization_id": signed_up["member_session"]["organization_id"],
        "intermediate_session_token": intermediate(&again)});
    let entered = project.anyone().call(SELECT, mine).await;
    assert_eq!(entered["member_session"]["member_id"], signed_up["member_session"]["member_id"]);

    // Whoever is known by their address is not taken over by it, from either side.
    let bob = acme.join("bob", &["member"]).await;
    idp.account("b-2", json!({"email": bob.email, "email_verified": true})).await;
    assert_eq!(why(sign_in(&project, &idp, by_it.clone(), "b-2").await), "ADDRESS_IN_USE");

    // It opens what the person may enter, as the organization's policy says, and goes from one to another.
    let grace = unique("grace") + "@people.test";
    idp.account("g-3", json!({"email": grace, "email_verified": true})).await;
    acme.invite(&grace, &["member"]).await;
    let known = sign_in(&project, &idp, by_it.clone(), "g-3").await.unwrap();
    let sso_only =
        json!({"auth_methods": "AUTH_METHODS_POLICY_RESTRICTED", "allowed_auth_methods": ["AUTH_METHOD_SSO"]});
    settings(&acme, sso_only).await;
    let entering = select(&acme, &intermediate(&known));
    project.anyone().refused(SELECT, entering.clone(), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    settings(&acme, json!({"allowed_auth_methods": ["AUTH_METHOD_SOCIAL"]})).await;
    let entered = project.anyone().call(SELECT, entering).await;
    let globex = project.organization("globex").await;
    let other = json!({"organization_id": globex.id, "member": {"email_address": grace}, "roles": ["member"]});
    project.account.call("MemberService/CreateMember", other).await;
    let session = cluster.bearer(&text(&entered, "access_token"));
    session.call(SWITCH, json!({"organization_id": globex.id})).await;
    // The person keeps their other ways in.
    somebody(&project, &grace).await;

    // Another project has nothing of it, and one with a pool for each organization none at all.
    let elsewhere = crate::sso::project(cluster).await;
    elsewhere.anyone().refused(START, start_request(by_it, "x"), Code::NotFound, "NOT_FOUND").await;
    let platform = crate::isolated_pools::platform(cluster).await;
    allow(cluster, &platform.id).await;
    let made = platform.account.call(create, json!({"connection": idp.connection("social")})).await;
    let by_theirs = json!({"connection_id": made["connection_id"]});
    let refused =
        platform.anyone().refused(START, start_request(by_theirs, "x"), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["connection_id"]);
}
