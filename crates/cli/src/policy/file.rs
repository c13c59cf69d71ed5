//! The file of a policy test, as it is written down.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::Failure;

/// An organization as the file imagines it, and what must hold in it. Names stand where a server has ids.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(default)]
    pub catalog: Vec<Type>,
    #[serde(default)]
    pub roles: Vec<Role>,
    #[serde(default)]
    pub members: Names,
    #[serde(default)]
    pub service_accounts: Names,
    /// Who may do nothing, whatever they are bound to.
    #[serde(default)]
    pub suspended: Vec<String>,
    /// Who is directly in each.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
    /// What each lies in; nothing: directly in the organization.
    #[serde(default)]
    pub resources: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub bindings: Vec<Binding>,
    #[serde(default)]
    pub assertions: Vec<Assertion>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    pub name: String,
    #[serde(default)]
    pub parent_types: Vec<String>,
    #[serde(default)]
    pub verbs: Vec<String>,
    #[serde(default)]
    pub description: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub key: String,
    #[serde(default)]
    pub permissions: Vec<String>,
    /// The keys of the roles that it includes.
    #[serde(default)]
    pub includes: Vec<String>,
}

/// Names alone, or each with the id that it has on a server.
#[derive(Debug, Default)]
pub struct Names(Vec<(String, Option<String>)>);

impl Names {
    pub fn each(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, id)| (name.as_str(), id.as_deref()))
    }
}

/// By hand, because one that tries both takes `no` for a truth value before it can be a name.
impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or names with ids")
            }

            fn visit_unit<E>(self) -> Result<Names, E> {
                Ok(Names::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Names, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element::<String>()? {
                    all.push((name, None));
                }
                Ok(Names(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut names: A) -> Result<Names, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = names.next_entry::<String, Option<String>>()? {
                    all.push(entry);
                }
                Ok(Names(all))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    pub subject: String,
    pub role: String,
    /// Nothing: the organization.
    pub resource: Option<String>,
    #[serde(default)]
    pub effect: Effect,
    pub condition: Option<String>,
    pub not_before: Option<String>,
    pub expire_time: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    #[default]
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    #[serde(default)]
    pub name: String,
    /// The words of `guildhall check`: who, what, and where unless it is the organization.
    pub check: String,
    pub expected: Expected,
    #[serde(default)]
    pub context: Map<String, Value>,
    /// When it is asked. Nothing: now.
    pub time: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    Allowed,
    Denied,
    Conditional,
}

impl Expected {
    pub fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Conditional => "conditional",
        }
    }

    /// Of an answer's enum value.
    pub fn of_decision(name: &str) -> Option<Self> {
        match name {
            "DECISION_ALLOWED" => Some(Self::Allowed),
            "DECISION_DENIED" => Some(Self::Denied),
            "DECISION_CONDITIONAL" => Some(Self::Conditional),
            _ => None,
        }
    }
}

/// What is wrong with a file is said with its line, as far as the reading of YAML finds it.
pub fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Failure> {
    let text = fs::read_to_string(path).map_err(Failure::file("cannot read", path))?;
    serde_saphyr::from_str(&text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// The three words of a question. A resource's id may hold spaces.
pub fn words(check: &str) -> Option<(&str, &str, Option<&str>)> {
    let (subject, rest) = check.trim().split_once(' ')?;
    let rest = rest.trim_start();
    match rest.split_once(' ') {
        Some((permission, resource)) => Some((subject, permission, Some(resource.trim_start()))),
        None => Some((subject, rest, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_two_words_or_three() {
        assert_eq!(words("ada document:read"), Some(("ada", "document:read", None)));
        assert_eq!(words(" ada  document:read document/a b "), Some(("ada", "document:read", Some("document/a b"))));
        assert_eq!(words("ada"), None);
    }

    #[test]
    fn names_are_a_list_or_have_ids() {
        let names = |text: &str| -> Vec<(String, Option<String>)> {
            let names: Names = serde_saphyr::from_str(text).unwrap();
            names.each().map(|(name, id)| (name.to_owned(), id.map(str::to_owned))).collect()
        };
        assert_eq!(names("[ada, no]"), [("ada".to_owned(), None), ("no".to_owned(), None)]);
        assert_eq!(
            names("ada:\ngrace: member_1\n"),
            [("ada".to_owned(), None), ("grace".to_owned(), Some("member_1".to_owned()))]
        );
    }

    #[test]
    fn a_word_that_is_not_known_is_a_fault() {
        for bad in
            ["role: []", "assertions: [{check: a b, expect: allowed}]", "bindings: [{subject: a, role: b, at: c}]"]
        {
            assert!(serde_saphyr::from_str::<Policy>(bad).is_err(), "{bad}");
        }
        assert!(serde_saphyr::from_str::<Policy>("assertions: [{check: a b, expected: denied}]").is_ok());
    }
}
