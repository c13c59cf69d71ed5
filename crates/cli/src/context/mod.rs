//! Contexts: where a gateway is, who calls it, and what is meant when nothing is said. Kept in one file for its owner alone.

mod command;
mod reach;
mod store;

pub use command::{Command, run};
pub use reach::Reach;

use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};

/// One installation, as one caller.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    pub gateway: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub client_secret: Option<SecretString>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub token: Option<SecretString>,
}

/// Into the file and nowhere else: what is shown of a context is put together by hand.
fn expose<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    use secrecy::ExposeSecret as _;
    secret.as_ref().map(|secret| secret.expose_secret()).serialize(serializer)
}

/// With its scheme: TLS, but for this machine itself.
fn address(gateway: &str) -> String {
    if gateway.contains("://") {
        return gateway.trim_end_matches('/').to_owned();
    }
    let host = gateway.rsplit_once(':').map_or(gateway, |(host, _)| host);
    let here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    format!("{}://{gateway}", if here { "http" } else { "https" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_scheme_that_keeps_secrets() {
        assert_eq!(address("127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(address("localhost"), "http://localhost");
        assert_eq!(address("[::1]:8080"), "http://[::1]:8080");
        assert_eq!(address("guildhall.example.com"), "https://guildhall.example.com");
        assert_eq!(address("10.0.0.1:8080"), "https://10.0.0.1:8080");
        assert_eq!(address("http://gateway:8080/"), "http://gateway:8080");
    }

    #[test]
    fn a_context_shows_no_secret() {
        let context = Context { client_secret: Some("hush".into()), token: Some("hush".into()), ..Context::default() };
        assert!(!format!("{context:?}").contains("hush"));
    }
}
