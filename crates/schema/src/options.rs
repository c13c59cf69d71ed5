//! How a service reaches its schema.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use runtime::TelemetryOptions;
use secrecy::{ExposeSecret, SecretString};
use tenancy::{Database, DatabaseOptions, Sealer, migration::Migrations};

/// Of `serve`.
#[derive(Args, Clone, Debug)]
pub struct SchemaOptions {
    /// The database of this service, as the runtime role: postgres://user:password@host:port/database.
    #[arg(long, env = "GUILDHALL_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// Connections to the database that this process holds at most. More does not mean faster: a transaction that waits for a
    /// connection is sooner done than one that fights for a core.
    #[arg(long, env = "GUILDHALL_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 16)]
    pub database_connections: u32,
    /// Seconds that a call waits for one of them, before it is refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "GUILDHALL_DATABASE_WAIT", value_name = "SECONDS", default_value = "0.25",
        value_parser = runtime::seconds)]
    pub database_wait: Duration,
    /// The sealing keys: a file of lines `<id>:<base64 of 32 bytes>`, of which the first seals and all open.
    #[arg(long, env = "GUILDHALL_SEALING_KEYS", value_name = "FILE")]
    pub sealing_keys: PathBuf,
}

impl SchemaOptions {
    /// The database behind the options. Connects when first used.
    pub fn database(&self) -> Result<Database, runtime::Error> {
        let sealer = Arc::new(Sealer::read(&self.sealing_keys)?);
        let options = DatabaseOptions {
            max_connections: self.database_connections,
            acquire_timeout: self.database_wait,
            ..DatabaseOptions::new(self.database_url.clone())
        };
        Ok(Database::new(&options, sealer)?)
    }

    /// Every fault of these options.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = database_fault(&self.database_url);
        if self.database_connections < 2 {
            faults.push("--database-connections (GUILDHALL_DATABASE_CONNECTIONS): must be at least 2".to_owned());
        }
        if self.database_wait.is_zero() {
            faults.push("--database-wait (GUILDHALL_DATABASE_WAIT): must be more than 0".to_owned());
        }
        if let Err(error) = Sealer::read(&self.sealing_keys) {
            faults.push(format!("--sealing-keys (GUILDHALL_SEALING_KEYS): {}", runtime::Chain(&error)));
        }
        faults
    }
}

/// Of `migrate`.
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
    /// The database was restored from a backup, and no server runs yet: begin a new history. Revision tokens from before are refused
    /// from then on. Once for each restore.
    #[arg(long)]
    pub restored: bool,
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

/// Brings the schema up to date, as `migrate` does. `runtime_role` is the one that the service has by default.
pub async fn migrate(config: MigrateConfig, migrations: Migrations, runtime_role: &str) -> Result<(), runtime::Error> {
    migrations.apply(&config.database_url, config.runtime_role.as_deref().unwrap_or(runtime_role)).await?;
    tracing::info!("the schema is up to date");
    if config.restored {
        migrations.begin_history(&config.database_url).await?;
        tracing::info!("a new history begins");
    }
    Ok(())
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
