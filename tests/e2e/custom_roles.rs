//! How many roles of its own an organization has, and may have.

use futures::future::join_all;
use serde_json::{Value, json};
use tenancy::OrganizationId;
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

fn role(organization: &Organization<'_>) -> Value {
    json!({"organization_id": organization.id,
        "role": {"key": unique("role"), "display_name": "x", "permissions": ["guildhall.member:read"]}})
}

async fn used(cluster: &Cluster, organization: &str) -> i64 {
    let asked = json!({"organization_id": organization});
    let usage = cluster.workload("org-service", "authz-service").call("SubjectService/GetUsage", asked).await;
    usage["custom_roles"].as_i64().unwrap_or_default()
}

#[tokio::test]
async fn usage_counts_the_roles_of_the_organization_alone() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let of_project =
        json!({"role": {"key": unique("role"), "display_name": "x", "permissions": ["guildhall.member:read"]}});
    project.account.call("RoleService/CreateRole", of_project).await;
    assert_eq!(used(cluster, &acme.id).await, 0);
    let made = acme.owner().caller.call("RoleService/CreateRole", role(&acme)).await;
    acme.owner().caller.call("RoleService/CreateRole", role(&acme)).await;
    assert_eq!((used(cluster, &acme.id).await, used(cluster, &globex.id).await), (2, 0));
    let delete = json!({"organization_id": acme.id, "role_id": text(&made, "role_id")});
    acme.owner().caller.call("RoleService/DeleteRole", delete).await;
    assert_eq!(used(cluster, &acme.id).await, 1);
    assert_eq!(used(cluster, &OrganizationId::new().to_string()).await, 0, "one that was never heard of");
    let asked = json!({"organization_id": "acme"});
    let org = cluster.workload("org-service", "authz-service");
    org.refused("SubjectService/GetUsage", asked, Code::InvalidArgument, "INVALID_FIELDS").await;
}

#[tokio::test]
async fn of_many_who_make_roles_at_once_only_as_many_succeed_as_the_limit_allows() {
    const LIMIT: i64 = 5;
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let limit = |value: i64| {
        json!({"organization_id": acme.id, "update_mask": "limits.maxCustomRoles",
            "organization": {"organization_id": acme.id, "limits": {"max_custom_roles": {"value": value}}}})
    };
    project.account.call("OrganizationService/UpdateOrganization", limit(LIMIT)).await;
    let first = role(&acme);
    let mut with_id = first.clone();
    with_id["request_id"] = json!("once");
    acme.owner().caller.call("RoleService/CreateRole", with_id.clone()).await;
    let owner = &acme.owner().caller;
    let outcomes = join_all((0..20).map(|_| owner.insist("RoleService/CreateRole", role(&acme)))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 4);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "LIMIT_REACHED"));
        assert!(refused.message.contains("max_custom_roles") && refused.message.contains("5 of 5"), "{refused:?}");
    }
    assert_eq!(used(cluster, &acme.id).await, LIMIT);
    // What was answered is answered again, and a limit that is lowered takes nothing away.
    owner.call("RoleService/CreateRole", with_id).await;
    project.account.call("OrganizationService/UpdateOrganization", limit(1)).await;
    let refused = owner.refused("RoleService/CreateRole", role(&acme), Code::ResourceExhausted, "LIMIT_REACHED").await;
    assert!(refused.message.contains("5 of 1"), "{refused:?}");
    assert_eq!(used(cluster, &acme.id).await, LIMIT);
}
