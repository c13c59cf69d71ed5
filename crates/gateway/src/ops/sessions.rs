//! Sessions from the first token to the last: begun after a sign-in, refreshed, ended.

use std::{net::IpAddr, sync::Arc};

use access::{Caller, Invalidations};
use api::member::v1::{
    AuthFactor, CreateSessionRequest, ExchangeSessionRequest, ReadRefreshTokenResponse, SessionGrant,
};
use outdated::Subject;
use runtime::CallContext;
use tenancy::ProjectId;
use tonic::Status;

use super::{
    grants::{Given, Wish, Wishes},
    projects::Projects,
    refused::Refused,
    sign_in::Progress,
};
use crate::{
    mint::{Mint, Minted, Terms},
    refusal,
    remote::Remote,
};

/// Who knocks, before it is known who it is.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub call: CallContext,
    pub address: IpAddr,
    /// At most 512 bytes of what they call their program.
    pub user_agent: String,
    /// The name that they came to.
    pub host: Option<String>,
}

/// A session with its first or next pair of tokens.
#[derive(Debug)]
pub struct Signed {
    pub grant: SessionGrant,
    pub access: Minted,
}

#[derive(Debug)]
pub struct Sessions {
    remote: Remote,
    projects: Arc<Projects>,
    mint: Arc<Mint>,
    wishes: Arc<Wishes>,
    invalidations: Arc<Invalidations>,
}

/// Whose session a refresh token goes on with.
fn holder(found: &ReadRefreshTokenResponse) -> Option<Caller> {
    let session = found.session.as_ref()?;
    Some(Caller::Member {
        project: found.project_id.parse().ok()?,
        organization: session.organization_id.parse().ok()?,
        member: session.member_id.parse().ok()?,
        session: session.session_id.parse().ok()?,
        impersonator: None,
    })
}

impl Sessions {
    pub fn new(
        remote: Remote,
        mint: Arc<Mint>,
        projects: Arc<Projects>,
        wishes: Arc<Wishes>,
        invalidations: Arc<Invalidations>,
    ) -> Self {
        Self { remote, projects, mint, wishes, invalidations }
    }

    /// Begins a session for a member who has proven who they are.
    pub async fn begin(
        &self,
        visitor: &Visitor,
        organization_id: String,
        member_id: String,
        factor: Option<AuthFactor>,
    ) -> Result<Progress, Status> {
        let request = CreateSessionRequest {
            organization_id,
            member_id,
            auth_factors: factor.into_iter().collect(),
            user_agent: visitor.user_agent.clone(),
            ip_address: visitor.address.to_string(),
        };
        let grant = self.remote.create_session(&visitor.call, request).await?;
        self.progress(&visitor.call, grant).await
    }

    /// Begins a session on the strength of what was proven before.
    pub async fn exchange(
        &self,
        visitor: &Visitor,
        caller: &Caller,
        request: ExchangeSessionRequest,
    ) -> Result<Progress, Status> {
        let request = ExchangeSessionRequest {
            user_agent: visitor.user_agent.clone(),
            ip_address: visitor.address.to_string(),
            ..request
        };
        let grant = self.remote.exchange_session(&visitor.call, caller, request).await?;
        self.progress(&visitor.call, grant).await
    }

    pub async fn refresh(&self, call: &CallContext, refresh_token: String) -> Result<Signed, Status> {
        let grant = self.remote.refresh_session(call, refresh_token).await?;
        self.signed(call, grant).await
    }

    /// As [`Sessions::refresh`], with a wish. It is decided before the token is used up: what is refused can be asked for again.
    pub async fn refreshed(&self, call: &CallContext, refresh_token: String, wish: Wish) -> Result<Given, Refused> {
        if wish.is_none() {
            let Signed { grant, access } = self.refresh(call, refresh_token).await?;
            return Ok(Given { access, refresh_token: grant.refresh_token, permissions: Vec::new() });
        }
        let found = self.remote.read_refresh_token(call, refresh_token.clone()).await?;
        let caller = holder(&found).ok_or_else(|| refusal::incomplete("a refresh token's session"))?;
        let terms = self.wishes.granted(call, &caller, wish).await?;
        let grant = self.remote.refresh_session(call, refresh_token).await?;
        let custom = self.projects.claims(call, &grant).await?;
        let permissions = terms.permissions.clone();
        let access = self.mint.member(&grant, Terms { custom, ..terms })?;
        Ok(Given { access, refresh_token: grant.refresh_token, permissions })
    }

    /// Ends the caller's session. A caller without one has nothing to end.
    pub async fn end(&self, call: &CallContext, caller: &Caller) -> Result<(), Status> {
        let Caller::Member { project, organization, session, .. } = caller else { return Ok(()) };
        self.remote.end_session(call, caller, *organization, *session).await?;
        // The others learn it from the feed; this replica need not wait.
        self.invalidations.end(*project, Subject::Session(session.uuid()));
        Ok(())
    }

    /// What entering an organization came to.
    pub(super) async fn progress(&self, call: &CallContext, mut grant: SessionGrant) -> Result<Progress, Status> {
        match grant.second_factor_required.take() {
            Some(missing) => Ok(Progress::Halfway(Box::new(missing))),
            None => Ok(Progress::Signed(Box::new(self.signed(call, grant).await?))),
        }
    }

    async fn signed(&self, call: &CallContext, grant: SessionGrant) -> Result<Signed, Status> {
        if grant.session.is_none() || grant.project_id.is_empty() {
            return Err(refusal::incomplete("a session's grant"));
        }
        let project: ProjectId = grant.project_id.parse().map_err(|_| refusal::incomplete("a session's grant"))?;
        let terms = self.projects.terms(call, project).await?;
        let custom = self.projects.claims(call, &grant).await?;
        let access = self.mint.member(&grant, Terms { custom, ..terms })?;
        Ok(Signed { grant, access })
    }
}
