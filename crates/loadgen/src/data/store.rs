//! A made-up organization's authorization, in authz-service's tables.

use engine::{Effect, OrganizationData, ResourceRef, SubjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::copy::{Copy, NULL};
use super::crowd;
use crate::Failure;

const NOW: &str = "2026-01-01 00:00:00+00";

/// The organization must have its head already, and the project its catalog.
pub async fn write(
    database: &mut PgConnection,
    project: Uuid,
    organization: Uuid,
    data: &OrganizationData,
) -> Result<(), Failure> {
    crowd::known(database, project, organization, &data.members).await?;

    let columns = "(organization_id, project_id, role_id, key, display_name, description, permissions, included_role_ids, \
         create_time, update_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.role {columns}")).await?;
    for (n, role) in data.roles.iter().enumerate() {
        let (permissions, included) = (array(&role.permissions), array(&role.included_role_ids));
        let (key, name) = (format!("load_{n:04}"), format!("Load {n}"));
        rows.row(&[&organization, &project, &role.id, &key, &name, &"", &permissions, &included, &NOW, &NOW, &0])
            .await?;
    }
    rows.finish().await?;

    let columns = "(organization_id, project_id, group_id, display_name, external_id, create_time, update_time, revision, \
         members_revision)";
    let mut rows = Copy::into(database, &format!("authz.user_group {columns}")).await?;
    for (n, group) in data.groups.iter().enumerate() {
        rows.row(&[&organization, &project, &group.id, &format!("Group {n}"), &"", &NOW, &NOW, &0, &0]).await?;
    }
    rows.finish().await?;

    let columns =
        "(organization_id, project_id, group_id, subject_kind, subject_id, membership_id, create_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.group_member {columns}")).await?;
    for group in &data.groups {
        for member in &group.members {
            let (kind, id) = subject(*member);
            // Any order within a group will do, and a subject is in it once.
            rows.row(&[&organization, &project, &group.id, &kind, &id, &id, &NOW, &0]).await?;
        }
    }
    rows.finish().await?;

    let columns = "(organization_id, project_id, type, id, parent_type, parent_id, create_time, update_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.resource {columns}")).await?;
    for resource in &data.resources {
        let [parent_type, parent_id] = reference(resource.parent.as_ref());
        let (of, id) = (resource.resource.type_name(), resource.resource.id());
        rows.row(&[&organization, &project, &of, &id, &parent_type, &parent_id, &NOW, &NOW, &0]).await?;
    }
    rows.finish().await?;

    let columns = "(organization_id, project_id, binding_id, subject_kind, subject_id, role_id, resource_type, resource_id, effect, \
         expire_time, source, create_time, update_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.binding {columns}")).await?;
    for binding in &data.bindings {
        let (kind, id) = subject(binding.subject);
        let [resource_type, resource_id] = reference(binding.resource.as_ref());
        let effect = match binding.effect {
            Effect::Allow => "ALLOW",
            Effect::Deny => "DENY",
        };
        let expiry = binding.expire_time.map_or_else(|| NULL.to_owned(), |time| time.to_string());
        rows.row(&[
            &organization,
            &project,
            &binding.id,
            &kind,
            &id,
            &binding.role,
            &resource_type,
            &resource_id,
            &effect,
            &expiry,
            &"DIRECT",
            &NOW,
            &NOW,
            &0,
        ])
        .await?;
    }
    rows.finish().await?;
    Ok(())
}

fn subject(subject: SubjectId) -> (&'static str, Uuid) {
    match subject {
        SubjectId::Member(id) => ("MEMBER", id),
        SubjectId::ServiceAccount(id) => ("SERVICE_ACCOUNT", id),
        SubjectId::Group(group) => ("GROUP", group),
        SubjectId::AllMembers => ("ALL_MEMBERS", Uuid::nil()),
    }
}

fn reference(resource: Option<&ResourceRef>) -> [String; 2] {
    resource.map_or([NULL.to_owned(), NULL.to_owned()], |r| [r.type_name().to_owned(), r.id().to_owned()])
}

/// An array's literal.
fn array<T: ToString>(values: &[T]) -> String {
    format!("{{{}}}", values.iter().map(|value| format!("\"{}\"", value.to_string())).collect::<Vec<_>>().join(","))
}
