//! Everything that decides in one organization, read at once for the engine.
//!
//! A row that cannot be read never fails the rest, and never widens access: an allow that it concerns is left out, a deny reaches
//! further instead. Such rows can only come from outside this service; how many there are is said, for the log.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use engine::{Catalog, Condition, OrganizationData, PermissionPattern, ResourceRef, SubjectId, SubjectState};
use sqlx::PgConnection;
use tenancy::{Head, OrganizationId, OrganizationState, RoleId, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{catalog, role, template};
use crate::model::{Effect, PermissionCatalog, Resource, Role, RoleSource, Subject, SubjectStatus};

/// What the engine needs, and what answers name beside it.
#[derive(Debug)]
pub struct Loaded {
    pub data: OrganizationData,
    /// Without the builtin ones.
    pub roles: Vec<Role>,
    /// Why each binding at the organization exists.
    pub sources: Vec<(Uuid, RoleSource)>,
    /// The project's revision that the templates were read at.
    pub template: i64,
    /// About how much there is, in rows.
    pub rows: usize,
    pub faults: Faults,
}

/// Reads all of it, within the caller's transaction. `head` is the organization's, as that transaction sees it. `compiled` makes the
/// project's catalogue, or finds it made; None where it is no good.
pub async fn load(
    connection: &mut PgConnection,
    head: &Head,
    compiled: impl FnOnce(PermissionCatalog) -> Option<Arc<Catalog>>,
) -> Result<Loaded, StoreError> {
    let organization = head.organization_id;
    let mut faults = Faults::default();
    let template = template::revision(&mut *connection, head.project_id).await?;
    let catalog = match catalog::find(&mut *connection, head.project_id).await {
        Ok(stored) => compiled(stored),
        Err(StoreError::Corrupt(_)) => None,
        Err(error) => return Err(error),
    };
    let catalog = catalog.unwrap_or_else(|| faults.note("catalogue", Arc::new(Catalog::system())));
    let owners = role::Owners { tenant: organization, project: head.project_id };
    let roles = role::all(&mut *connection, owners).await?;
    let mut data = OrganizationData::empty(catalog);
    data.active = head.state == OrganizationState::Active;
    data.roles = roles.iter().map(|role| read_role(role, &mut faults)).collect();
    let unreadable = unreadable_roles(&roles);

    data.groups = groups(&mut *connection, organization, &mut faults).await?;
    let (bindings, sources) = bindings(&mut *connection, organization, &unreadable, &mut faults).await?;
    data.bindings = bindings;
    data.resources = resources(&mut *connection, organization, &mut faults).await?;
    (data.inactive_subjects, data.members) = subjects(&mut *connection, organization, &mut faults).await?;

    let members: usize = data.groups.iter().map(|group| group.members.len()).sum();
    let rows = data.bindings.len()
        + data.resources.len()
        + data.inactive_subjects.len()
        + data.members.len() / 8
        + members
        + roles.len()
        + 8;
    Ok(Loaded { data, roles, sources, template, rows, faults })
}

/// Whether the organization has a role, a group or a registered resource of its own.
pub async fn has_its_own(connection: &mut PgConnection, organization: OrganizationId) -> Result<bool, StoreError> {
    let has = sqlx::query_scalar!(
        r#"select exists (select from role where organization_id = $1)
               or exists (select from user_group where organization_id = $1)
               or exists (select from resource where organization_id = $1) as "has!""#,
        organization.uuid()
    )
    .fetch_one(connection)
    .await?;
    Ok(has)
}

/// Rows that could not be read: how many, and of which kind the last was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    pub count: usize,
    pub last: &'static str,
}

impl Faults {
    fn note<T>(&mut self, kind: &'static str, instead: T) -> T {
        self.count += 1;
        self.last = kind;
        instead
    }
}

fn read_role(role: &Role, faults: &mut Faults) -> engine::Role {
    let permissions: Vec<PermissionPattern> = role.patterns();
    if permissions.len() < role.permissions.len() {
        faults.note("permission", ());
    }
    engine::Role { id: role.role_id.uuid().into(), permissions, included_role_ids: role.included() }
}

/// Roles of which some permission cannot be read, and those that include one: what they forbid is not known.
fn unreadable_roles(roles: &[Role]) -> HashSet<RoleId> {
    let bad = |role: &&Role| role.patterns().len() < role.permissions.len();
    let mut unreadable: HashSet<RoleId> = roles.iter().filter(bad).map(|role| role.role_id).collect();
    loop {
        let before = unreadable.len();
        let reached = roles.iter().filter(|role| role.included_role_ids.iter().any(|id| unreadable.contains(id)));
        let reached: Vec<RoleId> = reached.map(|role| role.role_id).collect();
        unreadable.extend(reached);
        if unreadable.len() == before {
            return unreadable;
        }
    }
}

async fn groups(
    connection: &mut PgConnection,
    organization: OrganizationId,
    faults: &mut Faults,
) -> Result<Vec<engine::Group>, StoreError> {
    let rows = sqlx::query!(
        r#"select g.group_id, m.subject_kind as "subject_kind?: String", m.subject_id as "subject_id?"
           from user_group as g left join group_member as m
               on m.organization_id = $1 and m.group_id = g.group_id
           where g.organization_id = $1
           order by g.group_id"#,
        organization.uuid()
    )
    .fetch_all(connection)
    .await?;
    let mut groups: Vec<engine::Group> = Vec::new();
    for row in rows {
        let id = engine::GroupId(row.group_id);
        if groups.last().is_none_or(|last| last.id != id) {
            groups.push(engine::Group { id, members: Vec::new() });
        }
        if let (Some(kind), Some(subject), Some(group)) = (row.subject_kind, row.subject_id, groups.last_mut()) {
            match Subject::from_columns(&kind, subject) {
                Some(subject) => group.members.push(subject.into()),
                None => faults.note("membership", ()),
            }
        }
    }
    Ok(groups)
}

type Bindings = (Vec<engine::Binding>, Vec<(Uuid, RoleSource)>);

async fn bindings(
    connection: &mut PgConnection,
    organization: OrganizationId,
    unreadable: &HashSet<RoleId>,
    faults: &mut Faults,
) -> Result<Bindings, StoreError> {
    let rows = sqlx::query!(
        r#"select binding_id, subject_kind as "subject_kind: String", subject_id, role_id, resource_type, resource_id, effect,
               condition, not_before as "not_before: OffsetDateTime", expire_time as "expire_time: OffsetDateTime", source
           from binding where organization_id = $1"#,
        organization.uuid()
    )
    .fetch_all(connection)
    .await?;
    let mut bindings = Vec::with_capacity(rows.len());
    let mut sources = Vec::new();
    // Many bindings share a condition: it is compiled and kept once.
    let mut conditions: HashMap<String, Condition> = HashMap::new();
    for row in rows {
        let effect = Effect::read(&row.effect);
        let at = Resource::from_columns(row.resource_type, row.resource_id);
        let resource: Option<ResourceRef> = at.as_ref().and_then(Resource::reference);
        let misplaced = at.is_some() && resource.is_none();
        let subject = Subject::from_columns(&row.subject_kind, row.subject_id);
        if misplaced || subject.is_none() {
            faults.note("binding", ());
            if effect == Effect::Allow {
                continue;
            }
        }
        // A deny that cannot be placed denies everywhere; one whose role cannot be read denies everything.
        let unknown = effect == Effect::Deny && unreadable.contains(&RoleId::from_uuid(row.role_id));
        if at.is_none() && effect == Effect::Allow {
            sources.push((row.binding_id, RoleSource::read(&row.source)));
        }
        let condition = row.condition.map(|source| match conditions.get(&source) {
            Some(known) => known.clone(),
            None => {
                // One that cannot be compiled fails whenever it is asked: an allow does not apply, a deny does.
                let compiled = Condition::stored(&source);
                if !compiled.is_sound() {
                    faults.note("condition", ());
                }
                conditions.entry(source).or_insert(compiled).clone()
            }
        });
        bindings.push(engine::Binding {
            id: row.binding_id.into(),
            subject: subject.map_or(SubjectId::AllMembers, SubjectId::from),
            role: if unknown { engine::OWNER } else { row.role_id.into() },
            resource,
            effect: effect.into(),
            condition,
            not_before: row.not_before,
            expire_time: row.expire_time,
        });
    }
    Ok((bindings, sources))
}

async fn resources(
    connection: &mut PgConnection,
    organization: OrganizationId,
    faults: &mut Faults,
) -> Result<Vec<engine::Resource>, StoreError> {
    let rows = sqlx::query!(
        "select type, id, parent_type, parent_id from resource where organization_id = $1",
        organization.uuid()
    )
    .fetch_all(connection)
    .await?;
    let mut resources = Vec::with_capacity(rows.len());
    for row in rows {
        let parent = Resource::from_columns(row.parent_type, row.parent_id);
        let above = parent.as_ref().and_then(Resource::reference);
        match (Resource { type_name: row.r#type, id: row.id }).reference() {
            Some(resource) if parent.is_some() == above.is_some() => {
                resources.push(engine::Resource { resource, parent: above });
            }
            // Its place is unknown: standing in itself, it is denied.
            Some(resource) => {
                resources.push(faults.note("resource", engine::Resource { parent: Some(resource.clone()), resource }));
            }
            // Nobody can ask about it.
            None => faults.note("resource", ()),
        }
    }
    Ok(resources)
}

/// Who may do nothing, and the members that there are.
async fn subjects(
    connection: &mut PgConnection,
    organization: OrganizationId,
    faults: &mut Faults,
) -> Result<(Vec<(SubjectId, SubjectState)>, Vec<Uuid>), StoreError> {
    let rows = sqlx::query!(
        r#"select subject_kind as "subject_kind: String", subject_id, status
           from subject_state where organization_id = $1"#,
        organization.uuid()
    )
    .fetch_all(connection)
    .await?;
    let (mut inactive, mut members) = (Vec::new(), Vec::new());
    for row in rows {
        let Some(subject) = Subject::from_columns(&row.subject_kind, row.subject_id).map(SubjectId::from) else {
            faults.note("subject state", ());
            continue;
        };
        let state = match SubjectStatus::parse(&row.status) {
            Some(SubjectStatus::Active) => None,
            Some(SubjectStatus::Suspended) => Some(SubjectState::Suspended),
            Some(SubjectStatus::Removed) => Some(SubjectState::Removed),
            None => Some(faults.note("subject state", SubjectState::Removed)),
        };
        if let SubjectId::Member(id) = subject {
            members.push(id);
        }
        inactive.extend(state.map(|state| (subject, state)));
    }
    Ok((inactive, members))
}
