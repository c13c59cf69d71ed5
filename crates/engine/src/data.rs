//! One organization's authorization as plain data: what a store reads, and what a snapshot is built from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::catalog::Catalog;
use crate::condition::Condition;
use crate::id::{BindingId, GroupId, RoleId, SubjectId};
use crate::permission::PermissionPattern;
use crate::resource::ResourceRef;

/// Everything a decision depends on, but the time.
///
/// Nothing here has to be consistent: what points nowhere grants nothing, and cycles are tolerated. Only ids have to be unique
/// within their list.
#[derive(Debug, Clone)]
pub struct OrganizationData {
    pub catalog: Arc<Catalog>,
    /// False while the organization is suspended or deleted: every check is denied.
    pub active: bool,
    /// The project's roles and the organization's own. The builtin ones are always there and cannot be overridden.
    pub roles: Vec<Role>,
    pub groups: Vec<Group>,
    pub bindings: Vec<Binding>,
    pub resources: Vec<Resource>,
    /// Who may do nothing, whatever they are bound to. Everyone else counts as active, also who is not named anywhere:
    /// whoever asks vouches that the subject exists. A state concerns the subject that is asked about; a group's does not
    /// reach the members in it.
    pub inactive_subjects: Vec<(SubjectId, SubjectState)>,
    /// The members that all members stands for, in any order. Whoever is not among them, such as another organization's member, is not
    /// reached by what all members are given.
    pub members: Vec<Uuid>,
}

impl OrganizationData {
    /// An active organization in which nobody may do anything yet.
    pub fn empty(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            active: true,
            roles: Vec::new(),
            groups: Vec::new(),
            bindings: Vec::new(),
            resources: Vec::new(),
            inactive_subjects: Vec::new(),
            members: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectState {
    Suspended,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub id: RoleId,
    /// Patterns that the catalog does not know mean nothing until it does.
    pub permissions: Vec<PermissionPattern>,
    #[serde(default)]
    pub included_role_ids: Vec<RoleId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: GroupId,
    /// Members, service accounts, nested groups, or all members.
    pub members: Vec<SubjectId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Allow,
    Deny,
}

/// One subject, one role, one scope. The window is `not_before <= now < expire_time`, each end absent for unbounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub id: BindingId,
    pub subject: SubjectId,
    pub role: RoleId,
    /// Absent: the organization, and with it every resource. Otherwise the resource and what is beneath it.
    #[serde(default)]
    pub resource: Option<ResourceRef>,
    pub effect: Effect,
    /// Absent: it applies whatever is known.
    #[serde(default)]
    pub condition: Option<Condition>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expire_time: Option<OffsetDateTime>,
}

/// A registered resource. Without a parent, and likewise unregistered, it stands directly under the organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub resource: ResourceRef,
    #[serde(default)]
    pub parent: Option<ResourceRef>,
}
