//! Erasing a tenant's rows, whatever tables there are.
//!
//! The tables are found in the catalog: all of this schema that name an `organization_id` and that the server's role may delete from. So
//! none is forgotten that is made later, and what must stay (heads, events, slugs that were used) stays by its privileges.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{OrganizationId, StoreError};

/// Rows that one statement deletes: many short statements, none near the time limit.
const ROWS_AT_ONCE: u64 = 5000;

struct Table {
    /// As an identifier, quoted where it must be.
    name: String,
    /// Its rows refer to each other, and so must go in one statement.
    whole: bool,
}

/// Deletes all rows of the tenant; how many they were.
pub(crate) async fn erase_rows(connection: &mut PgConnection, organization: OrganizationId) -> Result<u64, StoreError> {
    let mut erased = 0;
    for table in tables(connection).await? {
        let limit = if table.whole { "all".to_owned() } else { ROWS_AT_ONCE.to_string() };
        let statement = format!(
            "delete from {0} where organization_id = $1 and ctid = any (array(
                 select ctid from {0} where organization_id = $1 limit {limit}))",
            table.name
        );
        loop {
            let rows = sqlx::query(AssertSqlSafe(statement.clone()))
                .bind(organization.uuid())
                .execute(&mut *connection)
                .await?
                .rows_affected();
            erased += rows;
            // Not sooner: a row that was changed in another place of the table meanwhile was passed over.
            if rows == 0 {
                break;
            }
        }
    }
    Ok(erased)
}

/// A table that refers to another comes before it.
async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, StoreError> {
    Ok(sqlx::query_as!(
        Table,
        r#"with recursive erasable as (
             select c.oid, c.relname::text as name,
                 exists (select 1 from pg_constraint s where s.contype = 'f' and s.conrelid = c.oid and s.confrelid = c.oid) as whole
             from pg_class c
                 join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
             where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
                 and has_table_privilege(c.oid, 'delete')
         ), place (oid, depth) as (
             select oid, 0 from erasable
             union
             select r.conrelid, p.depth + 1
             from place p join pg_constraint r on r.contype = 'f' and r.confrelid = p.oid and r.conrelid <> r.confrelid
             where p.depth < 32
         )
         select quote_ident(e.name) as "name!", e.whole as "whole!"
         from erasable e join place p on p.oid = e.oid
         group by e.name, e.whole order by max(p.depth) desc, e.name"#
    )
    .fetch_all(connection)
    .await?)
}
