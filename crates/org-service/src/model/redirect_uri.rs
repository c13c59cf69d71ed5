//! Where identity providers send browsers back to.

use tenancy::ConnectionId;

use super::{
    Fault, text,
    web_uri::{PlainHttp, web_uri},
};

const URI: usize = 2048;
/// Stands for the connection in a URI that is to be another for each.
const CONNECTION: &str = "{connection_id}";

text! {
    /// An absolute `https` URI, or an `http` one of this very machine. Compared to the letter.
    RedirectUri;
}

impl RedirectUri {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = Fault(
            "must be an absolute https:// URI of at most 2,048 ASCII characters, or http:// on a loopback host; of braces it may have \
             {connection_id} once, behind the host",
        );
        let filled = text.replacen(CONNECTION, "connection", 1);
        // Behind the third slash nothing is the host's any more.
        let behind_the_host = text.find(CONNECTION).is_none_or(|at| text[..at].matches('/').count() >= 3);
        let url = web_uri(&filled, PlainHttp::Here).filter(|url| text.len() <= URI && url.fragment().is_none());
        url.filter(|_| behind_the_host && !filled.contains(['{', '}'])).map(|_| Self(text.to_owned())).ok_or(fault)
    }

    /// The one that a provider sends browsers back to after a sign-in by this connection.
    pub fn of_connection(&self, connection: ConnectionId) -> Self {
        Self(self.0.replacen(CONNECTION, &connection.to_string(), 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_alone() {
        for good in [
            "https://app.acme.test/callback",
            "https://app.acme.test:8443/a?b=c",
            "http://localhost:3000/callback",
            "http://127.0.0.1/callback",
            "http://[::1]:8080/",
        ] {
            assert!(RedirectUri::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "http://app.acme.test/callback",
            "http://localhost.evil.test/",
            "http://127.0.0.1@evil.test/",
            "https://user@app.acme.test/",
            "https://@app.acme.test/",
            "https://app.acme.test/#fragment",
            "https:///app.acme.test",
            "https:app.acme.test",
            "https://app.acme.test\\@evil.test",
            "https://app.acme.test/ a",
            "javascript:alert(1)",
            "com.acme.app:/callback",
            "//app.acme.test/",
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad}");
        }
        assert!(RedirectUri::parse(&format!("https://a.test/{}", "a".repeat(2048))).is_err());
    }

    #[test]
    fn one_may_be_another_for_each_connection() {
        let connection = ConnectionId::new();
        for (text, filled) in [
            ("https://app.acme.test/sso/{connection_id}/back", format!("https://app.acme.test/sso/{connection}/back")),
            ("http://localhost/?by={connection_id}", format!("http://localhost/?by={connection}")),
            ("https://app.acme.test/callback", "https://app.acme.test/callback".to_owned()),
        ] {
            assert_eq!(RedirectUri::parse(text).unwrap().of_connection(connection).as_str(), filled);
        }
        for bad in [
            "https://{connection_id}.acme.test/",
            "https://app.acme.test:{connection_id}/",
            "https://app.acme.test/{connection_id}/{connection_id}",
            "https://app.acme.test/{organization_id}",
            "https://app.acme.test/{connection_id",
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad}");
        }
    }
}
