use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokens::{KeyError, Ring};

use crate::{
    caller::Service,
    trust::{Signer, Trust, TrustError, published},
    verify::Verifier,
};

/// How a process proves who it is, and whom it believes.
#[derive(Debug, Clone, clap::Args)]
pub struct AccessOptions {
    /// This process's private keys, with which it signs its calls to the others: a PEM file as `guildhall key` makes it, or a
    /// folder of them. Read again every 30 seconds.
    #[arg(long, env = "GUILDHALL_SIGNING_KEY", value_name = "FILE")]
    pub signing_key: PathBuf,
    /// The directory of the public keys of all processes, `<name>.jwks.json` each, and of those of access tokens,
    /// `access.jwks.json`. Read again every 30 seconds.
    #[arg(long, env = "GUILDHALL_TRUST", value_name = "DIRECTORY")]
    pub trust: PathBuf,
    /// The issuer that access tokens must name: the gateway's public address.
    #[arg(long, env = "GUILDHALL_ISSUER", value_name = "URL")]
    pub issuer: String,
    /// The audience that access tokens must name.
    #[arg(long, env = "GUILDHALL_AUDIENCE", default_value = "guildhall")]
    pub audience: String,
    /// For tests: how often keys are read again, in seconds.
    #[arg(long, env = "GUILDHALL_KEY_POLL", value_name = "SECONDS", default_value = "30", value_parser = runtime::seconds, hide = true)]
    pub key_poll: Duration,
    /// For tests: for how long others may keep key sets, in seconds.
    #[arg(long, env = "GUILDHALL_KEY_CACHE_TIME", value_name = "SECONDS", default_value = "300", value_parser = runtime::seconds, hide = true)]
    pub key_cache_time: Duration,
}

impl AccessOptions {
    /// The keys with which a service signs its calls.
    pub fn signing_key(&self, service: Service) -> Result<Arc<Ring>, KeyError> {
        self.ring(&self.signing_key, Signer::Workload(service))
    }

    /// The keys with which the gateway signs access tokens.
    pub fn access_keys(&self, source: &Path) -> Result<Arc<Ring>, KeyError> {
        self.ring(source, Signer::Access)
    }

    fn ring(&self, source: &Path, signer: Signer) -> Result<Arc<Ring>, KeyError> {
        Ring::open(source, &published(&self.trust, signer), self.key_poll, self.key_cache_time).map(Arc::new)
    }

    pub fn verifier(&self, service: Service) -> Result<Arc<Verifier>, TrustError> {
        let trust = Trust::polled(&self.trust, self.key_poll)?;
        Ok(Arc::new(Verifier::new(service, trust, &self.issuer, &self.audience)))
    }

    /// Every fault of these options, for `check-config`.
    pub fn faults(&self, service: Service) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = self.signing_key(service) {
            faults.push(format!("--signing-key: {}", runtime::Chain(&error)));
        }
        if let Err(error) = Trust::read(&self.trust) {
            faults.push(format!("--trust: {}", runtime::Chain(&error)));
        }
        if self.issuer.is_empty() {
            faults.push("--issuer: must not be empty".to_owned());
        }
        if self.audience.is_empty() {
            faults.push("--audience: must not be empty".to_owned());
        }
        faults
    }
}
