//! Where identity providers send browsers back to.

use super::{
    Fault, text,
    web_uri::{PlainHttp, web_uri},
};

const URI: usize = 2048;

text! {
    /// An absolute `https` URI, or an `http` one of this very machine. Compared to the letter.
    RedirectUri;
}

impl RedirectUri {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault =
            Fault("must be an absolute https:// URI of at most 2,048 ASCII characters, or http:// on a loopback host");
        let url = web_uri(text, PlainHttp::Here).filter(|url| text.len() <= URI && url.fragment().is_none());
        url.map(|_| Self(text.to_owned())).ok_or(fault)
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
}
