//! How a project or an organization shows itself.

use std::collections::BTreeMap;

use super::{
    Fault, Source,
    names::is_disruptive,
    text,
    web_uri::{PlainHttp, web_uri},
};

text! {
    /// An absolute `https` URI.
    LogoUri;
    /// `#rrggbb` in lower case.
    Color;
    /// The name that mail is sent under: 1 to 64 characters that cannot end or alter a mail header.
    SenderName;
}

const URI: usize = 2048;
const SENDER_NAME: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Branding {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<LogoUri>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_color: Option<Color>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_name: Option<SenderName>,
}

impl Branding {
    /// Takes over those fields of `from` that are named.
    pub fn take(&mut self, from: Self, named: impl Fn(&str) -> bool) {
        let Self { logo_uri, primary_color, sender_name } = from;
        if named("logo_uri") {
            self.logo_uri = logo_uri;
        }
        if named("primary_color") {
            self.primary_color = primary_color;
        }
        if named("sender_name") {
            self.sender_name = sender_name;
        }
    }
}

/// The branding as it holds for one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrandingInForce {
    pub branding: Branding,
    /// By the field's name in the contract. A field that nobody set has none.
    pub sources: BTreeMap<&'static str, Source>,
}

impl BrandingInForce {
    /// Each field by itself: the organization's own, else its project's.
    pub fn of(own: &Branding, project: &Branding) -> Self {
        let mut sources = BTreeMap::new();
        macro_rules! nearest {
            ($($field:ident),*) => {
                Branding { $($field: {
                    let source = if own.$field.is_some() { Source::Organization } else { Source::Project };
                    let value = own.$field.clone().or_else(|| project.$field.clone());
                    if value.is_some() {
                        sources.insert(stringify!($field), source);
                    }
                    value
                },)* }
            };
        }
        let branding = nearest!(logo_uri, primary_color, sender_name);
        Self { branding, sources }
    }
}

impl LogoUri {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > URI {
            return Err(Fault("must be at most 2,048 characters"));
        }
        let good = web_uri(text, PlainHttp::Nowhere).is_some();
        let fault = Fault("must be an absolute https:// URI in ASCII, without a user name or password");
        if good { Ok(Self(text.to_owned())) } else { Err(fault) }
    }
}

impl Color {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text.strip_prefix('#') {
            Some(digits) if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(Fault("must be of the form #rrggbb")),
        }
    }
}

impl SenderName {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.trim().is_empty() || text.chars().take(SENDER_NAME + 1).count() > SENDER_NAME {
            return Err(Fault("must be 1 to 64 characters"));
        }
        if text.chars().any(|c| is_disruptive(c) || matches!(c, '<' | '>' | '"')) {
            return Err(Fault("must not hold control characters, line breaks, <, > or \""));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_an_https_uri_and_nothing_else() {
        assert!(LogoUri::parse("https://cdn.acme.test/logo.svg?v=2").is_ok());
        for bad in [
            "http://a.test/x",
            "//a.test/x",
            "https://",
            "https:///x",
            "javascript:alert(1)",
            "data:image/png;base64,",
            "logo.svg",
            " https://a.test/x",
            "https://a.test/\n",
            "https://user:pw@a.test/",
            "https://a.test/\"onload=",
            "HTTPS:a.test",
        ] {
            assert!(LogoUri::parse(bad).is_err(), "{bad}");
        }
        assert!(LogoUri::parse(&format!("https://a.test/{}", "x".repeat(2048))).is_err());
    }

    #[test]
    fn a_color_is_six_digits_kept_in_lower_case() {
        assert_eq!(Color::parse("#0A5fFF").unwrap().as_str(), "#0a5fff");
        for bad in ["", "#fff", "0a5fff", "#0a5ffg", "#0a5fff0", "red"] {
            assert!(Color::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sender_name_cannot_break_a_mail_header() {
        assert!(SenderName::parse("Acme, Inc.").is_ok());
        for bad in ["", " ", "a\r\nBcc: x", "Acme <x@y>", "\"Acme\""] {
            assert!(SenderName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn branding_in_force_is_the_nearest_field_by_field() {
        let color = |text| Color::parse(text).ok();
        let project = Branding {
            primary_color: color("#111111"),
            sender_name: SenderName::parse("The Product").ok(),
            ..Branding::default()
        };
        let own = Branding { primary_color: color("#222222"), ..Branding::default() };
        let BrandingInForce { branding, sources } = BrandingInForce::of(&own, &project);
        assert_eq!((branding.primary_color, branding.sender_name), (color("#222222"), project.sender_name));
        let told = [("primary_color", Source::Organization), ("sender_name", Source::Project)];
        assert_eq!((branding.logo_uri, sources), (None, BTreeMap::from(told)));
    }
}
