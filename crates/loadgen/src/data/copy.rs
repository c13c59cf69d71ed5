use std::fmt::{Display, Write as _};

use sqlx::PgConnection;
use sqlx::postgres::PgCopyIn;

use crate::Failure;

/// How much is sent at once.
const CHUNK: usize = 1 << 20;
pub const NULL: &str = "\\N";

/// Rows on their way into a table, in PostgreSQL's text format. The values are ours: none holds a tab, a line end or a backslash.
pub struct Copy<'c> {
    sink: PgCopyIn<&'c mut PgConnection>,
    rows: String,
}

impl<'c> Copy<'c> {
    /// `table` is a table with its columns, as `member.member (member_id, state)`.
    pub async fn into(connection: &'c mut PgConnection, table: &str) -> Result<Self, Failure> {
        let sink = connection
            .copy_in_raw(&format!("copy {table} from stdin"))
            .await
            .map_err(Failure::database("beginning a COPY"))?;
        Ok(Self { sink, rows: String::with_capacity(CHUNK + 4096) })
    }

    pub async fn row(&mut self, values: &[&(dyn Display + Sync)]) -> Result<(), Failure> {
        for (at, value) in values.iter().enumerate() {
            // Writing to a text does not fail.
            let _ = write!(self.rows, "{}{value}", if at == 0 { "" } else { "\t" });
        }
        self.rows.push('\n');
        if self.rows.len() < CHUNK { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.sink.send(self.rows.as_bytes()).await.map_err(Failure::database("copying rows"))?;
        self.rows.clear();
        Ok(())
    }

    pub async fn finish(mut self) -> Result<u64, Failure> {
        self.flush().await?;
        self.sink.finish().await.map_err(Failure::database("ending a COPY"))
    }
}
