//! How this service is configured.

use std::{path::PathBuf, sync::Arc};

use access::AccessOptions;
use clap::Args;
use runtime::{ProcessOptions, TelemetryOptions};
use secrecy::SecretString;
use tenancy::{Database, DatabaseOptions, Sealer};

use crate::store;

/// Of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub process: ProcessOptions,
    #[command(flatten)]
    pub access: AccessOptions,
    /// The database of this service, as the runtime role: postgres://user:password@host:port/database.
    #[arg(long, env = "GUILDHALL_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// The sealing keys: a file of lines `<id>:<base64 of 32 bytes>`, of which the first seals and all open.
    #[arg(long, env = "GUILDHALL_SEALING_KEYS", value_name = "FILE")]
    pub sealing_keys: PathBuf,
    /// Where member-service is.
    #[arg(long, env = "GUILDHALL_MEMBER_URL", value_name = "URL")]
    pub member_url: String,
    /// Where authz-service is.
    #[arg(long, env = "GUILDHALL_AUTHZ_URL", value_name = "URL")]
    pub authz_url: String,
}

impl Config {
    /// The database behind the configuration. Connects when first used.
    pub fn database(&self) -> Result<Database, runtime::Error> {
        let sealer = Arc::new(Sealer::read(&self.sealing_keys)?);
        Ok(Database::new(&DatabaseOptions::new(self.database_url.clone()), sealer)?)
    }
}

impl runtime::Config for Config {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = self.access.faults();
        if let Err(fault) = store::check_url(&self.database_url) {
            faults.push(format!("--database-url (GUILDHALL_DATABASE_URL): {fault}"));
        }
        if let Err(error) = Sealer::read(&self.sealing_keys) {
            faults.push(format!("--sealing-keys (GUILDHALL_SEALING_KEYS): {}", runtime::Chain(&error)));
        }
        let others = [
            ("--member-url (GUILDHALL_MEMBER_URL)", &self.member_url),
            ("--authz-url (GUILDHALL_AUTHZ_URL)", &self.authz_url),
        ];
        for (option, text) in others {
            let good =
                url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !good {
                faults.push(format!("{option}: must be of the form http://host:port"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
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
    /// The role that `serve` runs as, which is granted what it needs and no more.
    #[arg(long, env = "GUILDHALL_RUNTIME_ROLE", value_name = "ROLE", default_value = "guildhall_org")]
    pub runtime_role: String,
}

impl runtime::MigrateConfig for MigrateConfig {
    fn telemetry(&self) -> &TelemetryOptions {
        &self.telemetry
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        if let Err(fault) = store::check_url(&self.database_url) {
            faults.push(format!("--database-url (GUILDHALL_DATABASE_URL): {fault}"));
        }
        if self.runtime_role.is_empty() {
            faults.push("--runtime-role (GUILDHALL_RUNTIME_ROLE): must not be empty".to_owned());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
