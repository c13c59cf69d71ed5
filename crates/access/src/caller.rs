//! Callers: what a verified credential says of who holds it.

use api::Audience;
use tenancy::{Actor, ApiKeyId, MemberId, OrganizationId, ProjectId, ServiceAccountId, SessionId};

/// The processes of an installation, by the names that their keys stand under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Org,
    Member,
    Authz,
    Gateway,
}

impl Service {
    pub const ALL: [Self; 4] = [Self::Org, Self::Member, Self::Authz, Self::Gateway];

    pub fn name(self) -> &'static str {
        match self {
            Self::Org => "org-service",
            Self::Member => "member-service",
            Self::Authz => "authz-service",
            Self::Gateway => "gateway",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// No credential was presented.
    Anonymous,
    Member {
        project: ProjectId,
        organization: OrganizationId,
        member: MemberId,
        session: SessionId,
    },
    ServiceAccount {
        project: ProjectId,
        /// None: the project's own.
        organization: Option<OrganizationId>,
        id: ServiceAccountId,
        key: ApiKeyId,
    },
    Operator,
    Workload {
        service: Service,
        /// Whose call the service is serving, if anybody's. The service vouches for it with its signature.
        on_behalf_of: Option<Actor>,
    },
}

impl Caller {
    pub fn actor(&self) -> Actor {
        match self {
            Self::Anonymous => Actor::Anonymous,
            Self::Member { member, .. } => Actor::Member(*member),
            Self::ServiceAccount { id, .. } => Actor::ServiceAccount(*id),
            Self::Operator => Actor::Operator,
            Self::Workload { service, .. } => Actor::Workload(service.name().to_owned()),
        }
    }

    /// Whoever the call is made for in the end: the caller, or the one whom a service serves.
    pub fn principal(&self) -> Actor {
        match self {
            Self::Workload { on_behalf_of: Some(actor), .. } => actor.clone(),
            _ => self.actor(),
        }
    }

    /// Whether a project's own credential calls, or a service for one.
    pub fn is_project(&self) -> bool {
        matches!(self, Self::ServiceAccount { organization: None, .. })
    }

    /// Whether a method's audience takes this kind of caller at all.
    pub fn fits(&self, method: &api::Method) -> bool {
        match self {
            Self::Workload { service, .. } => method.workloads.contains(&service.name()),
            Self::Operator => matches!(method.audience, Audience::Operator | Audience::Self_ | Audience::Anyone),
            Self::ServiceAccount { organization: None, .. } => matches!(
                method.audience,
                Audience::Project | Audience::Organization | Audience::Self_ | Audience::Anyone
            ),
            Self::Member { .. } | Self::ServiceAccount { .. } => {
                matches!(method.audience, Audience::Organization | Audience::Self_ | Audience::Anyone)
            }
            Self::Anonymous => matches!(method.audience, Audience::Anyone),
        }
    }
}
