//! What was good and is no longer, told before it expires.
//!
//! A token is verified without asking anybody, so it goes on being well-formed after its member was removed. Whoever believes tokens
//! therefore holds a [`Set`] of what has been taken back within the life of the longest token, learnt from a stream, and a
//! [`Complete`], which says up to when that stream has told everything. What is in the set is refused; what is not is believed as
//! long as the news are young enough.
//!
//! Two things outdate a token. Its member, session, account, key, organization or project was shut; or it was made from roles that
//! have changed since. For the second a token carries its `epoch`: the revision of the organization in authz-service that its roles were
//! read at. Whatever is taken from a member's roles at revision r refuses the member's tokens of an epoch below r. No counter is kept for it, so
//! none can be raised too early, too late or twice: a token whose roles were read before the change says so itself, however late it is
//! made.
//!
//! A token that lists permissions is outdated too when a role permits something else than before, of the organization or of its
//! project, and carries the project's revision beside its epoch.

mod complete;
mod moment;
mod set;

pub use complete::{Ahead, Complete};
pub use moment::Moment;
pub use set::{Set, Standing, Statement, Which};

use std::time::Duration;

use uuid::Uuid;

/// No access token is good for longer, whatever its project says.
pub const LONGEST_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long what was taken back is held: no token lives longer, the difference of two clocks included.
pub const KEEP: Duration = LONGEST_LIFE.saturating_add(Duration::from_secs(60));

/// Whose tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    Project(Uuid),
    Organization(Uuid),
    Member(Uuid),
    ServiceAccount(Uuid),
    Session(Uuid),
    ApiKey(Uuid),
    /// One token, by its `jti`.
    Token(Uuid),
}

/// What of a token decides whether it is outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    pub project: Uuid,
    /// Where it is one. None for a service account of the project.
    pub organization: Option<Uuid>,
    /// The member or service account.
    pub holder: Subject,
    /// The session or API key that the token came from.
    pub by: Subject,
    /// When the session began, in milliseconds since 1970; for an API key the time of the token.
    pub began_at: u64,
    /// Seconds since 1970.
    pub issued_at: u64,
    /// The revision that its roles were read at, or its permissions if that is lower. None for a token that says nothing of either.
    pub epoch: Option<i64>,
    /// The project's revision that its permissions were read at. None for a token that lists none of an organization.
    pub project_epoch: Option<i64>,
    /// The token itself.
    pub token: Option<Uuid>,
    /// Who acts as the holder, and the session or API key of their own that they do it by: when either is shut, so is this.
    pub acting: Option<(Subject, Subject)>,
}

impl Bearer {
    /// A member's token.
    pub fn member(project: Uuid, organization: Uuid, member: Uuid, session: Uuid, issued_at: u64, epoch: i64) -> Self {
        // A session's id says when it was made.
        let (seconds, nanoseconds) = session.get_timestamp().map_or((0, 0), |time| time.to_unix());
        Self {
            project,
            organization: Some(organization),
            holder: Subject::Member(member),
            by: Subject::Session(session),
            began_at: seconds * 1000 + u64::from(nanoseconds / 1_000_000),
            issued_at,
            epoch: Some(epoch),
            project_epoch: None,
            token: None,
            acting: None,
        }
    }

    /// A service account's token.
    pub fn service_account(project: Uuid, organization: Option<Uuid>, id: Uuid, key: Uuid, issued_at: u64) -> Self {
        Self {
            project,
            organization,
            holder: Subject::ServiceAccount(id),
            by: Subject::ApiKey(key),
            began_at: issued_at.saturating_mul(1000),
            issued_at,
            epoch: None,
            project_epoch: None,
            token: None,
            acting: None,
        }
    }
}
