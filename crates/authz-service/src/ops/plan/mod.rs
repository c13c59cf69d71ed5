//! The one way in which anything changes here. A list of edits, of one or of a thousand, is planned in order: each is checked against
//! the records as the edits before it leave them, becomes the steps that it takes, and is judged by what it hands out. Nothing is
//! written before all of it is planned and nothing is wrong; a simulation ends there.

mod binding;
mod gifts;
mod group;
mod records;
mod resource;
mod role;
mod step;
mod subject;

use std::sync::Arc;

use engine::{Catalog, Change as Fact, Snapshot};
use tenancy::StoreError;
use time::OffsetDateTime;

use super::{
    Refused,
    edit::{Edit, Made},
    refused::Fault,
    rules,
};
use crate::{
    model::{Grantor, Subject},
    snapshots::State,
    store::role::Owners,
};

pub(super) use records::Records;
pub(super) use role::includes;
pub(super) use step::Step;

/// What a plan stands on.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub(super) owners: Owners,
    pub(super) now: OffsetDateTime,
    /// The revision that changed rows take.
    pub(super) revision: i64,
    pub(super) grantor: Grantor,
    /// How many roles of its own the tenant may have.
    pub(super) most_roles: i64,
    pub(super) catalog: Arc<Catalog>,
    /// What decides before the first edit, where the edits ask for it: see [`needs_snapshot`].
    pub(super) before: Option<Arc<State>>,
}

#[derive(Debug)]
pub(super) struct Plan {
    ground: Ground,
    records: Records,
    steps: Vec<Step>,
    faults: Vec<Fault>,
    /// Which edit is being planned.
    at: usize,
    /// What decides after the first `shown` steps. Brought up to date where somebody asks.
    snapshot: Option<Snapshot>,
    shown: usize,
    /// The edits that may take ownership from somebody.
    unseating: Vec<usize>,
}

/// What edits come to: all that must be written, or all that is wrong.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) steps: Vec<Step>,
    pub(super) made: Vec<Made>,
    pub(super) faults: Vec<Fault>,
    pub(super) unseating: Vec<usize>,
    pub(super) after: Option<Snapshot>,
}

impl Plan {
    /// Plans all edits, and finds whatever is wrong with any of them.
    pub(super) fn of(ground: Ground, records: Records, edits: &[Edit]) -> Planned {
        let snapshot = ground.before.as_ref().map(|before| before.engine.clone());
        let mut plan = Self {
            ground,
            records,
            steps: Vec::new(),
            faults: Vec::new(),
            at: 0,
            snapshot,
            shown: 0,
            unseating: Vec::new(),
        };
        let mut made = Vec::with_capacity(edits.len());
        for (at, edit) in edits.iter().enumerate() {
            plan.at = at;
            made.extend(plan.edit(edit));
        }
        plan.show(plan.steps.len());
        Planned { steps: plan.steps, made, faults: plan.faults, unseating: plan.unseating, after: plan.snapshot }
    }

    /// None where something is wrong with it.
    fn edit(&mut self, edit: &Edit) -> Option<Made> {
        let (steps, faults) = (self.steps.len(), self.faults.len());
        let made = match edit {
            Edit::CreateBinding(new) => self.create_binding(new),
            Edit::UpdateBinding(patch) => self.update_binding(patch),
            Edit::DeleteBinding { id, etag } => self.delete_binding(*id, etag),
            Edit::CreateRole(new) => self.create_role(new),
            Edit::UpdateRole(patch) => self.update_role(patch),
            Edit::DeleteRole { id, etag } => self.delete_role(*id, etag),
            Edit::CreateGroup(new) => self.create_group(new),
            Edit::UpdateGroup(patch) => self.update_group(patch),
            Edit::DeleteGroup { id, etag } => self.delete_group(*id, etag),
            Edit::AddMembers { group, subjects } => self.add_members(*group, subjects),
            Edit::RemoveMembers { group, subjects } => self.remove_members(*group, subjects),
            Edit::Register(new) => self.register(new),
            Edit::Move(to) => self.relocate(to),
            Edit::Remove { resources, with_descendants } => self.remove_resources(resources, *with_descendants),
            Edit::Note { news, suspended } => Some(self.note(*news, *suspended)),
            Edit::RemoveSubject(news) => Some(self.remove_subject(*news)),
        };
        let protects = match edit {
            Edit::Note { news, .. } | Edit::RemoveSubject(news) => news.protect_last_owner,
            _ => true,
        };
        if protects && self.steps[steps..].iter().any(gifts::may_unseat) {
            self.unseating.push(self.at);
        }
        self.judge(steps);
        made.filter(|_| self.faults.len() == faults)
    }

    fn refuse(&mut self, field: &'static str, refused: Refused) {
        self.faults.push(Fault { at: self.at, field, refused });
    }

    /// Takes a step: later edits find its effect.
    fn take(&mut self, step: Step) {
        self.records.take(&step);
        self.steps.push(step);
    }

    /// What decides after so many steps, or more if it shows more.
    fn show(&mut self, steps: usize) -> Option<&Snapshot> {
        let snapshot = self.snapshot.as_mut()?;
        if self.shown < steps {
            let facts: Vec<Fact> = self.steps[self.shown..steps].iter().filter_map(Step::fact).collect();
            *snapshot = snapshot.apply(&facts);
            self.shown = steps;
        }
        Some(snapshot)
    }

    /// What the steps from here on hand out must be the grantor's to hand out, as things were before them: so a batch may do what
    /// its edits could do one after another, and no more.
    fn judge(&mut self, from: usize) {
        if self.ground.grantor == Grantor::Free || from == self.steps.len() {
            return;
        }
        let (grantor, now) = (self.ground.grantor, self.ground.now);
        let refused = match self.show(from).cloned() {
            Some(before) => {
                let given = gifts::of(&self.steps[from..], &before, &self.records, now);
                rules::may_give(grantor, &given, &before, now).err()
            }
            None => Some(UNREAD),
        };
        if let Some(refused) = refused {
            self.refuse("", refused);
        }
    }
}

/// A fault of ours: the snapshot was not read where it is asked for.
const UNREAD: Refused = Refused::Store(StoreError::Corrupt("snapshot"));

/// Whether planning asks what decides: for what a bounded grantor may hand out, and for circles of roles and groups.
pub(super) fn needs_snapshot(grantor: Grantor, edits: &[Edit]) -> bool {
    grantor != Grantor::Free
        || edits.iter().any(|edit| match edit {
            Edit::UpdateRole(patch) => patch.included_role_ids.as_ref().is_some_and(|included| !included.is_empty()),
            Edit::AddMembers { subjects, .. } => subjects.iter().any(|subject| matches!(subject, Subject::Group(_))),
            _ => false,
        })
}
