use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Snapshot;
use super::standing::{Standing, has};
use crate::data::Effect;
use crate::id::SubjectId;
use crate::permission::Permission;
use crate::resource::ResourceRef;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Decision {
    Allowed,
    Denied,
}

impl Decision {
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

impl Snapshot {
    /// May they? Without a resource the question is about the organization. Follows the rules at the head of this crate.
    ///
    /// Allocates nothing: three hash lookups, then the bindings of the subject and of the sets it is in.
    pub fn check(
        &self,
        subject: &SubjectId,
        permission: &Permission,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
    ) -> Decision {
        let Some(permission) = self.catalog.position(permission) else { return Decision::Denied };
        let Ok(standing) = self.standing(subject, resource) else { return Decision::Denied };
        self.decide(&standing, permission, now)
    }

    /// What the bindings say, for one who may act at all.
    pub(super) fn decide(&self, standing: &Standing<'_>, permission: u32, now: OffsetDateTime) -> Decision {
        let mut reached = Decision::Denied;
        let settled = standing.visit(|_, entry| {
            if !self.roles.grants(entry.role, permission) || !self.bindings.is_open(entry, now) {
                return ControlFlow::Continue(());
            }
            match entry.effect {
                Effect::Deny => ControlFlow::Break(Decision::Denied),
                Effect::Allow if !self.bindings.any_denies() => ControlFlow::Break(Decision::Allowed),
                Effect::Allow => {
                    reached = Decision::Allowed;
                    ControlFlow::Continue(())
                }
            }
        });
        match settled {
            ControlFlow::Break(decision) => decision,
            ControlFlow::Continue(()) => reached,
        }
    }

    /// Every permission that [`Self::check`] would allow, in the catalog's order.
    pub fn list_permissions(
        &self,
        subject: &SubjectId,
        resource: Option<&ResourceRef>,
        now: OffsetDateTime,
    ) -> Vec<&Permission> {
        let Ok(standing) = self.standing(subject, resource) else { return Vec::new() };
        let held = self.held(&standing, now);
        (0u32..).zip(self.catalog.permissions()).filter(|(at, _)| has(&held, *at)).map(|(_, known)| known).collect()
    }
}
