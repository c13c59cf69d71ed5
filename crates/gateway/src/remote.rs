//! The services as the gateway calls them on its own account, by its workload token.

use access::{Caller, Onward, Service};
use api::{
    access::v1::ErrorReason,
    authz::v1::{
        BatchCheckRequest, BatchCheckResponse, CheckQuestion, Consistency, Subject,
        authorization_service_client::AuthorizationServiceClient, consistency, subject,
    },
    member::v1::{
        AuthenticateApiKeyRequest, AuthenticateApiKeyResponse, AuthenticateAssertionRequest, CompleteSsoRequest,
        CompleteSsoResponse, CreateSessionRequest, EndSessionRequest, ExchangeSessionRequest, ImpersonateMemberRequest,
        ListEntrancesRequest, ListEntrancesResponse, ReadRefreshTokenRequest, ReadRefreshTokenResponse,
        RefreshSessionRequest, RevokeAccessTokenRequest, SessionGrant, SignUpRequest, StartEmailChallengeRequest,
        StartEmailChallengeResponse, StartSsoRequest, StartSsoResponse, UseRecoveryCodeRequest,
        UseRecoveryCodeResponse, VerifyEmailChallengeRequest, VerifyEmailChallengeResponse, VerifyPasswordRequest,
        VerifyPasswordResponse, VerifyTotpRequest, VerifyTotpResponse,
        credential_service_client::CredentialServiceClient, end_session_request::Session,
        service_account_service_client::ServiceAccountServiceClient, session_service_client::SessionServiceClient,
        sign_up_service_client::SignUpServiceClient, sso_service_client::SsoServiceClient,
    },
    org::v1::{
        BatchResolveOrganizationsRequest, OrganizationEntry, ProjectEntry, ResolveHostRequest,
        ResolveOrganizationRequest, ResolveOrganizationSlugRequest, ResolveProjectRequest,
        directory_service_client::DirectoryServiceClient,
    },
};
use futures::FutureExt as _;
use runtime::{CallContext, Channel};
use tenancy::{Actor, OrganizationId, ProjectId, SessionId};
use tonic::{Code, Request, Status};

use crate::{mint::HeldAt, refusal};

/// Organizations that are asked about in one call: so many fit into a message, however large their settings are.
const AT_ONCE: usize = 50;

/// The connections to the services.
#[derive(Debug, Clone)]
pub struct Backends {
    pub org: Channel,
    pub member: Channel,
    pub authz: Channel,
}

#[derive(Debug, Clone)]
pub struct Remote {
    directory: DirectoryServiceClient<Channel>,
    credentials: CredentialServiceClient<Channel>,
    sessions: SessionServiceClient<Channel>,
    accounts: ServiceAccountServiceClient<Channel>,
    sign_ups: SignUpServiceClient<Channel>,
    authorization: AuthorizationServiceClient<Channel>,
    sso: SsoServiceClient<Channel>,
    onward: Onward,
}

/// Which of some permissions somebody holds, in their order.
#[derive(Debug)]
pub struct Holds {
    pub each: Vec<bool>,
    pub at: HeldAt,
}

pub const MYSELF: Caller = Caller::Workload { service: Service::Gateway, on_behalf_of: None };

/// None where the service says that there is none.
fn found<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(response) => Ok(Some(response.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(refusal::of_our_call(status)),
    }
}

fn answered<T>(answer: Result<tonic::Response<T>, Status>) -> Result<T, Status> {
    answer.map(tonic::Response::into_inner).map_err(refusal::of_our_call)
}

/// The same where the caller named what may not be there, or what was theirs may be there no more.
fn answered_or_not_there<T>(answer: Result<tonic::Response<T>, Status>) -> Result<T, Status> {
    match answer {
        Err(status) if refusal::reason(&status) == Some(ErrorReason::NotFound) => Err(refusal::passed_on(&status)),
        answer => answered(answer),
    }
}

impl Remote {
    pub fn new(backends: &Backends, onward: Onward) -> Self {
        Self {
            directory: DirectoryServiceClient::new(backends.org.clone()),
            credentials: CredentialServiceClient::new(backends.member.clone()),
            sessions: SessionServiceClient::new(backends.member.clone()),
            accounts: ServiceAccountServiceClient::new(backends.member.clone()),
            sign_ups: SignUpServiceClient::new(backends.member.clone()),
            authorization: AuthorizationServiceClient::new(backends.authz.clone()),
            sso: SsoServiceClient::new(backends.member.clone()),
            onward,
        }
    }

    fn to_org<T>(&self, call: &CallContext, message: T) -> Result<Request<T>, Status> {
        self.onward.request(&MYSELF, call, Service::Org, message)
    }

    fn to_member<T>(&self, call: &CallContext, message: T) -> Result<Request<T>, Status> {
        self.onward.request(&MYSELF, call, Service::Member, message)
    }

    pub async fn project(&self, call: &CallContext, id: ProjectId) -> Result<Option<ProjectEntry>, Status> {
        let request = self.to_org(call, ResolveProjectRequest { project_id: id.to_string() })?;
        found(self.directory.clone().resolve_project(request).boxed().await)
    }

    pub async fn organization(
        &self,
        call: &CallContext,
        id: OrganizationId,
    ) -> Result<Option<OrganizationEntry>, Status> {
        let request = self.to_org(call, ResolveOrganizationRequest { organization_id: id.to_string() })?;
        found(self.directory.clone().resolve_organization(request).boxed().await)
    }

    pub async fn organization_by_slug(
        &self,
        call: &CallContext,
        project: ProjectId,
        slug: String,
    ) -> Result<Option<OrganizationEntry>, Status> {
        let request = self.to_org(call, ResolveOrganizationSlugRequest { project_id: project.to_string(), slug })?;
        found(self.directory.clone().resolve_organization_slug(request).boxed().await)
    }

    /// The organization that a host name stands for, in a project or, where none is named, in any.
    pub async fn organization_by_host(
        &self,
        call: &CallContext,
        project: Option<ProjectId>,
        host: String,
    ) -> Result<Option<OrganizationEntry>, Status> {
        let project_id = project.map(|id| id.to_string()).unwrap_or_default();
        let request = self.to_org(call, ResolveHostRequest { project_id, host })?;
        match self.directory.clone().resolve_host(request).boxed().await {
            // No name that anybody could hold.
            Err(status) if refusal::reason(&status) == Some(ErrorReason::InvalidFields) => Ok(None),
            answer => found(answer),
        }
    }

    /// Those of a project that are there, in their order.
    pub async fn organizations(
        &self,
        call: &CallContext,
        project: ProjectId,
        organization_ids: Vec<String>,
    ) -> Result<Vec<OrganizationEntry>, Status> {
        let mut organizations = Vec::with_capacity(organization_ids.len());
        for organization_ids in organization_ids.chunks(AT_ONCE).map(<[String]>::to_vec) {
            let message = BatchResolveOrganizationsRequest { project_id: project.to_string(), organization_ids };
            let request = self.to_org(call, message)?;
            organizations.extend(
                answered(self.directory.clone().batch_resolve_organizations(request).boxed().await)?.organizations,
            );
        }
        Ok(organizations)
    }

    pub async fn verify_password(
        &self,
        call: &CallContext,
        message: VerifyPasswordRequest,
    ) -> Result<VerifyPasswordResponse, Status> {
        let request = self.to_member(call, message)?;
        // An organization that is not there is a wrong one.
        found(self.credentials.clone().verify_password(request).boxed().await)?.ok_or_else(refusal::sign_in_failed)
    }

    pub async fn start_email_challenge(
        &self,
        call: &CallContext,
        message: StartEmailChallengeRequest,
    ) -> Result<StartEmailChallengeResponse, Status> {
        let request = self.to_member(call, message)?;
        answered(self.credentials.clone().start_email_challenge(request).boxed().await)
    }

    pub async fn verify_email_challenge(
        &self,
        call: &CallContext,
        message: VerifyEmailChallengeRequest,
    ) -> Result<VerifyEmailChallengeResponse, Status> {
        let request = self.to_member(call, message)?;
        found(self.credentials.clone().verify_email_challenge(request).boxed().await)?
            .ok_or_else(refusal::sign_in_failed)
    }

    pub async fn verify_totp(
        &self,
        call: &CallContext,
        message: VerifyTotpRequest,
    ) -> Result<VerifyTotpResponse, Status> {
        let request = self.to_member(call, message)?;
        answered(self.credentials.clone().verify_totp(request).boxed().await)
    }

    pub async fn use_recovery_code(
        &self,
        call: &CallContext,
        message: UseRecoveryCodeRequest,
    ) -> Result<UseRecoveryCodeResponse, Status> {
        let request = self.to_member(call, message)?;
        answered(self.credentials.clone().use_recovery_code(request).boxed().await)
    }

    /// That an organization or a connection is not there is for the caller to know.
    pub async fn start_sso(&self, call: &CallContext, message: StartSsoRequest) -> Result<StartSsoResponse, Status> {
        let request = self.to_member(call, message)?;
        answered_or_not_there(self.sso.clone().start_sso(request).boxed().await)
    }

    pub async fn complete_sso(
        &self,
        call: &CallContext,
        message: CompleteSsoRequest,
    ) -> Result<CompleteSsoResponse, Status> {
        let request = self.to_member(call, message)?;
        answered(self.sso.clone().complete_sso(request).boxed().await)
    }

    pub async fn create_session(
        &self,
        call: &CallContext,
        message: CreateSessionRequest,
    ) -> Result<SessionGrant, Status> {
        let request = self.to_member(call, message)?;
        found(self.sessions.clone().create_session(request).boxed().await)?.ok_or_else(refusal::sign_in_failed)
    }

    /// `caller` is whose session it is, if it is one that goes on.
    pub async fn exchange_session(
        &self,
        call: &CallContext,
        caller: &Caller,
        message: ExchangeSessionRequest,
    ) -> Result<SessionGrant, Status> {
        let request = self.onward.request(caller, call, Service::Member, message)?;
        answered(self.sessions.clone().exchange_session(request).boxed().await)
    }

    pub async fn list_entrances(
        &self,
        call: &CallContext,
        message: ListEntrancesRequest,
    ) -> Result<ListEntrancesResponse, Status> {
        let request = self.to_member(call, message)?;
        answered(self.sessions.clone().list_entrances(request).boxed().await)
    }

    pub async fn sign_up(&self, call: &CallContext, message: SignUpRequest) -> Result<SessionGrant, Status> {
        let request = self.to_member(call, message)?;
        answered_or_not_there(self.sign_ups.clone().sign_up(request).boxed().await)
    }

    pub async fn refresh_session(&self, call: &CallContext, refresh_token: String) -> Result<SessionGrant, Status> {
        let request = self.to_member(call, RefreshSessionRequest { refresh_token })?;
        answered(self.sessions.clone().refresh_session(request).boxed().await)
    }

    /// Ends a session in the name of its member.
    pub async fn end_session(
        &self,
        call: &CallContext,
        caller: &Caller,
        organization: OrganizationId,
        session: SessionId,
    ) -> Result<(), Status> {
        let message = EndSessionRequest {
            organization_id: organization.to_string(),
            session: Some(Session::SessionId(session.to_string())),
            project_id: String::new(),
        };
        // Ending twice is as ending once, so it may be sent again.
        let request = self.onward.keyed_request(caller, call, Service::Member, message)?;
        answered(self.sessions.clone().end_session(request).boxed().await)
    }

    /// Ends the session of a refresh token. With a project, only one of that project.
    pub async fn end_session_by_token(
        &self,
        call: &CallContext,
        caller: &Caller,
        refresh_token: String,
        project_id: String,
    ) -> Result<(), Status> {
        let session = Some(Session::RefreshToken(refresh_token));
        let message = EndSessionRequest { organization_id: String::new(), session, project_id };
        let request = self.onward.keyed_request(caller, call, Service::Member, message)?;
        answered(self.sessions.clone().end_session(request).boxed().await)
    }

    pub async fn read_refresh_token(
        &self,
        call: &CallContext,
        refresh_token: String,
    ) -> Result<ReadRefreshTokenResponse, Status> {
        let request = self.to_member(call, ReadRefreshTokenRequest { refresh_token })?;
        answered(self.sessions.clone().read_refresh_token(request).boxed().await)
    }

    /// Begins a session in which the caller acts as a member.
    pub async fn impersonate_member(
        &self,
        call: &CallContext,
        caller: &Caller,
        message: ImpersonateMemberRequest,
    ) -> Result<SessionGrant, Status> {
        let request = self.onward.request(caller, call, Service::Member, message)?;
        let answer = self.sessions.clone().impersonate_member(request).boxed().await;
        answer.map(tonic::Response::into_inner).map_err(|status| match refusal::reason(&status) {
            // About the caller and their wish, and theirs to know.
            Some(ErrorReason::PermissionMissing | ErrorReason::GrantExceedsGrantor | ErrorReason::NotFound) => {
                refusal::passed_on(&status)
            }
            _ => refusal::of_our_call(status),
        })
    }

    /// Which of these permissions somebody holds at the organization now, in their order. What the catalogue does not know, nobody holds.
    pub async fn held(
        &self,
        call: &CallContext,
        organization: OrganizationId,
        who: &Actor,
        permissions: &[String],
    ) -> Result<Holds, Status> {
        let none = || Holds { each: vec![false; permissions.len()], at: HeldAt::default() };
        let subject = match who {
            Actor::Member(id) => subject::Subject::MemberId(id.to_string()),
            Actor::ServiceAccount(id) => subject::Subject::ServiceAccountId(id.to_string()),
            Actor::Operator | Actor::Workload(_) | Actor::Anonymous => return Ok(none()),
        };
        let subject = Some(Subject { subject: Some(subject) });
        let question = |permission: &String| CheckQuestion {
            subject: subject.clone(),
            permission: permission.clone(),
            ..CheckQuestion::default()
        };
        let message = BatchCheckRequest {
            organization_id: organization.to_string(),
            checks: permissions.iter().map(question).collect(),
            consistency: Some(Consistency { requirement: Some(consistency::Requirement::FullyConsistent(true)) }),
            ..BatchCheckRequest::default()
        };
        let request = self.onward.request(&MYSELF, call, Service::Authz, message)?;
        match self.authorization.clone().batch_check(request).boxed().await {
            Ok(answer) => {
                let BatchCheckResponse { results, epoch, project_epoch, .. } = answer.into_inner();
                let each = results.iter().map(|result| result.allowed).collect();
                Ok(Holds { each, at: HeldAt { epoch, project_epoch } })
            }
            Err(status) => match refusal::reason(&status) {
                Some(ErrorReason::UnknownPermission | ErrorReason::InvalidFields | ErrorReason::NotFound) => Ok(none()),
                _ => Err(refusal::of_our_call(status)),
            },
        }
    }

    pub async fn authenticate_assertion(
        &self,
        call: &CallContext,
        client_id: String,
        assertion: String,
        audiences: Vec<String>,
    ) -> Result<AuthenticateApiKeyResponse, Status> {
        let request = self.to_member(call, AuthenticateAssertionRequest { client_id, assertion, audiences })?;
        answered(self.accounts.clone().authenticate_assertion(request).boxed().await)
    }

    /// Makes one token of a service account worthless, in its name.
    pub async fn revoke_access_token(
        &self,
        call: &CallContext,
        caller: &Caller,
        message: RevokeAccessTokenRequest,
    ) -> Result<(), Status> {
        let request = self.onward.keyed_request(caller, call, Service::Member, message)?;
        // An account that is gone has no tokens that are good.
        found(self.accounts.clone().revoke_access_token(request).boxed().await).map(|_| ())
    }

    pub async fn authenticate_api_key(
        &self,
        call: &CallContext,
        client_id: String,
        secret: String,
    ) -> Result<AuthenticateApiKeyResponse, Status> {
        let request = self.to_member(call, AuthenticateApiKeyRequest { client_id, secret })?;
        answered(self.accounts.clone().authenticate_api_key(request).boxed().await)
    }
}
