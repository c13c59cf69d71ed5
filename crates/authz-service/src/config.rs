use std::{path::PathBuf, sync::Arc};

use access::AccessOptions;
use runtime::{Chain, Config as RuntimeConfig, ProcessOptions, TelemetryOptions};
use secrecy::{ExposeSecret, SecretString};
use tenancy::{DatabaseOptions, Sealer, sealing::SealingError};
use url::Url;

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// Options of `authz-service serve`.
#[derive(Debug, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub process: ProcessOptions,
    #[command(flatten)]
    pub access: AccessOptions,
    /// The database, as the runtime role: `postgres://user:password@host:port/database`.
    #[arg(long, env = "GUILDHALL_DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = secret)]
    pub database_url: SecretString,
    /// Connections to the database that this process holds at most.
    #[arg(long, env = "GUILDHALL_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 16)]
    pub database_connections: u32,
    /// The keys that tokens are authenticated and answers are sealed with: lines `<id>:<base64 of 32 bytes>`, the current one first.
    #[arg(long, env = "GUILDHALL_SEALING_KEYS", value_name = "FILE")]
    pub sealing_keys: PathBuf,
    /// org-service: asked about organizations that are new here, and its feed is read.
    #[arg(long, env = "GUILDHALL_ORG_URL", value_name = "URL")]
    pub org_url: String,
    /// member-service: its feed is read.
    #[arg(long, env = "GUILDHALL_MEMBER_URL", value_name = "URL")]
    pub member_url: String,
    /// Memory for the snapshots that questions are answered from, in MiB, about. What has not been asked about for longest goes.
    #[arg(long, env = "GUILDHALL_SNAPSHOT_MEMORY", value_name = "MIB", default_value_t = 256)]
    pub snapshot_memory: u64,
}

impl Config {
    pub fn sealer(&self) -> Result<Arc<Sealer>, SealingError> {
        Sealer::read(&self.sealing_keys).map(Arc::new)
    }

    pub fn database(&self) -> DatabaseOptions {
        DatabaseOptions {
            max_connections: self.database_connections,
            ..DatabaseOptions::new(self.database_url.clone())
        }
    }
}

/// Says nothing of the value: it may hold a password.
fn is_database_url(url: &SecretString) -> bool {
    Url::parse(url.expose_secret()).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"))
}

impl RuntimeConfig for Config {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = self.access.faults();
        let mut require = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let http = |text: &str| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        require(
            is_database_url(&self.database_url),
            "--database-url (GUILDHALL_DATABASE_URL): must be a postgres:// URL",
        );
        require(
            self.database_connections >= 2,
            "--database-connections (GUILDHALL_DATABASE_CONNECTIONS): must be at least 2",
        );
        require(http(&self.org_url), "--org-url (GUILDHALL_ORG_URL): must be an http or https URL");
        require(http(&self.member_url), "--member-url (GUILDHALL_MEMBER_URL): must be an http or https URL");
        require(self.snapshot_memory > 0, "--snapshot-memory (GUILDHALL_SNAPSHOT_MEMORY): must be at least 1");
        if let Err(error) = self.sealer() {
            faults.push(format!("--sealing-keys (GUILDHALL_SEALING_KEYS): {}", Chain(&error)));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Options of `authz-service migrate`.
#[derive(Debug, clap::Args)]
pub struct MigrateConfig {
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    /// The database, as the schema's owner: `postgres://user:password@host:port/database`.
    #[arg(long, env = "GUILDHALL_DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = secret)]
    pub database_url: SecretString,
    /// The role that `serve` runs as, which is granted what it needs.
    #[arg(long, env = "GUILDHALL_RUNTIME_ROLE", value_name = "ROLE", default_value = "guildhall_authz")]
    pub runtime_role: String,
}

impl runtime::MigrateConfig for MigrateConfig {
    fn telemetry(&self) -> &TelemetryOptions {
        &self.telemetry
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        if is_database_url(&self.database_url) {
            return Ok(());
        }
        Err(vec!["--database-url (GUILDHALL_DATABASE_URL): must be a postgres:// URL".to_owned()])
    }
}
