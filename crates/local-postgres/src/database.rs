use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use url::Url;

use crate::Error;

/// SQLSTATE: a database of this name exists.
const DUPLICATE_DATABASE: &str = "42P04";

/// Creates the database unless it exists. Byte order and UTF-8 whatever the server's defaults: one semantics everywhere.
pub async fn create_database(superuser_url: &str, database: &str) -> Result<(), Error> {
    let mut connection = connect(superuser_url).await?;
    let name = checked(database)?;
    let created =
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name} template template0 encoding 'UTF8' locale 'C'")))
            .execute(&mut connection)
            .await;
    match created {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(DUPLICATE_DATABASE) => {}
        Err(error) => return Err(Error::database("cannot create the database")(error)),
        Ok(_) => {}
    }
    close(connection).await
}

/// A copy of `template`, with its schemas, rows, and the list of who may connect, which PostgreSQL does not copy by itself. Nobody may be
/// connected to the template meanwhile.
pub async fn create_database_from_template(superuser_url: &str, database: &str, template: &str) -> Result<(), Error> {
    let (name, from) = (checked(database)?, checked(template)?);
    let mut connection = connect(superuser_url).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name} template {from}")))
        .execute(&mut connection)
        .await
        .map_err(Error::database("cannot copy the template database"))?;
    let copy_grants = format!(
        "do $$
         declare held record;
         begin
           revoke all on database {name} from public;
           for held in
             select quote_ident(pg_get_userbyid(acl.grantee)) as grantee, acl.privilege_type
             from pg_database, aclexplode(datacl) as acl
             where datname = '{from}' and acl.grantee <> 0
           loop
             execute format('grant %s on database {name} to %s', held.privilege_type, held.grantee);
           end loop;
         end $$"
    );
    sqlx::raw_sql(AssertSqlSafe(copy_grants))
        .execute(&mut connection)
        .await
        .map_err(Error::database("cannot copy the template's grants"))?;
    close(connection).await
}

/// Drops the database, whoever is connected to it. An absent one is fine.
pub async fn drop_database(superuser_url: &str, database: &str) -> Result<(), Error> {
    let mut connection = connect(superuser_url).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {} with (force)", checked(database)?)))
        .execute(&mut connection)
        .await
        .map_err(Error::database("cannot drop the database"))?;
    close(connection).await
}

pub(crate) async fn connect(url: &str) -> Result<PgConnection, Error> {
    let options: PgConnectOptions = url.parse().map_err(Error::database("not a PostgreSQL URL"))?;
    PgConnection::connect_with(&options).await.map_err(Error::database("cannot connect to PostgreSQL"))
}

/// Closed in order: a connection that lingers is one that `create database .. template` trips over.
pub(crate) async fn close(connection: PgConnection) -> Result<(), Error> {
    connection.close().await.map_err(Error::database("lost the connection to PostgreSQL"))
}

/// The same server as another user, in another database.
pub fn url_for(superuser_url: &str, credentials: Option<(&str, &str)>, database: &str) -> Result<String, Error> {
    let mut url = Url::parse(superuser_url).map_err(|error| Error::Url(error.to_string()))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(Error::Url(format!("its scheme is {}", url.scheme())));
    }
    let unusable = || Error::Url("it names no host".to_owned());
    if url.host_str().is_none_or(str::is_empty) {
        url.set_host(Some("localhost")).map_err(|_| unusable())?;
    }
    if let Some((user, password)) = credentials {
        url.set_username(user).map_err(|()| unusable())?;
        url.set_password(Some(password)).map_err(|()| unusable())?;
    }
    url.set_path(checked(database)?);
    Ok(url.into())
}

/// Names go into statements as they are, so only such that need no quoting are let through.
fn checked(name: &str) -> Result<&str, Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = |c: char| c.is_ascii_lowercase() || c == '_';
    match name.chars().next() {
        Some(first) if starts(first) && name.len() <= 63 && name.chars().all(plain) => Ok(name),
        _ => Err(Error::DatabaseName(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_in_another_database_keeps_the_server() {
        let over_tcp =
            url_for("postgres://root:pw@db.test:5433/postgres?sslmode=require", Some(("u", "p")), "guildhall");
        assert_eq!(over_tcp.unwrap(), "postgres://u:p@db.test:5433/guildhall?sslmode=require");
        let by_socket = url_for("postgres:///postgres?host=/run/pg", Some(("u", "p")), "guildhall");
        assert_eq!(by_socket.unwrap(), "postgres://u:p@localhost/guildhall?host=/run/pg");
    }

    #[test]
    fn a_name_that_would_need_quoting_is_refused() {
        for name in ["", "a b", "x\"; drop", "Upper", "1st", &"x".repeat(64)] {
            assert!(matches!(checked(name), Err(Error::DatabaseName(_))), "{name}");
        }
        assert!(checked("guildhall_dev_0a1b").is_ok());
    }
}
