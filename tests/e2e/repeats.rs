//! A write that carries a request_id happens once, however often it is sent.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{text, unique},
};
use tonic::Code;

#[tokio::test]
async fn the_same_request_gets_the_first_answer_and_another_body_none() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = &acme.owner().caller;
    let email = unique("x") + "@acme.test";
    let requests: [(&str, Value, Value); 5] = [
        (
            "OrganizationService/CreateOrganization",
            json!({"organization": {"display_name": "A", "slug": unique("a")}}),
            json!({"organization": {"display_name": "B", "slug": unique("b")}}),
        ),
        (
            "MemberService/CreateMember",
            json!({"organization_id": acme.id, "member": {"email_address": unique("m") + "@acme.test"}, "roles": ["member"]}),
            json!({"organization_id": acme.id, "member": {"email_address": unique("n") + "@acme.test"}, "roles": ["member"]}),
        ),
        (
            "InvitationService/CreateInvitation",
            json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": ["member"], "return_token": true}),
            json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": [], "return_token": true}),
        ),
        (
            "ServiceAccountService/CreateServiceAccount",
            json!({"organization_id": acme.id, "service_account": {"display_name": "A"}}),
            json!({"organization_id": acme.id, "service_account": {"display_name": "B"}}),
        ),
        (
            "GroupService/CreateGroup",
            json!({"organization_id": acme.id, "group": {"display_name": "A"}}),
            json!({"organization_id": acme.id, "group": {"display_name": "B"}}),
        ),
    ];
    for (method, mut request, mut other) in requests {
        request["request_id"] = json!(unique("request"));
        other["request_id"] = request["request_id"].clone();
        let answers = join_all((0..8).map(|_| project.account.insist(method, request.clone()))).await;
        let first = answers[0].as_ref().unwrap_or_else(|refused| panic!("{method}: {refused:?}"));
        for answer in &answers {
            assert_eq!(answer.as_ref().unwrap_or_else(|refused| panic!("{method}: {refused:?}")), first, "{method}");
        }
        project.account.refused(method, other, Code::InvalidArgument, "REQUEST_ID_REUSED").await;
        if method != "OrganizationService/CreateOrganization" && method != "ServiceAccountService/CreateServiceAccount"
        {
            // The id is the caller's own: somebody else's is another.
            let refused = owner.try_call(method, request.clone()).await;
            if let Ok(answer) = refused {
                assert_ne!(&answer, first, "{method}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_that_was_lost_on_the_way_comes_again() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let account = json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}});
    let account = project.account.call("ServiceAccountService/CreateServiceAccount", account).await;
    let key = json!({"organization_id": acme.id, "service_account_id": text(&account, "service_account_id"),
        "api_key": {}, "request_id": unique("request")});
    let first = project.account.call("ServiceAccountService/CreateApiKey", key.clone()).await;
    let again = project.account.call("ServiceAccountService/CreateApiKey", key).await;
    assert_eq!(text(&first, "secret"), text(&again, "secret"));
    assert!(text(&first, "secret").len() > 40);
}

#[tokio::test]
async fn an_ill_formed_request_id_is_refused() {
    let project = Cluster::shared().await.project().await;
    for bad in ["a b", "é", &"x".repeat(65)] {
        let request = json!({"organization": {"display_name": "A", "slug": unique("a")}, "request_id": bad});
        let refused = project
            .account
            .refused("OrganizationService/CreateOrganization", request, Code::InvalidArgument, "INVALID_FIELDS")
            .await;
        assert_eq!(refused.fields, ["request_id"]);
    }
}
