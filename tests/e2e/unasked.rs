//! What is refused without asking anybody: a mistyped key without the database, an unknown organization without another service.

use std::{process::Command, time::Duration};

use serde_json::json;
use sqlx::Connection as _;
use testkit::{Cluster, caller::text};
use tonic::Code;

use crate::tenant_walls::superuser;

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn a_mistyped_key_and_an_unknown_organization_are_refused_without_asking_anybody() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();

    // A good key waits for a table that is locked; one with a wrong checksum has its answer at once.
    let access = cluster.access();
    let (id, secret) = (access.client_id.as_str(), access.client_secret.as_str());
    let mut database = superuser(&cluster).await;
    let mut lock = database.begin().await.unwrap();
    sqlx::query("lock table member.head, member.api_key in access exclusive mode").execute(&mut *lock).await.unwrap();
    let at = secret.len() / 2;
    let other = if secret.as_bytes()[at] == b'A' { "B" } else { "A" };
    let mistyped = format!("{}{other}{}", &secret[..at], &secret[at + 1..]);
    assert_eq!(cluster.client_credentials(id, &mistyped).await.unwrap_err().0, 401);
    let waits = tokio::time::timeout(Duration::from_secs(1), cluster.client_credentials(id, secret)).await;
    assert!(waits.is_err(), "the lock is in nobody's way: {waits:?}");
    lock.rollback().await.unwrap();

    // org-service answers nothing: an organization that member-service never heard of is still refused, as a wrong password is.
    let gateway = cluster.workload("gateway", "member-service");
    let sign_in = |organization: &str| {
        json!({"project_id": project.id, "organization_id": organization,
        "email_address": owner.email, "password": "not her password"})
    };
    let wrong = gateway
        .refused("CredentialService/VerifyPassword", sign_in(&acme.id), Code::Unauthenticated, "SIGN_IN_FAILED")
        .await;
    let org_service = cluster.pid("org-service").unwrap();
    signal(org_service, "-STOP");
    let unknown = tenancy::OrganizationId::new().to_string();
    let refused = gateway.try_call("CredentialService/VerifyPassword", sign_in(&unknown)).await;
    signal(org_service, "-CONT");
    let refused = refused.unwrap_err();
    assert_eq!(refused.bytes(), wrong.bytes(), "{refused:?}");

    // Codes for nobody leave as many rows as codes for somebody, and no mail.
    let start = |organization: &str, address: &str| {
        json!({"project_id": project.id, "organization_id": organization,
        "email_address": address})
    };
    for (organization, address) in
        [(&acme.id, "nobody@acme.test"), (&unknown, owner.email.as_str()), (&acme.id, owner.email.as_str())]
    {
        let started = gateway.call("CredentialService/StartEmailChallenge", start(organization, address)).await;
        assert!(!text(&started, "challenge_id").is_empty());
    }
    cluster.mailbox(&owner.email).await;
    assert_eq!((cluster.delivered("nobody@acme.test").len(), cluster.delivered(&owner.email).len()), (0, 1));
}
