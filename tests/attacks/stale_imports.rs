//! Rights that were good when a stream of requests was begun.

use std::time::{Duration, Instant};

use futures::channel::mpsc;
use serde_json::json;
use testkit::{
    Cluster,
    caller::{Refused, text},
};
use tonic::Code;

use api::{
    authz::v1::{
        AuthorizationRecord, Group, ImportOrganizationRequest, authorization_record::Record,
        authorization_service_client::AuthorizationServiceClient,
    },
    member::v1::{Identity, ImportIdentitiesRequest, identity_service_client::IdentityServiceClient},
};

use crate::stale::{PATIENCE, WITHIN, channel, take_back, with_token};

/// As many people as an import writes at once.
const AT_ONCE: usize = 100;

/// A stream of requests is no way round either: a project's credential that is gone takes nobody over any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_people_that_goes_on_takes_in_nobody_more_once_the_credential_is_gone() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operator().await;
    for door in ["gateway", "member-service"] {
        let project = cluster.project().await;
        let account = json!({"project_id": project.id, "service_account": {"display_name": "importer"}});
        let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
        let (id, secret) = (text(&account, "client_id"), text(&account, "client_secret"));
        let token = cluster.client_credentials(&id, &secret).await.unwrap();
        let (sender, messages) = mpsc::unbounded();
        let mut client = IdentityServiceClient::new(channel(cluster.door(door)));
        let request = with_token(messages, &token);
        let import = tokio::spawn(async move { client.import_identities(request).await });
        let mut sent = 0;
        let mut send = || {
            for _ in 0..AT_ONCE {
                let identity = Identity { email_address: format!("x{sent}@people.test"), ..Default::default() };
                let message = ImportIdentitiesRequest { identity: Some(identity), ..Default::default() };
                let _ = sender.unbounded_send(message);
                sent += 1;
            }
            sent
        };
        let lookup = |n: usize| json!({"email_address": format!("x{n}@people.test")});
        let begun = Instant::now();
        send();
        while project.account.try_call("IdentityService/LookupIdentity", lookup(0)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "{door}: nobody is taken over");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cluster.bearer(&token).call("TokenService/RevokeToken", json!({"token": token})).await;
        let gone = Instant::now();
        let mut all = send();
        while !import.is_finished() {
            assert!(gone.elapsed() < WITHIN, "{door}: goes on for {:?}", gone.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
            all = send();
        }
        let refused = Refused::from(import.await.unwrap().unwrap_err());
        let expected = (Code::Unauthenticated, "CREDENTIAL_REVOKED");
        assert_eq!((refused.code, refused.reason.as_str()), expected, "{door}: {refused:?}");
        let last = lookup(all - 1);
        project.account.refused("IdentityService/LookupIdentity", last, Code::NotFound, "NOT_FOUND").await;
    }
}

/// What is sent while somebody may is not made once they may not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_authorization_is_refused_where_the_right_to_it_went_while_it_was_sent() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    // One by one: a service takes few at once.
    for what in ["a sign-out", "the loss of a role"] {
        let organization = project.organization("acme").await;
        let member = organization.join("importer", &["owner"]).await;
        let group = |name: &str| ImportOrganizationRequest {
            organization_id: organization.id.clone(),
            record: Some(AuthorizationRecord {
                record: Some(Record::Group(Group { display_name: name.to_owned(), ..Default::default() })),
            }),
            ..Default::default()
        };
        let (sender, messages) = mpsc::unbounded();
        let mut client = AuthorizationServiceClient::new(channel(cluster.door("gateway")));
        let request = with_token(messages, &member.tokens.access);
        let import = tokio::spawn(async move { client.import_organization(request).await });
        sender.unbounded_send(group("first")).unwrap();
        // Nothing says that the stream is let in.
        tokio::time::sleep(Duration::from_secs(1)).await;
        take_back(what, &project, &organization, &member).await;
        tokio::time::sleep(WITHIN).await;
        let _ = sender.unbounded_send(group("last"));
        drop(sender);
        let refused = Refused::from(import.await.unwrap().unwrap_err());
        // Also a role's loss outdates the token that was given with it.
        let expected = (Code::Unauthenticated, "CREDENTIAL_REVOKED");
        assert_eq!((refused.code, refused.reason.as_str()), expected, "{what}: {refused:?}");
        let groups = project.account.call("GroupService/ListGroups", json!({"organization_id": organization.id})).await;
        assert!(groups["groups"].as_array().is_none_or(Vec::is_empty), "{what}: {groups}");
    }
}
