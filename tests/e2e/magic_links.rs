//! Links in mail: beside the code or in its place, good once, and used up by nobody who only looks.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Project, text, unique},
};
use tonic::Code;

use crate::{
    entering::{COMPLETE, SELECT, START, intermediate, select, settings},
    tenant_walls::superuser,
};

/// Asks for a mail; the challenge, and what the mail says.
async fn start(project: &Project<'_>, email: &str, to: Value) -> (String, testkit::Mail) {
    let before = project.cluster.delivered(email).len();
    let mut request = json!({"email_address": email});
    request.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
    let challenge = project.anyone().call(START, request).await;
    let mail = project.cluster.mails(email, before + 1).await.last().unwrap().clone();
    (text(&challenge, "challenge_id"), mail)
}

async fn failed(project: &Project<'_>, request: Value) {
    project.anyone().refused(COMPLETE, request, Code::Unauthenticated, "SIGN_IN_FAILED").await;
}

#[tokio::test]
async fn a_link_signs_in_once_and_ends_its_code() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let (challenge, mail) = start(&project, &ada.email, json!({"organization_id": acme.id})).await;
    let token = mail.token();
    assert!(mail.html.contains(&token), "{}", mail.html);
    // In another project it is nothing, and it is used up by nothing that fails.
    failed(&cluster.project().await, json!({"token": token})).await;
    failed(&project, json!({"token": format!("{}x", &token[..token.len() - 1])})).await;
    let refused = project
        .anyone()
        .refused(COMPLETE, json!({"token": token, "code": "123456"}), Code::InvalidArgument, "INVALID_FIELDS")
        .await;
    assert_eq!(refused.fields, ["token"]);

    let anyone = project.anyone();
    let at_once = (0..20).map(|_| anyone.insist(COMPLETE, json!({"token": token})));
    let answers = futures::future::join_all(at_once).await;
    let signed: Vec<_> = answers.into_iter().filter_map(Result::ok).collect();
    assert_eq!(signed.len(), 1, "a link works once");
    assert_eq!(text(&signed[0], "member_session.member_id"), ada.id);
    failed(&project, json!({"challenge_id": challenge, "code": mail.code()})).await;
    let sessions = json!({"organization_id": acme.id, "member_id": ada.id});
    let sessions = project.account.call("SessionService/ListSessions", sessions).await;
    assert_eq!(sessions["sessions"][0]["auth_factors"][0]["method"], "AUTH_FACTOR_METHOD_EMAIL_LINK");

    // The code, used first, ends the link; and so do five wrong ones.
    let (challenge, mail) = start(&project, &ada.email, json!({})).await;
    anyone.call(COMPLETE, json!({"challenge_id": challenge, "code": mail.code()})).await;
    failed(&project, json!({"token": mail.token()})).await;
    let (challenge, mail) = start(&project, &ada.email, json!({})).await;
    let wrong = if mail.code() == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        failed(&project, json!({"challenge_id": challenge, "code": wrong})).await;
    }
    failed(&project, json!({"token": mail.token()})).await;
    // A later challenge ends an earlier one, and ten minutes end all.
    let (_, earlier) = start(&project, &ada.email, json!({})).await;
    let (_, later) = start(&project, &ada.email, json!({})).await;
    failed(&project, json!({"token": earlier.token()})).await;
    sqlx::query("update member.challenge set expire_time = now() where email_address = $1")
        .bind(&ada.email)
        .execute(&mut superuser(cluster).await)
        .await
        .unwrap();
    failed(&project, json!({"token": later.token()})).await;
}

#[tokio::test]
async fn a_mail_holds_what_the_organization_allows() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let ada = acme.join("ada", &["member"]).await;
    let other = json!({"organization_id": globex.id, "member": {"email_address": ada.email}, "roles": ["member"]});
    project.account.call("MemberService/CreateMember", other).await;
    let restricted =
        |method: &str| json!({"auth_methods": "AUTH_METHODS_POLICY_RESTRICTED", "allowed_auth_methods": [method]});
    settings(&acme, restricted("AUTH_METHOD_MAGIC_LINK")).await;
    settings(&globex, restricted("AUTH_METHOD_EMAIL_CODE")).await;

    let (_, mail) = start(&project, &ada.email, json!({"organization_id": acme.id})).await;
    assert!(!mail.text.contains("code") && mail.text.contains("?token="), "{}", mail.text);
    let signed = project.anyone().call(COMPLETE, json!({"token": mail.token()})).await;
    assert_eq!(text(&signed, "member_session.organization_id"), acme.id);
    let (challenge, mail) = start(&project, &ada.email, json!({"organization_id": globex.id})).await;
    assert!(!mail.text.contains("?token="), "{}", mail.text);
    let signed = project.anyone().call(COMPLETE, json!({"challenge_id": challenge, "code": mail.code()})).await;
    assert_eq!(text(&signed, "member_session.organization_id"), globex.id);

    // Where none is named the mail holds both, and each organization says what it takes of it.
    let (_, mail) = start(&project, &ada.email, json!({})).await;
    mail.code();
    let token = intermediate(&project.anyone().call(COMPLETE, json!({"token": mail.token()})).await);
    let refused =
        project.anyone().refused(SELECT, select(&globex, &token), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    assert_eq!(refused.said("allowed_auth_methods"), "EMAIL_CODE");
    project.anyone().call(SELECT, select(&acme, &token)).await;
}

#[tokio::test]
async fn somebody_new_signs_up_by_a_link() {
    let project = Cluster::shared().await.project().await;
    let email = format!("{}@new.test", unique("eve"));
    let (_, mail) = start(&project, &email, json!({"sign_up": true})).await;
    let token = intermediate(&project.anyone().call(COMPLETE, json!({"token": mail.token()})).await);
    let request = json!({"intermediate_session_token": token, "organization": {"display_name": "Acme"}});
    let signed = project.anyone().call(crate::entering::SIGN_UP, request).await;
    assert_eq!(signed["member_session"]["roles"], json!(["owner"]));
}
