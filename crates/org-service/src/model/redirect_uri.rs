//! Where identity providers send browsers back to.

use url::Url;

use super::{Fault, text};

const URI: usize = 2048;

text! {
    /// An absolute `https` URI, or an `http` one of this very machine. Compared to the letter.
    RedirectUri;
}

impl RedirectUri {
    /// As it stands, not as a parser would mend it: whoever compares it reads the same.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault =
            Fault("must be an absolute https:// URI of at most 2,048 ASCII characters, or http:// on a loopback host");
        let graphic = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'`'));
        if text.len() > URI || !graphic {
            return Err(fault);
        }
        let written = |scheme: &str| text.strip_prefix(scheme).is_some_and(|rest| !rest.starts_with('/'));
        let url = Url::parse(text).map_err(|_| fault)?;
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let good = plain && url.host_str().is_some() && (written("https://") || (written("http://") && loopback));
        if good { Ok(Self(text.to_owned())) } else { Err(fault) }
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
}
