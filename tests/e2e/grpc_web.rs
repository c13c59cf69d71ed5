//! gRPC-Web as browsers' own client speaks it: messages, streams, refusals and trailers, the same as by gRPC.

use serde_json::{Value, json};
use testkit::{Cluster, caller::text};

use crate::web;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_s_client_is_answered_as_any_other() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    let role = json!({"organization_id": acme.id, "role": {"key": "reader", "display_name": "Reader", "permissions": ["guildhall.member:read"]}});
    owner.caller.call("RoleService/CreateRole", role).await;

    let (token, about) = (&owner.tokens.access, json!({"organizationId": acme.id}));
    let password = json!({"emailAddress": owner.email, "password": owner.password, "organizationSlug": acme.slug});
    let wrong = json!({"emailAddress": owner.email, "password": "another one entirely", "organizationSlug": acme.slug});
    let subjects = json!({"organizationId": acme.id, "permission": "guildhall.member:read",
        "resource": {"type": "guildhall.organization", "id": acme.id}});
    let calls = json!([
        {"method": "guildhall.org.v1.OrganizationService/GetOrganization", "token": token, "request": about},
        {"method": "guildhall.authz.v1.AuthorizationService/ExportOrganization", "token": token, "request": about},
        {"method": "guildhall.authz.v1.AuthorizationService/ListSubjects", "token": project.token, "request": subjects},
        {"method": "guildhall.gateway.v1.AuthenticationService/SignInWithPassword", "project": project.id, "request": password},
        {"method": "guildhall.gateway.v1.AuthenticationService/SignInWithPassword", "project": project.id, "request": wrong},
        {"method": "guildhall.org.v1.OrganizationService/GetOrganization", "request": about},
        {"method": "guildhall.authz.v1.AuthorizationService/ExportOrganization", "token": token,
            "request": {"organizationId": "org_01h455vb4pex5vsknk084sn02q"}},
        {"method": "guildhall.member.v1.CredentialService/VerifyPassword", "token": token, "request": {}},
        {"method": "guildhall.org.v1.OrganizationService/GetOrganization", "token": "not.a.token", "request": about},
    ]);
    let folder = tempfile::tempdir().unwrap();
    let descriptors = folder.path().join("descriptors.bin");
    std::fs::write(&descriptors, api::FILE_DESCRIPTOR_SET).unwrap();
    let gateway = format!("http://{}", cluster.access().gateway);
    let Some(outcomes) = web::run("grpc-web.mjs", &[&gateway, descriptors.to_str().unwrap()], &calls) else { return };
    let outcomes = outcomes.as_array().unwrap();

    let by_grpc = async |method: &str| {
        Value::Array(owner.caller.try_all(method, json!({"organization_id": acme.id})).await.unwrap())
    };
    assert_eq!(outcomes[0]["messages"], by_grpc("OrganizationService/GetOrganization").await);
    let export = by_grpc("AuthorizationService/ExportOrganization").await;
    let records =
        |messages: &Value| messages.as_array().unwrap().iter().map(|m| m["record"].clone()).collect::<Vec<_>>();
    assert_eq!(records(&outcomes[1]["messages"]), records(&export), "a stream, message by message");
    assert!(records(&export).len() > 1, "{export}");
    assert_eq!(outcomes[2]["code"], 0, "{}", outcomes[2]);
    assert!(!text(&outcomes[3]["messages"][0], "access_token").is_empty());
    for (at, code, reason) in [
        (4, 16, "SIGN_IN_FAILED"),
        (5, 16, "UNAUTHENTICATED"),
        (6, 5, "NOT_FOUND"),
        (7, 12, "UNKNOWN_METHOD"),
        (8, 16, "UNAUTHENTICATED"),
    ] {
        let outcome = &outcomes[at];
        assert_eq!((&outcome["code"], &outcome["reason"]), (&json!(code), &json!(reason)), "{at}: {outcome}");
    }
    for outcome in outcomes {
        assert!(!text(outcome, "requestId").is_empty(), "{outcome}");
    }
}
