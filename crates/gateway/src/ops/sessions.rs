//! Sessions from the first token to the last: begun after a sign-in, refreshed, ended.

use std::{net::IpAddr, sync::Arc};

use access::Caller;
use api::member::v1::{AuthFactor, CreateSessionRequest, ExchangeSessionRequest, SessionGrant};
use runtime::CallContext;
use tonic::Status;

use super::sign_in::Progress;
use crate::{
    mint::{Mint, Minted},
    refusal,
    remote::Remote,
    revocation::Revocations,
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
    mint: Arc<Mint>,
    revocations: Arc<Revocations>,
}

impl Sessions {
    pub fn new(remote: Remote, mint: Arc<Mint>, revocations: Arc<Revocations>) -> Self {
        Self { remote, mint, revocations }
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
        self.progress(grant)
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
        self.progress(grant)
    }

    pub async fn refresh(&self, call: &CallContext, refresh_token: String) -> Result<Signed, Status> {
        let grant = self.remote.refresh_session(call, refresh_token).await?;
        self.signed(grant)
    }

    /// Ends the caller's session. A caller without one has nothing to end.
    pub async fn end(&self, call: &CallContext, caller: &Caller) -> Result<(), Status> {
        let Caller::Member { organization, session, .. } = caller else { return Ok(()) };
        self.remote.end_session(call, caller, *organization, *session).await?;
        // The others learn it from the feed; this replica need not wait.
        self.revocations.end(*session);
        Ok(())
    }

    /// What entering an organization came to.
    pub(super) fn progress(&self, mut grant: SessionGrant) -> Result<Progress, Status> {
        match grant.second_factor_required.take() {
            Some(missing) => Ok(Progress::Halfway(Box::new(missing))),
            None => Ok(Progress::Signed(Box::new(self.signed(grant)?))),
        }
    }

    fn signed(&self, grant: SessionGrant) -> Result<Signed, Status> {
        if grant.session.is_none() || grant.project_id.is_empty() {
            return Err(refusal::incomplete("a session's grant"));
        }
        let access = self.mint.member(&grant)?;
        Ok(Signed { grant, access })
    }
}
