//! An exported organization, taken in: the same edits that anybody could make, in one transaction, with ids of its own.

use std::collections::{HashMap, HashSet};

use tenancy::{BindingId, GroupId, OrganizationScope, RoleId, StoreError};

use super::{
    Call,
    apply::{self, Batch},
    edit::{Edit, NewBinding, NewGroup, NewResource, NewRole},
    precondition::{Matter, Precondition},
    refused::Rejected,
};
use crate::{
    model::{At, Binding, Role, RoleKey, RoleName, Subject},
    snapshots::Snapshots,
    store::{self, role::Owners},
};

/// A record as it came. The ids in it are names within the import.
#[derive(Debug, Clone)]
pub enum Record {
    /// A role of the project that the records came from: here it is the one of its key.
    Template {
        id: RoleId,
        key: RoleKey,
    },
    Role {
        id: Option<RoleId>,
        new: NewRole,
    },
    Group {
        id: Option<GroupId>,
        new: NewGroup,
    },
    Membership {
        group: GroupId,
        subject: Subject,
    },
    Resource(NewResource),
    Binding(NewBinding),
}

/// All that came, each with the message that it came in.
#[derive(Debug, Clone, Default)]
pub struct Import {
    pub records: Vec<(usize, Record)>,
    /// What somebody in the records is called here.
    pub subjects: HashMap<Subject, Subject>,
}

/// What is to be made of an import, each edit with the message that it came in.
#[derive(Debug)]
pub struct Translated {
    pub edits: Vec<Edit>,
    pub messages: Vec<usize>,
}

/// What cannot be told from the records alone: a message, a field of its record, and why.
pub type Fault = (usize, &'static str, String);

#[derive(Debug, thiserror::Error)]
pub enum TranslationError {
    #[error("{} records are faulty", .0.len())]
    Faults(Vec<Fault>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The names of an import, and what they stand for here.
#[derive(Default)]
pub(crate) struct Names {
    roles: HashMap<RoleId, RoleId>,
    /// Of the project that the records came from.
    templates: HashMap<RoleId, RoleKey>,
    groups: HashMap<GroupId, GroupId>,
    subjects: HashMap<Subject, Subject>,
    /// The project's roles here.
    here: HashMap<String, RoleId>,
    faults: Vec<Fault>,
}

/// From records to edits. What stands in the database is read beforehand: the project's roles by their keys, and the bindings that
/// are there already. Should they change until the edits are made, the edits are refused, or a binding stands there twice.
pub async fn translate(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    import: Import,
) -> Result<Translated, TranslationError> {
    let owners = Owners { tenant: scope.organization_id(), project: scope.project_id() };
    let (names, records) = Names::of(import);
    let keys: Vec<String> = names.templates.values().map(ToString::to_string).collect();
    let bound: HashSet<Subject> = records
        .iter()
        .filter_map(
            |(_, record)| if let Record::Binding(new) = record { Some(names.subject(new.subject)) } else { None },
        )
        .collect();
    let bound: Vec<Subject> = bound.into_iter().collect();
    let mut read = snapshots.database().read(scope).await?;
    let roles = store::role::named(read.connection(), owners, &[], &keys).await?;
    let there = store::binding::of_subjects(read.connection(), owners.tenant, &bound).await?;
    read.finish();
    let of_project = |role: &Role| role.organization_id.is_none();
    let here = roles.into_iter().filter(of_project).map(|role| (role.key, role.role_id)).collect();
    let there = there.into_iter().fold(HashMap::<_, Vec<_>>::new(), |mut all, binding| {
        all.entry(binding.subject).or_default().push(binding);
        all
    });
    names.translate(records, here, there)
}

fn is_alike(binding: &Binding, new: &NewBinding) -> bool {
    RoleName::Id(binding.role_id) == new.role
        && binding.resource == new.resource
        && binding.effect == new.effect
        && binding.condition.as_deref() == new.condition.as_ref().map(|condition| condition.source())
        && binding.window == new.window
}

impl Names {
    /// What the records call each other, and the records.
    pub(crate) fn of(import: Import) -> (Self, Vec<(usize, Record)>) {
        let mut names = Self { subjects: import.subjects, ..Self::default() };
        import.records.iter().for_each(|(message, record)| names.declare(*message, record));
        (names, import.records)
    }

    /// `here`: the project's roles by their keys. `there`: the bindings that are there already.
    pub(crate) fn translate(
        mut self,
        records: Vec<(usize, Record)>,
        here: HashMap<String, RoleId>,
        mut there: HashMap<Subject, Vec<Binding>>,
    ) -> Result<Translated, TranslationError> {
        self.here = here;
        let mut translated = Translated { edits: Vec::new(), messages: Vec::new() };
        for (message, record) in records {
            let Some(edit) = self.edit(message, record) else { continue };
            if let Edit::CreateBinding(new) = &edit
                && let Some(alike) = there.get_mut(&new.subject)
                && let Some(at) = alike.iter().position(|binding| is_alike(binding, new))
            {
                // Each stands for one record.
                alike.swap_remove(at);
                continue;
            }
            translated.edits.push(edit);
            translated.messages.push(message);
        }
        if self.faults.is_empty() { Ok(translated) } else { Err(TranslationError::Faults(self.faults)) }
    }

    fn declare(&mut self, message: usize, record: &Record) {
        let twice = match record {
            Record::Template { id, key } => self.templates.insert(*id, key.clone()).is_some().then_some("role.role_id"),
            Record::Role { id: Some(id), .. } => {
                self.roles.insert(*id, RoleId::new()).is_some().then_some("role.role_id")
            }
            Record::Group { id: Some(id), .. } => {
                self.groups.insert(*id, GroupId::new()).is_some().then_some("group.group_id")
            }
            _ => None,
        };
        if let Some(field) = twice {
            self.faults.push((message, field, "came before".to_owned()));
        }
    }

    fn edit(&mut self, message: usize, record: Record) -> Option<Edit> {
        let faults = self.faults.len();
        let edit = match record {
            Record::Template { .. } => return None,
            Record::Role { id, new } => {
                let included = new.included_role_ids;
                let included_role_ids =
                    included.into_iter().filter_map(|id| self.role(message, "role.included_role_ids", id)).collect();
                let id = id.and_then(|id| self.roles.get(&id).copied());
                Edit::CreateRole(NewRole { id, included_role_ids, ..new })
            }
            Record::Group { id, new } => {
                let id = id.and_then(|id| self.groups.get(&id).copied());
                Edit::CreateGroup(NewGroup { id, ..new })
            }
            Record::Membership { group, subject } => {
                let group = self.group(message, "membership.group_id", group);
                let subject = self.holder(message, "membership.subject", subject);
                Edit::AddMembers { group: group?, subjects: vec![subject?] }
            }
            Record::Resource(new) => Edit::Register(vec![new]),
            Record::Binding(new) => {
                let subject = self.holder(message, "binding.subject", new.subject);
                let role = match new.role {
                    RoleName::Id(id) => self.role(message, "binding.role_id", id).map(RoleName::Id),
                    key => Some(key),
                };
                let id = Some(BindingId::new());
                Edit::CreateBinding(NewBinding { id, subject: subject?, role: role?, ..new })
            }
        };
        (self.faults.len() == faults).then_some(edit)
    }

    /// One that is neither among the records nor a template of theirs is left as it is: builtin, or of this very project.
    fn role(&mut self, message: usize, field: &'static str, id: RoleId) -> Option<RoleId> {
        if let Some(id) = self.roles.get(&id) {
            return Some(*id);
        }
        let Some(key) = self.templates.get(&id) else { return Some(id) };
        let here = self.here.get(key.as_str()).copied();
        if here.is_none() {
            self.faults.push((message, field, format!("the project has no role with the key {key}")));
        }
        here
    }

    fn group(&mut self, message: usize, field: &'static str, id: GroupId) -> Option<GroupId> {
        let group = self.groups.get(&id).copied();
        if group.is_none() {
            self.faults.push((message, field, "no record is this group".to_owned()));
        }
        group
    }

    fn holder(&mut self, message: usize, field: &'static str, subject: Subject) -> Option<Subject> {
        match subject {
            Subject::Group(id) => self.group(message, field, id).map(Subject::Group),
            subject => Some(self.subject(subject)),
        }
    }

    fn subject(&self, subject: Subject) -> Subject {
        self.subjects.get(&subject).copied().unwrap_or(subject)
    }
}

/// Makes all of it, or nothing. Answers how many records that were.
pub async fn import(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    edits: Vec<Edit>,
    most_roles: i64,
    records: i64,
) -> Result<At<i64>, Rejected> {
    let bare = Precondition { about: Matter::Anything, exists: false };
    let batch = Batch { edits, expected: None, preconditions: vec![bare], most_roles };
    apply::all(snapshots, scope.into(), call, &batch, |_| records).await
}
