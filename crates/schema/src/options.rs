//! How a service reaches its schema.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use runtime::TelemetryOptions;
use secrecy::{ExposeSecret, SecretString};
use tenancy::{Database, DatabaseOptions, Sealer};

/// Of `serve`.
#[derive(Args, Clone, Debug)]
pub struct SchemaOptions {
    /// The database of this service, as the runtime role: postgres://user:password@host:port/database.
    #[arg(long, env = "GUILDHALL_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// The sealing keys: a file of lines `<id>:<base64 of 32 bytes>`, of which the first seals and all open.
    #[arg(long, env = "GUILDHALL_SEALING_KEYS", value_name = "FILE")]
    pub sealing_keys: PathBuf,
}

impl SchemaOptions {
    /// The database behind the options. Connects when first used.
    pub fn database(&self) -> Result<Database, runtime::Error> {
        let sealer = Arc::new(Sealer::read(&self.sealing_keys)?);
        Ok(Database::new(&DatabaseOptions::new(self.database_url.clone()), sealer)?)
    }

    /// Every fault of these options.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = database_fault(&self.database_url);
        if let Err(error) = Sealer::read(&self.sealing_keys) {
            faults.push(format!("--sealing-keys (GUILDHALL_SEALING_KEYS): {}", runtime::Chain(&error)));
        }
        faults
    }
}

/// Of `migrate`. The service names its runtime role by `#[command(mut_arg(..))]` or takes it from here by its own default.
#[derive(Args, Clone, Debug)]
pub struct MigrateConfig {
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
    /// The database of this service, as the role that owns the schema.
    #[arg(long, env = "GUILDHALL_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// The role that `serve` runs as, which is granted what it needs and no more. By default guildhall_ and the service's word:
    /// guildhall_org, guildhall_member, guildhall_authz.
    #[arg(long, env = "GUILDHALL_RUNTIME_ROLE", value_name = "ROLE")]
    pub runtime_role: Option<String>,
}

impl runtime::MigrateConfig for MigrateConfig {
    fn telemetry(&self) -> &TelemetryOptions {
        &self.telemetry
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = database_fault(&self.database_url);
        if self.runtime_role.as_deref() == Some("") {
            faults.push("--runtime-role (GUILDHALL_RUNTIME_ROLE): must not be empty".to_owned());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Never shows the text, which may hold a password.
fn database_fault(url: &SecretString) -> Vec<String> {
    let url = url.expose_secret();
    let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
    match url.parse::<sqlx::postgres::PgConnectOptions>() {
        Ok(_) if known => Vec::new(),
        _ => vec![
            "--database-url (GUILDHALL_DATABASE_URL): must be of the form postgres://user:password@host:port/database"
                .to_owned(),
        ],
    }
}

/// What is wrong with another service's address, if anything.
pub fn url_fault(option: &str, text: &str) -> Option<String> {
    let good = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    (!good).then(|| format!("{option}: must be of the form http://host:port"))
}
