//! The roles that a subject holds at the organization, by source: what member-service gives, takes and shows.

use std::collections::BTreeMap;

use engine::Snapshot;
use tenancy::{BindingId, Head, OrganizationScope, RoleId, StoreError};
use time::OffsetDateTime;

use super::{
    Call, Refused,
    binding::{SUBJECT, can_hold, created, deleted, is_ownership},
    change::{Change, Opened},
    owners::keeps_an_owner,
    role::named,
    rules::{self, Given},
};
use crate::{
    model::{At, Binding, Effect, Grantor, RoleName, RoleSource, Subject, Window},
    snapshots::{Consistency, SnapshotError, Snapshots, State},
    store,
};

/// What a subject shall hold, of one source.
#[derive(Debug, Clone)]
pub struct Grant {
    pub subject: Subject,
    pub roles: Vec<RoleName>,
    pub source: RoleSource,
    /// Takes away the roles of this source that are not named.
    pub replace: bool,
}

/// A role that a subject holds at the organization. A source of None is a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub role_id: RoleId,
    pub key: String,
    pub sources: Vec<Option<RoleSource>>,
}

/// Gives, and with `replace` takes. What the subject then holds is to be read at the answer's revision.
pub async fn set(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    grant: Grant,
) -> Result<At<()>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let owners = change.owners();
    let roles = named(change.connection(), owners, &grant.roles).await?;
    can_hold(&mut change, &[grant.subject]).await?;
    let bindings = store::binding::of_subject(change.connection(), owners.tenant, grant.subject).await?;
    let of_source: Vec<&Binding> = bindings
        .iter()
        .filter(|b| b.resource.is_none() && b.effect == Effect::Allow && b.source == grant.source)
        .collect();
    let held = |role: &RoleId| of_source.iter().any(|b| b.role_id == *role && b.window == Window::default());
    let mut missing: Vec<RoleId> = roles.iter().filter(|role| !held(role)).copied().collect();
    missing.sort_unstable();
    missing.dedup();
    let surplus: Vec<&Binding> = match grant.replace {
        true => of_source.iter().filter(|b| !roles.contains(&b.role_id)).copied().collect(),
        false => Vec::new(),
    };
    let template = change.template();
    let before = snapshots.of_write(change.write(), template).await?;
    may_grant(call.grantor, &missing, &before, change.now())?;
    if surplus.iter().any(|binding| is_ownership(binding)) {
        keeps_an_owner_without(&mut change, &surplus).await?;
    }
    let fresh: Vec<Binding> = missing
        .into_iter()
        .map(|role_id| Binding {
            binding_id: BindingId::new(),
            organization_id: owners.tenant,
            subject: grant.subject,
            role_id,
            resource: None,
            effect: Effect::Allow,
            window: Window::default(),
            source: grant.source,
            create_time: change.now(),
            update_time: change.now(),
            revision: change.revision(),
        })
        .collect();
    let gone: Vec<BindingId> = surplus.iter().map(|binding| binding.binding_id).collect();
    store::binding::insert(change.connection(), owners.project, &fresh).await?;
    store::binding::delete(change.connection(), owners.tenant, &gone).await?;
    fresh.iter().for_each(|binding| change.append(created(binding)));
    surplus.into_iter().for_each(|binding| change.append(deleted(binding)));
    Ok(change.commit(()).await?)
}

pub(super) fn may_grant(
    grantor: Grantor,
    roles: &[RoleId],
    before: &State,
    now: OffsetDateTime,
) -> Result<(), Refused> {
    let patterns = |role: &RoleId| before.engine.patterns_of(role.uuid().into()).unwrap_or_default();
    let given: Vec<Given> = roles.iter().map(|role| Given::everywhere(patterns(role))).collect();
    rules::may_give(grantor, &given, &before.engine, now)
}

async fn keeps_an_owner_without(change: &mut Change, gone: &[&Binding]) -> Result<(), Refused> {
    let head = change.head().clone();
    let data = store::organization::load(change.connection(), &head).await?.data;
    let mut after = data.clone();
    after.bindings.retain(|binding| !gone.iter().any(|gone| gone.binding_id.uuid() == binding.id.0));
    keeps_an_owner(change, &data, &after).await
}

/// Whether the grantor may grant the roles at the organization now, and may act as somebody, who must then hold nothing that the
/// grantor does not. The ids of the roles, in their order.
pub async fn check_grant(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    grantor: Grantor,
    roles: &[RoleName],
    acting_as: Option<Subject>,
) -> Result<Vec<RoleId>, Refused> {
    if let Some(subject) = acting_as {
        may_act_as(snapshots, scope, grantor, subject).await?;
    }
    let state = snapshots.at(scope, Consistency::FullyConsistent).await.map_err(store_error)?;
    let id = |name: &RoleName| match name {
        RoleName::Id(id) => Some(*id).filter(|id| state.knows_role(id.uuid().into())),
        RoleName::Key(key) => state.role(key.as_str()).map(|id| RoleId::from_uuid(id.0)),
    };
    let roles: Vec<RoleId> =
        roles.iter().map(|name| id(name).ok_or(Refused::NotFound("role"))).collect::<Result<_, _>>()?;
    may_grant(grantor, &roles, &state, tenancy::event::now())?;
    Ok(roles)
}

/// A credential is all that its subject may do, wherever and whenever: what each of the subject's bindings gives must be the
/// grantor's to give, by the rule that making the binding is under.
async fn may_act_as(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    grantor: Grantor,
    subject: Subject,
) -> Result<(), Refused> {
    // Whoever may do anything, and whoever acts as that subject already, gains nothing.
    if grantor == Grantor::Free || grantor == Grantor::Bound(subject) {
        return Ok(());
    }
    let mut read = snapshots.database().read(scope).await?;
    let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
    let data = store::organization::load(read.connection(), &head).await?.data;
    let removed = store::subject::any_removed(read.connection(), scope.organization_id(), &[subject]).await?;
    read.finish().await?;
    if removed {
        return Err(Refused::NotFound(SUBJECT));
    }
    let (before, now) = (Snapshot::build(&data), tenancy::event::now());
    rules::may_give(grantor, &rules::holdings(&data, subject.into(), &before, now), &before, now)
}

/// `FullyConsistent` names no token, so nothing about one can be wrong.
fn store_error(error: SnapshotError) -> StoreError {
    match error {
        SnapshotError::Store(error) => error,
        SnapshotError::Foreign | SnapshotError::FromFuture => StoreError::Corrupt("revision"),
        SnapshotError::Unproven => StoreError::Busy,
    }
}

/// What each of the subjects holds now, sorted by key.
pub async fn of(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    subjects: &[Subject],
) -> Result<Vec<Vec<Held>>, StoreError> {
    let state = snapshots.at(scope, Consistency::FullyConsistent).await.map_err(store_error)?;
    let now = tenancy::event::now();
    Ok(subjects.iter().map(|subject| held(&state, *subject, now)).collect())
}

fn held(state: &State, subject: Subject, now: OffsetDateTime) -> Vec<Held> {
    let mut by_key: BTreeMap<(&str, RoleId), Vec<Option<RoleSource>>> = BTreeMap::new();
    for held in state.engine.roles_of(&subject.into(), now) {
        let source = held.through.is_empty().then(|| state.source(held.binding));
        by_key.entry((state.key(held.role), RoleId::from_uuid(held.role.0))).or_default().push(source);
    }
    by_key
        .into_iter()
        .map(|((key, role_id), mut sources)| {
            // Groups last, as the contract counts them.
            sources.sort_unstable_by_key(|source| (source.is_none(), *source));
            sources.dedup();
            Held { role_id, key: key.to_owned(), sources }
        })
        .collect()
}
