//! What came by a connection ends with it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::caller::{Project, text};
use tokio::time::sleep;
use tonic::Code;

use crate::{
    identity_provider::IdentityProvider,
    joining::{member, roles},
    sso::{COMPLETE, START, at, begin, completion, failed, held, ready, sign_in, start_request},
};

async fn ends(project: &Project<'_>, refresh: &str) {
    let begun = Instant::now();
    let mut refresh = refresh.to_owned();
    loop {
        let request = json!({"refresh_token": refresh});
        match project.anyone().try_call("AuthenticationService/RefreshSession", request).await {
            Ok(next) => refresh = text(&next, "refresh_token"),
            Err(refused) => return assert_eq!(refused.reason, "REFRESH_TOKEN_REFUSED", "{refused:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the session goes on");
        sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn what_came_by_a_connection_ends_with_it() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (project, acme, domain, connection) = ready(&idp, "acme").await;
    let owner = &acme.owner().caller;
    let change = |connection_of: Value, mask: &str| json!({"organization_id": acme.id, "connection_id": connection["connection_id"], "connection": connection_of, "update_mask": mask});
    let update = "ConnectionService/UpdateConnection";
    let groups = json!({"group_role_ids": {"staff": {"role_ids": ["admin"]}}});
    owner.call(update, change(groups, "groupRoleIds")).await;
    idp.account("ada", json!({"email": format!("ada@{domain}"), "email_verified": true, "groups": ["staff"]})).await;
    let signed_in = sign_in(&project, &idp, at(&acme), "ada").await.unwrap();
    assert_eq!(signed_in["member_session"]["roles"], json!(["admin", "member"]));
    let (token, refresh) = (text(&signed_in, "access_token"), text(&signed_in, "refresh_token"));
    let under_way = begin(&project, at(&acme)).await;
    let back = idp.sign_in(&under_way.uri, "ada").await;

    let state = |state: &str| change(json!({"state": state}), "state");
    owner.call(update, state("CONNECTION_STATE_INACTIVE")).await;
    failed(project.anyone().try_call(COMPLETE, completion(&under_way, &back)).await, "under way");
    project.anyone().refused(START, start_request(at(&acme), "x"), Code::NotFound, "NOT_FOUND").await;
    ends(&project, &refresh).await;
    let bearer = project.cluster.bearer(&token);
    let begun = Instant::now();
    while bearer.try_call("AuthenticationService/WhoAmI", json!({})).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the token stays good");
        sleep(Duration::from_millis(100)).await;
    }
    let begun = Instant::now();
    while roles(&member(&acme, &format!("ada@{domain}")).await.unwrap()) != held(&[("member", &["DIRECT"])]) {
        assert!(begun.elapsed() < Duration::from_secs(30), "her roles by group stay");
        sleep(Duration::from_millis(100)).await;
    }
    let events = json!({"organization_id": acme.id, "page_size": 500});
    let events = project.account.call("EventService/ListEvents", events).await.to_string();
    assert!(events.contains("SESSION_END_REASON_CONNECTION_ENDED"));

    // Other sessions go on; and in use again, it signs in again.
    owner.call("MemberService/ListMembers", json!({"organization_id": acme.id})).await;
    owner.call(update, state("CONNECTION_STATE_ACTIVE")).await;
    sleep(Duration::from_secs(3)).await;
    let signed_in = sign_in(&project, &idp, at(&acme), "ada").await.unwrap();
    sleep(Duration::from_secs(4)).await;
    let refreshed = json!({"refresh_token": signed_in["refresh_token"]});
    let refreshed = project.anyone().call("AuthenticationService/RefreshSession", refreshed).await;
    assert_eq!(refreshed["member_session"]["roles"], json!(["admin", "member"]));

    // The provider is down: that is said, and soon.
    let begun = begin(&project, at(&acme)).await;
    let back = idp.sign_in(&begun.uri, "ada").await;
    drop(idp);
    let asked = Instant::now();
    let request = completion(&begun, &back);
    project.anyone().refused(COMPLETE, request, Code::Unavailable, "UNAVAILABLE").await;
    assert!(asked.elapsed() < Duration::from_secs(15));

    // Pointed elsewhere, at nobody: that is said too. Then it is gone.
    let elsewhere = json!({"issuer": "http://127.0.0.1:9", "client_secret": "x"});
    owner.call(update, change(elsewhere, "issuer,clientSecret")).await;
    project.anyone().refused(START, start_request(at(&acme), "x"), Code::Unavailable, "UNAVAILABLE").await;
    ends(&project, &text(&refreshed, "refresh_token")).await;
    let gone = json!({"organization_id": acme.id, "connection_id": connection["connection_id"]});
    owner.call("ConnectionService/DeleteConnection", gone).await;
    let mut database = PgConnection::connect(&project.cluster.access().database_url).await.unwrap();
    let id = text(&connection, "connection_id").parse::<tenancy::ConnectionId>().unwrap().uuid();
    let kept = "select count(*) from member.provider_account where connection_id = $1";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(kept).bind(id).fetch_one(&mut database).await.unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "accounts of no connection stay");
        sleep(Duration::from_millis(200)).await;
    }
}
