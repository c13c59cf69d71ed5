//! Counting tries, in windows that begin with the first. No tenant writes: they take no revision.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::StoreError;
use time::{Duration, OffsetDateTime};

use crate::model::AddressTag;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Password,
    EmailCode,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "PASSWORD",
            Self::EmailCode => "EMAIL_CODE",
        }
    }
}

/// How many tries were made in the running window, this one included, and when it ends.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    pub tries: i32,
    pub window_end: OffsetDateTime,
}

/// Counts a try before it is made, so that a hundred at once do not slip through together.
pub async fn count(
    connection: &mut PgConnection,
    pool: Tenant,
    kind: Kind,
    address: AddressTag,
    window: Duration,
) -> Result<Count, StoreError> {
    let now = OffsetDateTime::now_utc();
    Ok(sqlx::query_as!(
        Count,
        "insert into attempt as a (organization_id, project_id, kind, address_tag, tries, window_end) values ($1, $2, $3, $4, 1, $6)
         on conflict (organization_id, kind, address_tag) do update set
             tries = case when a.window_end <= $5 then 1 else least(a.tries, 1000000) + 1 end,
             window_end = case when a.window_end <= $5 then $6 else a.window_end end
         returning tries, window_end",
        pool.key().uuid(),
        pool.project_id().uuid(),
        kind.as_str(),
        &address.0,
        now,
        now + window
    )
    .fetch_one(connection)
    .await?)
}

/// The right secret was given: the tries before it were the owner's.
pub async fn forgive(
    connection: &mut PgConnection,
    pool: Tenant,
    kind: Kind,
    address: AddressTag,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from attempt where organization_id = $1 and kind = $2 and address_tag = $3",
        pool.key().uuid(),
        kind.as_str(),
        &address.0
    )
    .execute(connection)
    .await?;
    Ok(())
}
