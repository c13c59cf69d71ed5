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

/// Whose call a service serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub actor: Actor,
    /// Who acts as them, if they are impersonated.
    pub impersonator: Option<Actor>,
}

impl From<Actor> for Served {
    fn from(actor: Actor) -> Self {
        Self { actor, impersonator: None }
    }
}

/// Who acts as a member, and by which credential of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impersonator {
    /// A member of the same organization.
    Member(MemberId, SessionId),
    /// A service account of this organization, or with none of its project.
    ServiceAccount(ServiceAccountId, ApiKeyId, Option<OrganizationId>),
}

impl Impersonator {
    pub fn actor(&self) -> Actor {
        match self {
            Self::Member(id, _) => Actor::Member(*id),
            Self::ServiceAccount(id, ..) => Actor::ServiceAccount(*id),
        }
    }

    /// Whether they act by a permission in the organization. What a project's account may, no role of an organization says.
    pub fn is_permitted_by_role(&self) -> bool {
        !matches!(self, Self::ServiceAccount(_, _, None))
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
        /// Who acts as the member. What may be done is what the member may do; who did it is the impersonator.
        impersonator: Option<Impersonator>,
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
        on_behalf_of: Option<Served>,
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
            Self::Workload { on_behalf_of: Some(served), .. } => served.actor.clone(),
            _ => self.actor(),
        }
    }

    /// Who acts as the one whom the call is made for, if they are impersonated.
    pub fn impersonator(&self) -> Option<Actor> {
        match self {
            Self::Member { impersonator, .. } => impersonator.as_ref().map(Impersonator::actor),
            Self::Workload { on_behalf_of: Some(served), .. } => served.impersonator.clone(),
            _ => None,
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
