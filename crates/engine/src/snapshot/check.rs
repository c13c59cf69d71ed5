use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::circumstances::{Asked, Circumstances, Conditions};
use super::standing::{Standing, has};
use crate::data::Effect;
use crate::id::SubjectId;
use crate::permission::Permission;
use crate::resource::ResourceRef;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Decision {
    Allowed,
    Denied,
    /// It depends on inputs of conditions that were not given: these, sorted. Not an allowance.
    Conditional {
        missing: Vec<String>,
    },
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }
}

/// What a subject may do at a resource, and what it may do if conditions turn out to hold; each in the catalog's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions<'a> {
    pub allowed: Vec<&'a Permission>,
    pub conditional: Vec<&'a Permission>,
}

impl Snapshot {
    /// May they? Without a resource the question is about the organization. Follows the rules at the head of this crate.
    ///
    /// Allocates nothing: three hash lookups, then the bindings of the subject and of the sets it is in. Conditions are evaluated,
    /// and allocate, only where bindings without one do not decide.
    pub fn check<'a>(
        &self,
        subject: &'a SubjectId,
        permission: &Permission,
        resource: Option<&'a ResourceRef>,
        circumstances: impl Into<Circumstances<'a>>,
    ) -> Decision {
        let circumstances = circumstances.into();
        let Some(permission) = self.catalog.position(permission) else { return Decision::Denied };
        let Ok(standing) = self.standing(subject, resource) else { return Decision::Denied };
        self.decide(&standing, permission, Asked { subject, resource, circumstances })
    }

    /// What the bindings say, for one who may act at all.
    pub(super) fn decide(&self, standing: &Standing<'_>, permission: u32, asked: Asked<'_>) -> Decision {
        let now = asked.circumstances.now;
        let mut reached = false;
        let (mut may_allow, mut may_deny) = (false, false);
        let settled = standing.visit(|_, entry| {
            if !self.roles.grants(entry.role, permission) || !self.bindings.is_open(entry, now) {
                return ControlFlow::Continue(());
            }
            match entry.effect {
                Effect::Deny if entry.conditional => {
                    may_deny = true;
                    ControlFlow::Continue(())
                }
                Effect::Allow if entry.conditional => {
                    may_allow = true;
                    ControlFlow::Continue(())
                }
                Effect::Deny => ControlFlow::Break(Decision::Denied),
                Effect::Allow if !self.bindings.any_denies() => ControlFlow::Break(Decision::Allowed),
                Effect::Allow => {
                    reached = true;
                    ControlFlow::Continue(())
                }
            }
        });
        match settled {
            ControlFlow::Break(decision) => decision,
            ControlFlow::Continue(()) if (if reached { may_deny } else { may_allow }) => {
                self.decide_by_conditions(standing, permission, reached, &Conditions::new(asked))
            }
            ControlFlow::Continue(()) if reached => Decision::Allowed,
            ControlFlow::Continue(()) => Decision::Denied,
        }
    }

    /// Every permission that [`Self::check`] would allow, in the catalog's order.
    pub fn list_permissions<'a>(
        &self,
        subject: &'a SubjectId,
        resource: Option<&'a ResourceRef>,
        circumstances: impl Into<Circumstances<'a>>,
    ) -> Vec<&Permission> {
        self.permissions(subject, resource, circumstances).allowed
    }

    /// Every permission with another answer than no, by the answer.
    pub fn permissions<'a>(
        &self,
        subject: &'a SubjectId,
        resource: Option<&'a ResourceRef>,
        circumstances: impl Into<Circumstances<'a>>,
    ) -> Permissions<'_> {
        let circumstances = circumstances.into();
        let Ok(standing) = self.standing(subject, resource) else { return Permissions::default() };
        let conditions = Conditions::new(Asked { subject, resource, circumstances });
        let (allowed, conditional) = self.allowed_or_conditional(&standing, circumstances.now, &conditions);
        let named = |bits: &[u64]| {
            let known = (0u32..).zip(self.catalog.permissions());
            known.filter(|(at, _)| has(bits, *at)).map(|(_, known)| known).collect()
        };
        Permissions { allowed: named(&allowed), conditional: named(&conditional) }
    }
}
