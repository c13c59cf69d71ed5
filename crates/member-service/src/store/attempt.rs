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
    SecondFactor,
}

impl Kind {
    /// Tries in a window before the address has to wait for its end.
    pub const fn most(self) -> i32 {
        match self {
            Self::Password | Self::EmailCode => 10,
            Self::SecondFactor => 5,
        }
    }

    /// How often a window may double that follows on one that was used up. Codes by email are begun as well as tried, by anybody who
    /// knows the address: their windows stay as they are, so that nobody is shut out of both ways for hours.
    const fn doublings(self) -> i32 {
        match self {
            Self::Password => 3,
            Self::EmailCode => 0,
            Self::SecondFactor => 5,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "PASSWORD",
            Self::EmailCode => "EMAIL_CODE",
            Self::SecondFactor => "SECOND_FACTOR",
        }
    }
}

/// The window that the first try begins.
const WINDOW: Duration = Duration::minutes(15);

/// How many tries were made in the running window, this one included, and when it ends.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    pub tries: i32,
    pub window_end: OffsetDateTime,
    /// When it was counted, by the database's clock.
    pub time: OffsetDateTime,
}

impl Count {
    /// Whether this try is one too many.
    pub fn is_used_up(&self, kind: Kind) -> bool {
        self.tries > kind.most()
    }
}

/// Counts a try before it is made, so that a hundred at once do not slip through together. A window that begins after one that was used up
/// is twice as long as that one, within bounds; after any other it is as the first.
pub async fn count(
    connection: &mut PgConnection,
    pool: Tenant,
    kind: Kind,
    address: AddressTag,
) -> Result<Count, StoreError> {
    let now = OffsetDateTime::now_utc();
    Ok(sqlx::query_as!(
        Count,
        "insert into attempt as a (organization_id, project_id, kind, address_tag, tries, window_end)
         values ($1, $2, $3, $4, 1, $5::timestamptz + make_interval(secs => $6))
         on conflict (organization_id, kind, address_tag) do update set
             tries = case when a.window_end <= $5 then 1 else least(a.tries, 1000000) + 1 end,
             used_up = case when a.window_end > $5 then a.used_up when a.tries >= $7 then least(a.used_up + 1, $8) else 0 end,
             window_end = case when a.window_end > $5 then a.window_end
                 else $5 + make_interval(secs => $6) * (1 << case when a.tries >= $7 then least(a.used_up + 1, $8) else 0 end) end
         returning tries, window_end, clock_timestamp() as \"time!\"",
        pool.key().uuid(),
        pool.project_id().uuid(),
        kind.as_str(),
        &address.0,
        now,
        WINDOW.as_seconds_f64(),
        kind.most(),
        kind.doublings()
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

/// Somebody who may has let them in again: the tries of every kind.
pub async fn forgive_all(connection: &mut PgConnection, pool: Tenant, address: AddressTag) -> Result<(), StoreError> {
    sqlx::query!("delete from attempt where organization_id = $1 and address_tag = $2", pool.key().uuid(), &address.0)
        .execute(connection)
        .await?;
    Ok(())
}
