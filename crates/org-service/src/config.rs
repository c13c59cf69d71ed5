//! How this service is configured.

use access::{AccessOptions, RevocationOptions};
use clap::Args;
use runtime::ProcessOptions;
use schema::SchemaOptions;

use crate::outside::OutsideOptions;

/// Of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub process: ProcessOptions,
    #[command(flatten)]
    pub access: AccessOptions,
    #[command(flatten)]
    pub revocation: RevocationOptions,
    #[command(flatten)]
    pub schema: SchemaOptions,
    #[command(flatten)]
    pub outside: OutsideOptions,
    /// Where member-service is: `http://host:port`, or several with commas in between.
    #[arg(long, env = "GUILDHALL_MEMBER_URL", value_name = "URL")]
    pub member_url: String,
    /// Where authz-service is.
    #[arg(long, env = "GUILDHALL_AUTHZ_URL", value_name = "URL")]
    pub authz_url: String,
    /// How long a deleted organization can be brought back, in seconds; then its data are erased. Holds for deletions from now on.
    #[arg(long, env = "GUILDHALL_PURGE_AFTER", value_name = "SECONDS", default_value_t = 30 * 24 * 60 * 60)]
    pub purge_after: u32,
}

impl runtime::Config for Config {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = self.access.faults(access::Service::Org);
        faults.extend(self.revocation.faults());
        faults.extend(self.schema.faults());
        faults.extend(self.outside.faults());
        faults.extend(self.process.service_url_fault("--member-url (GUILDHALL_MEMBER_URL)", &self.member_url));
        faults.extend(self.process.service_url_fault("--authz-url (GUILDHALL_AUTHZ_URL)", &self.authz_url));
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
