//! What a fuzzer does with addresses: see the crate `seeds`.

use crate::model::EmailAddress;

/// An address has one form, which is its own form; capitals and full width are the same address.
pub fn email(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let prefix = EmailAddress::fold_prefix(&text).ok();
    let Some(address) = normal(&text) else { return };
    assert!(address.len() <= 254 && address.matches('@').count() == 1);
    assert!(!address.chars().any(|c| c.is_whitespace() || c.is_control()));
    assert_eq!(normal(&address).as_ref(), Some(&address));
    let Ok(parsed) = EmailAddress::parse(&address) else { panic!("{address} is its own form") };
    assert_eq!(format!("{}@{}", parsed.local(), parsed.domain()), address);
    assert!(parsed.domain().is_ascii() && parsed.domain().contains('.') && !parsed.domain().ends_with('.'));
    assert_eq!(parsed.domain(), parsed.domain().to_ascii_lowercase());
    assert_eq!(format!("{parsed:?}"), "EmailAddress(..)", "no address in a log");
    if text.is_ascii() {
        assert_eq!(normal(&text.to_uppercase()).as_ref(), Some(&address));
        let wide =
            |c: char| c.is_ascii_alphanumeric().then(|| char::from_u32(c as u32 + 0xFEE0)).flatten().unwrap_or(c);
        let wide: String = text.chars().map(wide).collect();
        assert!(normal(&wide).is_none_or(|wide| wide == address));
        // A filter by the beginning finds it.
        assert!(prefix.is_none_or(|prefix| address == prefix || prefix.contains("xn--")), "{text}");
    }
}

/// The form that an address is kept in.
pub fn normal(text: &str) -> Option<String> {
    EmailAddress::parse(text).ok().map(|address| address.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn email() {
        seeds::each("name", super::email);
    }
}
