//! How an organization shows itself in mail.

/// As org-service says now. Empty texts are what nobody has set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brand {
    /// The organization's own name. Empty: no organization is meant.
    pub organization: String,
    pub sender_name: String,
    pub logo_uri: String,
    /// `#rrggbb`.
    pub primary_color: String,
}

impl Brand {
    /// Under which name mail is sent.
    pub fn sender(&self) -> &str {
        if self.sender_name.is_empty() { &self.organization } else { &self.sender_name }
    }

    /// The colour, if it is one: it stands inside a style, where escaping for HTML is no guard.
    pub fn color(&self) -> Option<&str> {
        let digits = self.primary_color.strip_prefix('#')?;
        (digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(&self.primary_color)
    }

    /// The picture's address, if it is one that a mail reader fetches over TLS.
    pub fn logo(&self) -> Option<&str> {
        self.logo_uri.starts_with("https://").then_some(&self.logo_uri)
    }
}
