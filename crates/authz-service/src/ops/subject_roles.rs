//! The roles that a subject holds at the organization, by source: what member-service gives, takes and shows.

use std::collections::BTreeMap;

use tenancy::{OrganizationScope, RoleId, StoreError};
use time::OffsetDateTime;

use super::{
    Call, Refused,
    apply::{self, Batch},
    change::{Change, Opened},
    edit::{Edit, NewBinding},
    refused::SUBJECT,
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

/// What subjects hold, each in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtEpoch {
    pub held: Vec<Vec<Held>>,
    /// The organization's revision that it was read at.
    pub epoch: i64,
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
    let mut roles = named(change.connection(), owners, &grant.roles).await?;
    roles.sort_unstable();
    roles.dedup();
    let bindings = store::binding::of_subjects(change.connection(), owners.tenant, &[grant.subject]).await?;
    let of_source: Vec<&Binding> = bindings
        .iter()
        .filter(|b| b.resource.is_none() && b.effect == Effect::Allow && b.source == grant.source)
        .collect();
    let held = |role: &RoleId| of_source.iter().any(|b| b.role_id == *role && b.is_unlimited());
    let missing = roles.iter().filter(|role| !held(role)).map(|role| ahead(grant.subject, *role, grant.source));
    let surplus = of_source.iter().filter(|binding| grant.replace && !roles.contains(&binding.role_id));
    let surplus = surplus.map(|binding| Edit::DeleteBinding { id: binding.binding_id, etag: String::new() });
    let batch = Batch::of(missing.chain(surplus).collect());
    if batch.edits.is_empty()
        && store::subject::any_removed(change.connection(), owners.tenant, &[grant.subject]).await?
    {
        return Err(Refused::NotFound(SUBJECT));
    }
    Ok(apply::perform(change, snapshots, call.grantor, &batch, |_| ()).await?)
}

/// A role at the organization for somebody who may not be there yet.
pub(super) fn ahead(subject: Subject, role: RoleId, source: RoleSource) -> Edit {
    Edit::CreateBinding(NewBinding {
        id: None,
        subject,
        role: RoleName::Id(role),
        resource: None,
        effect: Effect::Allow,
        condition: None,
        window: Window::default(),
        source,
        ahead: true,
    })
}

fn may_grant(grantor: Grantor, roles: &[RoleId], before: &State, now: OffsetDateTime) -> Result<(), Refused> {
    let patterns = |role: &RoleId| before.engine.patterns_of(role.uuid().into()).unwrap_or_default();
    let given: Vec<Given> = roles.iter().map(|role| Given::everywhere(patterns(role))).collect();
    rules::may_give(grantor, &given, &before.engine, now)
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
    let state = snapshots.at(scope, Consistency::FullyConsistent).await.map_err(store_error)?;
    if let Some(subject) = acting_as {
        may_act_as(snapshots, scope, grantor, subject, &state).await?;
    }
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
    state: &State,
) -> Result<(), Refused> {
    // Whoever may do anything, and whoever acts as that subject already, gains nothing.
    if grantor == Grantor::Free || grantor == Grantor::Bound(subject) {
        return Ok(());
    }
    let mut read = snapshots.database().read(scope).await?;
    let removed = store::subject::any_removed(read.connection(), scope.organization_id(), &[subject]).await?;
    read.finish();
    if removed {
        return Err(Refused::NotFound(SUBJECT));
    }
    let now = tenancy::event::now();
    rules::may_give(grantor, &rules::holdings(subject.into(), &state.engine, now), &state.engine, now)
}

/// `FullyConsistent` names no token, so nothing about one can be wrong.
fn store_error(error: SnapshotError) -> StoreError {
    match error {
        SnapshotError::Store(error) => error,
        SnapshotError::Foreign | SnapshotError::AnotherHistory | SnapshotError::FromFuture => {
            StoreError::Corrupt("revision")
        }
        SnapshotError::Unproven => StoreError::Busy,
    }
}

/// What each of the subjects holds now, sorted by key.
pub async fn of(snapshots: &Snapshots, scope: OrganizationScope, subjects: &[Subject]) -> Result<AtEpoch, StoreError> {
    let state = snapshots.at(scope, Consistency::FullyConsistent).await.map_err(store_error)?;
    let now = tenancy::event::now();
    let held = subjects.iter().map(|subject| held(&state, *subject, now)).collect();
    Ok(AtEpoch { held, epoch: state.revision().own })
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
