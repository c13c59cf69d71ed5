//! What this service does: each operation opens one transaction, and what it changes, the event and the kept answer commit together.
//! Calls to other services and the hashing of passwords stand before or behind a transaction, never inside.

pub mod credential;
pub mod identity;
pub mod invitation;
pub mod member;
pub mod prospect;
pub mod service_account;
pub mod session;
pub mod tenant;

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::Arc,
};

use access::{Access, Granted, Tenant};
use tenancy::{Database, NewEvent, OrganizationScope, OrganizationState, Write};
use tokio::sync::{Mutex, Notify};
use url::Url;

use crate::{
    hashing::Hasher,
    model::{EndReason, Session, SessionChange},
    remote::{Remote, RemoteError},
};

/// What the operations work with.
#[derive(Debug)]
pub struct Context {
    pub database: Database,
    pub access: Access,
    pub remote: Remote,
    pub hasher: Hasher,
    /// Told when a mail was put into the outbox.
    pub mail_waiting: Arc<Notify>,
    /// Where invitations are accepted; the secret is added as `?token=`.
    pub invitation_url: Url,
    pub gates: Gates,
}

impl Context {
    /// Where an organization's identities stand.
    async fn pool(&self, granted: &Granted<OrganizationScope>) -> Result<Tenant, RemoteError> {
        let project = granted.scope.project_id();
        Ok(match self.remote.shares_pool(granted.into(), project).await? {
            Some(false) => Tenant::Organization(granted.scope),
            Some(true) => Tenant::Project(granted.in_its_project().scope),
            None => return Err(RemoteError::inconsistent("org-service does not know the project of an organization")),
        })
    }
}

/// Lets operations through one at a time that would undo each other's steps in other services: the acceptances of one invitation, the
/// repetitions of one request. Not for correctness, which the database sees to, but so that of fifty at once forty-nine find it done,
/// instead of binding roles and taking them back.
#[derive(Debug)]
pub struct Gates([Mutex<()>; 64]);

impl Default for Gates {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Gates {
    fn of(&self, what: impl Hash) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        &self.0[(hasher.finish() % self.0.len() as u64) as usize]
    }
}

/// The organization is suspended or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the organization is not active")]
pub struct NotActive(pub OrganizationState);

fn active(state: OrganizationState) -> Result<(), NotActive> {
    if state == OrganizationState::Active { Ok(()) } else { Err(NotActive(state)) }
}

/// The event of a session that ended before its time.
fn append_session_end(tx: &mut Write, session: Session, reason: EndReason) {
    let ids = vec![session.session_id.to_string(), session.member_id.to_string()];
    let change = SessionChange { before: Some(session), after: None, end_reason: Some(reason) };
    tx.append(NewEvent::new("session.revoked", ids, &change));
}
