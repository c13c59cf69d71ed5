use std::collections::{HashMap, HashSet};
use std::ops::Range;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::{NameError, TypeName, check_type, check_verb, shown};
use crate::permission::{Permission, PermissionPattern};
use crate::system;

/// The most resource types that a project may define.
pub const MAX_TYPES: usize = 200;
/// The most verbs that one type may have.
pub const MAX_VERBS: usize = 50;
/// The longest description of a type, in bytes.
pub const MAX_DESCRIPTION_LENGTH: usize = 1000;

/// A resource type as a project writes it down; checked by [`Catalog::new`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceType {
    pub name: String,
    /// Which of the project's types a resource of this type may stand under, besides the organization.
    #[serde(default)]
    pub parent_types: Vec<String>,
    #[serde(default)]
    pub verbs: Vec<String>,
    #[serde(default)]
    pub description: String,
}

/// Which permissions there are: Guildhall's own, then the project's. What is not in it is denied.
#[derive(Debug, Clone)]
pub struct Catalog {
    project: Vec<ResourceType>,
    /// Permissions of one type are neighbours, so that `type:*` is a range.
    permissions: Vec<Permission>,
    index: HashMap<Permission, u32, RandomState>,
    ranges: HashMap<TypeName, Range<u32>, RandomState>,
}

impl Catalog {
    /// Guildhall's own types alone: the catalog of a project that defined none yet.
    pub fn system() -> Self {
        Self::assemble(Vec::new())
    }

    /// Guildhall's types and the project's. On refusal every fault is named, each with the field it is about.
    pub fn new(project: Vec<ResourceType>) -> Result<Self, InvalidCatalog> {
        let faults = faults(&project);
        if faults.is_empty() { Ok(Self::assemble(project)) } else { Err(InvalidCatalog(faults)) }
    }

    fn assemble(project: Vec<ResourceType>) -> Self {
        let mut catalog = Self {
            project: Vec::new(),
            permissions: Vec::new(),
            index: HashMap::default(),
            ranges: HashMap::default(),
        };
        for (name, verbs, _) in system::TYPES {
            catalog.add(name, verbs.iter().copied());
        }
        for defined in &project {
            catalog.add(&defined.name, defined.verbs.iter().map(String::as_str));
        }
        catalog.project = project;
        catalog
    }

    /// The names are checked before: what would not parse is left out.
    fn add<'a>(&mut self, type_name: &str, verbs: impl Iterator<Item = &'a str>) {
        let Ok(name) = type_name.parse::<TypeName>() else { return };
        let start = self.permissions.len() as u32;
        for permission in verbs.filter_map(|verb| Permission::new(type_name, verb).ok()) {
            self.index.insert(permission.clone(), self.permissions.len() as u32);
            self.permissions.push(permission);
        }
        self.ranges.insert(name, start..self.permissions.len() as u32);
    }

    /// What the project defined, in its order.
    pub fn project_types(&self) -> &[ResourceType] {
        &self.project
    }

    /// Guildhall's own types, in the form of the project's.
    pub fn system_types() -> Vec<ResourceType> {
        let written = |(name, verbs, description): &(&str, &[&str], &str)| ResourceType {
            name: (*name).to_owned(),
            parent_types: Vec::new(),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            description: (*description).to_owned(),
        };
        system::TYPES.iter().map(written).collect()
    }

    /// Every permission, Guildhall's first.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    pub fn knows(&self, permission: &Permission) -> bool {
        self.index.contains_key(permission)
    }

    pub fn knows_type(&self, type_name: &str) -> bool {
        self.ranges.contains_key(type_name)
    }

    /// True when the pattern names something that exists: what a role being written must satisfy.
    pub fn knows_pattern(&self, pattern: &PermissionPattern) -> bool {
        match pattern {
            PermissionPattern::All => true,
            PermissionPattern::Type(name) => self.knows_type(name.as_str()),
            PermissionPattern::One(permission) => self.knows(permission),
        }
    }

    /// What a pattern means under this catalog.
    pub fn matching(&self, pattern: &PermissionPattern) -> &[Permission] {
        let range = self.range(pattern);
        &self.permissions[range.start as usize..range.end as usize]
    }

    /// True when a resource of type `child` may be registered beneath one of type `parent`. Beneath the organization any may.
    pub fn may_contain(&self, parent: &str, child: &str) -> bool {
        self.project
            .iter()
            .any(|defined| defined.name == child && defined.parent_types.iter().any(|name| name == parent))
    }

    pub(crate) fn position(&self, permission: &Permission) -> Option<u32> {
        self.index.get(permission).copied()
    }

    /// The positions that a pattern means; empty when it names nothing known.
    pub(crate) fn range(&self, pattern: &PermissionPattern) -> Range<u32> {
        match pattern {
            PermissionPattern::All => 0..self.permissions.len() as u32,
            PermissionPattern::Type(name) => self.ranges.get(name).cloned().unwrap_or(0..0),
            PermissionPattern::One(permission) => self.position(permission).map_or(0..0, |at| at..at + 1),
        }
    }
}

/// Everything that is wrong with a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the catalog has {} fault(s)", .0.len())]
pub struct InvalidCatalog(pub Vec<CatalogFault>);

/// One fault and the field it is about, such as `resource_types[2].verbs[0]`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct CatalogFault {
    pub field: String,
    pub problem: CatalogProblem,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogProblem {
    #[error("{0} types, at most 200 are possible")]
    TooManyTypes(usize),
    #[error("{0} verbs, at most 50 are possible")]
    TooManyVerbs(usize),
    #[error("{0}")]
    Name(NameError),
    #[error("`guildhall` is kept for Guildhall's own types")]
    Reserved,
    #[error("`{0}` is there already")]
    Duplicate(String),
    #[error("there is no type `{0}` among these")]
    UnknownParent(String),
    #[error("{0} bytes, at most 1000 are possible")]
    DescriptionTooLong(usize),
}

fn faults(types: &[ResourceType]) -> Vec<CatalogFault> {
    let mut faults = Vec::new();
    let mut fault = |field: String, problem| faults.push(CatalogFault { field, problem });
    if types.len() > MAX_TYPES {
        fault("resource_types".to_owned(), CatalogProblem::TooManyTypes(types.len()));
    }
    let defined: HashSet<&str> = types.iter().map(|written| written.name.as_str()).collect();
    let mut seen = HashSet::new();
    for (i, written) in types.iter().enumerate() {
        let at = format!("resource_types[{i}]");
        if let Err(error) = check_type(&written.name) {
            fault(format!("{at}.name"), CatalogProblem::Name(error));
        } else if written.name == "guildhall" || written.name.starts_with(system::RESERVED_PREFIX) {
            fault(format!("{at}.name"), CatalogProblem::Reserved);
        } else if !seen.insert(written.name.as_str()) {
            fault(format!("{at}.name"), CatalogProblem::Duplicate(written.name.clone()));
        }
        if written.verbs.len() > MAX_VERBS {
            fault(format!("{at}.verbs"), CatalogProblem::TooManyVerbs(written.verbs.len()));
        }
        for (j, verb, first) in with_first_seen(&written.verbs) {
            if let Err(error) = check_verb(verb) {
                fault(format!("{at}.verbs[{j}]"), CatalogProblem::Name(error));
            } else if !first {
                fault(format!("{at}.verbs[{j}]"), CatalogProblem::Duplicate(verb.to_owned()));
            }
        }
        for (j, parent, first) in with_first_seen(&written.parent_types) {
            if !defined.contains(parent) {
                fault(format!("{at}.parent_types[{j}]"), CatalogProblem::UnknownParent(shown(parent)));
            } else if !first {
                fault(format!("{at}.parent_types[{j}]"), CatalogProblem::Duplicate(shown(parent)));
            }
        }
        if written.description.len() > MAX_DESCRIPTION_LENGTH {
            fault(format!("{at}.description"), CatalogProblem::DescriptionTooLong(written.description.len()));
        }
    }
    faults
}

/// Each text with its position and whether it is the first of its kind.
fn with_first_seen(texts: &[String]) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut seen = HashSet::new();
    texts.iter().enumerate().map(move |(i, text)| (i, text.as_str(), seen.insert(text.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, verbs: &[&str], parents: &[&str]) -> ResourceType {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ResourceType {
            name: name.to_owned(),
            parent_types: owned(parents),
            verbs: owned(verbs),
            description: String::new(),
        }
    }

    fn fields(types: Vec<ResourceType>) -> Vec<String> {
        Catalog::new(types).unwrap_err().0.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn patterns_mean_what_the_catalog_holds() {
        let catalog =
            Catalog::new(vec![written("document", &["read", "write"], &[]), written("box", &[], &[])]).unwrap();
        let texts = |pattern: &str| -> Vec<&str> {
            catalog.matching(&pattern.parse().unwrap()).iter().map(Permission::as_str).collect()
        };
        assert_eq!(texts("document:*"), ["document:read", "document:write"]);
        assert_eq!(texts("document:write"), ["document:write"]);
        assert!(texts("document:sign").is_empty() && texts("box:*").is_empty() && texts("paper:*").is_empty());
        assert_eq!(texts("*").len(), Catalog::system().permissions().len() + 2);
        assert!(
            catalog.knows_pattern(&"box:*".parse().unwrap()) && !catalog.knows_pattern(&"paper:*".parse().unwrap())
        );
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let mut types = vec![
            written("Document", &["read", "Read", "read"], &[]),
            written("guildhall.member", &[], &["folder", "nowhere", "folder"]),
            written("guildhall", &[], &["guildhall.organization"]),
            written("folder", &[], &["folder"]),
            written("folder", &[], &[]),
        ];
        types[4].description = "x".repeat(1001);
        let many: Vec<String> = (0..51).map(|i| format!("v{i}")).collect();
        types[3].verbs = many;
        assert_eq!(
            fields(types),
            [
                "resource_types[0].name",
                "resource_types[0].verbs[1]",
                "resource_types[0].verbs[2]",
                "resource_types[1].name",
                "resource_types[1].parent_types[1]",
                "resource_types[1].parent_types[2]",
                "resource_types[2].name",
                "resource_types[2].parent_types[0]",
                "resource_types[3].verbs",
                "resource_types[4].name",
                "resource_types[4].description",
            ]
        );
        let numbered = |count| (0..count).map(|i| written(&format!("t{i}"), &["read"], &[])).collect::<Vec<_>>();
        assert!(Catalog::new(numbered(200)).is_ok());
        assert_eq!(fields(numbered(201)), ["resource_types"]);
    }

    #[test]
    fn a_type_stands_where_its_parents_say() {
        let catalog =
            Catalog::new(vec![written("folder", &[], &["folder"]), written("document", &[], &["folder"])]).unwrap();
        assert!(catalog.may_contain("folder", "document") && catalog.may_contain("folder", "folder"));
        assert!(!catalog.may_contain("document", "folder"));
    }
}
