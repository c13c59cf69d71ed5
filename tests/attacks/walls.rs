//! The queries' own filter is down: row-level security alone keeps the rows apart. First table by table, with statements that name no tenant;
//! then with every statement of the services, each without the part that names its tenant.
//!
//! A service's statements stand in `.sqlx`, as its compiler checked them. From each we take the tenant's part, fill in what it asks for
//! with another tenant's values, and run it twice: as somebody whom nothing holds, to see that it now shows or changes what is
//! another's; and as the service does, in the scope of an organization, to see that it does neither.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::{
    siege::Siege,
    state::{SCHEMAS, superuser, tables, uuid},
    world::Tenant,
};

/// Fewer statements that show another's rows without their filter, and the statements are not seen.
const LEAST: usize = 60;

async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?.rows_affected())
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

async fn open(connection: &mut PgConnection, schema: &str, scope: &str, tenant: &Tenant<'_>) {
    let project = tenant.organization.project.id.parse::<tenancy::ProjectId>().unwrap().uuid();
    let organization = if scope == "organization" { uuid(tenant.id()) } else { String::new() };
    let sql = format!(
        "begin; set local search_path to {schema}; select set_config('guildhall.scope', '{scope}', true),
         set_config('guildhall.project_id', '{project}', true), set_config('guildhall.organization_id', '{organization}', true)"
    );
    run(connection, &sql).await.unwrap();
}

/// What of a table is none of the scope's. A project's own rows stand under its own uuid.
fn not_mine(scope: &str, tenant: &Tenant<'_>) -> String {
    let project = tenant.organization.project.id.parse::<tenancy::ProjectId>().unwrap().uuid();
    match scope {
        // What its project keeps for all of its organizations may be read.
        "organization" => format!("organization_id not in ('{}', '{project}')", uuid(tenant.id())),
        _ => format!("project_id <> '{project}'"),
    }
}

/// No table shows, changes, loses or takes a row of another's, whatever the statement.
pub async fn tables_alone(siege: &Siege<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut all = superuser(siege.cluster).await;
    let (mut seen, mut mine) = (0, 0);
    for schema in SCHEMAS {
        let mut role =
            PgConnection::connect(&siege.cluster.access().service_database_urls[schema].runtime).await.unwrap();
        for table in tables(&mut all, schema).await {
            for scope in ["organization", "project"] {
                let foreign = not_mine(scope, &siege.mine);
                let there = number(&mut all, &format!("select count(*) from {schema}.{table} where {foreign}")).await;
                seen += there;
                open(&mut role, schema, scope, &siege.mine).await;
                mine += number(&mut role, &format!("select count(*) from {table}")).await;
                let shown = number(&mut role, &format!("select count(*) from {table} where {foreign}")).await;
                if shown != 0 {
                    faults.push(format!("{schema}.{table} shows {shown} of {there} foreign rows in the scope {scope}"));
                }
                run(&mut role, "savepoint s").await.unwrap();
                let row = format!(
                    "select coalesce((select to_jsonb(t) from {schema}.{table} t where {foreign} limit 1)::text, '')"
                );
                let row: String = sqlx::query_scalar(AssertSqlSafe(row)).fetch_one(&mut all).await.unwrap();
                let row = row.replace('\'', "''");
                for (what, sql) in [
                    ("changes", format!("update {table} set project_id = project_id where {foreign}")),
                    (
                        "takes over",
                        format!("update {table} set organization_id = '{}' where {foreign}", uuid(siege.mine.id())),
                    ),
                    ("loses", format!("delete from {table} where {foreign}")),
                    ("takes", format!("insert into {table} select (jsonb_populate_record(null::{table}, '{row}')).*")),
                ] {
                    if what == "takes" && row.is_empty() {
                        continue;
                    }
                    match run(&mut role, &sql).await {
                        Ok(0) => {}
                        Ok(rows) => {
                            faults.push(format!("{schema}.{table} {what} {rows} foreign rows in the scope {scope}"))
                        }
                        Err(refused) => {
                            let said = refused.to_string();
                            let expected =
                                ["row-level security", "permission denied", "cannot insert a non-DEFAULT value"];
                            if !expected.iter().any(|word| said.contains(word)) {
                                faults.push(format!("{schema}.{table} {what}: {said}"));
                            }
                        }
                    }
                    run(&mut role, "rollback to s").await.unwrap();
                }
                run(&mut role, "rollback").await.unwrap();
            }
        }
    }
    // Nothing in a schema acts with the rights of another than its caller.
    let mightier = "select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('org', 'member', 'authz') and p.prosecdef";
    let views = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('org', 'member', 'authz') and c.relkind in ('v', 'm')";
    for (what, sql) in [("functions with their owner's rights", mightier), ("views", views)] {
        let count = number(&mut all, sql).await;
        if count != 0 {
            faults
                .push(format!("{count} {what}, which row-level security does not look at as it does at their caller"));
        }
    }
    assert!(seen > 150 && mine > 100, "{seen} foreign rows and {mine} of one's own: too few to see anything by");
    faults
}

struct Statement {
    schema: &'static str,
    text: String,
    parameters: Vec<String>,
}

fn statements() -> Vec<Statement> {
    let crates = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut all = Vec::new();
    for schema in SCHEMAS {
        for entry in fs::read_dir(crates.join(format!("{schema}-service/.sqlx"))).unwrap() {
            let kept: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let parameters = kept["describe"]["parameters"]["Left"].as_array().cloned().unwrap_or_default();
            let parameters = parameters.iter().map(|kind| kind.as_str().unwrap_or("Text").to_owned()).collect();
            all.push(Statement { schema, text: kept["query"].as_str().unwrap().to_owned(), parameters });
        }
    }
    all.sort_by(|one, other| one.text.cmp(&other.text));
    all
}

impl Statement {
    /// Without the part that names the tenant; none where it has no such part, or says that it serves all of them.
    fn unfiltered(&self) -> Option<String> {
        let for_all = ["-- cluster:", "set_config('guildhall.scope', 'cluster'"];
        if for_all.iter().any(|word| self.text.contains(word)) || self.text.trim_start().starts_with("insert") {
            return None;
        }
        let mut text = self.text.clone();
        let mut taken = 0;
        for column in ["organization_id", "project_id"] {
            let mut from = 0;
            while let Some(at) = text[from..].find(&format!("{column} = ")) {
                let at = from + at;
                let value = &text[at + column.len() + 3..];
                let parameter = |value: &str| value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
                let length = if let Some(number) = value.strip_prefix('$') {
                    1 + parameter(number)
                } else if value.starts_with("any ($") {
                    value.find(')').map_or(0, |end| end + 1)
                } else {
                    0
                };
                if length == 0 || self.is_set(&text, at) {
                    from = at + column.len();
                    continue;
                }
                let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
                let begin = text[..at].rfind(|c| !named(c)).map_or(0, |before| before + 1);
                let end = at + column.len() + 3 + length;
                let part = format!("({} or true)", &text[begin..end]);
                text.replace_range(begin..end, &part);
                from = begin + part.len();
                taken += 1;
            }
        }
        (taken > 0).then_some(text)
    }

    /// Whether what stands there is given a new value rather than compared.
    fn is_set(&self, text: &str, at: usize) -> bool {
        let before = &text[..at];
        let set = before.rfind(" set ").unwrap_or(0);
        set > before.rfind("where").unwrap_or(0) && self.text.contains("update")
    }

    /// With another's values for what it asks for.
    fn filled(&self, text: &str, values: &BTreeMap<String, String>) -> String {
        let mut text = text.to_owned();
        for (at, kind) in self.parameters.iter().enumerate().rev() {
            let parameter = format!("${}", at + 1);
            let column = ["= ", ">= ", "<= ", "> ", "< ", "= any ("]
                .iter()
                .find_map(|sign| {
                    let place = self.text.find(&format!(" {sign}{parameter}"))?;
                    let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let begin = self.text[..place].rfind(|c| !named(c)).map_or(0, |before| before + 1);
                    Some(self.text[begin..place].to_owned())
                })
                .unwrap_or_default();
            let is_many = kind.ends_with("Array") || kind.ends_with("[]");
            let value = match (values.get(&column), kind.trim_end_matches("Array").trim_end_matches("[]")) {
                (Some(value), _) if is_many => format!("array['{value}']"),
                (Some(value), _) => format!("'{value}'"),
                (None, _) if is_many => "'{}'".to_owned(),
                (None, "Bool") => "true".to_owned(),
                (None, "Int4" | "Int8" | "Int2") => "1000".to_owned(),
                (None, "Float8") => "1".to_owned(),
                (None, "Timestamptz") => "now()".to_owned(),
                (None, "Uuid") => "'00000000-0000-0000-0000-000000000000'".to_owned(),
                (None, "Jsonb" | "Json") => "'{}'".to_owned(),
                (None, _) => "''".to_owned(),
            };
            let kind = kind.trim_end_matches("Array").trim_end_matches("[]").to_lowercase();
            let cast = if is_many { format!("{kind}[]") } else { kind };
            text = text.replace(&parameter, &format!("({value}::{cast})"));
        }
        text
    }

    fn changes(&self) -> bool {
        ["update ", "delete from "].iter().any(|word| self.text.contains(word))
            && !self.text.trim_start().starts_with("select")
    }
}

/// What a statement shows, as text, or what the victim has in the tables after it; in a transaction that is undone.
async fn tried(
    connection: &mut PgConnection,
    statement: &Statement,
    sql: &str,
    victim: &str,
) -> Result<String, sqlx::Error> {
    let shown = if statement.changes() {
        run(connection, sql).await?;
        // The role itself may open the widest scope: it is row-level security that is tried, not the role.
        run(connection, "select set_config('guildhall.scope', 'cluster', true)").await?;
        let mut rows = String::new();
        for word in ["update ", "delete from "] {
            for (at, _) in statement.text.match_indices(word) {
                let table: String = statement.text[at + word.len()..]
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                if table.is_empty() || table == "of" || table == "skip" {
                    continue;
                }
                let sql = format!(
                    "select coalesce(string_agg(to_jsonb(t)::text, '|' order by to_jsonb(t)::text), '') from {table} t where organization_id = '{victim}'"
                );
                rows += &sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
            }
        }
        rows
    } else {
        let sql = format!("select coalesce(string_agg(to_jsonb(q)::text, '|'), '') from ({sql}) as q");
        sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?
    };
    Ok(shown)
}

/// By column: what the victim has there, in the table that a statement is about first of all.
async fn values(all: &mut PgConnection, statement: &Statement, victim: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for table in tables(all, statement.schema).await {
        let about = ["from ", "update ", "join "]
            .iter()
            .filter_map(|word| statement.text.find(&format!("{word}{table} ")))
            .min();
        let Some(about) = about else { continue };
        let sql = format!(
            "select to_jsonb(t)::text from {}.{table} t where organization_id = '{victim}' limit 1",
            statement.schema
        );
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_optional(&mut *all).await.unwrap();
        let Some(row) = row.map(|row| serde_json::from_str::<Value>(row.get(0)).unwrap()) else { continue };
        for (column, value) in row.as_object().unwrap() {
            let text = match value {
                Value::String(text) => text.replace('\'', "''"),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
                other => other.to_string(),
            };
            values.entry(column.clone()).or_insert((about, text));
        }
    }
    values.into_iter().map(|(column, (_, text))| (column, text)).collect()
}

pub async fn statements_unfiltered(siege: &Siege<'_>) -> Vec<String> {
    let (mut faults, mut tried_out, mut would_show, mut unread) = (Vec::new(), 0, 0, Vec::new());
    let mut all = superuser(siege.cluster).await;
    let victim = uuid(siege.globex.id());
    let mut roles = BTreeMap::new();
    for schema in SCHEMAS {
        let url = &siege.cluster.access().service_database_urls[schema].runtime;
        roles.insert(schema, PgConnection::connect(url).await.unwrap());
    }
    for statement in statements() {
        let Some(text) = statement.unfiltered() else { continue };
        let values = values(&mut all, &statement, &victim).await;
        let sql = statement.filled(&text, &values);
        let role = roles.get_mut(statement.schema).unwrap();
        open(&mut all, statement.schema, "cluster", &siege.mine).await;
        let before = tried(&mut all, &statement, "select 1", &victim).await;
        run(&mut all, "rollback").await.unwrap();
        open(&mut all, statement.schema, "cluster", &siege.mine).await;
        let freely = tried(&mut all, &statement, &sql, &victim).await;
        run(&mut all, "rollback").await.unwrap();
        let freely = match freely {
            Ok(shown) => shown,
            Err(error) => {
                unread.push(format!("{error}: {sql:.300}"));
                continue;
            }
        };
        let is_theirs =
            |shown: &str| siege.globex.known_by(&victim).iter().any(|secret| shown.contains(secret.as_str()));
        let shows = if statement.changes() { before.as_ref().ok() != Some(&freely) } else { is_theirs(&freely) };
        would_show += usize::from(shows);
        tried_out += 1;
        for scope in ["organization", "project"] {
            open(role, statement.schema, scope, &siege.mine).await;
            let held = tried(role, &statement, &sql, &victim).await;
            run(role, "rollback").await.unwrap();
            let fault = match held {
                Ok(shown) if statement.changes() => before.as_ref().ok() != Some(&shown),
                Ok(shown) => is_theirs(&shown),
                // What it may not do it does not.
                Err(error) => {
                    !["permission denied", "row-level security"].iter().any(|word| error.to_string().contains(word))
                }
            };
            if fault {
                faults.push(format!("in the scope {scope} shows or changes what is another's: {sql}"));
            }
        }
    }
    println!(
        "{tried_out} statements without their filter, of which {would_show} would show or change what is another's"
    );
    assert!(
        would_show >= LEAST,
        "only {would_show} of {tried_out} would show anything; not read:\n{}",
        unread.join("\n")
    );
    assert!(unread.len() * 5 < tried_out, "{} were not read:\n{}", unread.len(), unread.join("\n"));
    faults
}
