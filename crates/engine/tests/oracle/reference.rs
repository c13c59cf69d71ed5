//! The rules once more, by recursion over the plain data and over texts. Shares no code with the engine but the data types,
//! knows no positions, bits or closures, and may be slow.

use engine::{Binding, Decision, Effect, OrganizationData, ResourceRef, RoleId, SubjectId};
use time::OffsetDateTime;

use crate::conditions::{self, Known, Truth};
use crate::world;

/// What is held without a condition, and not denied under any, is `allowed`; what a check answers is `decision`.
pub struct Reference<'a>(pub &'a OrganizationData);

impl Reference<'_> {
    pub fn allowed(
        &self,
        subject: SubjectId,
        permission: &str,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
    ) -> bool {
        self.may_be_asked(subject, permission, resource)
            && !self.bound(subject, permission, resource, now, Effect::Deny)
            && self.bound(subject, permission, resource, now, Effect::Allow)
    }

    fn may_be_asked(&self, subject: SubjectId, permission: &str, resource: Option<&ResourceRef>) -> bool {
        self.0.catalog.permissions().iter().any(|known| known.as_str() == permission)
            && self.may_act(subject)
            && resource.is_none_or(|resource| self.depth(resource, 1).is_some())
    }

    /// What a check answers where so much is known.
    pub fn decision(
        &self,
        subject: SubjectId,
        permission: &str,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
        known: Known,
    ) -> Decision {
        let (mut allows, mut denies) = (Vec::new(), Vec::new());
        let (mut may_allow, mut may_deny) = (Vec::new(), Vec::new());
        for binding in self.0.bindings.iter().filter(|binding| self.applies(binding, subject, resource, now)) {
            if !self.may_be_asked(subject, permission, resource) || !self.role_grants(binding.role, permission) {
                continue;
            }
            let truth = match &binding.condition {
                Some(condition) => conditions::truth(condition, known, now, subject, resource),
                None => Truth::Is(true),
            };
            match (binding.effect, truth) {
                (Effect::Allow, Truth::Is(true)) => allows.push(binding),
                (Effect::Deny, Truth::Is(true) | Truth::Fails) => denies.push(binding),
                (_, Truth::Is(false)) | (Effect::Allow, Truth::Fails) => {}
                (Effect::Allow, Truth::Needs(names)) => may_allow.push(names),
                (Effect::Deny, Truth::Needs(names)) => may_deny.push(names),
            }
        }
        if !denies.is_empty() || (allows.is_empty() && may_allow.is_empty()) {
            return Decision::Denied;
        }
        if !allows.is_empty() && may_deny.is_empty() {
            return Decision::Allowed;
        }
        let open = if allows.is_empty() { may_allow } else { Vec::new() };
        let mut missing: Vec<String> =
            open.into_iter().chain(may_deny).flatten().map(|name: &str| name.to_owned()).collect();
        missing.sort();
        missing.dedup();
        Decision::Conditional { missing }
    }

    pub fn known(&self) -> Vec<String> {
        self.0.catalog.permissions().iter().map(ToString::to_string).collect()
    }

    pub fn holds(&self, subject: SubjectId, pattern: &str, at: Option<&ResourceRef>, now: OffsetDateTime) -> bool {
        let known = self.known();
        if known.iter().any(|known| known == pattern) {
            return self.allowed(subject, pattern, at, now);
        }
        if !self.may_act(subject) || at.is_some_and(|resource| self.depth(resource, 1).is_none()) {
            return false;
        }
        let meant = known.iter().filter(|known| text_matches(pattern, known));
        let mut given = Vec::new();
        let mut refused = Vec::new();
        for binding in self.0.bindings.iter().filter(|binding| self.applies(binding, subject, at, now)) {
            if binding.effect == Effect::Allow && binding.condition.is_some() {
                continue;
            }
            let patterns = self.patterns(binding.role, &mut Vec::new());
            if binding.effect == Effect::Allow { given.extend(patterns) } else { refused.extend(patterns) }
        }
        meant.into_iter().all(|known| self.allowed(subject, known, at, now))
            && given.iter().any(|wide| text_matches(wide, pattern))
            && !refused.iter().any(|other| text_matches(other, pattern) || text_matches(pattern, other))
    }

    fn may_act(&self, subject: SubjectId) -> bool {
        self.0.active && !self.0.inactive_subjects.iter().any(|(inactive, _)| *inactive == subject)
    }

    fn bound(
        &self,
        subject: SubjectId,
        permission: &str,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
        effect: Effect,
    ) -> bool {
        self.0.bindings.iter().any(|binding| {
            binding.effect == effect
                && (effect == Effect::Deny || binding.condition.is_none())
                && self.applies(binding, subject, resource, now)
                && self.role_grants(binding.role, permission)
        })
    }

    /// Subject, scope and window; not the role.
    pub fn applies(
        &self,
        binding: &Binding,
        subject: SubjectId,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
    ) -> bool {
        let begun = match binding.not_before {
            Some(from) => now >= from,
            None => true,
        };
        let ended = match binding.expire_time {
            Some(until) => now >= until,
            None => false,
        };
        let in_scope = match (&binding.resource, resource) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(bound), Some(asked)) => self.at_or_above(bound, asked, 1),
        };
        begun && !ended && in_scope && self.is_in(subject, binding.subject, &mut Vec::new())
    }

    pub fn is_in(&self, subject: SubjectId, set: SubjectId, seen: &mut Vec<SubjectId>) -> bool {
        if subject == set || (set == SubjectId::AllMembers && world::is_member(self.0, subject)) {
            return true;
        }
        if seen.contains(&set) {
            return false;
        }
        seen.push(set);
        let of_set = self.0.groups.iter().filter(|group| SubjectId::Group(group.id.0) == set);
        of_set.flat_map(|group| &group.members).any(|member| self.is_in(subject, *member, seen))
    }

    pub fn role_grants(&self, role: RoleId, permission: &str) -> bool {
        self.patterns(role, &mut Vec::new()).iter().any(|pattern| text_matches(pattern, permission))
    }

    pub fn patterns(&self, role: RoleId, seen: &mut Vec<RoleId>) -> Vec<String> {
        if seen.contains(&role) {
            return Vec::new();
        }
        seen.push(role);
        if let Some(builtin) = engine::BuiltinRole::by_id(role) {
            return builtin.permissions().iter().map(ToString::to_string).collect();
        }
        let Some(role) = self.0.roles.iter().find(|stored| stored.id == role) else { return Vec::new() };
        let mut patterns: Vec<String> = role.permissions.iter().map(ToString::to_string).collect();
        for included in &role.included_role_ids {
            patterns.extend(self.patterns(*included, seen));
        }
        patterns
    }

    pub fn parent(&self, resource: &ResourceRef) -> Option<&ResourceRef> {
        self.0.resources.iter().find(|stored| stored.resource == *resource)?.parent.as_ref()
    }

    /// How many levels there are from here up; none when more than 32.
    fn depth(&self, resource: &ResourceRef, level: usize) -> Option<usize> {
        if level > 32 {
            return None;
        }
        match self.parent(resource) {
            None => Some(level),
            Some(parent) => self.depth(parent, level + 1),
        }
    }

    fn at_or_above(&self, upper: &ResourceRef, lower: &ResourceRef, level: usize) -> bool {
        level <= 32
            && (upper == lower || self.parent(lower).is_some_and(|parent| self.at_or_above(upper, parent, level + 1)))
    }
}

/// Whether the pattern's text takes in the other text, a permission or a narrower pattern.
pub fn text_matches(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => other.starts_with(prefix),
        None => pattern == other,
    }
}
