//! Which process of the installation a certificate names.

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use rustls::server::ParsedCertificate;

/// The names of the installation's processes, as certificates hold them.
#[derive(Clone, Debug)]
pub struct Names {
    own: String,
    all: Vec<(&'static str, ServerName<'static>)>,
}

impl Names {
    /// `own` is this process. A name that no certificate can hold is left out.
    pub fn new(own: &str, all: impl IntoIterator<Item = &'static str>) -> Self {
        let named = |name| DnsName::try_from(name).ok().map(|dns| (name, ServerName::DnsName(dns)));
        Self { own: own.to_owned(), all: all.into_iter().filter_map(named).collect() }
    }

    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// All that a certificate is good for, by the rule that host names are verified by.
    pub(crate) fn held(&self, certificate: &CertificateDer<'_>) -> Result<Vec<&'static str>, rustls::Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let good = |name: &ServerName<'static>| verify_server_name(&certificate, name).is_ok();
        Ok(self.all.iter().filter(|(_, name)| good(name)).map(|(name, _)| *name).collect())
    }

    /// The one process that a certificate names. One that names two is neither's.
    pub(crate) fn one(&self, certificate: &CertificateDer<'_>) -> Option<&'static str> {
        match self.held(certificate).ok()?.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }
}
