use std::{path::PathBuf, sync::Arc};

use crate::{
    caller::Service,
    signing::{KeyError, SigningKey},
    trust::{Trust, TrustError},
    verify::Verifier,
};

/// How a process proves who it is, and whom it believes.
#[derive(Debug, Clone, clap::Args)]
pub struct AccessOptions {
    /// This process's Ed25519 private key: a PEM file, PKCS #8.
    #[arg(long, env = "GUILDHALL_SIGNING_KEY", value_name = "FILE")]
    pub signing_key: PathBuf,
    /// The directory of the public keys of all processes, `<name>.jwks.json` each. Read again every 30 seconds.
    #[arg(long, env = "GUILDHALL_TRUST", value_name = "DIRECTORY")]
    pub trust: PathBuf,
    /// The issuer that access tokens must name: the gateway's public address.
    #[arg(long, env = "GUILDHALL_ISSUER", value_name = "URL")]
    pub issuer: String,
    /// The audience that access tokens must name.
    #[arg(long, env = "GUILDHALL_AUDIENCE", default_value = "guildhall")]
    pub audience: String,
}

impl AccessOptions {
    pub fn signing_key(&self) -> Result<Arc<SigningKey>, KeyError> {
        SigningKey::read(&self.signing_key).map(Arc::new)
    }

    pub fn verifier(&self, service: Service) -> Result<Arc<Verifier>, TrustError> {
        let trust = Trust::read(&self.trust)?;
        Ok(Arc::new(Verifier::new(service, trust, &self.issuer, &self.audience)))
    }

    /// Every fault of these options, for `check-config`.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = SigningKey::read(&self.signing_key) {
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
