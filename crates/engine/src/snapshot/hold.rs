use time::OffsetDateTime;

use super::Snapshot;
use super::standing::has;
use crate::data::Effect;
use crate::id::SubjectId;
use crate::permission::PermissionPattern;
use crate::resource::ResourceRef;

impl Snapshot {
    /// Which of the patterns the subject does not hold at the scope (the organization when absent), and so may not grant there.
    ///
    /// A known permission is held when it is allowed now. A pattern whose meaning is still open, that is a wildcard or a
    /// permission the catalog does not know yet, is held when all of these are true:
    ///
    /// - everything it means under this catalog is allowed now;
    /// - one open allow binding that reaches the scope has a pattern at least as wide. Someone who was given each verb of
    ///   `document` by name does not hold `document:*`: otherwise whoever they passed it to would gain the verbs added later,
    ///   which they themselves would not;
    /// - no open deny binding that reaches the scope has a pattern which overlaps it, not even one that means nothing yet:
    ///   otherwise the granter's limits would not bind whom they grant to once the catalog grows.
    ///
    /// What is granted under a condition is not held: whoever passed it on would pass it on without. What is denied under one is
    /// not held either.
    ///
    /// Only denies that reach the scope itself count: who is denied at one document still holds, and may pass on, what they hold at
    /// the folder above it.
    ///
    /// Time is not compared: who holds something until tomorrow holds it today. A caller that wants grants to end with their
    /// granter's must bound `expire_time` itself.
    pub fn not_held<'p>(
        &self,
        subject: &SubjectId,
        patterns: &'p [PermissionPattern],
        scope: Option<&ResourceRef>,
        now: OffsetDateTime,
    ) -> Vec<&'p PermissionPattern> {
        let Ok(standing) = self.standing(subject, scope) else { return patterns.iter().collect() };
        let held = self.held(&standing, now);
        let (mut allowing, mut denying) = (Vec::new(), Vec::new());
        standing.for_each(|_, entry| {
            let counts = !entry.conditional || entry.effect == Effect::Deny;
            if counts && self.bindings.is_open(entry, now) {
                match entry.effect {
                    Effect::Allow => allowing.push(entry.role),
                    Effect::Deny => denying.push(entry.role),
                }
            }
        });
        for roles in [&mut allowing, &mut denying] {
            roles.sort_unstable();
            roles.dedup();
        }
        let within = |roles: &[u32], test: &dyn Fn(&PermissionPattern) -> bool| {
            roles.iter().any(|role| self.roles.patterns_within(*role).any(test))
        };
        let is_held = |pattern: &PermissionPattern| {
            if let PermissionPattern::One(permission) = pattern
                && let Some(at) = self.catalog.position(permission)
            {
                return has(&held, at);
            }
            self.catalog.range(pattern).all(|at| has(&held, at))
                && within(&allowing, &|given| given.covers(pattern))
                && !within(&denying, &|refused| refused.overlaps(pattern))
        };
        patterns.iter().filter(|pattern| !is_held(pattern)).collect()
    }

    /// True when the subject holds every pattern, in the sense of [`Self::not_held`].
    pub fn holds_all(
        &self,
        subject: &SubjectId,
        patterns: &[PermissionPattern],
        scope: Option<&ResourceRef>,
        now: OffsetDateTime,
    ) -> bool {
        self.not_held(subject, patterns, scope, now).is_empty()
    }
}
