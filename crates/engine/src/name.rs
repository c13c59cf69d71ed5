//! The grammar of names. A word is `[a-z][a-z0-9_]*`; a type is words joined by dots, a verb is one word.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest type name, in bytes.
pub const MAX_TYPE_LENGTH: usize = 64;
/// The longest verb, in bytes.
pub const MAX_VERB_LENGTH: usize = 32;
/// The longest resource id, in bytes.
pub const MAX_RESOURCE_ID_LENGTH: usize = 256;

/// Why a text is not the name that was expected. Carries at most the first 100 characters of the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("`{0}` is not a type: lowercase words of letters, digits and `_`, joined by dots, at most 64 bytes")]
    Type(String),
    #[error("`{0}` is not a verb: one lowercase word of letters, digits and `_`, at most 32 bytes")]
    Verb(String),
    #[error("`{0}` is not a permission: it has the form `type:verb`")]
    Permission(String),
    #[error("`{0}` is not a resource: it has the form `type/id`")]
    Resource(String),
    #[error("`{0}` is not a resource id: 1 to 256 bytes without control characters")]
    ResourceId(String),
}

/// The start of a text that came from outside, for an error message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

pub(crate) fn check_type(text: &str) -> Result<(), NameError> {
    if text.len() <= MAX_TYPE_LENGTH && text.split('.').all(is_word) {
        return Ok(());
    }
    Err(NameError::Type(shown(text)))
}

pub(crate) fn check_verb(text: &str) -> Result<(), NameError> {
    if text.len() <= MAX_VERB_LENGTH && is_word(text) {
        return Ok(());
    }
    Err(NameError::Verb(shown(text)))
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
}

/// The name of a resource type, such as `document` or `guildhall.member`. Cloning shares the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TypeName(Arc<str>);

impl TypeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_type(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for TypeName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TypeName> for String {
    fn from(name: TypeName) -> Self {
        name.as_str().to_owned()
    }
}

impl Borrow<str> for TypeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_dotted_lowercase_words() {
        for good in ["document", "guildhall.member", "a", "a1_b.c2", &"a".repeat(64)] {
            assert!(check_type(good).is_ok(), "{good}");
        }
        for bad in
            ["", ".", "a.", ".a", "a..b", "Document", "1a", "_a", "a-b", "a b", "é", "a:b", "a/b", &"a".repeat(65)]
        {
            assert!(check_type(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn verbs_are_one_lowercase_word() {
        for good in ["read", "sign_off", "v2", &"v".repeat(32)] {
            assert!(check_verb(good).is_ok(), "{good}");
        }
        for bad in ["", "*", "Read", "a.b", "2", "re ad", &"v".repeat(33)] {
            assert!(check_verb(bad).is_err(), "{bad}");
        }
    }
}
