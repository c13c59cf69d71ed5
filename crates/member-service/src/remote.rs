//! What this service asks of the others: org-service for what an organization is, authz-service for who holds which roles.

mod batch;
mod directory;
mod provider;

use std::time::Duration;

use access::{Caller, Granted, Onward, Service};
use api::{
    access::v1::ErrorReason,
    authz::v1::{
        BatchGetSubjectRolesRequest, CheckGrantRequest, RemoveSubjectRequest, RoleSource as SpokenSource,
        SetSubjectRolesRequest, SetSubjectStateRequest, Subject, SubjectRole, SubjectStatus, subject::Subject as Named,
        subject_service_client::SubjectServiceClient,
    },
    org::v1::{
        ResolveProjectRequest, UserPool, directory_service_client::DirectoryServiceClient,
        provider_service_client::ProviderServiceClient,
    },
};
use futures::FutureExt as _;
use moka::sync::Cache;
use runtime::{CallContext, Channel, Refusal, internal};
use tenancy::{Actor, MemberId, OrganizationId, OrganizationScope, ProjectId, RoleId};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

pub use directory::OrganizationEntry;
pub use provider::{Provider, Returned};

use crate::model::{MemberState, RoleHeld, RoleSource, RolesRead, SessionLimits};

/// Projects whose user pool is remembered. It never changes, so forgetting costs a call and nothing else.
const REMEMBERED_PROJECTS: u64 = 100_000;
/// Organizations whose sessions' limits are remembered, and how long: a change of them is in force that much later at most.
const REMEMBERED_LIMITS: u64 = 10_000;
const LIMITS_FOR: Duration = Duration::from_secs(2);
/// How long tidying up may take that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(5);
/// As many subjects as authz-service takes at once.
const AT_ONCE: usize = 500;

/// Another service refused, or could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("another service refused or could not be reached")]
pub struct RemoteError(#[source] Status);

impl From<Status> for RemoteError {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl RemoteError {
    fn has(&self, reason: ErrorReason) -> bool {
        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        self.0.get_details_error_info().is_some_and(|info| info.domain == runtime::ERROR_DOMAIN && info.reason == name)
    }

    /// Another service contradicts what is known here.
    pub fn inconsistent(what: &'static str) -> Self {
        Self(Status::internal(what))
    }

    /// Whether it is the grantor, or a role since gone, that stands in the way of a grant.
    pub fn refuses_grant(&self) -> bool {
        self.has(ErrorReason::GrantExceedsGrantor) || self.has(ErrorReason::NotFound)
    }

    /// Whether asking again would be refused again: what was asked for cannot be had.
    pub fn is_final(&self) -> bool {
        let refusals = [
            ErrorReason::InvalidFields,
            ErrorReason::SlugTaken,
            ErrorReason::LimitReached,
            ErrorReason::ProjectArchived,
            ErrorReason::NotFound,
        ];
        refusals.into_iter().any(|reason| self.has(reason))
    }

    /// Whether it would leave the organization without an owner.
    pub fn keeps_last_owner(&self) -> bool {
        self.has(ErrorReason::LastOwner)
    }

    /// As this service's caller gets it: refusals that speak of what the caller asked for as they are, faults between services as
    /// faults.
    pub fn into_status(self) -> Status {
        let about_the_request = [
            ErrorReason::GrantExceedsGrantor,
            ErrorReason::NotFound,
            ErrorReason::LastOwner,
            ErrorReason::SlugTaken,
            ErrorReason::LimitReached,
            ErrorReason::ProjectArchived,
            ErrorReason::OrganizationNotActive,
            ErrorReason::InvalidFields,
            ErrorReason::SignInFailed,
            ErrorReason::ProtocolNotServed,
            ErrorReason::Overloaded,
            ErrorReason::DeadlineExceeded,
            ErrorReason::Unavailable,
        ];
        if about_the_request.into_iter().any(|reason| self.has(reason)) {
            return self.0;
        }
        match self.0.code() {
            Code::Unavailable | Code::Cancelled => Refusal::unavailable("a service that this call needs").into(),
            _ => internal(&self),
        }
    }
}

/// Whose call is being served.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    caller: &'a Caller,
    call: &'a CallContext,
}

impl<'a> Asker<'a> {
    pub fn new(caller: &'a Caller, call: &'a CallContext) -> Self {
        Self { caller, call }
    }
}

impl<'a, S> From<&'a Granted<S>> for Asker<'a> {
    fn from(granted: &'a Granted<S>) -> Self {
        Self { caller: &granted.caller, call: &granted.call }
    }
}

/// Whose rights bound a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantor {
    pub actor: Actor,
    /// A service account of the project: it holds no roles, and may grant any.
    pub is_project: bool,
}

impl Grantor {
    pub fn of(caller: &Caller) -> Self {
        Self { actor: caller.principal(), is_project: caller.is_project() }
    }
}

/// What authz-service is told of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Active,
    Suspended,
}

#[derive(Debug, Clone)]
pub struct Remote {
    directory: DirectoryServiceClient<Channel>,
    providers: ProviderServiceClient<Channel>,
    subjects: SubjectServiceClient<Channel>,
    onward: Onward,
    /// Whether a project shares one user pool.
    shared_pools: Cache<ProjectId, bool>,
    session_limits: Cache<OrganizationId, SessionLimits>,
}

impl Remote {
    pub fn new(org: Channel, authz: Channel, onward: Onward) -> Self {
        Self {
            directory: DirectoryServiceClient::new(org.clone()),
            providers: ProviderServiceClient::new(org),
            subjects: SubjectServiceClient::new(authz),
            onward,
            shared_pools: Cache::new(REMEMBERED_PROJECTS),
            session_limits: Cache::builder().max_capacity(REMEMBERED_LIMITS).time_to_live(LIMITS_FOR).build(),
        }
    }

    fn to<T>(&self, asker: Asker<'_>, service: Service, message: T) -> Result<Request<T>, Status> {
        self.onward.request(asker.caller, asker.call, service, message)
    }

    /// Whether the project has one user pool for all its organizations. None where there is no such project.
    pub async fn shares_pool(&self, asker: Asker<'_>, project: ProjectId) -> Result<Option<bool>, RemoteError> {
        if let Some(shared) = self.shared_pools.get(&project) {
            return Ok(Some(shared));
        }
        let request = self.to(asker, Service::Org, ResolveProjectRequest { project_id: project.to_string() })?;
        let Some(entry) = found(self.directory.clone().resolve_project(request).boxed().await)? else {
            return Ok(None);
        };
        let shared = entry.user_pool() != UserPool::Isolated;
        self.shared_pools.insert(project, shared);
        Ok(Some(shared))
    }

    /// What a project is called. None where there is no such project.
    pub async fn project_name(&self, asker: Asker<'_>, project: ProjectId) -> Result<Option<String>, RemoteError> {
        let request = self.to(asker, Service::Org, ResolveProjectRequest { project_id: project.to_string() })?;
        Ok(found(self.directory.clone().resolve_project(request).boxed().await)?.map(|entry| entry.display_name))
    }

    /// Which roles these are, if the grantor may grant them all.
    pub async fn check_grant(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        grantor: &Grantor,
        roles: Vec<String>,
    ) -> Result<Vec<RoleId>, RemoteError> {
        if roles.is_empty() {
            return Ok(Vec::new());
        }
        let message = CheckGrantRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
            grantor: Some(feed::actor_to_proto(&grantor.actor)),
            roles,
            grantor_is_project: grantor.is_project,
            acting_as: None,
        };
        let request = self.to(asker, Service::Authz, message)?;
        let answer = self.subjects.clone().check_grant(request).boxed().await?.into_inner();
        let ids = answer.role_ids.iter().map(|id| id.parse()).collect::<Result<_, _>>();
        ids.map_err(|_| RemoteError::inconsistent("authz-service named no role"))
    }

    /// Refuses a grantor who lacks anything that the account or member holds, by whatever binding: acting as them they could do it all.
    pub async fn check_acting_as(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        grantor: &Grantor,
        subject: &Actor,
    ) -> Result<(), RemoteError> {
        let message = CheckGrantRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
            grantor: Some(feed::actor_to_proto(&grantor.actor)),
            roles: Vec::new(),
            grantor_is_project: grantor.is_project,
            acting_as: Some(self::subject(subject)),
        };
        let request = self.to(asker, Service::Authz, message)?;
        Ok(self.subjects.clone().check_grant(request).boxed().await.map(drop)?)
    }

    /// Binds roles to a member, who need not be there yet. All the roles that they then hold.
    pub async fn grant(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        member: MemberId,
        grantor: &Grantor,
        roles: Vec<String>,
        source: RoleSource,
    ) -> Result<Vec<RoleHeld>, RemoteError> {
        Ok(self.set_roles(asker, scope, member, grantor, roles, source, false).await?.roles)
    }

    /// Has a member hold these roles of a source and no others of it. All the roles that they then hold.
    pub async fn replace_roles(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        member: MemberId,
        grantor: &Grantor,
        roles: Vec<String>,
        source: RoleSource,
    ) -> Result<RolesRead, RemoteError> {
        self.set_roles(asker, scope, member, grantor, roles, source, true).await
    }

    #[expect(clippy::too_many_arguments, reason = "the message has as many fields")]
    async fn set_roles(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        member: MemberId,
        grantor: &Grantor,
        roles: Vec<String>,
        source: RoleSource,
        replace: bool,
    ) -> Result<RolesRead, RemoteError> {
        let message = SetSubjectRolesRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
            subject: Some(subject(&Actor::Member(member))),
            roles,
            source: spoken(source).into(),
            grantor: Some(feed::actor_to_proto(&grantor.actor)),
            replace,
            grantor_is_project: grantor.is_project,
        };
        let request = self.to(asker, Service::Authz, message)?;
        let answer = self.subjects.clone().set_subject_roles(request).boxed().await?.into_inner();
        Ok(RolesRead { roles: answer.roles.into_iter().map(held).collect(), epoch: answer.epoch })
    }

    /// The roles of members or service accounts, in their order.
    pub async fn roles(
        &self,
        asker: Asker<'_>,
        organization: OrganizationId,
        subjects: &[Actor],
    ) -> Result<Vec<RolesRead>, RemoteError> {
        let mut roles = Vec::with_capacity(subjects.len());
        for some in subjects.chunks(AT_ONCE) {
            let message = BatchGetSubjectRolesRequest {
                organization_id: organization.to_string(),
                subjects: some.iter().map(subject).collect(),
            };
            let request = self.to(asker, Service::Authz, message)?;
            let answer = self.subjects.clone().batch_get_subject_roles(request).boxed().await?.into_inner();
            if answer.subject_roles.len() != some.len() {
                return Err(RemoteError::inconsistent("authz-service answered for others than were asked about"));
            }
            let epoch = answer.epoch;
            let read = answer.subject_roles.into_iter();
            roles.extend(read.map(|of| RolesRead { roles: of.roles.into_iter().map(held).collect(), epoch }));
        }
        Ok(roles)
    }

    /// Tells of a member's state, as of `revision`, and answers whether that holds now: news of a later revision stands. With
    /// `protect` a suspension that leaves no owner is refused.
    pub async fn set_state(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        member: MemberId,
        state: MemberState,
        revision: i64,
        protect: bool,
    ) -> Result<bool, RemoteError> {
        let standing = match state {
            MemberState::Active => Standing::Active,
            MemberState::Suspended => Standing::Suspended,
        };
        self.set_standing(asker, scope, &Actor::Member(member), standing, revision, protect).await
    }

    /// The same of a member or a service account.
    pub async fn set_standing(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        who: &Actor,
        standing: Standing,
        revision: i64,
        protect: bool,
    ) -> Result<bool, RemoteError> {
        let status = match standing {
            Standing::Active => SubjectStatus::Active,
            Standing::Suspended => SubjectStatus::Suspended,
        };
        let message = SetSubjectStateRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
            subject: Some(subject(who)),
            status: status.into(),
            member_revision: revision,
            protect_last_owner: protect,
        };
        let request = self.to(asker, Service::Authz, message)?;
        let answer = self.subjects.clone().set_subject_state(request).boxed().await?.into_inner();
        Ok(answer.subject_state.is_some_and(|in_force| in_force.status() == status))
    }

    /// Takes everything from a member for good. With `protect` it is refused where no owner would be left.
    pub async fn remove(
        &self,
        asker: Asker<'_>,
        organization: OrganizationId,
        project: ProjectId,
        member: MemberId,
        revision: i64,
        protect: bool,
    ) -> Result<(), RemoteError> {
        self.remove_subject(asker, organization, project, &Actor::Member(member), revision, protect).await
    }

    /// The same of a member or a service account.
    pub async fn remove_subject(
        &self,
        asker: Asker<'_>,
        organization: OrganizationId,
        project: ProjectId,
        who: &Actor,
        revision: i64,
        protect: bool,
    ) -> Result<(), RemoteError> {
        let message = RemoveSubjectRequest {
            organization_id: organization.to_string(),
            project_id: project.to_string(),
            subject: Some(subject(who)),
            member_revision: revision,
            protect_last_owner: protect,
        };
        let call = asker.call.clone().within(PATIENCE);
        let request = self.to(Asker { call: &call, ..asker }, Service::Authz, message)?;
        Ok(self.subjects.clone().remove_subject(request).boxed().await.map(drop)?)
    }
}

fn found<T>(answer: Result<Response<T>, Status>) -> Result<Option<T>, RemoteError> {
    match answer {
        Ok(response) => Ok(Some(response.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(RemoteError(status)),
    }
}

fn subject(actor: &Actor) -> Subject {
    let subject = match actor {
        Actor::Member(id) => Some(Named::MemberId(id.to_string())),
        Actor::ServiceAccount(id) => Some(Named::ServiceAccountId(id.to_string())),
        Actor::Operator | Actor::Workload(_) | Actor::Anonymous => None,
    };
    Subject { subject }
}

fn spoken(source: RoleSource) -> SpokenSource {
    match source {
        RoleSource::Direct => SpokenSource::Direct,
        RoleSource::Invitation => SpokenSource::Invitation,
        RoleSource::Jit => SpokenSource::Jit,
        RoleSource::EmailDomain => SpokenSource::EmailDomain,
        RoleSource::ConnectionGroup => SpokenSource::ConnectionGroup,
        RoleSource::ScimGroup => SpokenSource::ScimGroup,
        RoleSource::Group => SpokenSource::Group,
    }
}

fn held(role: SubjectRole) -> RoleHeld {
    let sources = role
        .sources()
        .filter_map(|source| match source {
            SpokenSource::Unspecified => None,
            SpokenSource::Direct => Some(RoleSource::Direct),
            SpokenSource::Invitation => Some(RoleSource::Invitation),
            SpokenSource::Jit => Some(RoleSource::Jit),
            SpokenSource::EmailDomain => Some(RoleSource::EmailDomain),
            SpokenSource::ConnectionGroup => Some(RoleSource::ConnectionGroup),
            SpokenSource::ScimGroup => Some(RoleSource::ScimGroup),
            SpokenSource::Group => Some(RoleSource::Group),
        })
        .collect();
    RoleHeld { role_id: role.role_id, key: role.key, sources }
}
