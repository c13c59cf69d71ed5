//! What a token is worth, for those who may know.

use std::time::Instant;

use serde_json::{Value, json};
use testkit::{
    Cluster,
    bounds::{SECOND, ends_within},
    caller::{Project, text},
};
use tonic::Code;

use crate::oauth::{ACCESS_TOKEN, EXCHANGE, Robot, claims, post, post_as, robot_of, robot_of_project};

const METHOD: &str = "TokenService/IntrospectToken";

/// What both doors say of a token: the answers of HTTP and gRPC.
async fn both(project: &Project<'_>, robot: &Robot, token: &str) -> (Value, Value) {
    let http = post_as(project.cluster, "introspect", Some(&robot.basic()), &[("token", token)]).await;
    assert_eq!((http.status, &http.headers["cache-control"]), (200, &"no-store".parse().unwrap()), "{http:?}");
    let rpc = project.account.call(METHOD, json!({"token": token})).await;
    assert_eq!(http.body["active"], rpc["active"], "{http:?} {rpc}");
    (http.body, rpc)
}

async fn nothing(project: &Project<'_>, robot: &Robot, token: &str) {
    let (http, rpc) = both(project, robot, token).await;
    assert_eq!(http, json!({"active": false}), "{token}");
    let said: Vec<&Value> = rpc.as_object().unwrap().values().filter(|value| **value != json!(false)).collect();
    let empty = |value: &&&Value| ![json!(""), json!([]), Value::Null].contains(**value);
    assert_eq!(said.iter().find(empty), None, "{rpc}");
}

#[tokio::test]
async fn a_good_token_is_described_to_its_own_project() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let robot = robot_of_project(&project).await;
    let owner = acme.owner();
    let (http, rpc) = both(&project, &robot, &owner.tokens.access).await;
    let said = claims(&owner.tokens.access);
    for claim in
        ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "sid", "org_id", "org_slug", "project_id"]
    {
        assert_eq!(http[claim], said[claim], "{claim}");
    }
    assert_eq!((&http["active"], &http["token_type"]), (&json!(true), &json!("Bearer")));
    assert_eq!((text(&rpc, "member_id"), text(&rpc, "organization_id")), (owner.id.clone(), acme.id.clone()));
    assert_eq!((text(&rpc, "session_id"), &rpc["roles"]), (text(&said, "sid"), &json!(["owner"])));

    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &owner.tokens.access),
        ("subject_token_type", ACCESS_TOKEN),
        ("scope", "guildhall.member:read"),
    ];
    let narrow = post(cluster, "token", &form).await.token();
    let (http, rpc) = both(&project, &robot, &narrow).await;
    assert_eq!(
        (&http["scope"], &rpc["permissions"]),
        (&json!("guildhall.member:read"), &json!(["guildhall.member:read"]))
    );
    // A refresh token, which is not used by it, and an API key.
    let (http, rpc) = both(&project, &robot, &owner.tokens.refresh).await;
    assert_eq!((&http["token_type"], &http["sub"]), (&json!("refresh_token"), &json!(owner.id)));
    assert_eq!(text(&rpc, "member_id"), owner.id);
    let (http, rpc) = both(&project, &robot, &robot.secret).await;
    assert_eq!((&http["sub"], text(&rpc, "service_account_id")), (&json!(robot.id), robot.id.clone()));
    let refresh = json!({"refresh_token": owner.tokens.refresh});
    project.anyone().call("AuthenticationService/RefreshSession", refresh).await;
}

#[tokio::test]
async fn of_what_is_not_the_callers_project_s_or_no_longer_good_nothing_is_said() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, globex) = (project.organization("acme").await, other.organization("globex").await);
    let robot = robot_of_project(&project).await;
    let foreign_robot = robot_of_project(&other).await;
    let good = &acme.owner().tokens.access;
    let operator = {
        let access = cluster.access();
        cluster.client_credentials(&access.operator_client_id, &access.operator_client_secret).await.unwrap()
    };
    let foreign = [
        globex.owner().tokens.access.clone(),
        globex.owner().tokens.refresh.clone(),
        foreign_robot.secret.clone(),
        foreign_robot.token(cluster).await,
        operator,
        format!("{good}A"),
        good[..good.len() - 3].to_owned(),
        "x".to_owned(),
        "x.y.z".to_owned(),
        "x".repeat(8000),
    ];
    for token in foreign {
        nothing(&project, &robot, &token).await;
    }
    acme.owner().caller.call("AuthenticationService/SignOut", json!({})).await;
    let ended = Instant::now();
    let active = async || Some(both(&project, &robot, good).await.0).filter(|told| told["active"] == true);
    ends_within(ended, SECOND, "it is called good", active).await;
    nothing(&project, &robot, good).await;
    nothing(&project, &robot, &acme.owner().tokens.refresh).await;
}

#[tokio::test]
async fn only_a_project_s_own_account_may_ask() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let token = acme.owner().tokens.access.as_str();
    post(cluster, "introspect", &[("token", token)]).await.is(401, "invalid_client");
    let robot = robot_of(&acme).await;
    post_as(cluster, "introspect", Some(&robot.basic()), &[("token", token)]).await.is(400, "unauthorized_client");
    let access = cluster.access();
    let operator = crate::oauth::basic(&access.operator_client_id, &access.operator_client_secret);
    post_as(cluster, "introspect", Some(&operator), &[("token", token)]).await.is(400, "unauthorized_client");
    let asked = json!({"token": token});
    acme.owner().caller.refused(METHOD, asked.clone(), Code::PermissionDenied, "WRONG_AUDIENCE").await;
    cluster.anyone().refused(METHOD, asked, Code::Unauthenticated, "UNAUTHENTICATED").await;
    project.account.refused(METHOD, json!({"token": ""}), Code::InvalidArgument, "INVALID_FIELDS").await;
}
