use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, TypeName, check_type, check_verb, shown};

/// One thing that may be done to resources of one type: `document:read`.
///
/// Held as one shared text, so that a lookup hashes it once and cloning does not allocate. Whether a catalog knows the
/// permission is another question; an unknown one is always denied.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Permission {
    text: Arc<str>,
    colon: usize,
}

impl Permission {
    pub fn new(type_name: &str, verb: &str) -> Result<Self, NameError> {
        check_type(type_name)?;
        check_verb(verb)?;
        Ok(Self { text: format!("{type_name}:{verb}").into(), colon: type_name.len() })
    }

    pub fn type_name(&self) -> &str {
        &self.text[..self.colon]
    }

    pub fn verb(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Permission {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (type_name, verb) = text.split_once(':').ok_or_else(|| NameError::Permission(shown(text)))?;
        check_type(type_name)?;
        check_verb(verb)?;
        Ok(Self { text: text.into(), colon: type_name.len() })
    }
}

impl TryFrom<String> for Permission {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.as_str().to_owned()
    }
}

impl PartialEq for Permission {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Permission {}

impl PartialOrd for Permission {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Permission {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Permission {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a role lists: one permission, all of a type (`document:*`), or everything (`*`).
///
/// The wildcards are open-ended: what they mean grows with the catalog. Any two patterns are nested or disjoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PermissionPattern {
    All,
    Type(TypeName),
    One(Permission),
}

impl PermissionPattern {
    pub fn matches(&self, permission: &Permission) -> bool {
        match self {
            Self::All => true,
            Self::Type(name) => name.as_str() == permission.type_name(),
            Self::One(one) => one == permission,
        }
    }

    /// True when whatever `other` may come to mean, under any catalog, this pattern means too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Type(name), Self::Type(other)) => name == other,
            (_, Self::One(permission)) => self.matches(permission),
            (Self::Type(_), Self::All) | (Self::One(_), Self::All | Self::Type(_)) => false,
        }
    }

    /// True when some permission, known or not, matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl FromStr for PermissionPattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "*" {
            return Ok(Self::All);
        }
        match text.strip_suffix(":*") {
            Some(type_name) => type_name.parse().map(Self::Type),
            None => text.parse().map(Self::One),
        }
    }
}

impl TryFrom<String> for PermissionPattern {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PermissionPattern> for String {
    fn from(pattern: PermissionPattern) -> Self {
        pattern.to_string()
    }
}

impl From<Permission> for PermissionPattern {
    fn from(permission: Permission) -> Self {
        Self::One(permission)
    }
}

impl fmt::Display for PermissionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Type(name) => write!(f, "{name}:*"),
            Self::One(permission) => permission.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PermissionPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_permission_has_one_type_and_one_verb() {
        let permission: Permission = "guildhall.member:read".parse().unwrap();
        assert_eq!((permission.type_name(), permission.verb()), ("guildhall.member", "read"));
        assert_eq!(permission, Permission::new("guildhall.member", "read").unwrap());
        for bad in ["", ":", "document", "document:", ":read", "document:read:all", "document:*", "*", "Document:read"]
        {
            assert!(bad.parse::<Permission>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_is_printed_as_it_is_read() {
        for text in ["*", "document:*", "guildhall.member:read"] {
            assert_eq!(pattern(text).to_string(), text);
        }
        for bad in ["", "**", "*:read", "*:*", ":*", "document.*", "document:re*"] {
            assert!(bad.parse::<PermissionPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn covering_is_about_every_catalog() {
        let widest_first = ["*", "document:*", "document:read"];
        for (i, wide) in widest_first.iter().enumerate() {
            for (j, narrow) in widest_first.iter().enumerate() {
                assert_eq!(pattern(wide).covers(&pattern(narrow)), i <= j, "{wide} covers {narrow}");
                assert!(pattern(wide).overlaps(&pattern(narrow)));
            }
        }
        assert!(!pattern("document:*").overlaps(&pattern("documents:*")));
        assert!(!pattern("document:read").overlaps(&pattern("document:write")));
    }
}
