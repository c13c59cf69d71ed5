//! Limits that hold against everybody at once, and say how much they are.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{Cluster, caller::text};
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_creates_at_once_against_fifty_make_fifty() {
    let cluster = Cluster::shared().await;
    let (operator, project) = (cluster.operator().await, cluster.project().await);
    let limit = |value: i32| {
        json!({"project_id": project.id, "project": {"limits": {"max_organizations": value}},
            "update_mask": "limits.maxOrganizations"})
    };
    operator.call("ProjectService/UpdateProject", limit(50)).await;
    let create = "OrganizationService/CreateOrganization";
    let request = json!({"organization": {"display_name": "Acme"}});
    let outcomes = futures::future::join_all((0..200).map(|_| project.account.insist(create, request.clone()))).await;
    let (made, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    for refused in refused.into_iter().filter_map(Result::err) {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "LIMIT_REACHED"), "{refused:?}");
        assert_eq!(refused.message, "max_organizations is reached: 50 of 50");
    }
    assert_eq!(made.len(), 50);
    let listed = project.account.call("OrganizationService/ListOrganizations", json!({"page_size": 500})).await;
    assert_eq!(listed["organizations"].as_array().unwrap().len(), 50);

    // A deleted one counts until it is purged, so that it can be brought back.
    let first = json!({"organization_id": text(made[0].as_ref().unwrap(), "organization_id")});
    project.account.call("OrganizationService/DeleteOrganization", first.clone()).await;
    project.account.refused(create, request.clone(), Code::ResourceExhausted, "LIMIT_REACHED").await;
    operator.call("ProjectService/UpdateProject", limit(10)).await;
    project.account.call("OrganizationService/UndeleteOrganization", first).await;
    let refused = project.account.refused(create, request.clone(), Code::ResourceExhausted, "LIMIT_REACHED").await;
    assert_eq!(refused.message, "max_organizations is reached: 50 of 10");
    operator.call("ProjectService/UpdateProject", limit(51)).await;
    project.account.call(create, request).await;
}

#[tokio::test]
async fn an_organization_tells_what_it_may_and_reads_on_while_nobody_can_count() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let made = project
        .account
        .call(
            "OrganizationService/CreateOrganization",
            json!({"organization": {"display_name": "Acme", "limits": {"max_members": {"value": 3}}}}),
        )
        .await;
    let about = json!({"organization_id": text(&made, "organization_id")});
    let read = project.account.call("OrganizationService/GetOrganization", about.clone()).await;
    assert_eq!(read["limits"]["max_members"]["value"], 3);
    assert_eq!(text(&read, "limits.max_members.source"), "LIMIT_SOURCE_ORGANIZATION");
    // With nobody to count, the limit is told all the same.
    signal(&cluster, "member-service", "-STOP");
    let begun = Instant::now();
    let read = project.account.call("OrganizationService/GetOrganization", about.clone()).await;
    let taken = begun.elapsed();
    signal(&cluster, "member-service", "-CONT");
    assert!(taken < Duration::from_secs(3), "a reader waited {taken:?} for what she can do without");
    assert_eq!(read["limits"]["max_members"]["value"], 3);
    assert!(read["limits"]["max_members"]["used"].is_null());
}

/// Holds a process still, or lets it go on.
fn signal(cluster: &Cluster, name: &str, signal: &str) {
    let pid = cluster.pid(name).unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}
