//! Absolute URIs of the web, written so that every reader finds the same host in them.

use url::Url;

/// Where `http` will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlainHttp {
    Nowhere,
    /// On this very machine.
    Here,
    Anywhere,
}

/// As it stands, not as a parser would mend it: one takes `https:host`, `https:///host` and `https://@host`, and drops spaces; others read
/// something else. No user name, not even an empty one, and no password.
pub(super) fn web_uri(text: &str, plain: PlainHttp) -> Option<Url> {
    let graphic = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'`'));
    let secure = text.strip_prefix("https://");
    let rest = secure.or_else(|| text.strip_prefix("http://").filter(|_| plain != PlainHttp::Nowhere))?;
    let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
    if !graphic || authority.contains('@') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    (secure.is_some() || here || plain == PlainHttp::Anywhere).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_would_mend_is_refused() {
        assert!(web_uri("https://acme.test/a?b#c", PlainHttp::Nowhere).is_some());
        for bad in
            ["https:acme.test", "https:///acme.test", "https://@acme.test", "https://:@acme.test", "https://a b.test"]
        {
            assert!(web_uri(bad, PlainHttp::Anywhere).is_none(), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_good_where_it_is_said() {
        use PlainHttp::{Anywhere, Here, Nowhere};
        let good = |text| [Nowhere, Here, Anywhere].map(|plain| web_uri(text, plain).is_some());
        assert_eq!(good("https://acme.test"), [true, true, true]);
        assert_eq!(good("http://[::1]:8080/"), [false, true, true]);
        assert_eq!(good("http://acme.test"), [false, false, true]);
    }
}
