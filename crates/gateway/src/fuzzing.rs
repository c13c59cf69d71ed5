//! What a fuzzer does with what comes from outside: see the crate `seeds`.

pub use crate::json::fuzzing::{json, path};

use crate::email;

/// An address's one spelling is its own, and stays itself in capitals and in full width.
pub fn address(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let once = canonical(&text);
    assert_eq!(canonical(&once), once);
    assert_eq!(canonical(&format!(" {text}\t")), once);
    if text.is_ascii() {
        assert_eq!(canonical(&text.to_uppercase()), once);
        let wide =
            |c: char| c.is_ascii_alphanumeric().then(|| char::from_u32(c as u32 + 0xFEE0)).flatten().unwrap_or(c);
        assert_eq!(canonical(&text.chars().map(wide).collect::<String>()), once);
    }
    assert!(email::check(&text).is_err() || text.chars().count() <= email::MAX_CHARACTERS);
}

/// What attempts are counted by.
pub fn canonical(address: &str) -> String {
    email::canonical(address)
}

#[cfg(test)]
mod tests {
    #[test]
    fn address() {
        seeds::each("name", super::address);
    }

    #[test]
    fn json() {
        seeds::each("json", super::json);
    }

    #[test]
    fn path() {
        seeds::each("path", super::path);
    }
}
