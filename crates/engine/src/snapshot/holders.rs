use std::collections::HashMap;

use serde::Serialize;
use time::OffsetDateTime;

use super::Snapshot;
use super::bindings::{Entry, ORGANIZATION};
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
    /// A binding with a condition is left out: a role that depends is not held.
    pub fn roles_of(&self, subject: &SubjectId, now: OffsetDateTime) -> Vec<HeldRole> {
        let principals = self.subjects.start(subject).map_or(&[][..], |start| self.subjects.closed(start));
        let mut held: Vec<HeldRole> = principals
            .iter()
            .flat_map(|principal| self.open_grants(*principal, now).map(|entry| (*principal, entry)))
            .map(|(principal, entry)| self.held_role(subject, principal, entry))
            .collect();
        held.sort_by_key(|held| (held.role, held.through.len(), held.binding));
        held
    }

    /// Who has the role in the whole organization by an open allow binding to it, or to a role that includes it; a line for each
    /// subject and binding, sorted by subject. A binding with a condition makes no holder, and a deny with one takes away. Who is suspended or removed is left out.
    ///
    /// A binding that reaches every member is listed once, for `AllMembers`: who the members are is not known here.
    pub fn holders_of(&self, role: RoleId, now: OffsetDateTime) -> Vec<Holder> {
        let Some(wanted) = self.roles.position(role) else { return Vec::new() };
        let granting: HashMap<u32, Vec<&Entry>> = (0..self.subjects.ids().len() as u32)
            .map(|subject| {
                let grants = self.open_grants(subject, now).filter(|entry| self.roles.includes(entry.role, wanted));
                (subject, grants.collect::<Vec<_>>())
            })
            .filter(|(_, grants)| !grants.is_empty())
            .collect();
        let everyones = self.subjects.closed(ALL_MEMBERS);
        let mut holders = Vec::new();
        for (at, subject) in (0u32..).zip(self.subjects.ids()) {
            match subject {
                SubjectId::Group(_) => continue,
                _ if self.subjects.state(subject, at).is_some() && *subject != SubjectId::AllMembers => continue,
                SubjectId::AllMembers | SubjectId::ServiceAccount(_) | SubjectId::Member(_) => {}
            }
            let is_member = at != ALL_MEMBERS && self.subjects.closed(at).contains(&ALL_MEMBERS);
            let before = holders.len();
            for principal in self.subjects.closed(at) {
                let listed_for_all = is_member && everyones.contains(principal);
                if let Some(grants) = granting.get(principal).filter(|_| !listed_for_all) {
                    holders.extend(grants.iter().map(|entry| Holder {
                        subject: *subject,
                        held: self.held_role(subject, *principal, entry),
                        effective: true,
                    }));
                }
            }
            if holders.len() > before {
                let effective = self.is_effective(at, wanted, now);
                holders[before..].iter_mut().for_each(|holder| holder.effective = effective);
            }
        }
        holders.sort_by_key(|holder| (holder.subject, holder.held.through.len(), holder.held.binding));
        holders
    }

    fn open_grants(&self, subject: u32, now: OffsetDateTime) -> impl Iterator<Item = &Entry> {
        let entries = self.bindings.of(subject).iter().take_while(|entry| entry.scope == ORGANIZATION);
        entries.filter(move |entry| {
            entry.effect == Effect::Allow && !entry.conditional && self.bindings.is_open(entry, now)
        })
    }

    fn held_role(&self, subject: &SubjectId, principal: u32, entry: &Entry) -> HeldRole {
        let record = self.bindings.record(entry);
        HeldRole {
            role: self.roles.id(entry.role),
            binding: record.id,
            through: self.subjects.path(subject, principal).split_off(1),
            expire_time: record.expire_time,
        }
    }

    fn is_effective(&self, subject: u32, role: u32, now: OffsetDateTime) -> bool {
        let held = self.held(&self.standing_at(self.subjects.closed(subject), ResourcePath::ORGANIZATION), now);
        self.roles.row(role).iter().zip(held).all(|(wanted, held)| wanted & !held == 0)
    }
}
