//! What a caller was found to be allowed.

use std::sync::Arc;

use api::{Audience, Method};
use outdated::Bearer;
use runtime::CallContext;
use tenancy::{
    ClusterScope, Once, OrganizationId, OrganizationScope, OrganizationState, Origin, ProjectId, ProjectScope,
};
use tonic::Status;

use crate::{
    caller::{Caller, Service},
    layer::named,
    refusal::{invalid_field, permission_missing},
    tenant::Tenant,
    verify::Verified,
};

/// A caller who may do what was asked, and where.
#[derive(Debug, Clone)]
pub struct Granted<S> {
    pub caller: Caller,
    pub scope: S,
    pub call: CallContext,
    pub(crate) method: &'static Method,
    pub(crate) expires_at: u64,
    pub(crate) bearer: Option<Bearer>,
    pub(crate) narrowed: Option<Arc<Verified>>,
}

/// What somebody already holds of an organization, no older than they may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub project: ProjectId,
    /// The one in force.
    pub state: OrganizationState,
    /// Whether the project is archived.
    pub archived: bool,
}

impl<S> Granted<S> {
    /// Whether the credential is good for what asks for this permission too. What its holder may do is another question.
    pub fn names(&self, permission: &'static str) -> Result<(), Status> {
        match &self.narrowed {
            Some(verified) if !named(verified).iter().any(|named| named == permission) => {
                Err(permission_missing(permission))
            }
            _ => Ok(()),
        }
    }

    /// Where this call's writes come from.
    pub fn origin(&self) -> Origin {
        let (actor, on_behalf_of) = match (self.caller.impersonator(), &self.caller) {
            // Also where a service does it for them: who acts as somebody else is seen, whatever way it took.
            (Some(impersonator), caller) => (impersonator, Some(caller.principal())),
            (None, Caller::Workload { on_behalf_of: Some(served), .. }) => {
                (self.caller.actor(), Some(served.actor.clone()))
            }
            (None, caller) => (caller.actor(), None),
        };
        Origin {
            actor,
            on_behalf_of,
            request_id: self.call.request_id().to_string(),
            trace_id: format!("{:032x}", self.call.trace().trace_id),
        }
    }

    /// The idempotency claim of a write: None without a `request_id`.
    pub fn once(&self, request_id: &str, message: &impl prost::Message) -> Result<Option<Once>, Status> {
        if request_id.is_empty() {
            return Ok(None);
        }
        if request_id.len() > 64 || !request_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(invalid_field("request_id", "must be 1 to 64 visible ASCII characters"));
        }
        Ok(Some(Once {
            caller: self.claimant(),
            method: self.method.path,
            request_id: request_id.to_owned(),
            body_hash: tenancy::event::sha256(&message.encode_to_vec()),
        }))
    }

    /// Whose `request_id`s these are: an impersonator's are never those of whom they act as.
    fn claimant(&self) -> String {
        let claimant = match &self.caller {
            Caller::Workload { service, on_behalf_of: Some(served) } => {
                format!("{} for {}", service.name(), served.actor)
            }
            caller => caller.actor().to_string(),
        };
        match self.caller.impersonator() {
            Some(impersonator) => format!("{impersonator} as {claimant}"),
            None => claimant,
        }
    }

    pub fn method(&self) -> &'static Method {
        self.method
    }

    pub(crate) fn with<T>(self, scope: T) -> Granted<T> {
        let Self { caller, call, method, expires_at, bearer, narrowed, scope: _ } = self;
        Granted { caller, scope, call, method, expires_at, bearer, narrowed }
    }
}

impl Granted<OrganizationScope> {
    /// The organization's project, for what stands there on the organization's behalf: the identities of a shared user pool.
    pub fn in_its_project(&self) -> Granted<ProjectScope> {
        self.clone().with(ProjectScope::granted(self.scope.project_id()))
    }
}

impl Granted<ProjectScope> {
    /// One of the project's organizations. Whatever is named here, row-level security shows no other project's rows in its scope.
    pub fn in_organization(&self, organization: OrganizationId) -> Granted<OrganizationScope> {
        self.clone().with(OrganizationScope::granted(self.scope.project_id(), organization))
    }
}

/// Work that serves no call. No method has this path, so nothing that is kept under it is another's.
static BACKGROUND: Method = Method {
    path: "background",
    service: "",
    name: "",
    input: "",
    output: "",
    audience: Audience::Workload,
    permission: "",
    workloads: &[],
    served: true,
    read_only: false,
    client_streaming: false,
    server_streaming: false,
    http: None,
    also_http: &[],
};

impl Granted<ClusterScope> {
    /// What a service does of itself, in the way that it serves calls.
    pub fn of_background(service: Service) -> Self {
        let caller = Caller::Workload { service, on_behalf_of: None };
        Self {
            caller,
            scope: ClusterScope::granted(),
            call: CallContext::background(),
            method: &BACKGROUND,
            expires_at: u64::MAX,
            bearer: None,
            narrowed: None,
        }
    }

    /// The operator's or a service's work in one project.
    pub fn in_project(&self, project: ProjectId) -> Granted<ProjectScope> {
        self.clone().with(ProjectScope::granted(project))
    }

    /// What org-service says of a tenant: of an organization or, where the project's own key is named, of the project itself.
    pub fn in_tenant(&self, project: ProjectId, key: OrganizationId) -> Granted<Tenant> {
        let tenant = if key == project.into() {
            Tenant::Project(ProjectScope::granted(project))
        } else {
            Tenant::Organization(OrganizationScope::granted(project, key))
        };
        self.clone().with(tenant)
    }

    /// A service's work in one organization, which it names with its project.
    pub fn in_organization(&self, project: ProjectId, organization: OrganizationId) -> Granted<OrganizationScope> {
        self.clone().with(OrganizationScope::granted(project, organization))
    }
}
