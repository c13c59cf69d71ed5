//! From edits to a committed revision: planned, judged, written and told in one transaction, or refused with nothing changed.

use std::sync::Arc;

use engine::{Catalog, Snapshot};
use serde::{Serialize, de::DeserializeOwned};
use tenancy::{Scope, StoreError};

use super::{
    Call, Refused,
    change::{Change, Opened},
    edit::{Edit, Made},
    newcomers, owners,
    plan::{Ground, Plan, Planned, Records, Step, needs_snapshot},
    precondition::{self, Precondition},
    refused::{Fault, Rejected, SUBJECT, Unmet},
    rows,
};
use crate::{
    model::{At, Grantor, Revision, Subject},
    snapshots::Snapshots,
    store::{self, Connection},
};

/// More edits than a call may make but by an import.
const MANY: usize = 1_000;

/// Edits that are applied together or not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    pub edits: Vec<Edit>,
    /// Only at this revision.
    pub expected: Option<Revision>,
    /// Only if these hold before the first edit.
    pub preconditions: Vec<Precondition>,
    /// How many roles of its own the tenant may have.
    pub most_roles: i64,
}

impl Batch {
    pub(super) fn of(edits: Vec<Edit>) -> Self {
        Self { edits, expected: None, preconditions: Vec::new(), most_roles: crate::model::MAX_ROLES }
    }
}

/// Makes one edit.
pub(super) async fn one(
    snapshots: &Snapshots,
    scope: impl Into<Scope>,
    call: &Call,
    edit: Edit,
) -> Result<At<Made>, Refused> {
    one_of(snapshots, scope, call, Batch::of(vec![edit])).await
}

pub(super) async fn one_of(
    snapshots: &Snapshots,
    scope: impl Into<Scope>,
    call: &Call,
    batch: Batch,
) -> Result<At<Made>, Refused> {
    let answer = |made: Vec<Made>| made.into_iter().next().unwrap_or(Made::Nothing);
    Ok(all(snapshots, scope.into(), call, &batch, answer).await?)
}

/// Makes all edits, or none; answers the ids of the bindings, roles and groups that were made, in the order of the edits, with empty
/// ones between.
pub async fn batch(
    snapshots: &Snapshots,
    scope: tenancy::OrganizationScope,
    call: &Call,
    batch: &Batch,
) -> Result<At<Vec<String>>, Rejected> {
    let created = |(made, edit): (Made, &Edit)| match (made, edit) {
        (Made::Binding(binding), Edit::CreateBinding(_)) => binding.binding_id.to_string(),
        (Made::Role(role), Edit::CreateRole(_)) => role.role_id.to_string(),
        (Made::Group(group), Edit::CreateGroup(_)) => group.group_id.to_string(),
        _ => String::new(),
    };
    let answer = |made: Vec<Made>| made.into_iter().zip(&batch.edits).map(created).collect();
    all(snapshots, scope.into(), call, batch, answer).await
}

pub(super) async fn all<T: Serialize + DeserializeOwned>(
    snapshots: &Snapshots,
    scope: Scope,
    call: &Call,
    batch: &Batch,
    answer: impl Fn(Vec<Made>) -> T,
) -> Result<At<T>, Rejected> {
    let outcome = open(snapshots, scope, call, batch, &answer).await;
    match (&outcome, scope) {
        // Somebody may be on the way here: see `newcomers`.
        (Err(Rejected::Edits(faults)), Scope::Organization(organization))
            if faults.iter().any(|fault| matches!(fault.refused, Refused::NotFound(SUBJECT)))
                && newcomers::have_come(snapshots.database(), organization, &named(&batch.edits)).await? =>
        {
            open(snapshots, scope, call, batch, &answer).await
        }
        _ => outcome,
    }
}

fn named(edits: &[Edit]) -> Vec<Subject> {
    edits
        .iter()
        .flat_map(|edit| match edit {
            Edit::CreateBinding(new) => std::slice::from_ref(&new.subject),
            Edit::AddMembers { subjects, .. } => subjects,
            _ => &[],
        })
        .copied()
        .collect()
}

async fn open<T: Serialize + DeserializeOwned>(
    snapshots: &Snapshots,
    scope: Scope,
    call: &Call,
    batch: &Batch,
    answer: &impl Fn(Vec<Made>) -> T,
) -> Result<At<T>, Rejected> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let mut unmet = Vec::new();
    if let Some(expected) = batch.expected {
        match expected.is_of_the_history_of(change.head()) {
            None => return Err(Refused::ForeignRevision.into()),
            Some(false) => return Err(Refused::RevisionOfAnotherHistory.into()),
            Some(true) => {}
        }
        if !expected.is_where(change.head(), change.template()) {
            unmet.push(Unmet::Revision);
        }
    }
    let owners = change.owners();
    unmet.extend(precondition::unmet(change.connection(), owners, &batch.preconditions).await?);
    if !unmet.is_empty() {
        return Err(Rejected::Unmet(unmet));
    }
    perform(change, snapshots, call.grantor, batch, answer).await
}

/// Plans, judges, writes and commits what an open change asks for.
pub(super) async fn perform<T: Serialize + DeserializeOwned>(
    mut change: Change,
    snapshots: &Snapshots,
    grantor: Grantor,
    batch: &Batch,
    answer: impl Fn(Vec<Made>) -> T,
) -> Result<At<T>, Rejected> {
    let (owners, template) = (change.owners(), change.template());
    let before = match needs_snapshot(grantor, &batch.edits) {
        true => Some(snapshots.of_write(change.write(), template).await?),
        false => None,
    };
    let catalog = match &before {
        Some(before) => Arc::clone(before.engine.catalog()),
        None => catalog(change.connection(), owners.project).await?,
    };
    let ground = Ground {
        owners,
        now: change.now(),
        revision: change.revision(),
        grantor,
        most_roles: batch.most_roles,
        catalog,
        before: before.clone(),
    };
    let records = Records::load(change.connection(), owners, &batch.edits).await?;
    let plan = || Plan::of(ground, records, &batch.edits);
    // Those of an import are many: nobody else is held up by their planning.
    let planned = if batch.edits.len() > MANY { tokio::task::block_in_place(plan) } else { plan() };
    let Planned { steps, made, mut faults, unseating, after } = planned;
    if !unseating.is_empty() {
        let before = match before {
            Some(before) => before,
            None => snapshots.of_write(change.write(), template).await?,
        };
        let after = after.unwrap_or_else(|| applied(&before.engine, &steps));
        let now = change.now();
        let lost = owners::are_lost(change.connection(), owners.tenant, [&before.engine, &after], now).await?;
        faults.extend(unseated(lost, &unseating));
    }
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.at);
        return Err(Rejected::Edits(faults));
    }
    let revision = change.revision();
    rows::write(change.connection(), owners, &steps, revision).await?;
    steps.iter().for_each(|step| change.append(step.event()));
    Ok(change.commit(answer(made)).await?)
}

pub(super) fn applied(before: &Snapshot, steps: &[Step]) -> Snapshot {
    let facts: Vec<engine::Change> = steps.iter().filter_map(Step::fact).collect();
    before.apply(&facts)
}

/// Each edit that takes ownership from somebody is at fault where nobody is left.
pub(super) fn unseated(lost: bool, edits: &[usize]) -> impl Iterator<Item = Fault> {
    edits.iter().filter(move |_| lost).map(|at| Fault { at: *at, field: "", refused: Refused::LastOwner })
}

pub(super) async fn catalog(
    connection: &mut Connection,
    project: tenancy::ProjectId,
) -> Result<Arc<Catalog>, StoreError> {
    let stored = store::catalog::find(connection, project).await?;
    Catalog::new(stored.resource_types).map(Arc::new).map_err(|_| StoreError::Corrupt("catalogue"))
}
