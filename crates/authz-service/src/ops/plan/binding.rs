use tenancy::{BindingId, Change as Changed, mask};

use super::{Plan, Step};
use crate::{
    model::{Binding, Subject, Window},
    ops::{
        Refused,
        edit::{BindingPatch, Made, NewBinding},
        refused::SUBJECT,
    },
};

impl Plan {
    pub(super) fn create_binding(&mut self, new: &NewBinding) -> Option<Made> {
        let faults = self.faults.len();
        if new.id.is_some_and(|id| self.records.bindings.contains_key(&id)) {
            self.refuse("binding_id", Refused::IdTaken);
        }
        let role = self.records.role(&new.role).map(|role| role.role_id);
        if role.is_none() {
            self.refuse("role_id", Refused::NotFound("role"));
        }
        self.may_hold("subject", new.subject, new.ahead);
        if let Some(resource) = &new.resource
            && !self.ground.catalog.knows_type(&resource.type_name)
        {
            self.refuse("resource.type", Refused::UnknownPermission(vec![resource.type_name.clone()]));
        }
        let role_id = role.filter(|_| self.faults.len() == faults)?;
        let binding = Binding {
            binding_id: new.id.unwrap_or_else(BindingId::new),
            organization_id: self.ground.owners.tenant,
            subject: new.subject,
            role_id,
            resource: new.resource.clone(),
            effect: new.effect,
            condition: new.condition.as_ref().map(|condition| condition.source().to_owned()),
            window: new.window,
            source: new.source,
            create_time: self.ground.now,
            update_time: self.ground.now,
            revision: self.ground.revision,
        };
        self.take(Step::Binding(Changed::created(binding.clone())));
        Some(Made::Binding(binding))
    }

    /// A subject that may be bound or be in a group: a group that is there, or somebody of whom member-service told and who was not
    /// removed.
    pub(super) fn may_hold(&mut self, field: &'static str, subject: Subject, ahead: bool) {
        let here = match subject {
            Subject::AllMembers => Ok(()),
            Subject::Group(id) if self.records.groups.contains_key(&id) => Ok(()),
            Subject::Group(_) => Err("group"),
            somebody if self.records.is_removed(somebody) => Err(SUBJECT),
            somebody if ahead || self.records.is_known(somebody) => Ok(()),
            _ => Err(SUBJECT),
        };
        if let Err(missing) = here {
            self.refuse(field, Refused::NotFound(missing));
        }
    }

    fn binding(&mut self, id: BindingId, etag: &str) -> Option<Binding> {
        let refused = match self.records.bindings.get(&id) {
            Some(binding) if mask::etag_matches(etag, binding.revision) => return Some(binding.clone()),
            Some(_) => Refused::EtagMismatch,
            None => Refused::NotFound("binding"),
        };
        self.refuse("", refused);
        None
    }

    pub(super) fn update_binding(&mut self, patch: &BindingPatch) -> Option<Made> {
        let before = self.binding(patch.binding_id, &patch.etag)?;
        let after = Binding {
            condition: match &patch.condition {
                Some(condition) => condition.as_ref().map(|condition| condition.source().to_owned()),
                None => before.condition.clone(),
            },
            window: Window {
                not_before: patch.not_before.unwrap_or(before.window.not_before),
                expire_time: patch.expire_time.unwrap_or(before.window.expire_time),
            },
            update_time: self.ground.now,
            revision: self.ground.revision,
            ..before.clone()
        };
        if after.window.not_before.zip(after.window.expire_time).is_some_and(|(from, until)| until <= from) {
            self.refuse("expire_time", Refused::WindowReversed);
            return None;
        }
        self.take(Step::Binding(Changed::updated(before, after.clone())));
        Some(Made::Binding(after))
    }

    pub(super) fn delete_binding(&mut self, id: BindingId, etag: &str) -> Option<Made> {
        let binding = self.binding(id, etag)?;
        self.take(Step::Binding(Changed::removed(binding.clone())));
        Some(Made::Binding(Binding { revision: self.ground.revision, ..binding }))
    }

    /// Takes away all bindings of a subject, and its places in groups.
    pub(super) fn strip(&mut self, subject: Subject) {
        for binding in self.records.bindings_of(subject) {
            self.take(Step::Binding(Changed::removed(binding)));
        }
        let mut places: Vec<_> = self.records.memberships.values().filter(|m| m.subject == subject).cloned().collect();
        places.sort_unstable_by_key(|place| place.membership_id);
        for place in places {
            self.take(Step::Membership(Changed::removed(place)));
        }
    }
}
