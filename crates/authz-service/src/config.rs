//! How this service is configured.

use std::time::Duration;

use access::{AccessOptions, RevocationOptions};
use clap::Args;
use runtime::ProcessOptions;
use schema::SchemaOptions;

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
    /// Where org-service is, `http://host:port`, or several with commas in between: asked about organizations that are new here, and its feed is read.
    #[arg(long, env = "GUILDHALL_ORG_URL", value_name = "URL")]
    pub org_url: String,
    /// Where member-service is: its feed is read.
    #[arg(long, env = "GUILDHALL_MEMBER_URL", value_name = "URL")]
    pub member_url: String,
    /// Memory for the snapshots that questions are answered from, in MiB, about. What has not been asked about for longest goes. Lists
    /// that are being read at an older revision may take a quarter of it more.
    #[arg(long, env = "GUILDHALL_SNAPSHOT_MEMORY", value_name = "MIB", default_value_t = 256)]
    pub snapshot_memory: u64,
    /// How old an answer may be that was not asked to be fresher (`minimize_latency`), in seconds: it holds everything that was committed
    /// so long before the question came. With 0 every answer waits for a read of the database.
    #[arg(long, env = "GUILDHALL_STALENESS_BOUND", value_name = "SECONDS", default_value = "1", value_parser = runtime::seconds)]
    pub staleness_bound: Duration,
}

/// Whoever is content with older answers does not mean what they say.
const MAX_STALENESS: Duration = Duration::from_secs(60);

impl runtime::Config for Config {
    fn process(&self) -> &ProcessOptions {
        &self.process
    }

    fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = self.access.faults(access::Service::Authz);
        faults.extend(self.revocation.faults());
        faults.extend(self.schema.faults());
        faults.extend(self.process.service_url_fault("--org-url (GUILDHALL_ORG_URL)", &self.org_url));
        faults.extend(self.process.service_url_fault("--member-url (GUILDHALL_MEMBER_URL)", &self.member_url));
        if self.snapshot_memory == 0 {
            faults.push("--snapshot-memory (GUILDHALL_SNAPSHOT_MEMORY): must be at least 1".to_owned());
        }
        if self.staleness_bound > MAX_STALENESS {
            faults.push("--staleness-bound (GUILDHALL_STALENESS_BOUND): must be at most 60".to_owned());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
