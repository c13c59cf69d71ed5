//! Transactions as the services make them, with nothing around them: row-level security, one row, no service in between.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::Failure;

/// As many rows as there are members in the organization that is read beside it.
const ROWS: i64 = 100_000;

/// Who makes them: a role like the services' own, and rows of one tenant.
#[derive(Debug, Clone)]
pub struct Floor {
    url: String,
    tenant: Uuid,
}

impl Floor {
    /// Makes the tables, behind the wall that the services' tables stand behind.
    pub async fn make(database: &mut PgConnection, runtime_url: &str) -> Result<Self, Failure> {
        let tenant = Uuid::from_u128(1);
        let statements = format!(
            "create schema floor;
             create table floor.thing (organization_id uuid, id bigint, word text not null, changed bigint not null,
                 primary key (organization_id, id));
             create table floor.trace (organization_id uuid, id bigint generated always as identity primary key, word text);
             alter table floor.thing enable row level security;
             alter table floor.trace enable row level security;
             create policy tenant on floor.thing
                 using (organization_id = nullif(current_setting('guildhall.organization_id', true), '')::uuid);
             create policy tenant on floor.trace
                 using (organization_id = nullif(current_setting('guildhall.organization_id', true), '')::uuid);
             insert into floor.thing select '{tenant}', n, 'thing ' || n, 0 from generate_series(0, {ROWS} - 1) n;
             grant usage on schema floor to public;
             grant select, insert, update on all tables in schema floor to public;
             analyze floor.thing"
        );
        database.execute(AssertSqlSafe(statements)).await.map_err(Failure::database("making the floor's tables"))?;
        Ok(Self { url: runtime_url.to_owned(), tenant })
    }

    pub async fn connect(&self, number: usize) -> Result<Client, Failure> {
        let connection = PgConnection::connect(&self.url).await.map_err(Failure::database("connecting"))?;
        // Far enough from the others' that no two want one row.
        Ok(Client { connection, tenant: self.tenant, at: number as i64 * 997 % ROWS })
    }
}

#[derive(Debug)]
pub struct Client {
    connection: PgConnection,
    tenant: Uuid,
    at: i64,
}

impl Client {
    /// Begin and settings in one, a row by its key, commit: three round trips.
    pub async fn read(&mut self) -> Result<(), Failure> {
        let at = self.next();
        let opening = format!("begin isolation level repeatable read read only; {}", self.settings());
        self.send(opening).await?;
        let row: Option<(String,)> =
            sqlx::query_as("select word from floor.thing where organization_id = $1 and id = $2")
                .bind(self.tenant)
                .bind(at)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(Failure::database("reading a row"))?;
        self.send("commit".to_owned()).await?;
        row.map(drop).ok_or_else(|| Failure::Unmeasurable("the floor's row is not there".to_owned()))
    }

    /// Begin, settings, a row locked, changed, another inserted, commit: six round trips.
    pub async fn write(&mut self) -> Result<(), Failure> {
        let at = self.next();
        let failed = || Failure::database("writing a row");
        self.send("begin".to_owned()).await?;
        self.send(self.settings()).await?;
        sqlx::query("select word from floor.thing where organization_id = $1 and id = $2 for update")
            .bind(self.tenant)
            .bind(at)
            .execute(&mut self.connection)
            .await
            .map_err(failed())?;
        sqlx::query("update floor.thing set changed = changed + 1 where organization_id = $1 and id = $2")
            .bind(self.tenant)
            .bind(at)
            .execute(&mut self.connection)
            .await
            .map_err(failed())?;
        sqlx::query("insert into floor.trace (organization_id, word) values ($1, 'changed')")
            .bind(self.tenant)
            .execute(&mut self.connection)
            .await
            .map_err(failed())?;
        self.send("commit".to_owned()).await
    }

    fn next(&mut self) -> i64 {
        self.at = (self.at + 7_919) % ROWS;
        self.at
    }

    fn settings(&self) -> String {
        format!(
            "select set_config('guildhall.scope', 'organization', true), set_config('guildhall.project_id', '', true), \
             set_config('guildhall.organization_id', '{}', true)",
            self.tenant
        )
    }

    async fn send(&mut self, statement: String) -> Result<(), Failure> {
        let sent = self.connection.execute(AssertSqlSafe(statement)).await;
        sent.map(drop).map_err(Failure::database("running a transaction"))
    }
}
