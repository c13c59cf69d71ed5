use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{MAX_RESOURCE_ID_LENGTH, NameError, check_type, shown};

/// One resource of the project's own world, named by its type and the project's id for it: `document/42`.
///
/// The id is opaque to us and compared byte for byte. Types hold no `/`, so the text form has one reading. Cloning shares the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceRef {
    text: Arc<str>,
    slash: usize,
}

impl ResourceRef {
    pub fn new(type_name: &str, id: &str) -> Result<Self, NameError> {
        check_type(type_name)?;
        if id.is_empty() || id.len() > MAX_RESOURCE_ID_LENGTH || id.chars().any(char::is_control) {
            return Err(NameError::ResourceId(shown(id)));
        }
        Ok(Self { text: [type_name, "/", id].concat().into(), slash: type_name.len() })
    }

    pub fn type_name(&self) -> &str {
        &self.text[..self.slash]
    }

    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    pub fn id(&self) -> &str {
        &self.text[self.slash + 1..]
    }
}

impl Hash for ResourceRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for ResourceRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (type_name, id) = text.split_once('/').ok_or_else(|| NameError::Resource(shown(text)))?;
        Self::new(type_name, id)
    }
}

impl TryFrom<String> for ResourceRef {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ResourceRef> for String {
    fn from(resource: ResourceRef) -> Self {
        resource.to_string()
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slash_ends_the_type() {
        let resource: ResourceRef = "document/a/b:c".parse().unwrap();
        assert_eq!((resource.type_name(), resource.id()), ("document", "a/b:c"));
        assert_eq!(resource, ResourceRef::new("document", "a/b:c").unwrap());
        for bad in ["", "document", "document/", "/1", "Doc/1", "document/a\nb"] {
            assert!(bad.parse::<ResourceRef>().is_err(), "{bad:?}");
        }
        assert!(ResourceRef::new("document", &"x".repeat(256)).is_ok());
        assert!(ResourceRef::new("document", &"x".repeat(257)).is_err());
    }
}
