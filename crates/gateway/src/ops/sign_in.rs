//! Signing in: to one organization, or to the project first, where the person has still to choose.
//!
//! Whatever is wrong (the address, the organization, the secret, the member's or organization's state) the answer is the same, and takes
//! the same work: where there is no organization to enter, the question is still put to member-service, for one that nobody has.

use std::{net::IpAddr, sync::Arc};

use api::{
    member::v1::{
        AuthFactor, ExchangeSessionRequest, IntermediateSessionGrant, SecondFactorRequired, StartEmailChallengeRequest,
        StartEmailChallengeResponse, VerifyEmailChallengeRequest, VerifyPasswordRequest,
    },
    org::v1::{OrganizationEntry, OrganizationState, ProjectState},
};
use runtime::{CallContext, Refusal};
use tenancy::{ChallengeId, OrganizationId, ProjectId, event::sha256};
use tonic::Status;
use uuid::Uuid;

use super::sessions::{Sessions, Signed, Visitor};
use crate::{
    limits::Limits,
    refusal,
    remote::{MYSELF, Remote},
};

/// The header that names the project of a call by nobody in particular.
pub const PROJECT_HEADER: &str = "guildhall-project-id";
/// One more than a password may have: a longer one is wrong, however much longer it is.
const PASSWORD_CHARACTERS: usize = 257;

/// The organization to enter, as the request names it.
#[derive(Debug)]
pub enum Entrance {
    Id(OrganizationId),
    Slug(String),
}

/// Where a call without a credential belongs.
pub(super) struct Place {
    pub project: ProjectId,
    /// Whose name it came to.
    organization: Option<OrganizationId>,
}

/// What a mail said.
pub enum EmailAnswer {
    Code(ChallengeId, String),
    /// The secret at the end of its link.
    Link(String),
}

/// The organization to ask about.
pub(super) struct Target {
    /// The one to enter, or one that nobody has.
    pub id: OrganizationId,
    pub enterable: bool,
}

/// What is asked about where there is no such organization: nobody's id, and the same one each time, so that tries are counted there as
/// anywhere else.
fn stand_in(project: ProjectId, entrance: &Entrance) -> OrganizationId {
    let named = match entrance {
        Entrance::Id(id) => id.to_string(),
        Entrance::Slug(slug) => slug.to_lowercase(),
    };
    let hash = sha256(format!("stand-in {project} {named}").as_bytes());
    let uuid = hash.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte));
    OrganizationId::from_uuid(Uuid::from_u128(uuid))
}

/// How far a sign-in has come.
#[derive(Debug)]
pub enum Progress {
    Signed(Box<Signed>),
    /// The organization has still to be chosen.
    Known(IntermediateSessionGrant),
    /// The organization asks for a second factor.
    Halfway(Box<SecondFactorRequired>),
}

/// What a factor proved, as member-service says.
pub(super) struct Proven {
    pub project: ProjectId,
    pub member_id: String,
    pub organization_id: String,
    pub auth_factor: Option<AuthFactor>,
    pub intermediate: Option<IntermediateSessionGrant>,
}

#[derive(Debug)]
pub struct SignIn {
    pub(super) remote: Remote,
    pub(super) sessions: Arc<Sessions>,
    limits: Arc<Limits>,
    default_project: Option<ProjectId>,
}

impl SignIn {
    pub fn new(
        remote: Remote,
        sessions: Arc<Sessions>,
        limits: Arc<Limits>,
        default_project: Option<ProjectId>,
    ) -> Self {
        Self { remote, sessions, limits, default_project }
    }

    pub async fn with_password(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        entrance: Option<Entrance>,
        email_address: String,
        password: &str,
    ) -> Result<Progress, Status> {
        let Place { project, organization } = self.place(visitor, project).await?;
        self.limits.sign_in_as(project, &email_address)?;
        let entrance = entrance.or(organization.map(Entrance::Id));
        let target = self.target(&visitor.call, project, entrance).await?;
        let request = VerifyPasswordRequest {
            organization_id: target.as_ref().map(|target| target.id.to_string()).unwrap_or_default(),
            project_id: project.to_string(),
            email_address,
            password: password.chars().take(PASSWORD_CHARACTERS).collect(),
        };
        let proven = self.remote.verify_password(&visitor.call, request).await?;
        if target.is_some_and(|target| !target.enterable) {
            return Err(refusal::sign_in_failed());
        }
        let proven = Proven {
            project,
            member_id: proven.member_id,
            organization_id: proven.organization_id,
            auth_factor: proven.auth_factor,
            intermediate: proven.intermediate_session,
        };
        self.go_on(visitor, proven).await
    }

    pub async fn start_email(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        entrance: Option<Entrance>,
        email_address: String,
        sign_up: bool,
    ) -> Result<StartEmailChallengeResponse, Status> {
        let Place { project, organization } = self.place(visitor, project).await?;
        self.limits.sign_in_as(project, &email_address)?;
        // Who signs up enters no organization yet, whosever name they came to.
        let entrance = entrance.or(organization.filter(|_| !sign_up).map(Entrance::Id));
        let target = self.target(&visitor.call, project, entrance).await?;
        let request = StartEmailChallengeRequest {
            organization_id: target.map(|target| target.id.to_string()).unwrap_or_default(),
            project_id: project.to_string(),
            email_address,
            sign_up,
        };
        self.remote.start_email_challenge(&visitor.call, request).await
    }

    pub async fn complete_email(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        answer: EmailAnswer,
    ) -> Result<Progress, Status> {
        let project = self.place(visitor, project).await?.project;
        self.check_project(&visitor.call, project).await?;
        let project_id = project.to_string();
        let request = match answer {
            EmailAnswer::Code(challenge, code) => VerifyEmailChallengeRequest {
                project_id,
                challenge_id: challenge.to_string(),
                code,
                ..VerifyEmailChallengeRequest::default()
            },
            EmailAnswer::Link(token) => {
                VerifyEmailChallengeRequest { project_id, token, ..VerifyEmailChallengeRequest::default() }
            }
        };
        let proven = self.remote.verify_email_challenge(&visitor.call, request).await?;
        let proven = Proven {
            project,
            member_id: proven.member_id,
            organization_id: proven.organization_id,
            auth_factor: proven.auth_factor,
            intermediate: proven.intermediate_session,
        };
        self.go_on(visitor, proven).await
    }

    /// Begins the session of a member; lets in to the organization that was named who may become one; or leaves the choice.
    pub(super) async fn go_on(&self, visitor: &Visitor, proven: Proven) -> Result<Progress, Status> {
        let Proven { project, member_id, organization_id, auth_factor, intermediate } = proven;
        if !member_id.is_empty() {
            return self.sessions.begin(visitor, organization_id, member_id, auth_factor).await;
        }
        let intermediate = intermediate.ok_or_else(refusal::sign_in_failed)?;
        if organization_id.is_empty() {
            return Ok(Progress::Known(intermediate));
        }
        let request = ExchangeSessionRequest {
            organization_id,
            project_id: project.to_string(),
            intermediate_session_token: intermediate.token,
            ..ExchangeSessionRequest::default()
        };
        self.sessions.exchange(visitor, &MYSELF, request).await
    }

    /// The project that is meant, and the organization whose name the call came to: by the header, by that name, or the installation's
    /// default.
    pub(super) async fn place(&self, visitor: &Visitor, project: Option<ProjectId>) -> Result<Place, Status> {
        let name = |host: &&String| host.contains('.') && host.parse::<IpAddr>().is_err() && !host.starts_with('[');
        let found = match visitor.host.as_ref().filter(name) {
            Some(host) => self.remote.organization_by_host(&visitor.call, project, host.clone()).await?,
            None => None,
        };
        let Some(found) = found else { return Ok(Place { project: self.named(project)?, organization: None }) };
        let ids = found.project_id.parse().ok().zip(found.organization_id.parse().ok());
        let (project, organization) = ids.ok_or_else(|| refusal::incomplete("an organization"))?;
        Ok(Place { project, organization: Some(organization) })
    }

    pub(super) fn named(&self, project: Option<ProjectId>) -> Result<ProjectId, Status> {
        project.or(self.default_project).ok_or_else(|| {
            access::invalid_field(PROJECT_HEADER, "must name the project: this installation has no default one")
        })
    }

    pub(super) async fn check_project(&self, call: &CallContext, id: ProjectId) -> Result<(), Status> {
        let project = self.remote.project(call, id).await?.ok_or_else(|| Refusal::not_found("project"))?;
        match project.state() {
            ProjectState::Archived => Err(access::project_archived()),
            _ => Ok(()),
        }
    }

    /// None where no organization is named.
    async fn target(
        &self,
        call: &CallContext,
        project: ProjectId,
        entrance: Option<Entrance>,
    ) -> Result<Option<Target>, Status> {
        match entrance {
            Some(entrance) => self.organization(call, project, entrance).await.map(Some),
            None => self.check_project(call, project).await.map(|()| None),
        }
    }

    pub(super) async fn organization(
        &self,
        call: &CallContext,
        project: ProjectId,
        entrance: Entrance,
    ) -> Result<Target, Status> {
        let stand_in = stand_in(project, &entrance);
        let organization = async {
            match entrance {
                Entrance::Id(id) => self.remote.organization(call, id).await,
                Entrance::Slug(slug) => self.remote.organization_by_slug(call, project, slug).await,
            }
        };
        let (checked, organization) = futures::join!(self.check_project(call, project), organization);
        checked?;
        let enterable = |entry: &OrganizationEntry| {
            entry.project_id == project.to_string() && entry.state() == OrganizationState::Active
        };
        match organization?.filter(enterable) {
            Some(entry) => {
                let id = entry.organization_id.parse().map_err(|error| runtime::internal(&error))?;
                Ok(Target { id, enterable: true })
            }
            None => Ok(Target { id: stand_in, enterable: false }),
        }
    }
}
