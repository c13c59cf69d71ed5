//! What a token is worth now (RFC 7662), and making it worthless (RFC 7009).

use std::sync::Arc;

use access::{Caller, Invalidations, Verified, Verifier};
use api::{
    access::v1::ErrorReason,
    member::v1::{ReadRefreshTokenResponse, RevokeAccessTokenRequest},
};
use outdated::Subject;
use prost_types::Timestamp;
use runtime::CallContext;
use serde_json::{Map, Value};
use tenancy::{MemberId, ProjectId};
use tonic::Status;
use uuid::Uuid;

use super::{clients::Clients, projects};
use crate::{
    mint::OWN_CLIENT,
    refusal,
    remote::{MYSELF, Remote},
};

/// A token that is good, and what it says.
#[derive(Debug)]
pub enum Active {
    Access {
        verified: Box<Verified>,
        payload: Map<String, Value>,
    },
    Refresh(Box<ReadRefreshTokenResponse>),
    /// A service account's id and, of an organization's, its organization.
    ApiKey {
        account: String,
        organization: String,
    },
}

/// Whose a token must be to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ender {
    /// Nobody who said who they are: the tokens of people's sign-ins, which belong to no client that could authenticate.
    Anyone,
    /// A caller with a credential.
    Caller(Whose),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Member(MemberId),
    Account(tenancy::ServiceAccountId),
    /// All of a project: its own service account asks.
    Project(ProjectId),
    Nobody,
}

impl Whose {
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Member { member, .. } => Self::Member(*member),
            Caller::ServiceAccount { organization: None, project, .. } => Self::Project(*project),
            Caller::ServiceAccount { id, .. } => Self::Account(*id),
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => Self::Nobody,
        }
    }
}

#[derive(Debug)]
pub struct Standing {
    pub remote: Remote,
    pub verifier: Arc<Verifier>,
    pub invalidations: Arc<Invalidations>,
    pub clients: Arc<Clients>,
}

/// None for what is the token's fault. What is ours is said: a token of which we cannot know must not be called bad.
fn known<T>(answer: Result<T, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) => match refusal::reason(&status) {
            Some(
                ErrorReason::SignInFailed
                | ErrorReason::RefreshTokenRefused
                | ErrorReason::CredentialRevoked
                | ErrorReason::InvalidFields,
            ) => Ok(None),
            _ => Err(status),
        },
    }
}

impl Standing {
    /// What a token of the project is worth. None where it is worth nothing, or is another's, or none at all.
    pub async fn of(&self, call: &CallContext, project: ProjectId, token: &str) -> Result<Option<Active>, Status> {
        if token.contains('.') {
            let Ok(verified) = self.verifier.verify_for_any_audience(token) else { return Ok(None) };
            let belongs = matches!(verified.caller, Caller::Member { project: of, .. } | Caller::ServiceAccount { project: of, .. } if of == project);
            if !belongs || known(self.invalidations.check(&verified))?.is_none() {
                return Ok(None);
            }
            self.invalidations.check_all_heard()?;
            return Ok(Some(Active::Access { verified: Box::new(verified), payload: projects::payload(token) }));
        }
        if let Some(found) = known(self.remote.read_refresh_token(call, token.to_owned()).await)? {
            return Ok((found.project_id == project.to_string()).then(|| Active::Refresh(Box::new(found))));
        }
        let account = known(self.clients.by_key(call, token.to_owned()).await)?;
        Ok(account.filter(|account| account.project == project).map(|account| Active::ApiKey {
            account: account.id.to_string(),
            organization: account.organization.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }

    /// Ends a token that is the ender's, with its session if it has one. Whatever else is presented changes nothing.
    pub async fn end(&self, call: &CallContext, ender: Ender, token: String) -> Result<(), Status> {
        if !token.contains('.') {
            return self.end_refresh(call, ender, token).await;
        }
        let Ok(verified) = self.verifier.verify_for_any_audience(&token) else { return Ok(()) };
        let Some(claims) = verified.claims.clone() else { return Ok(()) };
        let owner = match &verified.caller {
            Caller::Member { member, .. } => Whose::Member(*member),
            Caller::ServiceAccount { id, .. } => Whose::Account(*id),
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => return Ok(()),
        };
        let theirs = match ender {
            Ender::Anyone => claims.client_id == OWN_CLIENT,
            Ender::Caller(Whose::Project(project)) => claims.project_id == Some(project.to_string()),
            Ender::Caller(whose) => whose == owner,
        };
        if !theirs || known(self.invalidations.check(&verified))?.is_none() {
            return Ok(());
        }
        match &verified.caller {
            Caller::Member { project, organization, session, .. } => {
                self.remote.end_session(call, &verified.caller, *organization, *session).await?;
                self.invalidations.end(*project, Subject::Session(session.uuid()));
            }
            Caller::ServiceAccount { project, organization, id, .. } => {
                let Ok(token_id) = claims.jti.parse::<Uuid>() else { return Ok(()) };
                let request = RevokeAccessTokenRequest {
                    organization_id: organization.map(|id| id.to_string()).unwrap_or_default(),
                    project_id: project.to_string(),
                    service_account_id: id.to_string(),
                    token_id: token_id.to_string(),
                    expire_time: Some(Timestamp { seconds: claims.exp.try_into().unwrap_or(i64::MAX), nanos: 0 }),
                };
                self.remote.revoke_access_token(call, &verified.caller, request).await?;
                self.invalidations.end(*project, Subject::Token(token_id));
            }
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => {}
        }
        Ok(())
    }

    /// The session goes with it, also where the token was used up and its successor is another's.
    async fn end_refresh(&self, call: &CallContext, ender: Ender, token: String) -> Result<(), Status> {
        let project = match ender {
            Ender::Anyone => String::new(),
            Ender::Caller(Whose::Project(project)) => project.to_string(),
            Ender::Caller(Whose::Member(member)) => {
                let found = known(self.remote.read_refresh_token(call, token.clone()).await)?;
                let session = found.and_then(|found| found.session).filter(|s| s.member_id == member.to_string());
                if session.is_none() {
                    return Ok(());
                }
                String::new()
            }
            Ender::Caller(Whose::Account(_) | Whose::Nobody) => return Ok(()),
        };
        self.remote.end_session_by_token(call, &MYSELF, token, project).await
    }
}
