use std::collections::HashMap;

use serde::Serialize;
use time::OffsetDateTime;

use super::Snapshot;
use super::bindings::{Entry, ORGANIZATION, Record};
use super::resources::ResourcePath;
use super::subjects::ALL_MEMBERS;
use crate::data::Effect;
use crate::id::{BindingId, RoleId, SubjectId};

/// One binding that gives a subject a role in the whole organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldRole {
    pub role: RoleId,
    pub binding: BindingId,
    /// The sets between the subject and the binding, nearest first; the last is the one bound. Empty: bound directly.
    pub through: Vec<SubjectId>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub expire_time: Option<OffsetDateTime>,
}

/// One who has a role in the whole organization, by one binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// A member or service account, or `AllMembers` where the binding reaches every member.
    pub subject: SubjectId,
    /// The role is the one asked about or includes it.
    pub held: HeldRole,
    /// False when a deny binding takes some permission of the role away. Who counts owners counts the effective ones.
    pub effective: bool,
}

impl Snapshot {
    /// The roles that open allow bindings give the subject in the whole organization, directly and through sets, a line for each
    /// binding, sorted by role. Says what they are bound to and no more: suspension and deny bindings do not shorten the list.
    pub fn roles_of(&self, subject: &SubjectId, now: OffsetDateTime) -> Vec<HeldRole> {
        let Some(position) = self.subjects.position(subject) else { return Vec::new() };
        let mut held: Vec<HeldRole> = self
            .principals(Some(position))
            .iter()
            .flat_map(|principal| self.open_grants(principal, now).map(move |entry| (principal, entry)))
            .map(|(principal, entry)| self.held_role(position, principal, self.bindings.record(entry)))
            .collect();
        held.sort_by_key(|held| (held.role, held.through.len(), held.binding));
        held
    }

    /// Who has the role in the whole organization by an open allow binding to it, or to a role that includes it; a line for each
    /// subject and binding, sorted by subject. Who is suspended or removed is left out.
    ///
    /// A binding that reaches every member is listed once, for `AllMembers`: who the members are is not known here.
    pub fn holders_of(&self, role: RoleId, now: OffsetDateTime) -> Vec<Holder> {
        let Some(wanted) = self.roles.position(role) else { return Vec::new() };
        let mut granting: HashMap<u32, Vec<&Record>> = HashMap::new();
        for role in self.roles.including(wanted).filter(|role| self.roles.exists(*role)) {
            self.bindings.of_role_at(role, ORGANIZATION, |record| {
                if record.effect == Effect::Allow && record.is_open(now) {
                    granting.entry(record.subject).or_default().push(record);
                }
            });
        }
        let everyones = |principal| principal == ALL_MEMBERS || self.subjects.sets(ALL_MEMBERS).contains(&principal);
        let mut holders = Vec::new();
        for position in self.subjects.within_groups(granting.keys().copied()) {
            let subject = self.subjects.get(position);
            match subject.id {
                SubjectId::Group(_) => continue,
                SubjectId::ServiceAccount(_) | SubjectId::Member(_) if subject.state.is_some() => continue,
                SubjectId::AllMembers | SubjectId::ServiceAccount(_) | SubjectId::Member(_) => {}
            }
            let before = holders.len();
            for principal in self.principals(Some(position)).iter() {
                // Members who have it as all members do are listed with those, once.
                let listed_for_all = subject.is_member && everyones(principal);
                for record in granting.get(&principal).into_iter().flatten().filter(|_| !listed_for_all) {
                    let held = self.held_role(position, principal, record);
                    holders.push(Holder { subject: subject.id, held, effective: true });
                }
            }
            if holders.len() > before {
                let effective = self.is_effective(position, wanted, now);
                holders[before..].iter_mut().for_each(|holder| holder.effective = effective);
            }
        }
        holders.sort_by_key(|holder| (holder.subject, holder.held.through.len(), holder.held.binding));
        holders
    }

    fn open_grants(&self, subject: u32, now: OffsetDateTime) -> impl Iterator<Item = &Entry> {
        let entries = self.bindings.entries(subject).take_while(|entry| entry.scope == ORGANIZATION);
        let grants = entries.filter(|entry| entry.effect == Effect::Allow && self.roles.exists(entry.role));
        grants.filter(move |entry| self.bindings.is_open(entry, now))
    }

    fn held_role(&self, subject: u32, principal: u32, record: &Record) -> HeldRole {
        HeldRole {
            role: self.roles.id(record.role),
            binding: record.id,
            through: self.subjects.path(subject, principal).split_off(1),
            expire_time: record.expire_time(),
        }
    }

    fn is_effective(&self, subject: u32, role: u32, now: OffsetDateTime) -> bool {
        let held = self.held(&self.standing_at(Some(subject), ResourcePath::ORGANIZATION), now);
        self.roles.row(role).iter().zip(held).all(|(wanted, held)| wanted & !held == 0)
    }
}
