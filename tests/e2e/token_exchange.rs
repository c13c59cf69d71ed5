//! Tokens for tokens: for less, for another audience, for another organization; never for more, and never across projects.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Member, Project, text},
};
use tonic::Code;

use crate::oauth::{ACCESS_TOKEN, Answer, EXCHANGE, claims, post, post_as, robot_of, robot_of_project, token_settings};

const METHOD: &str = "TokenService/ExchangeToken";

async fn exchange(cluster: &Cluster, token: &str, more: &[(&str, &str)]) -> Answer {
    let form = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    post(cluster, "token", &[&form[..], more].concat()).await
}

/// The person of a member, in a second organization of the project too.
async fn also_in(project: &Project<'_>, organization: &str, member: &Member) -> String {
    let request = json!({"organization_id": organization, "member": {"email_address": member.email, "display_name": "x"},
        "roles": ["member"]});
    text(&project.account.call("MemberService/CreateMember", request).await, "member_id")
}

#[tokio::test]
async fn a_token_for_less_is_good_for_that_alone() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let admin = acme.join("admin", &["admin"]).await;
    let answer = exchange(cluster, &admin.tokens.access, &[("scope", "guildhall.member:read")]).await;
    let narrow = answer.token();
    assert_eq!(
        (&answer.body["scope"], &answer.body["issued_token_type"]),
        (&json!("guildhall.member:read"), &json!(ACCESS_TOKEN))
    );
    assert!(answer.body.get("refresh_token").is_none());
    let (of, from) = (claims(&narrow), claims(&admin.tokens.access));
    assert_eq!(of["permissions"], json!(["guildhall.member:read"]));
    for same in ["sub", "sid", "org_id", "project_id", "aud", "iss", "client_id", "epoch", "amr"] {
        assert_eq!(of[same], from[same], "{same}");
    }
    assert!(of["jti"] != from["jti"] && of["exp"].as_u64() <= from["exp"].as_u64());

    let here = json!({"organization_id": acme.id});
    let invite = json!({"organization_id": acme.id, "invitation": {"email_address": "x@acme.test"}});
    // At the gateway, and at the service's own door.
    for door in [cluster.access().gateway, cluster.access().member] {
        let caller = cluster.bearer_at(door, Some(&narrow));
        caller.call("MemberService/ListMembers", here.clone()).await;
        let refused = "InvitationService/CreateInvitation";
        caller.refused(refused, invite.clone(), Code::PermissionDenied, "PERMISSION_MISSING").await;
    }
    // Nor what a batch or an import makes by the way, which asks for more than their own permission.
    // What it changes is another's, whose own tokens end with it.
    let member = json!({"member_id": acme.join("other", &[]).await.id});
    let group = tenancy::GroupId::new().to_string();
    let join = |group: &str| json!({"add_group_member": {"group_id": group, "subject": member}});
    let made = json!({"create_group": {"group_id": group, "display_name": "x"}});
    let apply = |changes: Value| json!({"organization_id": acme.id, "changes": changes});
    let grant = json!({"create_binding": {"subject": member, "role_id": "owner"}});
    let batch = [("scope", "guildhall.binding:apply guildhall.group:create guildhall.group:update")];
    let robot = robot_of_project(&project).await.token(cluster).await;
    for token in [admin.tokens.access.clone(), robot] {
        let caller = cluster.bearer(&exchange(cluster, &token, &batch).await.token());
        let refused = "BindingService/ApplyChanges";
        let more = [json!([grant]), json!([join(&group), grant])];
        for changes in more {
            caller.refused(refused, apply(changes), Code::PermissionDenied, "PERMISSION_MISSING").await;
        }
    }
    let caller = cluster.bearer(&exchange(cluster, &admin.tokens.access, &batch).await.token());
    caller.call("BindingService/ApplyChanges", apply(json!([made, join(&group)]))).await;
    let caller = cluster.bearer(&narrow);
    // Not even about oneself, but to read who one is.
    let own = json!({"organization_id": acme.id, "member_id": admin.id});
    caller.refused("SessionService/RevokeMemberSessions", own, Code::PermissionDenied, "PERMISSION_MISSING").await;
    caller.call("AuthenticationService/WhoAmI", json!({})).await;
    let switch = json!({"organization_id": acme.id});
    caller.refused("AuthenticationService/SwitchOrganization", switch, Code::PermissionDenied, "WRONG_AUDIENCE").await;

    // It narrows on, and never widens.
    assert_eq!(claims(&exchange(cluster, &narrow, &[]).await.token())["permissions"], of["permissions"]);
    exchange(cluster, &narrow, &[("scope", "guildhall.role:read")]).await.is(400, "invalid_scope");
    let asked = json!({"token_exchange": {"subject_token": narrow}, "permissions": ["guildhall.role:read"]});
    cluster.anyone().refused(METHOD, asked, Code::PermissionDenied, "PERMISSION_MISSING").await;
}

#[tokio::test]
async fn nobody_gets_a_permission_that_they_do_not_hold() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let member = acme.join("member", &["member"]).await;
    for scope in [
        "guildhall.member:remove",
        "guildhall.member:read guildhall.member:remove",
        "unknown:verb",
        "a:*",
        "*",
        "x",
        "a:b  a:c",
    ] {
        exchange(cluster, &member.tokens.access, &[("scope", scope)]).await.is(400, "invalid_scope");
    }
    let many = (0..51).map(|n| format!("a:v{n}")).collect::<Vec<_>>().join(" ");
    exchange(cluster, &member.tokens.access, &[("scope", &many)]).await.is(400, "invalid_scope");
    // By a refresh it is decided before the token is used up.
    let form = |scope: &'static str| {
        [("grant_type", "refresh_token"), ("refresh_token", member.tokens.refresh.as_str()), ("scope", scope)]
    };
    post(cluster, "token", &form("guildhall.member:remove")).await.is(400, "invalid_scope");
    let refreshed = post(cluster, "token", &form("guildhall.member:read")).await;
    assert_eq!(claims(&refreshed.token())["permissions"], json!(["guildhall.member:read"]));
    assert!(!text(&refreshed.body, "refresh_token").is_empty());
    // A project's account holds what methods ask for; an organization's what it is bound to.
    let form = |scope: &'static str| [("grant_type", "client_credentials"), ("scope", scope)];
    let robot = robot_of_project(&project).await;
    let narrow = post_as(cluster, "token", Some(&robot.basic()), &form("guildhall.member:read")).await.token();
    cluster.bearer(&narrow).call("MemberService/ListMembers", json!({"organization_id": acme.id})).await;
    let create = json!({"organization": {"display_name": "x", "slug": "not-made"}});
    let method = "OrganizationService/CreateOrganization";
    cluster.bearer(&narrow).refused(method, create, Code::PermissionDenied, "WRONG_AUDIENCE").await;
    post_as(cluster, "token", Some(&robot.basic()), &form("document:read")).await.is(400, "invalid_scope");
    let robot = robot_of(&acme).await;
    post_as(cluster, "token", Some(&robot.basic()), &form("guildhall.member:read")).await.is(400, "invalid_scope");
}

#[tokio::test]
async fn a_token_is_for_one_audience_that_the_project_declares() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, globex) = (project.organization("acme").await, other.organization("globex").await);
    let settings = json!({"audience": "https://api.acme.test", "audiences": ["billing"]});
    token_settings(&project, settings, "tokenSettings.audience,tokenSettings.audiences").await;
    let ours = claims(&acme.owner().tokens.access)["aud"].clone();
    for audience in ["https://api.acme.test", "billing"] {
        let token = exchange(cluster, &acme.owner().tokens.access, &[("audience", audience)]).await.token();
        assert_eq!(claims(&token)["aud"], audience);
        // A resource server can do nothing with it at Guildhall, not even get another one.
        let read = json!({"organization_id": acme.id});
        for door in [cluster.access().gateway, cluster.access().org] {
            let caller = cluster.bearer_at(door, Some(&token));
            let method = "OrganizationService/GetOrganization";
            caller.refused(method, read.clone(), Code::Unauthenticated, "UNAUTHENTICATED").await;
        }
        for again in [vec![], vec![("audience", ours.as_str().unwrap())], vec![("audience", "billing")]] {
            exchange(cluster, &token, &again).await.is(400, "invalid_request");
        }
    }
    let good = exchange(cluster, &acme.owner().tokens.access, &[("resource", "https://api.acme.test")]).await;
    assert_eq!(claims(&good.token())["aud"], "https://api.acme.test");
    for (token, audience) in [(&acme.owner().tokens.access, "other"), (&globex.owner().tokens.access, "billing")] {
        exchange(cluster, token, &[("audience", audience)]).await.is(400, "invalid_target");
        let asked = json!({"token_exchange": {"subject_token": token}, "audience": audience});
        cluster.anyone().refused(METHOD, asked, Code::InvalidArgument, "AUDIENCE_NOT_ALLOWED").await;
    }
    let two = [("audience", "billing"), ("resource", "https://api.acme.test")];
    exchange(cluster, &acme.owner().tokens.access, &two).await.is(400, "invalid_target");
    let robot = robot_of(&acme).await;
    let form = [("grant_type", "client_credentials"), ("audience", "billing")];
    let token = post_as(cluster, "token", Some(&robot.basic()), &form).await.token();
    assert_eq!((&claims(&token)["aud"], &claims(&token)["sub"]), (&json!("billing"), &json!(robot.id)));
}

#[tokio::test]
async fn a_person_goes_to_another_of_their_organizations_and_to_no_other() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let (closed, foreign) = (project.organization("closed").await, other.organization("foreign").await);
    let ada = acme.join("ada", &["admin"]).await;
    let there = also_in(&project, &globex.id, &ada).await;
    let answer = exchange(cluster, &ada.tokens.access, &[("organization_id", &globex.id)]).await;
    let token = answer.token();
    let (of, from) = (claims(&token), claims(&ada.tokens.access));
    assert_eq!((&of["sub"], &of["org_id"], &of["roles"]), (&json!(there), &json!(globex.id), &json!(["member"])));
    assert!(of["exp"].as_u64() <= from["exp"].as_u64() && of["sid"] != from["sid"]);
    assert!(answer.body.get("refresh_token").is_none());
    cluster.bearer(&token).call("OrganizationService/GetOrganization", json!({"organization_id": globex.id})).await;
    let back = json!({"organization_id": acme.id});
    cluster.bearer(&token).refused("OrganizationService/GetOrganization", back, Code::NotFound, "NOT_FOUND").await;

    // One that they are no member of, another project's, and none.
    for target in [&closed.id, &foreign.id, "org_01h455vb4pex5vsknk084sn02q"] {
        exchange(cluster, &ada.tokens.access, &[("organization_id", target)]).await.is(400, "invalid_target");
        let asked = json!({"token_exchange": {"subject_token": ada.tokens.access, "organization_id": target}});
        cluster.anyone().refused(METHOD, asked, Code::NotFound, "NOT_FOUND").await;
    }
    // What is good for some permissions only is good for nothing elsewhere; and a service account is where it is.
    let narrow = exchange(cluster, &ada.tokens.access, &[("scope", "guildhall.member:read")]).await.token();
    exchange(cluster, &narrow, &[("organization_id", &globex.id)]).await.is(400, "invalid_target");
    let robot = robot_of(&acme).await.token(cluster).await;
    exchange(cluster, &robot, &[("organization_id", &globex.id)]).await.is(400, "invalid_target");
    exchange(cluster, &project.token, &[("organization_id", &globex.id)]).await.is(400, "invalid_target");
    // The organization's policy is asked as at any entrance.
    let policy = json!({"organization_id": globex.id, "organization": {"organization_id": globex.id, "settings": {
        "mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL", "allowed_mfa_methods": ["MFA_METHOD_TOTP"]}},
        "update_mask": "settings.mfaPolicy,settings.allowedMfaMethods"});
    project.account.call("OrganizationService/UpdateOrganization", policy).await;
    let refused = exchange(cluster, &ada.tokens.access, &[("organization_id", &globex.id)]).await;
    refused.is(400, "invalid_request");
    let asked = json!({"token_exchange": {"subject_token": ada.tokens.access, "organization_id": globex.id}});
    cluster.anyone().refused(METHOD, asked, Code::FailedPrecondition, "MFA_REQUIRED").await;
}

#[tokio::test]
async fn what_is_no_token_of_ours_or_is_another_projects_is_exchanged_for_nothing() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    let token = &owner.tokens.access;
    let operator = {
        let access = cluster.access();
        cluster.client_credentials(&access.operator_client_id, &access.operator_client_secret).await.unwrap()
    };
    for bad in ["x.y.z", &format!("{token}A"), &token[..token.len() - 4], &operator] {
        exchange(cluster, bad, &[]).await.is(400, "invalid_request");
    }
    // A refresh token is no access token, and an id no credential.
    for bad in [owner.tokens.refresh.as_str(), &owner.id] {
        exchange(cluster, bad, &[]).await.is(400, "invalid_request");
    }
    for (name, value) in [
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("actor_token_type", ACCESS_TOKEN),
        ("actor_token", token.as_str()),
    ] {
        let mut form = vec![("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        post(cluster, "token", &form).await.is(400, "invalid_request");
    }
    // A client asks in its own project.
    let (own, foreign) = (robot_of_project(&project).await, robot_of_project(&other).await);
    let form = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    let asked = post_as(cluster, "token", Some(&own.basic()), &form).await.token();
    assert_eq!(claims(&asked)["client_id"], own.id.as_str());
    post_as(cluster, "token", Some(&foreign.basic()), &form).await.is(400, "invalid_request");
    post_as(cluster, "token", Some(&crate::oauth::basic(&own.id, "wrong")), &form).await.is(401, "invalid_client");
    let rpc = json!({"token_exchange": {"subject_token": token}});
    cluster.bearer(&other.token).refused(METHOD, rpc.clone(), Code::Unauthenticated, "UNAUTHENTICATED").await;
    // An API key is exchanged by its own type.
    let by_key = json!({"token_exchange": {"subject_token": own.secret}});
    let given = cluster.anyone().call(METHOD, by_key).await;
    assert_eq!(claims(&text(&given, "access_token"))["sub"], own.id.as_str());
    // Ended with its session.
    owner.caller.call("AuthenticationService/SignOut", json!({})).await;
    exchange(cluster, token, &[]).await.is(400, "invalid_request");
    cluster.anyone().refused(METHOD, rpc, Code::Unauthenticated, "CREDENTIAL_REVOKED").await;
}

#[tokio::test]
async fn bad_requests_name_every_fault_and_say_it_in_the_rfcs_words() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let robot = robot_of_project(&project).await;
    for (endpoint, form, status, error) in [
        ("token", vec![], 400, "invalid_request"),
        ("token", vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        ("token", vec![("grant_type", "client_credentials")], 401, "invalid_client"),
        ("token", vec![("grant_type", "refresh_token")], 400, "invalid_request"),
        ("token", vec![("grant_type", "refresh_token"), ("refresh_token", "x")], 400, "invalid_grant"),
        ("token", vec![("grant_type", "refresh_token"), ("grant_type", "refresh_token")], 400, "invalid_request"),
        ("introspect", vec![("token", "x")], 401, "invalid_client"),
        ("introspect", vec![("token", "x"), ("client_id", &robot.id), ("client_secret", "no")], 401, "invalid_client"),
        ("introspect", vec![("client_id", &robot.id), ("client_secret", &robot.secret)], 400, "invalid_request"),
        ("revoke", vec![], 400, "invalid_request"),
        ("revoke", vec![("token", "x"), ("client_id", &robot.id)], 401, "invalid_client"),
    ] {
        post(cluster, endpoint, &form).await.is(status, error);
    }
    for endpoint in ["token", "introspect", "revoke"] {
        crate::oauth::send(cluster, endpoint, None, "application/json", "{}".into()).await.is(400, "invalid_request");
        let large = format!("token={}", "x".repeat(70_000));
        let form = "application/x-www-form-urlencoded";
        crate::oauth::send(cluster, endpoint, None, form, large).await.is(413, "invalid_request");
        let both = [("grant_type", "client_credentials"), ("client_secret", robot.secret.as_str()), ("token", "x")];
        post_as(cluster, endpoint, Some(&robot.basic()), &both).await.is(400, "invalid_request");
    }
    let refused = cluster
        .anyone()
        .refused(
            METHOD,
            json!({"client_credentials": {"client_secret": "x", "client_assertion": "y"}, "permissions": ["x", "a:b", "a:b"]}),
            Code::InvalidArgument,
            "INVALID_FIELDS",
        )
        .await;
    let fields = format!("{refused:?}");
    for field in ["permissions[0]", "permissions[2]", "client_credentials.client_secret"] {
        assert!(fields.contains(field), "{field} in {fields}");
    }
    let metadata: Value =
        testkit::http::get(cluster.access().gateway, "/.well-known/oauth-authorization-server").await.1;
    for endpoint in ["token_endpoint", "introspection_endpoint", "revocation_endpoint"] {
        assert!(text(&metadata, endpoint).contains("/oauth2/"), "{metadata}");
    }
    assert!(metadata["grant_types_supported"].as_array().unwrap().contains(&json!(EXCHANGE)));
    assert!(metadata.to_string().contains("private_key_jwt"));
}
