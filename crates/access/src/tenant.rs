use tenancy::{OrganizationId, OrganizationScope, ProjectId, ProjectScope, Scope};

/// What belongs to an organization or, where the request names none, to the project itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    Organization(OrganizationScope),
    Project(ProjectScope),
}

impl Tenant {
    pub fn project_id(&self) -> ProjectId {
        match self {
            Self::Organization(scope) => scope.project_id(),
            Self::Project(scope) => scope.project_id(),
        }
    }

    /// The key that the rows stand under.
    pub fn key(&self) -> OrganizationId {
        match self {
            Self::Organization(scope) => scope.organization_id(),
            Self::Project(scope) => scope.own_key(),
        }
    }
}

impl From<Tenant> for Scope {
    fn from(tenant: Tenant) -> Self {
        match tenant {
            Tenant::Organization(scope) => scope.into(),
            Tenant::Project(scope) => scope.into(),
        }
    }
}
