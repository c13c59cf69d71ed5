//! How this service is configured.

use std::{path::PathBuf, sync::Arc};

use access::AccessOptions;
use clap::Args;
use runtime::{ProcessOptions, TelemetryOptions};
use secrecy::SecretString;
use tenancy::{Database, DatabaseOptions, Sealer};
use url::Url;

use crate::{background::SmtpOptions, store};

/// Of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub process: ProcessOptions,
    #[command(flatten)]
    pub access: AccessOptions,
    #[command(flatten)]
    pub smtp: SmtpOptions,
    /// The database of this service, as the runtime role: postgres://user:password@host:port/database.
    #[arg(long, env = "GUILDHALL_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// The sealing keys: a file of lines `<id>:<base64 of 32 bytes>`, of which the first seals and all open.
    #[arg(long, env = "GUILDHALL_SEALING_KEYS", value_name = "FILE")]
    pub sealing_keys: PathBuf,
    /// Where org-service is.
    #[arg(long, env = "GUILDHALL_ORG_URL", value_name = "URL")]
    pub org_url: String,
    /// Where authz-service is.
    #[arg(long, env = "GUILDHALL_AUTHZ_URL", value_name = "URL")]
    pub authz_url: String,
    /// The page where invitations are accepted. Mails link to it with `?token=<secret>` added.
    #[arg(long, env = "GUILDHALL_INVITATION_URL", value_name = "URL")]
    pub invitation_url: String,
}

fn web_address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl Config {
    /// The database behind the configuration. Connects when first used.
    pub fn database(&self) -> Result<Database, runtime::Error> {
        let sealer = Arc::new(Sealer::read(&self.sealing_keys)?);
        Ok(Database::new(&DatabaseOptions::new(self.database_url.clone()), sealer)?)
    }

    pub fn invitation_url(&self) -> Result<Url, runtime::Error> {
        Ok(Url::parse(&self.invitation_url)?)
    }
}

impl runtime::Config for Config {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = self.access.faults();
        faults.extend(self.smtp.faults());
        if let Err(fault) = store::check_url(&self.database_url) {
            faults.push(format!("--database-url (GUILDHALL_DATABASE_URL): {fault}"));
        }
        if let Err(error) = Sealer::read(&self.sealing_keys) {
            faults.push(format!("--sealing-keys (GUILDHALL_SEALING_KEYS): {}", runtime::Chain(&error)));
        }
        let others =
            [("--org-url (GUILDHALL_ORG_URL)", &self.org_url), ("--authz-url (GUILDHALL_AUTHZ_URL)", &self.authz_url)];
        for (option, text) in others {
            if web_address(text).is_none() {
                faults.push(format!("{option}: must be of the form http://host:port"));
            }
        }
        if !web_address(&self.invitation_url).is_some_and(|url| url.query().is_none() && url.fragment().is_none()) {
            let fault = "must be the http or https address of a page, without a query: the secret is added as one";
            faults.push(format!("--invitation-url (GUILDHALL_INVITATION_URL): {fault}"));
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
    #[arg(long, env = "GUILDHALL_RUNTIME_ROLE", value_name = "ROLE", default_value = "guildhall_member")]
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
