use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Organization, text},
};
use tokio::time::sleep;

use super::{denied, die, eventually, insist, victim};
use crate::purge::{SCHEMAS, expire, purged, purges};
use crate::tenant_walls::superuser;

/// Shut to its owner in each of the three services, to a refresh, and to signing in.
async fn shut(organization: &Organization<'_>) {
    let about = json!({"organization_id": organization.id});
    for method in ["OrganizationService/GetOrganization", "MemberService/ListMembers", "BindingService/ListBindings"] {
        eventually(&format!("{method} is refused"), || async {
            organization.owner().caller.try_call(method, about.clone()).await.is_err().then_some(())
        })
        .await;
    }
    // Whoever may ask about a shut organization is told no; nobody else is told anything.
    let check = json!({"organization_id": organization.id, "subject": {"member_id": organization.owner().id},
        "permission": "guildhall.member:read", "consistency": {"fully_consistent": true}});
    eventually("authz-service knows", || async {
        match organization.project.account.try_call("AuthorizationService/Check", check.clone()).await {
            Ok(checked) => (checked["decision"] == "DECISION_DENIED").then_some(()),
            Err(refused) => ["ORGANIZATION_NOT_ACTIVE", "NOT_FOUND"].contains(&refused.reason.as_str()).then_some(()),
        }
    })
    .await;
    let refused = organization.sign_in(&organization.owner().email, &organization.owner().password).await.unwrap_err();
    assert_eq!(refused.reason, "SIGN_IN_FAILED");
}

async fn open(organization: &Organization<'_>) {
    let owner = organization.owner();
    let tokens = eventually("its owner signs in again", || async {
        organization.sign_in(&owner.email, &owner.password).await.ok()
    })
    .await;
    let caller = organization.project.cluster.bearer(&tokens.access);
    let about = json!({"organization_id": organization.id});
    for method in ["OrganizationService/GetOrganization", "MemberService/ListMembers", "BindingService/ListBindings"] {
        insist(&caller, method, &about).await;
    }
    assert!(!denied(organization, &json!({"member_id": owner.id})).await);
}

async fn refresh_is_refused(anyone: &Caller, organization: &Organization<'_>) {
    let refresh = json!({"refresh_token": organization.owner().tokens.refresh});
    let refused = anyone.try_call("AuthenticationService/RefreshSession", refresh).await.unwrap_err();
    assert_eq!(refused.reason, "REFRESH_TOKEN_REFUSED");
}

#[tokio::test]
async fn an_organization_that_is_shut_or_opened_half_way_is_soon_wholly_so() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    for (shutting, opening, places) in [
        (
            "Suspend",
            "Reactivate",
            [
                ["suspend-organization/committed", "note-organization/committed"],
                ["reactivate-organization/committed", "note-organization/committed"],
            ],
        ),
        (
            "Delete",
            "Undelete",
            [
                ["delete-organization/committed", "note-organization/committed"],
                ["undelete-organization/committed", "note-organization/committed"],
            ],
        ),
    ] {
        for (on_the_way_out, on_the_way_in) in places[0].iter().zip(places[1]) {
            let acme = project.organization("acme").await;
            let about = json!({"organization_id": acme.id});
            die(
                &cluster,
                on_the_way_out,
                &project.account,
                &format!("OrganizationService/{shutting}Organization"),
                &about,
            )
            .await;
            shut(&acme).await;
            refresh_is_refused(&project.anyone(), &acme).await;
            die(
                &cluster,
                on_the_way_in,
                &project.account,
                &format!("OrganizationService/{opening}Organization"),
                &about,
            )
            .await;
            open(&acme).await;
            refresh_is_refused(&project.anyone(), &acme).await;
        }
    }
}

/// An organization with an owner, to be erased.
async fn doomed(account: &Caller) -> String {
    let request = json!({"organization": {"display_name": "Acme"}});
    let id = text(&insist(account, "OrganizationService/CreateOrganization", &request).await, "organization_id");
    let owner = json!({"organization_id": id, "member": {"email_address": "ada@acme.test"}, "roles": ["owner"]});
    insist(account, "MemberService/CreateMember", &owner).await;
    insist(account, "OrganizationService/DeleteOrganization", &json!({"organization_id": id})).await;
    id
}

#[tokio::test]
async fn a_purge_that_dies_anywhere_is_done_once_and_wholly() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let mut database = superuser(&cluster).await;
    for place in [
        "purge-organization/erased",
        "purge-organization/committed",
        "purge-members/erased",
        "purge-members/committed",
        "purge-rights/noted",
        "purge-rights/erased",
        "purge-rights/committed",
    ] {
        let id = doomed(&project.account).await;
        let pid = cluster.pid(victim(place)).unwrap();
        cluster.arm(place);
        expire(&mut database, &id).await;
        eventually(&format!("{} dies at {place}", victim(place)), || async { (!cluster.armed()).then_some(()) }).await;
        cluster.restarted(victim(place), pid).await;
        purged(&mut database, &id).await;
        for schema in SCHEMAS {
            assert_eq!(purges(&mut database, schema, &id).await, 1, "{schema} after {place}");
        }
    }
    let request: Value = json!({"state": "ORGANIZATION_STATE_DELETED"});
    sleep(Duration::from_millis(100)).await;
    let listed = insist(&project.account, "OrganizationService/ListOrganizations", &request).await;
    assert_eq!(listed["organizations"].as_array().unwrap().len(), 0);
}

/// A service that stands still cannot be told. Who asked is told that, and again until it is so.
#[tokio::test]
async fn what_shuts_an_organization_is_acknowledged_when_every_service_knows() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    for service in ["authz-service", "member-service"] {
        let acme = project.organization("acme").await;
        let about = json!({"organization_id": acme.id, "request_id": testkit::caller::unique("once")});
        cluster.stop(service);
        let suspended = project.account.try_call("OrganizationService/SuspendOrganization", about.clone()).await;
        cluster.go_on(service);
        let refused = suspended.expect_err(service);
        assert_eq!(refused.code, tonic::Code::Unavailable, "{service}: {refused:?}");
        insist(&project.account, "OrganizationService/SuspendOrganization", &about).await;
        let check = json!({"organization_id": acme.id, "subject": {"member_id": acme.owner().id},
            "permission": "guildhall.member:read", "consistency": {"fully_consistent": true}});
        assert_eq!(insist(&project.account, "AuthorizationService/Check", &check).await["decision"], "DECISION_DENIED");
        let refused = acme.sign_in(&acme.owner().email, &acme.owner().password).await.unwrap_err();
        assert_eq!(refused.reason, "SIGN_IN_FAILED");
    }
}
