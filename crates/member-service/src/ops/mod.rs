//! What this service does: each operation opens one transaction, and what it changes, the event and the kept answer commit together.
//! Calls to other services and the hashing of passwords stand before or behind a transaction, never inside.

pub mod credential;
pub mod entry;
pub mod identity;
pub mod identity_batch;
pub mod invitation;
pub mod member;
pub mod prospect;
pub mod service_account;
pub mod session;
pub mod sign_up;
pub mod sso;
pub mod tenant;

use std::{collections::HashSet, sync::Arc, time::Duration};

use access::{Access, Granted, Tenant};
use tenancy::{
    Database, IdentityId, InvitationId, NewEvent, Once, OrganizationId, OrganizationScope, OrganizationState,
    StoreError, Turn, Turns, Write,
};
use tokio::sync::Notify;
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
    /// Where a link that signs in leads to, likewise. None: mails hold codes only.
    pub sign_in_url: Option<Url>,
    pub errands: Turns<Errand>,
}

impl Context {
    /// The link that signs in. A page that is opened uses nothing up: it has to post what it was given, which no program that only looks
    /// at links does.
    fn sign_in_link(&self, token: &str) -> Option<Url> {
        let mut link = self.sign_in_url.clone()?;
        link.query_pairs_mut().append_pair("token", token);
        Some(link)
    }

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

/// Which of these people have proven their address. That stands with their identities, outside the organization's rows.
async fn verified(context: &Context, pool: Tenant, people: &[IdentityId]) -> Result<HashSet<IdentityId>, StoreError> {
    let mut read = context.database.read(pool).await?;
    let verified = crate::store::identity::verified(read.connection(), pool, people).await?;
    read.finish();
    Ok(verified)
}

/// What calls do one at a time, because they would undo each other's steps in other services: the acceptances of one invitation, the
/// repetitions of one request. Not for correctness, which the database sees to, but so that of fifty at once forty-nine find it done,
/// instead of binding roles and taking them back. Each waits for its like alone, and for a bounded time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Errand {
    Acceptance(InvitationId),
    Request { tenant: OrganizationId, caller: String, method: &'static str, request_id: String },
}

impl Errand {
    /// As long as the longest call may wait for the others and still have time for its own steps.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub fn turns() -> Turns<Self> {
        Turns::new(1, Self::PATIENCE)
    }

    /// The repetitions of one request wait for the first to be done.
    async fn of_request(
        context: &Context,
        tenant: OrganizationId,
        once: Option<&Once>,
    ) -> Result<Option<Turn<Self>>, StoreError> {
        let Some(Once { caller, method, request_id, .. }) = once else { return Ok(None) };
        let (caller, request_id) = (caller.clone(), request_id.clone());
        context.errands.take(Self::Request { tenant, caller, method, request_id }).await.map(Some)
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
