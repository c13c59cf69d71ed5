//! Ending tokens: whose they are, what goes with them, and that nobody learns of others'.

use std::time::Duration;

use serde_json::json;
use testkit::{Cluster, caller::Caller};
use tonic::Code;

use crate::oauth::{ACCESS_TOKEN, EXCHANGE, claims, post, post_as, robot_of, robot_of_project};

const METHOD: &str = "TokenService/RevokeToken";
const REFRESH: &str = "AuthenticationService/RefreshSession";

async fn good(caller: &Caller) -> bool {
    caller.try_call("AuthenticationService/WhoAmI", json!({})).await.is_ok()
}

#[tokio::test]
async fn a_persons_token_ends_with_its_session() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    for by_refresh_token in [true, false] {
        for over_http in [true, false] {
            let ada = acme.join("ada", &["member"]).await;
            let token = if by_refresh_token { &ada.tokens.refresh } else { &ada.tokens.access };
            if over_http {
                let answer = post(cluster, "revoke", &[("token", token), ("token_type_hint", "nonsense")]).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            } else {
                cluster.anyone().call(METHOD, json!({"token": token})).await;
            }
            let refresh = json!({"refresh_token": ada.tokens.refresh});
            project.anyone().refused(REFRESH, refresh, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
            ada.caller.is_out_within_a_second().await;
            // Once more changes nothing, and is no error.
            assert_eq!(post(cluster, "revoke", &[("token", token)]).await.status, 200);
        }
    }
    // The first of a family ends the whole of it, also when it was used up.
    let ada = acme.join("ada", &["member"]).await;
    let next = project.anyone().call(REFRESH, json!({"refresh_token": ada.tokens.refresh})).await;
    cluster.anyone().call(METHOD, json!({"token": ada.tokens.refresh})).await;
    let next = json!({"refresh_token": next["refresh_token"]});
    project.anyone().refused(REFRESH, next, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
}

#[tokio::test]
async fn of_a_service_account_one_token_ends_and_no_other() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    for robot in [robot_of(&acme).await, robot_of_project(&project).await] {
        let (first, second) = (robot.token(cluster).await, robot.token(cluster).await);
        let answer = post_as(cluster, "revoke", Some(&robot.basic()), &[("token", &first)]).await;
        assert_eq!(answer.status, 200);
        cluster.bearer(&first).is_out_within_a_second().await;
        assert!(good(&cluster.bearer(&second)).await, "its key and its other tokens are good");
        // By itself, over gRPC.
        cluster.bearer(&second).call(METHOD, json!({"token": second})).await;
        cluster.bearer(&second).is_out_within_a_second().await;
        assert!(good(&cluster.bearer(&robot.token(cluster).await)).await);
        post_as(cluster, "revoke", Some(&robot.basic()), &[("token", &first)]).await;
    }
    let events =
        project.account.call("EventService/ListEvents", json!({"organization_id": acme.id, "page_size": 500})).await;
    let told = |event: &&serde_json::Value| event["kind"] == "access_token.revoked";
    let events: Vec<_> = events["events"].as_array().unwrap().iter().filter(told).collect();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0]["access_token_revocation"]["token_id"].is_string(), "{events:?}");
}

#[tokio::test]
async fn nobody_ends_another_s_token_or_learns_that_it_is_one() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let foreign = robot_of_project(&other).await;
    let (mine, theirs) = (robot_of(&acme).await, robot_of(&globex).await);
    let ada = acme.join("ada", &["member"]).await;
    let robots = theirs.token(cluster).await;
    let attempts = [
        (Some(foreign.basic()), ada.tokens.access.as_str()),
        (Some(foreign.basic()), &ada.tokens.refresh),
        (Some(foreign.basic()), &robots),
        (Some(mine.basic()), &ada.tokens.access),
        (Some(mine.basic()), &ada.tokens.refresh),
        (Some(mine.basic()), &robots),
        // A service account proves itself to end its tokens.
        (None, &robots),
    ];
    for (client, token) in attempts {
        let answer = post_as(cluster, "revoke", client.as_deref(), &[("token", token)]).await;
        let unknown = post_as(cluster, "revoke", client.as_deref(), &[("token", "x.y.z")]).await;
        assert_eq!((answer.status, answer.body), (unknown.status, unknown.body));
    }
    for caller in [&acme.owner().caller, &cluster.bearer(&foreign.token(cluster).await)] {
        for token in [&ada.tokens.access, &ada.tokens.refresh, &robots] {
            caller.call(METHOD, json!({"token": token})).await;
        }
    }
    cluster.anyone().call(METHOD, json!({"token": robots})).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(good(&ada.caller).await && good(&cluster.bearer(&robots)).await);
    project.anyone().call(REFRESH, json!({"refresh_token": ada.tokens.refresh})).await;
    // The project's own account ends what is its project's.
    let own = robot_of_project(&project).await;
    for token in [ada.tokens.access.as_str(), &robots] {
        assert_eq!(post_as(cluster, "revoke", Some(&own.basic()), &[("token", token)]).await.status, 200);
    }
    ada.caller.is_out_within_a_second().await;
    cluster.bearer(&robots).is_out_within_a_second().await;
}

#[tokio::test]
async fn a_token_for_a_resource_server_ends_as_any() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    crate::oauth::token_settings(&project, json!({"audience": "billing"}), "tokenSettings.audience").await;
    let robot = robot_of_project(&project).await;
    let token = &acme.owner().tokens.access;
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", ACCESS_TOKEN),
        ("audience", "billing"),
    ];
    let away = post(cluster, "token", &form).await.token();
    assert_eq!(claims(&away)["aud"], "billing");
    let active = post_as(cluster, "introspect", Some(&robot.basic()), &[("token", &away)]).await;
    assert_eq!(active.body["active"], true);
    assert_eq!(post(cluster, "revoke", &[("token", &away)]).await.status, 200);
    acme.owner().caller.is_out_within_a_second().await;
    let active = post_as(cluster, "introspect", Some(&robot.basic()), &[("token", &away)]).await;
    assert_eq!(active.body, json!({"active": false}));
}
