//! An organization that has an owner keeps one, and only somebody who is there is one.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tenancy::MemberId;
use testkit::{
    Cluster,
    caller::{Caller, Organization, text, unique},
};
use tonic::Code;

use crate::tenant_walls::superuser;

async fn role_id(organization: &Organization<'_>, key: &str) -> String {
    let listed =
        organization.project.account.call("RoleService/ListRoles", json!({"organization_id": organization.id})).await;
    let role = listed["roles"].as_array().unwrap().iter().find(|role| role["key"] == key).unwrap();
    text(role, "role_id")
}

/// member-service, as it tells authz-service of its members.
fn member_service(cluster: &Cluster) -> Caller {
    cluster.workload("member-service", "authz-service")
}

fn about(organization: &Organization<'_>, member: &str, more: Value) -> Value {
    let mut request = json!({"organization_id": organization.id, "project_id": organization.project.id,
        "subject": {"member_id": member}});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// Waits until authz-service has been told of the member.
async fn told_of(cluster: &Cluster, member: &str) {
    let id = MemberId::from_str(member).unwrap().uuid();
    let mut database = superuser(cluster).await;
    let begun = Instant::now();
    loop {
        let known = sqlx::query_scalar::<_, bool>(
            "select exists (select from authz.subject_state where subject_id = $1 and status = 'ACTIVE')",
        )
        .bind(id)
        .fetch_one(&mut database)
        .await
        .unwrap();
        if known {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "authz-service was never told of {member}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nobody_is_bound_who_is_not_there() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let owner = role_id(&acme, "owner").await;
    let group = json!({"organization_id": acme.id, "group": {"display_name": "all"}});
    let group = text(&acme.owner().caller.call("GroupService/CreateGroup", group).await, "group_id");
    for stranger in [&MemberId::new().to_string(), &globex.owner().id] {
        let subject = json!({"member_id": stranger});
        let binding = json!({"organization_id": acme.id, "binding": {"subject": subject, "role_id": owner}});
        let join = json!({"organization_id": acme.id, "group_id": group, "subjects": [subject]});
        for caller in [&acme.owner().caller, &project.account] {
            let create = "BindingService/CreateBinding";
            caller.refused(create, binding.clone(), Code::NotFound, "NOT_FOUND").await;
        }
        project.account.refused("GroupService/AddGroupMembers", join, Code::NotFound, "NOT_FOUND").await;
    }
    // A new member without any role, and a new service account, can be bound at once, however the word of them travels.
    let new = json!({"organization_id": acme.id, "member": {"email_address": unique("new") + "@acme.test"}});
    let new = project.account.call("MemberService/CreateMember", new).await;
    let account = json!({"organization_id": acme.id, "service_account": {"display_name": "backend"}});
    let account = project.account.call("ServiceAccountService/CreateServiceAccount", account).await;
    for subject in [
        json!({"member_id": text(&new, "member_id")}),
        json!({"service_account_id": text(&account, "service_account_id")}),
    ] {
        let binding = json!({"organization_id": acme.id, "binding": {"subject": subject, "role_id": owner}});
        acme.owner().caller.call("BindingService/CreateBinding", binding).await;
    }
}

#[tokio::test]
async fn the_last_owner_cannot_leave_for_one_who_does_not_exist() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    told_of(cluster, &owner.id).await;
    // Roles are bound to a member before there is one. This one never comes to be.
    let prospect = MemberId::new().to_string();
    let grant = json!({"roles": ["owner"], "source": "ROLE_SOURCE_DIRECT", "grantor": {"operator": true}});
    let service = member_service(cluster);
    service.call("SubjectService/SetSubjectRoles", about(&acme, &prospect, grant)).await;

    let me = json!({"organization_id": acme.id, "member_id": owner.id});
    let bindings = json!({"organization_id": acme.id, "subject": {"member_id": owner.id}});
    let bindings = project.account.call("BindingService/ListBindings", bindings).await;
    let mine = json!({"organization_id": acme.id, "binding_id": text(&bindings, "bindings.0.binding_id")});
    let deny = json!({"organization_id": acme.id, "binding": {"subject": {"member_id": owner.id},
        "role_id": role_id(&acme, "member").await, "effect": "BINDING_EFFECT_DENY"}});
    let ways = [
        ("MemberService/RemoveMember", me.clone()),
        ("MemberService/SuspendMember", me.clone()),
        ("BindingService/DeleteBinding", mine),
        ("BindingService/CreateBinding", deny),
    ];
    for (method, request) in ways {
        project.account.refused(method, request, Code::FailedPrecondition, "LAST_OWNER").await;
    }
    // Once member-service says that she is there, she is an owner like any other.
    let here = json!({"status": "SUBJECT_STATUS_ACTIVE", "member_revision": 1_000_000});
    service.call("SubjectService/SetSubjectState", about(&acme, &prospect, here)).await;
    project.account.call("MemberService/RemoveMember", me).await;
    let gone = json!({"member_revision": 1_000_001, "protect_last_owner": true});
    service
        .refused("SubjectService/RemoveSubject", about(&acme, &prospect, gone), Code::FailedPrecondition, "LAST_OWNER")
        .await;
}

#[tokio::test]
async fn the_only_owner_of_whom_no_word_has_come_yet_cannot_leave_either() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let made = json!({"organization": {"display_name": "Acme", "slug": unique("acme")}});
    let id = text(&project.account.call("OrganizationService/CreateOrganization", made).await, "organization_id");
    let service = member_service(cluster);
    let member = MemberId::new().to_string();
    let about = |more: Value| {
        let mut request = json!({"organization_id": id, "project_id": project.id, "subject": {"member_id": member}});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let grant = json!({"roles": ["owner"], "source": "ROLE_SOURCE_DIRECT", "grantor": {"operator": true}});
    service.call("SubjectService/SetSubjectRoles", about(grant)).await;
    let leave = |protect: bool| about(json!({"member_revision": 1, "protect_last_owner": protect}));
    let remove = "SubjectService/RemoveSubject";
    service.refused(remove, leave(true), Code::FailedPrecondition, "LAST_OWNER").await;
    // Nobody ever came: the sweep takes the binding back.
    service.call(remove, leave(false)).await;
}

#[tokio::test]
async fn of_two_owners_who_leave_by_two_doors_at_once_one_stays() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let service = member_service(cluster);
    let mut stays = acme.owner().id.clone();
    told_of(cluster, &stays).await;
    for round in 0..50 {
        let new = json!({"organization_id": acme.id, "roles": ["owner"],
            "member": {"email_address": unique("owner") + "@acme.test"}});
        let new = text(&project.account.call("MemberService/CreateMember", new).await, "member_id");
        told_of(cluster, &new).await;
        // Each door is the older owner's in one round and the newer one's in the next.
        let (removed, unbound) = if round % 2 == 0 { (&stays, &new) } else { (&new, &stays) };
        let bindings = json!({"organization_id": acme.id, "subject": {"member_id": unbound}});
        let bindings = project.account.call("BindingService/ListBindings", bindings).await;
        let binding = json!({"organization_id": acme.id, "binding_id": text(&bindings, "bindings.0.binding_id")});
        let member = json!({"organization_id": acme.id, "member_id": removed});
        let outcomes = tokio::join!(
            project.account.try_call("MemberService/RemoveMember", member),
            project.account.try_call("BindingService/DeleteBinding", binding),
        );
        let left = [outcomes.0.is_ok(), outcomes.1.is_ok()];
        assert_eq!(left.iter().filter(|left| **left).count(), 1, "round {round}: {outcomes:?}");
        for refused in [outcomes.0.err(), outcomes.1.err()].into_iter().flatten() {
            assert_eq!(refused.reason, "LAST_OWNER", "round {round}: {refused:?}");
        }
        let both = json!({"organization_id": acme.id,
            "subjects": [{"member_id": removed}, {"member_id": unbound}]});
        let held = service.call("SubjectService/BatchGetSubjectRoles", both).await;
        let owners: Vec<String> = held["subject_roles"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|of| of["roles"].as_array().is_some_and(|roles| roles.iter().any(|role| role["key"] == "owner")))
            .map(|of| text(of, "subject.member_id"))
            .collect();
        assert_eq!(owners.len(), 1, "round {round}: {owners:?} own the organization");
        stays.clone_from(&owners[0]);
    }
}

#[tokio::test]
async fn denies_that_are_yet_to_begin_leave_an_owner_too() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (first, second) = (acme.owner(), acme.join("second", &["owner"]).await);
    let admin = acme.join("admin", &["admin"]).await;
    for owner in [&first.id, &second.id] {
        told_of(cluster, owner).await;
    }
    let role = role_id(&acme, "admin").await;
    let later = |subject: Value| {
        json!({"organization_id": acme.id, "binding": {"subject": subject, "role_id": role,
            "effect": "BINDING_EFFECT_DENY", "not_before": "2120-01-01T00:00:00Z"}})
    };
    let create = "BindingService/CreateBinding";
    admin.caller.call(create, later(json!({"member_id": first.id}))).await;
    let (code, last) = (Code::FailedPrecondition, "LAST_OWNER");
    admin.caller.refused(create, later(json!({"member_id": second.id})), code, last).await;
    // Nor by a group that is denied it, nor by taking away the one whom nothing is coming for.
    let group = json!({"organization_id": acme.id, "group": {"display_name": "denied"}});
    let group = text(&admin.caller.call("GroupService/CreateGroup", group).await, "group_id");
    admin.caller.call(create, later(json!({"group_id": group}))).await;
    // Whoever is in the organization may be in the group: their tokens are from before.
    let admin = acme.again(&admin).await;
    let join = json!({"organization_id": acme.id, "group_id": group, "subjects": [{"member_id": second.id}]});
    admin.caller.refused("GroupService/AddGroupMembers", join, code, last).await;
    let remove = json!({"organization_id": acme.id, "member_id": second.id});
    project.account.refused("MemberService/RemoveMember", remove, code, last).await;
}
