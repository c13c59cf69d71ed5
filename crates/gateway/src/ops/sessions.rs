//! Sessions from the first token to the last: begun after a sign-in, refreshed, ended.

use std::{net::IpAddr, sync::Arc};

use access::{Caller, Invalidations};
use api::member::v1::{AuthFactor, CreateSessionRequest, ExchangeSessionRequest, SessionGrant};
use outdated::Subject;
use runtime::CallContext;
use tonic::Status;

use super::projects::Projects;
use crate::{
    mint::{Mint, Minted},
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
    invalidations: Arc<Invalidations>,
}

impl Sessions {
    pub fn new(remote: Remote, projects: Arc<Projects>, mint: Arc<Mint>, invalidations: Arc<Invalidations>) -> Self {
        Self { remote, projects, mint, invalidations }
    }

    /// Begins a session for a member who has proven who they are.
    pub async fn begin(
        &self,
        visitor: &Visitor,
        organization_id: String,
        member_id: String,
        factor: Option<AuthFactor>,
    ) -> Result<Signed, Status> {
        let request = CreateSessionRequest {
            organization_id,
            member_id,
            auth_factors: factor.into_iter().collect(),
            user_agent: visitor.user_agent.clone(),
            ip_address: visitor.address.to_string(),
        };
        let grant = self.remote.create_session(&visitor.call, request).await?;
        self.signed(&visitor.call, grant).await
    }

    /// Begins a session on the strength of what was proven before.
    pub async fn exchange(
        &self,
        visitor: &Visitor,
        caller: &Caller,
        request: ExchangeSessionRequest,
    ) -> Result<Signed, Status> {
        let request = ExchangeSessionRequest {
            user_agent: visitor.user_agent.clone(),
            ip_address: visitor.address.to_string(),
            ..request
        };
        let grant = self.remote.exchange_session(&visitor.call, caller, request).await?;
        self.signed(&visitor.call, grant).await
    }

    pub async fn refresh(&self, call: &CallContext, refresh_token: String) -> Result<Signed, Status> {
        let grant = self.remote.refresh_session(call, refresh_token).await?;
        self.signed(call, grant).await
    }

    /// Ends the caller's session. A caller without one has nothing to end.
    pub async fn end(&self, call: &CallContext, caller: &Caller) -> Result<(), Status> {
        let Caller::Member { project, organization, session, .. } = caller else { return Ok(()) };
        self.remote.end_session(call, caller, *organization, *session).await?;
        // The others learn it from the feed; this replica need not wait.
        self.invalidations.end(*project, Subject::Session(session.uuid()));
        Ok(())
    }

    pub(super) async fn signed(&self, call: &CallContext, grant: SessionGrant) -> Result<Signed, Status> {
        if grant.session.is_none() || grant.project_id.is_empty() {
            return Err(refusal::incomplete("a session's grant"));
        }
        let project = grant.project_id.parse().map_err(|_| refusal::incomplete("a session's grant"))?;
        let making = self.projects.making(call, project).await?;
        let access = self.mint.member(&grant, making.algorithm)?;
        Ok(Signed { grant, access })
    }
}
