//! Why a decision came out as it did, in the words of the data rather than of the snapshot.

use serde::Serialize;
use time::OffsetDateTime;

use crate::condition::Outcome;
use crate::data::{Effect, SubjectState};
use crate::id::{BindingId, RoleId, SubjectId};
use crate::permission::{Permission, PermissionPattern};
use crate::resource::ResourceRef;
use crate::snapshot::Decision;

/// A decision with its reasons: the verdict, beneath it the bindings, beneath each its paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Derivation {
    pub subject: SubjectId,
    pub permission: Permission,
    /// Absent: the organization.
    pub resource: Option<ResourceRef>,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub verdict: Verdict,
    /// The bindings that reach the question, in their window and with a role that grants the permission, whose conditions keep them
    /// from deciding it.
    pub others: Vec<BindingStep>,
}

impl Derivation {
    /// What `Snapshot::check` answers to the same question.
    pub fn decision(&self) -> Decision {
        match &self.verdict {
            Verdict::Granted { .. } => Decision::Allowed,
            Verdict::Conditional { missing, .. } => Decision::Conditional { missing: missing.clone() },
            Verdict::DeniedBy { .. }
            | Verdict::NotGranted { .. }
            | Verdict::UnknownPermission
            | Verdict::OrganizationInactive
            | Verdict::SubjectInactive { .. }
            | Verdict::ResourceMisplaced => Decision::Denied,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every allow binding that applies; no deny binding does.
    Granted {
        grants: Vec<BindingStep>,
    },
    /// Every deny binding that applies, and the allow bindings that would have, had none.
    DeniedBy {
        denials: Vec<BindingStep>,
        grants: Vec<BindingStep>,
    },
    /// Whether it is granted depends on inputs: these, sorted.
    Conditional {
        /// The deny bindings that may apply.
        denials: Vec<BindingStep>,
        /// The allow bindings that apply, or if none does those that may.
        grants: Vec<BindingStep>,
        missing: Vec<String>,
    },
    /// Nothing applies. What came nearest, and every role that would grant the permission if it were bound.
    NotGranted {
        nearest: Option<Box<NearMiss>>,
        granting_roles: Vec<RoleId>,
    },
    /// The catalog does not know the permission.
    UnknownPermission,
    /// The organization is suspended or deleted.
    OrganizationInactive,
    SubjectInactive {
        state: SubjectState,
    },
    /// The resource's stored ancestors form a cycle or are too many.
    ResourceMisplaced,
}

/// One binding and the three paths that lead to and from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BindingStep {
    pub binding: BindingId,
    pub effect: Effect,
    /// From the subject asked about to the one the binding names, both included; each is in the next.
    pub subject_path: Vec<SubjectId>,
    /// From the role the binding names to the one that lists the permission, both included; each includes the next.
    pub role_path: Vec<RoleId>,
    /// What the last role of the path lists. Absent only in a near miss whose role lacks the permission.
    pub pattern: Option<PermissionPattern>,
    /// From the resource asked about to the one the binding names, both included; each is the next one's child. Empty when the
    /// binding is the organization's, and in a near miss that is bound elsewhere.
    pub resource_path: Vec<ResourceRef>,
    /// What the binding names; absent: the organization.
    pub bound_to: Option<ResourceRef>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub expire_time: Option<OffsetDateTime>,
    /// What its condition comes to; absent: it has none, or the binding is a near miss for another reason.
    pub condition: Option<Outcome>,
}

/// An allow binding of the subject which would have granted, but for one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    pub step: BindingStep,
    pub missing: Missing,
}

/// The one thing, nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Its condition is false.
    ConditionFalse,
    /// Its condition fails.
    ConditionFailed,
    /// `not_before` is still to come.
    NotYetOpen,
    /// `expire_time` has passed, or the window never opens.
    Expired,
    /// It is bound to another resource, which is neither the one asked about nor above it.
    BoundElsewhere,
    /// It applies here and now, but its role lacks the permission.
    RoleLacksPermission,
}
