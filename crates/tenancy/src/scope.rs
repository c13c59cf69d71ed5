//! Scopes: what a transaction may see. There is no way to the database without one.
//!
//! `granted` is called by crate `access`, once it has decided that a caller may act there, and by background work. A test over
//! the source tree holds everybody else off.

use crate::id::{OrganizationId, ProjectId};

/// One organization: its own rows, and the project's templates to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrganizationScope {
    project: ProjectId,
    organization: OrganizationId,
}

impl OrganizationScope {
    pub fn granted(project: ProjectId, organization: OrganizationId) -> Self {
        Self { project, organization }
    }

    pub fn project_id(&self) -> ProjectId {
        self.project
    }

    pub fn organization_id(&self) -> OrganizationId {
        self.organization
    }
}

/// A whole project: its own rows and those of all its organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProjectScope {
    project: ProjectId,
}

impl ProjectScope {
    pub fn granted(project: ProjectId) -> Self {
        Self { project }
    }

    pub fn project_id(&self) -> ProjectId {
        self.project
    }

    /// The key that the project's own rows stand under.
    pub fn own_key(&self) -> OrganizationId {
        self.project.into()
    }
}

/// The whole cluster: for the operator's work on projects, for finding which tenant an id belongs to, for feeds and sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterScope(());

impl ClusterScope {
    pub fn granted() -> Self {
        Self(())
    }
}

/// Any of the three, as the transaction's settings say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Organization(OrganizationScope),
    Project(ProjectScope),
    Cluster(ClusterScope),
}

impl Scope {
    /// The `set_config` calls that open the wall for one transaction. Nothing here comes from a caller's text: two uuids and a
    /// word of ours.
    pub(crate) fn settings(&self) -> String {
        let (scope, project, organization) = match self {
            Self::Organization(s) => ("organization", s.project.uuid().to_string(), s.organization.uuid().to_string()),
            Self::Project(s) => ("project", s.project.uuid().to_string(), String::new()),
            Self::Cluster(_) => ("cluster", String::new(), String::new()),
        };
        format!(
            "select set_config('guildhall.scope', '{scope}', true), set_config('guildhall.project_id', '{project}', true), \
             set_config('guildhall.organization_id', '{organization}', true)"
        )
    }
}

impl From<OrganizationScope> for Scope {
    fn from(scope: OrganizationScope) -> Self {
        Self::Organization(scope)
    }
}

impl From<ProjectScope> for Scope {
    fn from(scope: ProjectScope) -> Self {
        Self::Project(scope)
    }
}

impl From<ClusterScope> for Scope {
    fn from(scope: ClusterScope) -> Self {
        Self::Cluster(scope)
    }
}
