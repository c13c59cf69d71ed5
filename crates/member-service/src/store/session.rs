//! Sessions and their refresh tokens.

use serde_json::Value;
use sqlx::PgConnection;
use tenancy::{
    IdentityId, MemberId, OrganizationId, OrganizationScope, SessionId, StoreError,
    event::now,
    page::{Listed, Page},
    secret::SecretHash,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{from_json, json};
use crate::model::{Session, SessionLimits};

/// Used-up tokens that are remembered for each session. An older one opens nothing either; it only no longer gives the alarm.
const REMEMBERED: i64 = 100;

struct Row {
    organization_id: Uuid,
    session_id: Uuid,
    identity_id: Uuid,
    member_id: Uuid,
    organization_slug: String,
    auth_factors: Value,
    user_agent: String,
    ip_address: String,
    last_active_time: OffsetDateTime,
    expire_time: OffsetDateTime,
    impersonator: Option<String>,
    revision: i64,
    create_time: OffsetDateTime,
}

impl TryFrom<Row> for Session {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            session_id: SessionId::from_uuid(row.session_id),
            identity_id: IdentityId::from_uuid(row.identity_id),
            member_id: MemberId::from_uuid(row.member_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            organization_slug: row.organization_slug,
            auth_factors: from_json(row.auth_factors, "session.auth_factors")?,
            user_agent: row.user_agent,
            ip_address: row.ip_address,
            last_active_time: row.last_active_time,
            expire_time: row.expire_time,
            impersonator: row.impersonator,
            revision: row.revision,
            create_time: row.create_time,
        })
    }
}

fn collect(rows: Vec<Row>) -> Result<Vec<Session>, StoreError> {
    rows.into_iter().map(Session::try_from).collect()
}

pub async fn insert(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    session: &Session,
    latest_time: OffsetDateTime,
    token: &SecretHash,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into session (organization_id, project_id, session_id, identity_id, member_id, organization_slug, auth_factors,
             user_agent, ip_address, refresh_hash, last_active_time, expire_time, impersonator, revision, create_time, latest_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        session.session_id.uuid(),
        session.identity_id.uuid(),
        session.member_id.uuid(),
        session.organization_slug,
        json(&session.auth_factors)?,
        session.user_agent,
        session.ip_address,
        token.as_bytes(),
        session.last_active_time,
        session.expire_time,
        session.impersonator,
        session.revision,
        session.create_time,
        latest_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A session that has not ended.
pub async fn live(
    connection: &mut PgConnection,
    organization: OrganizationId,
    session: SessionId,
) -> Result<Option<Session>, StoreError> {
    sqlx::query_as!(
        Row,
        "select organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
             last_active_time, expire_time, impersonator, revision, create_time
         from session where organization_id = $1 and session_id = $2 and expire_time > now()",
        organization.uuid(),
        session.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Session::try_from)
    .transpose()
}

/// Sessions that have not ended, newest first.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: Option<MemberId>,
    page: &Page<SessionId>,
) -> Result<Listed<Session, SessionId>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
             last_active_time, expire_time, impersonator, revision, create_time
         from session
         where organization_id = $1 and ($2::uuid is null or member_id = $2) and ($3::uuid is null or session_id < $3)
             and expire_time > now()
         order by session_id desc limit $4",
        organization.uuid(),
        member.map(MemberId::uuid),
        page.after.map(SessionId::uuid),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    Ok(Listed::from_rows(collect(rows)?, page.size, |session| session.session_id))
}

pub async fn delete(
    connection: &mut PgConnection,
    organization: OrganizationId,
    session: SessionId,
) -> Result<Option<Session>, StoreError> {
    sqlx::query_as!(
        Row,
        "delete from session where organization_id = $1 and session_id = $2
         returning organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
             last_active_time, expire_time, impersonator, revision, create_time",
        organization.uuid(),
        session.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Session::try_from)
    .transpose()
}

pub async fn delete_of_member(
    connection: &mut PgConnection,
    organization: OrganizationId,
    member: MemberId,
) -> Result<Vec<Session>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "delete from session where organization_id = $1 and member_id = $2
         returning organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
             last_active_time, expire_time, impersonator, revision, create_time",
        organization.uuid(),
        member.uuid()
    )
    .fetch_all(connection)
    .await?;
    collect(rows)
}

/// Those of a person in one organization.
pub async fn delete_of_identity(
    connection: &mut PgConnection,
    organization: OrganizationId,
    identity: IdentityId,
) -> Result<Vec<Session>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "delete from session where organization_id = $1 and identity_id = $2
         returning organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
             last_active_time, expire_time, impersonator, revision, create_time",
        organization.uuid(),
        identity.uuid()
    )
    .fetch_all(connection)
    .await?;
    collect(rows)
}

/// Of a deleted organization. Its own deletion is the event.
pub async fn delete_all(connection: &mut PgConnection, organization: OrganizationId) -> Result<(), StoreError> {
    sqlx::query!("delete from session where organization_id = $1", organization.uuid()).execute(connection).await?;
    Ok(())
}

/// What a refresh token is to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Good for the next.
    Current,
    /// Traded in moments ago, its successor unused: the answer may have been lost, or somebody else of the same browser was quicker.
    Retried,
    /// Used up.
    Used,
    /// Never this session's.
    Foreign,
}

/// The refresh tokens of a session.
struct Hashes {
    refresh_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    rotate_time: Option<OffsetDateTime>,
}

impl Hashes {
    /// What a token is to the session, if it is not one of those that it had before.
    fn standing(&self, token: &SecretHash, retry_until: time::Duration) -> Option<Standing> {
        if token.matches(&self.refresh_hash) {
            return Some(Standing::Current);
        }
        self.previous_hash.as_deref().is_some_and(|hash| token.matches(hash)).then(|| {
            let fresh = self.rotate_time.is_some_and(|time| time + retry_until > OffsetDateTime::now_utc());
            if fresh { Standing::Retried } else { Standing::Used }
        })
    }
}

/// A session by a refresh token.
#[derive(Debug)]
pub struct Seen {
    pub standing: Standing,
    /// The session, if it goes on with the token.
    pub session: Option<Session>,
    /// The hash of the token that is good now.
    pub current: Vec<u8>,
}

impl Seen {
    const NOTHING: Self = Self { standing: Standing::Foreign, session: None, current: Vec::new() };
}

/// What a refresh token is to its session now.
pub async fn look(
    connection: &mut PgConnection,
    organization: OrganizationId,
    session: SessionId,
    token: &SecretHash,
    retry_until: time::Duration,
) -> Result<Seen, StoreError> {
    let row = sqlx::query!(
        r#"select organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
             last_active_time, expire_time, impersonator, revision, create_time, expire_time > now() as "live!",
             refresh_hash, previous_hash, rotate_time
         from session where organization_id = $1 and session_id = $2"#,
        organization.uuid(),
        session.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(Seen::NOTHING) };
    let hashes =
        Hashes { refresh_hash: row.refresh_hash, previous_hash: row.previous_hash, rotate_time: row.rotate_time };
    let found = Row {
        organization_id: row.organization_id,
        session_id: row.session_id,
        identity_id: row.identity_id,
        member_id: row.member_id,
        organization_slug: row.organization_slug,
        auth_factors: row.auth_factors,
        user_agent: row.user_agent,
        ip_address: row.ip_address,
        last_active_time: row.last_active_time,
        expire_time: row.expire_time,
        impersonator: row.impersonator,
        revision: row.revision,
        create_time: row.create_time,
    };
    let standing = match hashes.standing(token, retry_until) {
        Some(standing) => standing,
        None => before(connection, organization, session, token).await?,
    };
    let goes_on = row.live && matches!(standing, Standing::Current | Standing::Retried);
    let session = if goes_on { Some(found.try_into()?) } else { None };
    Ok(Seen { standing, session, current: hashes.refresh_hash })
}

/// Whether a token that is none of the session's was once.
async fn before(
    connection: &mut PgConnection,
    organization: OrganizationId,
    session: SessionId,
    token: &SecretHash,
) -> Result<Standing, StoreError> {
    let used = sqlx::query_scalar!(
        r#"select exists (select 1 from used_token where organization_id = $1 and session_id = $2 and hash = $3) as "used!""#,
        organization.uuid(),
        session.uuid(),
        token.as_bytes()
    )
    .fetch_one(connection)
    .await?;
    Ok(if used { Standing::Used } else { Standing::Foreign })
}

/// When a session ends however busy it is.
pub async fn latest_time(
    connection: &mut PgConnection,
    organization: OrganizationId,
    session: SessionId,
) -> Result<Option<OffsetDateTime>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select latest_time from session where organization_id = $1 and session_id = $2",
        organization.uuid(),
        session.uuid()
    )
    .fetch_optional(connection)
    .await?)
}

/// Trades the token that is good now for the next, and puts off the session's end as the limits allow. None, and nothing is changed, where
/// the presented one is not good, or not any more: of those who present one at once, whoever waited finds it traded in.
pub async fn rotate(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    session: SessionId,
    presented: &SecretHash,
    next: &SecretHash,
    limits: SessionLimits,
) -> Result<Option<Session>, StoreError> {
    let now = now();
    sqlx::query_as!(
        Row,
        "with rotated as (
             update session set refresh_hash = $5, previous_hash = $4, rotate_time = $6, rotation = rotation + 1,
                 last_active_time = $6, latest_time = least(latest_time, create_time + make_interval(secs => $8)),
                 expire_time = least(latest_time, create_time + make_interval(secs => $8), $6::timestamptz + make_interval(secs => $9))
             where organization_id = $1 and session_id = $3 and refresh_hash = $4
             returning organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
                 last_active_time, expire_time, impersonator, revision, create_time, rotation
         ), remembered as (
             insert into used_token (organization_id, project_id, session_id, hash, rotation)
             select $1, $2, $3, $4, rotation from rotated
             on conflict do nothing
         ), forgotten as (
             delete from used_token
             where organization_id = $1 and session_id = $3 and rotation < (select rotation from rotated) - $7
         )
         select organization_id, session_id, identity_id, member_id, organization_slug, auth_factors, user_agent, ip_address,
             last_active_time, expire_time, impersonator, revision, create_time
         from rotated",
        scope.organization_id().uuid(),
        scope.project_id().uuid(),
        session.uuid(),
        presented.as_bytes(),
        next.as_bytes(),
        now,
        REMEMBERED,
        limits.lifetime.as_seconds_f64(),
        limits.idle_timeout.as_seconds_f64()
    )
    .fetch_optional(connection)
    .await?
    .map(Session::try_from)
    .transpose()
}
