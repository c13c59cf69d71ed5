//! The client crate as a service account: its token is renewed when it is refused, and is nobody else's; and what it holds of organizations
//! is bounded.

use std::time::{Duration, Instant};

use api::member::v1::ListMembersRequest;
use client::{
    Client,
    embedded::EngineOptions,
    offline::{Caller, Unverified, WhenUnknown},
};
use serde_json::json;
use testkit::{
    Cluster,
    caller::{Organization, Project},
};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::{
    epochs::{offline, options},
    oauth::{Robot, robot_of_project},
};

fn client(project: &Project<'_>, robot: &Robot) -> Client {
    Client::new(&format!("http://{}", project.cluster.access().gateway), Default::default())
        .unwrap()
        .with_service_account(&robot.id, robot.secret.clone().into())
}

async fn list(client: &Client, organization: &Organization<'_>) -> Result<usize, Status> {
    let request = ListMembersRequest { organization_id: organization.id.clone(), ..Default::default() };
    Ok(client.members().list_members(request).await?.into_inner().members.len())
}

#[tokio::test]
async fn a_token_that_is_refused_before_its_time_is_replaced() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let robot = robot_of_project(&project).await;
    let client = client(&project, &robot);
    assert_eq!(list(&client, &acme).await.unwrap(), 1);
    let to = |state: &str| json!({"service_account": {"service_account_id": robot.id, "state": state}, "update_mask": "state"});
    let update = "ServiceAccountService/UpdateServiceAccount";
    project.account.call(update, to("SERVICE_ACCOUNT_STATE_SUSPENDED")).await;
    let begun = Instant::now();
    while list(&client, &acme).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "a suspended account is let in");
        sleep(Duration::from_millis(20)).await;
    }
    project.account.call(update, to("SERVICE_ACCOUNT_STATE_ACTIVE")).await;
    let begun = Instant::now();
    while let Err(refused) = list(&client, &acme).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "its token is not renewed: {refused:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_call_with_somebodys_bad_token_is_not_the_accounts() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let client = client(&project, &robot_of_project(&project).await);
    assert_eq!(list(&client, &acme).await.unwrap(), 1);
    for bad in ["", "x", "a\nb", "a\0b", "\u{7f}"] {
        client.set_token(bad.to_owned().into());
        let refused = list(&client, &acme).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{bad:?}: {refused:?}");
    }
}

#[tokio::test]
async fn more_organizations_than_engines_are_answered_by_the_server() {
    let project = Cluster::shared().await.project().await;
    let organizations = [project.organization("acme").await, project.organization("globex").await];
    let verifier = offline(&project).await;
    let client = client(&project, &robot_of_project(&project).await);
    let checks = client.checks(EngineOptions::default()).with_engines(1);
    for _ in 0..3 {
        for organization in &organizations {
            let (owner, other) = (organization.owner(), organization.join("other", &[]).await);
            for (who, may) in [(owner, true), (&other, false)] {
                let Ok(Caller::Member(who)) = verifier.verify(&who.tokens.access).await else { panic!("no member") };
                let permission = "guildhall.member:remove".parse().unwrap();
                assert_eq!(checks.allows(&who, &permission, None).await.unwrap(), may);
            }
        }
    }
    assert!(format!("{checks:?}").matches("EmbeddedEngine").count() == 1, "{checks:?}");
}

#[tokio::test]
async fn a_token_is_not_called_bad_by_whoever_has_no_keys() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let nowhere = Client::new("http://127.0.0.1:1", Default::default()).unwrap();
    for when_unknown in [WhenUnknown::Refuse, WhenUnknown::AcceptUntilExpiry] {
        let mut asked = options(&project);
        asked.when_unknown = when_unknown;
        let verifier = nowhere.offline_verifier(asked);
        let said = verifier.verify(&acme.owner().tokens.access).await;
        assert!(matches!(said, Err(Unverified::Unknown)), "{said:?}");
        assert!(matches!(verifier.verify("x").await, Err(Unverified::Invalid)));
    }
}
