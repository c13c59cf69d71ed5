//! Deleting what has lapsed, and writing down that invitations have. Whatever reads these rows looks at the clock itself: a sweep that is late changes nothing.

use sqlx::PgConnection;
use tenancy::StoreError;

/// Of each kind at most `limit`; how many rows of the fullest kind went.
pub async fn lapsed(connection: &mut PgConnection, limit: i64) -> Result<u64, StoreError> {
    let row = sqlx::query!(
        r#"-- cluster: a sweep serves every tenant
        with c as (delete from challenge where ctid = any (array(select ctid from challenge where expire_time < now() limit $1)) returning 1),
             a as (delete from attempt where ctid = any (array(select ctid from attempt where window_end < now() - interval '1 day' limit $1)) returning 1),
             m as (delete from intermediate_session where ctid = any (array(select ctid from intermediate_session where expire_time < now() limit $1)) returning 1),
             f as (delete from founding where ctid = any (array(select ctid from founding where done and expire_time < now() limit $1)) returning 1),
             s as (delete from session where ctid = any (array(select ctid from session where expire_hour < now() and expire_time < now() limit $1)) returning 1),
             i as (update invitation set state = 'EXPIRED' where ctid = any (array(select ctid from invitation where state = 'PENDING' and expire_time < now() limit $1)) returning 1),
             o as (delete from outbox where ctid = any (array(select ctid from outbox where give_up_time < now() limit $1)) returning 1)
        select greatest((select count(*) from c), (select count(*) from a), (select count(*) from m), (select count(*) from f), (select count(*) from s), (select count(*) from i), (select count(*) from o)) as "most!",
            (select count(*) from o) as "mails!""#,
        limit
    )
    .fetch_one(connection)
    .await?;
    if row.mails > 0 {
        tracing::warn!(mails = row.mails, "mails were given up: no mail server took them in time");
    }
    Ok(row.most.unsigned_abs())
}

/// What an archived project has no use for any more: sessions, codes on their way, mail that waits. Of each kind at most `limit`; how
/// many rows of the fullest kind went. The archived projects are found by an index of them alone.
pub async fn archived(connection: &mut PgConnection, limit: i64) -> Result<u64, StoreError> {
    let most = sqlx::query_scalar!(
        r#"-- cluster: a sweep serves every tenant
        with s as (delete from session where ctid = any (array(
                 select x.ctid from head p join session x on x.project_id = p.project_id
                 where p.organization_id = p.project_id and p.state <> 'ACTIVE' limit $1)) returning 1),
             c as (delete from challenge where ctid = any (array(
                 select x.ctid from head p join challenge x on x.project_id = p.project_id
                 where p.organization_id = p.project_id and p.state <> 'ACTIVE' limit $1)) returning 1),
             o as (delete from outbox where ctid = any (array(
                 select x.ctid from head p join outbox x on x.project_id = p.project_id
                 where p.organization_id = p.project_id and p.state <> 'ACTIVE' limit $1)) returning 1)
        select greatest((select count(*) from s), (select count(*) from c), (select count(*) from o)) as "most!""#,
        limit
    )
    .fetch_one(connection)
    .await?;
    Ok(most.unsigned_abs())
}
