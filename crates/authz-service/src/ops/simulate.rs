//! Who would gain and who would lose what by edits that are not made: the same plan with the same faults, held against what decides
//! now.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use engine::{Circumstances, Context, Meter, OrganizationData, Permissions, ResourceRef, RoleId, Snapshot, SubjectId};
use tenancy::{Change as Changed, Head, OrganizationScope, OrganizationState, StoreError};
use time::OffsetDateTime;

use super::{
    Refused,
    apply::unseated,
    edit::Edit,
    owners,
    plan::{Ground, Plan, Planned, Records, Step},
    refused::Rejected,
};
use crate::{
    model::{Grantor, Resource, Subject},
    snapshots::{Consistency, SnapshotError, Snapshots, State},
    store::role::Owners,
};

/// How many subjects are looked at.
const MAX_SUBJECTS: usize = 1_000;
/// How many differences are told.
const MAX_DIFFERENCES: usize = 10_000;
/// How many places are looked at, of all subjects together.
const MAX_PLACES: usize = 50_000;

/// What is tried, and by whom.
#[derive(Debug)]
pub struct Trial {
    pub edits: Vec<Edit>,
    pub grantor: Grantor,
    pub most_roles: i64,
    /// Whom to look at. Empty: whomever the edits reach.
    pub subjects: Vec<Subject>,
    /// The inputs of conditions. None: not one.
    pub context: Option<Context>,
}

/// What a subject may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Allowed,
    Denied,
    /// It depends on inputs of conditions that were not given.
    Conditional,
}

/// One decision that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub subject: Subject,
    pub permission: String,
    /// None: at the organization.
    pub resource: Option<Resource>,
    pub before: Answer,
    pub after: Answer,
}

#[derive(Debug)]
pub struct Simulated {
    /// By subject, place and permission.
    pub differences: Vec<Difference>,
    /// There are more, or not all places were looked at.
    pub truncated: bool,
    pub state: Arc<State>,
}

#[derive(Debug)]
pub enum TrialError {
    Snapshot(SnapshotError),
    Rejected(Rejected),
}

impl<E: Into<Rejected>> From<E> for TrialError {
    fn from(error: E) -> Self {
        Self::Rejected(error.into())
    }
}

/// Tries the edits on what decides, as fresh as asked for, and changes nothing.
pub async fn simulate(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    consistency: Consistency,
    trial: &Trial,
) -> Result<Simulated, TrialError> {
    // Says whether the asked revision was reached; what is read next is at least as new.
    snapshots.at(scope, consistency).await.map_err(TrialError::Snapshot)?;
    let mut read = snapshots.database().read(scope).await?;
    let state = snapshots.of_read(&mut read, scope).await?;
    let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
    if head.state != OrganizationState::Active {
        return Err(Refused::NotActive(head.state).into());
    }
    let owners = Owners { tenant: scope.organization_id(), project: scope.project_id() };
    let now = tenancy::event::now();
    let records = Records::load(read.connection(), owners, &trial.edits).await?;
    let ground = Ground {
        owners,
        now,
        revision: head.revision + 1,
        grantor: trial.grantor,
        most_roles: trial.most_roles,
        catalog: Arc::clone(state.engine.catalog()),
        before: Some(Arc::clone(&state)),
    };
    let Planned { steps, mut faults, unseating, after, .. } = Plan::of(ground, records, &trial.edits);
    let after = after.unwrap_or_else(|| state.engine.clone());
    if !unseating.is_empty() {
        let lost = owners::are_lost(read.connection(), owners.tenant, [&state.engine, &after], now).await?;
        faults.extend(unseated(lost, &unseating));
    }
    read.finish();
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.at);
        return Err(Rejected::Edits(faults).into());
    }
    let asked: Vec<SubjectId> = trial.subjects.iter().copied().map(SubjectId::from).collect();
    let before = state.engine.clone();
    let context = trial.context.clone();
    let compare = move || Comparison { before, after, now, context, meter: Meter::default() }.of(&steps, asked);
    let compared = tokio::task::spawn_blocking(compare).await;
    let (differences, truncated) = match compared {
        Ok(compared) => compared,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    Ok(Simulated { differences, truncated, state })
}

struct Comparison {
    before: Snapshot,
    after: Snapshot,
    now: OffsetDateTime,
    context: Option<Context>,
    /// What all conditions together may cost.
    meter: Meter,
}

impl Comparison {
    fn of(&self, steps: &[Step], asked: Vec<SubjectId>) -> (Vec<Difference>, bool) {
        let (subjects, mut truncated) = match asked.is_empty() {
            true => self.reached(steps),
            false => (asked.into_iter().collect::<BTreeSet<_>>(), false),
        };
        let moved: BTreeSet<ResourceRef> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Resource(Changed { before, after }, _) => {
                    after.as_ref().or(before.as_ref())?.resource.reference()
                }
                _ => None,
            })
            .collect();
        let (mut differences, mut places_left) = (Vec::new(), MAX_PLACES);
        for subject in subjects {
            let mut places: BTreeSet<ResourceRef> = moved.clone();
            places.extend(self.places(&subject));
            let places = std::iter::once(None).chain(places.iter().map(Some));
            for place in places {
                if places_left == 0 || differences.len() >= MAX_DIFFERENCES {
                    truncated = true;
                    break;
                }
                places_left -= 1;
                let known = differences.len();
                self.compare(&subject, place, &mut differences);
                if self.meter.is_exhausted() {
                    // What was decided without conditions is no answer.
                    differences.truncate(known);
                    return (differences, true);
                }
            }
        }
        truncated |= differences.len() > MAX_DIFFERENCES;
        differences.truncate(MAX_DIFFERENCES);
        (differences, truncated)
    }

    fn compare(&self, subject: &SubjectId, place: Option<&ResourceRef>, differences: &mut Vec<Difference>) {
        let given = Circumstances { now: self.now, context: self.context.as_ref(), meter: Some(&self.meter) };
        let answers = |snapshot: &Snapshot| -> BTreeMap<String, Answer> {
            let Permissions { allowed, conditional } = snapshot.permissions(subject, place, given);
            let allowed = allowed.into_iter().map(|permission| (permission.as_str().to_owned(), Answer::Allowed));
            let open = conditional.into_iter().map(|permission| (permission.as_str().to_owned(), Answer::Conditional));
            allowed.chain(open).collect()
        };
        let (before, after) = (answers(&self.before), answers(&self.after));
        let of = |answers: &BTreeMap<String, Answer>, permission: &String| {
            answers.get(permission).copied().unwrap_or(Answer::Denied)
        };
        let named: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for permission in named {
            let (before, after) = (of(&before, permission), of(&after, permission));
            if before != after {
                let (subject, resource) = ((*subject).into(), place.map(Resource::from));
                differences.push(Difference { subject, permission: permission.clone(), resource, before, after });
            }
        }
    }

    /// The resources at which the subject is bound, itself or by what it is in, before or after: what decides elsewhere decides there
    /// too, but for these.
    fn places(&self, subject: &SubjectId) -> BTreeSet<ResourceRef> {
        let mut places = BTreeSet::new();
        for snapshot in [&self.before, &self.after] {
            let groups = snapshot.groups_of(subject).into_iter().map(SubjectId::from);
            for holder in groups.chain([*subject, SubjectId::AllMembers]) {
                places.extend(snapshot.bindings_of(&holder).filter_map(|binding| binding.resource));
            }
        }
        places
    }

    /// The members and service accounts whom the steps reach; whether there are more.
    fn reached(&self, steps: &[Step]) -> (BTreeSet<SubjectId>, bool) {
        let mut holders: BTreeSet<SubjectId> = BTreeSet::new();
        let mut around: HashSet<ResourceRef> = HashSet::new();
        for step in steps {
            match step {
                Step::Binding(Changed { before, after }) => {
                    holders.extend(before.iter().chain(after).map(|binding| SubjectId::from(binding.subject)));
                }
                Step::Membership(Changed { before, after }) => {
                    holders.extend(before.iter().chain(after).map(|membership| SubjectId::from(membership.subject)));
                }
                Step::Role(Changed { before, after }) => {
                    for role in before.iter().chain(after) {
                        holders.extend(self.bound_to(role.role_id.uuid().into()));
                    }
                }
                Step::Group(Changed { before: Some(group), after: None }) => {
                    holders.insert(SubjectId::Group(group.group_id.uuid()));
                }
                Step::Resource(_, ways) => {
                    around.extend(ways.left.iter().chain(&ways.entered).filter_map(Resource::reference));
                }
                Step::Group(_) | Step::Standing(_) => {}
            }
        }
        if !around.is_empty() {
            let reaching = self.before.bindings().chain(self.after.bindings());
            let reaching = reaching.filter(|binding| binding.resource.as_ref().is_some_and(|at| around.contains(at)));
            holders.extend(reaching.map(|binding| binding.subject));
        }
        self.persons(holders)
    }

    /// Whoever is bound to the role, or to one that includes it.
    fn bound_to(&self, role: RoleId) -> Vec<SubjectId> {
        let of = |snapshot: &Snapshot| -> Vec<SubjectId> {
            let wider = snapshot.roles().filter(|other| super::plan::includes(snapshot, other.id, role));
            wider.flat_map(|other| snapshot.bindings_to(other.id)).map(|binding| binding.subject).collect()
        };
        [of(&self.before), of(&self.after)].concat()
    }

    fn persons(&self, holders: BTreeSet<SubjectId>) -> (BTreeSet<SubjectId>, bool) {
        let mut persons = BTreeSet::new();
        let mut seen: HashSet<SubjectId> = holders.iter().copied().collect();
        let mut next: Vec<SubjectId> = holders.into_iter().collect();
        while let Some(holder) = next.pop() {
            let inside: Vec<SubjectId> = match holder {
                SubjectId::Member(_) | SubjectId::ServiceAccount(_) => {
                    persons.insert(holder);
                    Vec::new()
                }
                SubjectId::Group(id) => {
                    let members = |snapshot: &Snapshot| snapshot.members_of(id.into()).unwrap_or_default();
                    [members(&self.before), members(&self.after)].concat()
                }
                SubjectId::AllMembers => {
                    let OrganizationData { members, .. } = self.after.data();
                    members.into_iter().map(SubjectId::Member).collect()
                }
            };
            if persons.len() > MAX_SUBJECTS {
                persons.pop_last();
                return (persons, true);
            }
            next.extend(inside.into_iter().filter(|one| seen.insert(*one)));
        }
        (persons, false)
    }
}
