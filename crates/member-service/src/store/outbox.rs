//! Mail to be sent. Put in by the transaction that gives the reason for it, taken out once a server has accepted it.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{OrganizationId, StoreError};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// A sealed mail.
#[derive(Debug)]
pub struct Mail {
    pub tenant: OrganizationId,
    pub mail_id: Uuid,
    pub content: Vec<u8>,
    pub tries: i32,
}

pub async fn put(
    connection: &mut PgConnection,
    tenant: Tenant,
    mail_id: Uuid,
    content: &[u8],
    give_up_time: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into outbox (organization_id, project_id, mail_id, content, give_up_time) values ($1, $2, $3, $4, $5)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        mail_id,
        content,
        give_up_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes what is due on loan: it becomes due again, later with each try, unless it is removed meanwhile. Other senders pass it over.
/// Nothing of an archived project is due any more.
pub async fn take_due(connection: &mut PgConnection, limit: i64) -> Result<Vec<Mail>, StoreError> {
    let rows = sqlx::query!(
        "-- cluster: the sender serves every tenant
         update outbox as o set tries = o.tries + 1,
             next_try_time = now() + least(interval '1 minute' * power(2, o.tries), interval '1 hour')
         from (select w.organization_id, w.mail_id from outbox w
               where w.next_try_time <= now() and w.give_up_time > now() and not exists (
                   select from head p where p.organization_id = w.project_id and p.state <> 'ACTIVE')
               order by w.next_try_time limit $1 for update of w skip locked) as due
         where o.organization_id = due.organization_id and o.mail_id = due.mail_id
         returning o.organization_id, o.mail_id, o.content, o.tries",
        limit
    )
    .fetch_all(connection)
    .await?;
    let mail = |row: (Uuid, Uuid, Vec<u8>, i32)| Mail {
        tenant: OrganizationId::from_uuid(row.0),
        mail_id: row.1,
        content: row.2,
        tries: row.3,
    };
    Ok(rows.into_iter().map(|r| mail((r.organization_id, r.mail_id, r.content, r.tries))).collect())
}

pub async fn remove(connection: &mut PgConnection, tenant: OrganizationId, mail_id: Uuid) -> Result<(), StoreError> {
    sqlx::query!("delete from outbox where organization_id = $1 and mail_id = $2", tenant.uuid(), mail_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// When the next mail falls due, if there is any.
pub async fn next_due(connection: &mut PgConnection) -> Result<Option<Duration>, StoreError> {
    let next = sqlx::query_scalar!(
        "-- cluster: the sender serves every tenant
         select min(next_try_time) from outbox where give_up_time > now()"
    )
    .fetch_one(connection)
    .await?;
    Ok(next.map(|time| time - OffsetDateTime::now_utc()))
}

/// What waits to be sent, for whoever watches.
#[derive(Debug)]
pub struct Depth {
    /// Counted up to 10 000.
    pub mails: i64,
    /// Of these the first that was put in: its id, a UUIDv7, says when.
    pub oldest: Option<Uuid>,
}

pub async fn depth(connection: &mut PgConnection) -> Result<Depth, StoreError> {
    let row = sqlx::query!(
        r#"-- cluster: the sender serves every tenant
           select count(*) as "mails!", (array_agg(w.mail_id order by w.mail_id))[1] as oldest
           from (select mail_id from outbox where give_up_time > now() order by next_try_time limit 10000) as w"#
    )
    .fetch_one(connection)
    .await?;
    Ok(Depth { mails: row.mails, oldest: row.oldest })
}
