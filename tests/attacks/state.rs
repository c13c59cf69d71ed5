//! What a tenant has, row by row, as the superuser sees it.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use testkit::Cluster;
use tokio::time::{Duration, sleep};

use crate::world::Tenant;

pub const SCHEMAS: [&str; 3] = ["org", "member", "authz"];
/// Columns that work in the background keeps, whoever calls.
const KEPT_IN_THE_BACKGROUND: [&str; 4] = ["next_look_time", "misses", "next_try_time", "tries"];

pub async fn superuser(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.access().database_url).await.unwrap()
}

/// The tables of a schema that hold tenants' rows.
pub async fn tables(database: &mut PgConnection, schema: &str) -> Vec<String> {
    let rows = sqlx::query(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id'
         where n.nspname = $1 and c.relkind in ('r', 'p') order by 1",
    )
    .bind(schema)
    .fetch_all(database)
    .await
    .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

pub fn uuid(organization: &str) -> String {
    organization.parse::<tenancy::OrganizationId>().unwrap().uuid().to_string()
}

/// By table: how many rows, and a digest of them. The head of each chain is a row among them.
pub async fn of(database: &mut PgConnection, tenant: &Tenant<'_>) -> BTreeMap<String, (i64, String)> {
    let mut state = BTreeMap::new();
    let kept = KEPT_IN_THE_BACKGROUND.map(|column| format!("'{column}'")).join(", ");
    for schema in SCHEMAS {
        for table in tables(database, schema).await {
            // The people of a shared pool stand under their project.
            let people = if table == "identity" {
                format!(
                    " or t.identity_id in (select identity_id from member.member where organization_id = '{}')",
                    uuid(tenant.id())
                )
            } else {
                String::new()
            };
            let sql = format!(
                "select count(*), coalesce(md5(string_agg(row::text, '|' order by row::text)), '') from (
                     select to_jsonb(t) - array[{kept}] as row from {schema}.{table} t
                     where t.organization_id = '{}'{people}) rows",
                uuid(tenant.id())
            );
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *database).await.unwrap();
            state.insert(format!("{schema}.{table}"), (row.get(0), row.get(1)));
        }
    }
    state
}

/// Once what was begun for the tenant has come to its end: mails, words from service to service.
pub async fn settled(database: &mut PgConnection, tenant: &Tenant<'_>) -> BTreeMap<String, (i64, String)> {
    let mut before = of(database, tenant).await;
    for _ in 0..60 {
        sleep(Duration::from_millis(1500)).await;
        let now = of(database, tenant).await;
        if now == before && now["member.outbox"].0 == 0 {
            return now;
        }
        before = now;
    }
    panic!("what {} has does not come to rest", tenant.mark);
}

/// All of it with row-level security taken down, or put back.
pub async fn row_level_security(cluster: &Cluster, is_on: bool) {
    let mut database = superuser(cluster).await;
    let word = if is_on { "enable" } else { "disable" };
    for schema in SCHEMAS {
        for table in tables(&mut database, schema).await {
            let statement = AssertSqlSafe(format!("alter table {schema}.{table} {word} row level security"));
            sqlx::query(statement).execute(&mut database).await.unwrap();
        }
    }
}
