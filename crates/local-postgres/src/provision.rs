use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::{digest, hmac};
use rand::RngCore as _;
use sqlx::AssertSqlSafe;
use url::Url;

use crate::database::{close, connect, create_database, url_for};
use crate::{Error, scram};

/// The same file that an operator runs.
const PROVISION: &str = include_str!("../../../deploy/postgres/provision.sql");

/// One provisioning at a time for each server: roles are the server's, and two sessions that alter one role collide.
const LOCK: i64 = 0x6775_696c_6468_616c;

/// What a service signs in with.
#[derive(Clone)]
pub struct ServiceUrl {
    /// For `migrate`.
    pub owner: String,
    /// For `serve`.
    pub runtime: String,
}

/// One for each service's schema.
#[derive(Clone, Debug)]
pub struct ServiceUrls {
    pub org: ServiceUrl,
    pub member: ServiceUrl,
    pub authz: ServiceUrl,
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceUrl(..)")
    }
}

/// The passwords of the service roles on one server, all from one key. Roles belong to the server and not to a database, so every
/// process that provisions there must come to the same passwords, or it would lock the others out.
#[derive(Clone)]
pub struct Passwords(hmac::Key);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(..)")
    }
}

impl Passwords {
    /// From the superuser's own password where the URL holds one: whoever knows that may do anything anyway, and every process
    /// that is given the URL agrees. Otherwise from a random key that is made once and kept in `file`, readable by us alone.
    pub fn for_server(superuser_url: &str, file: &Path) -> Result<Self, Error> {
        let url = Url::parse(superuser_url).map_err(|error| Error::Url(error.to_string()))?;
        let key = match url.password() {
            Some(password) => digest::digest(&digest::SHA256, password.as_bytes()).as_ref().to_vec(),
            None => kept_key(file)?,
        };
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    fn of(&self, role: &str) -> String {
        hex(hmac::sign(&self.0, role.as_bytes()).as_ref())
    }
}

fn kept_key(file: &Path) -> Result<Vec<u8>, Error> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut made) => {
            let mut key = [0; 32];
            rand::rng().fill_bytes(&mut key);
            made.write_all(hex(&key).as_bytes()).map_err(Error::file("cannot write", file))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::file("cannot create", file)(error)),
    }
    // Another process may have just made the file and not yet filled it.
    for _ in 0..100 {
        let key = fs::read(file).map_err(Error::file("cannot read", file))?;
        if key.len() == 64 {
            return Ok(key);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err(Error::file("holds no key (delete it):", file)(std::io::ErrorKind::InvalidData.into()))
}

/// Makes the database, the roles, the schemas and the grants, and tells what the services sign in with. May be repeated at any
/// time, from several processes at once.
pub async fn provision(superuser_url: &str, database: &str, passwords: &Passwords) -> Result<ServiceUrls, Error> {
    let mut guard = connect(superuser_url).await?;
    sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut guard)
        .await
        .map_err(Error::database("cannot lock the server for provisioning"))?;
    create_database(superuser_url, database).await?;

    let mut inside = connect(&url_for(superuser_url, None, database)?).await?;
    sqlx::raw_sql(PROVISION)
        .execute(&mut inside)
        .await
        .map_err(Error::database("cannot make the services' roles and schemas"))?;
    let mut statements = String::new();
    for service in ["org", "member", "authz"] {
        for role in [format!("guildhall_{service}_owner"), format!("guildhall_{service}")] {
            let mut salt = [0; 16];
            rand::rng().fill_bytes(&mut salt);
            let verifier = scram::verifier(&passwords.of(&role), &salt);
            statements.push_str(&format!("alter role {role} password '{verifier}';"));
        }
    }
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut inside)
        .await
        .map_err(Error::database("cannot set the roles' passwords"))?;
    close(inside).await?;
    close(guard).await?;

    ServiceUrls::new(superuser_url, database, passwords)
}

impl ServiceUrls {
    /// For a database that is provisioned already, such as a copy of one that was.
    pub fn new(superuser_url: &str, database: &str, passwords: &Passwords) -> Result<Self, Error> {
        let url = |role: String| url_for(superuser_url, Some((&role, &passwords.of(&role))), database);
        let service = |name: &str| -> Result<ServiceUrl, Error> {
            Ok(ServiceUrl {
                owner: url(format!("guildhall_{name}_owner"))?,
                runtime: url(format!("guildhall_{name}"))?,
            })
        };
        Ok(Self { org: service("org")?, member: service("member")?, authz: service("authz")? })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
