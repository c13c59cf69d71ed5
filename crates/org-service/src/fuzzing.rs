//! What a fuzzer does with names of hosts: see the crate `seeds`.

#![allow(clippy::unwrap_used, reason = "a body fails by panic")]

use std::net::IpAddr;

use url::Url;

use crate::model::{AskedName, DomainName, EmailDomain, Fault, HostBase, RedirectUri};

/// A name that is taken is kept in one form, which is its own form and the one that a browser would go to; nothing that is an address
/// of a machine, or leads past the name, is a name.
pub fn host(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    redirect_uri(&text);
    let asked = AskedName::parse(&text).map(|name| name.as_str().to_owned());
    let claimed = DomainName::parse(&text).map(|name| name.as_str().to_owned());
    let mail = EmailDomain::parse(&text).map(|name| name.as_str().to_owned());
    is_kept(&asked, |text| AskedName::parse(text).map(|name| name.as_str().to_owned()));
    is_kept(&claimed, |text| DomainName::parse(text).map(|name| name.as_str().to_owned()));
    is_kept(&mail, |text| EmailDomain::parse(text).map(|name| name.as_str().to_owned()));
    // What may be claimed may be looked up, and is the same name.
    assert!(claimed.is_err() || claimed == asked, "{claimed:?} {asked:?}");
    assert!(mail.is_err() || mail == asked, "{mail:?} {asked:?}");
    let Ok(name) = asked else { return };
    // Capitals of other scripts are letters of their own: that of a sharp s is two.
    assert!(!text.is_ascii() || self::name(&text.to_uppercase()) == Some(name.clone()));
    if let Ok(claimed) = claimed {
        assert!(format!("_guildhall.{claimed}").len() <= 253);
        assert_eq!(
            DomainName::parse(&format!("{claimed}.")).unwrap().as_str(),
            claimed,
            "a dot at the end is not another name"
        );
    }
    slugs(&name);
}

/// The form of a name that may be looked up.
pub fn name(text: &str) -> Option<String> {
    AskedName::parse(text).ok().map(|name| name.as_str().to_owned())
}

fn is_kept(parsed: &Result<String, Fault>, parse: impl Fn(&str) -> Result<String, Fault>) {
    let Ok(name) = parsed else { return };
    assert_eq!(parse(name).as_ref(), Ok(name));
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    assert!(name.len() <= 253 && name.contains('.') && name.split('.').all(label), "{name}");
    assert!(name.parse::<IpAddr>().is_err(), "{name}");
    let url = Url::parse(&format!("https://{name}/")).unwrap();
    assert_eq!((url.host_str(), url.domain()), (Some(name.as_str()), Some(name.as_str())));
}

/// A vanity host names one slug, and only right below the base.
fn slugs(name: &str) {
    let base = HostBase::parse("app.example.test").unwrap();
    let asked = AskedName::parse(name).unwrap();
    if let Some(slug) = base.slug_of(&asked) {
        assert!(!slug.is_empty() && !slug.contains('.'));
        assert_eq!(format!("{slug}.app.example.test"), name);
    }
    if let Some((slug, parent)) = name.split_once('.')
        && let Ok(parent) = HostBase::parse(parent)
    {
        assert_eq!(parent.slug_of(&asked), Some(slug));
    }
}

/// Where a browser goes back to is what stands there: to https, or to this very machine.
fn redirect_uri(text: &str) {
    let Ok(uri) = RedirectUri::parse(text) else { return };
    assert_eq!(uri.as_str(), text);
    let url = Url::parse(text).unwrap();
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let here = ["localhost", "127.0.0.1", "[::1]"];
    assert!(url.scheme() == "https" || url.scheme() == "http" && here.contains(&url.host_str().unwrap()), "{text}");
    // A reader who takes what stands between the scheme and the next slash for the host is not led elsewhere.
    let authority = text.split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
    assert!(!authority.contains(['@', '\\']) && text.is_ascii(), "{text}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn host() {
        seeds::each("name", super::host);
    }
}
