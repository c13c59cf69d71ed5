//! Two catalogues, and what the roles make of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::{Catalog, Permission, PermissionPattern, ResourceType};
use serde_json::{Value, json};

/// A role as the server tells of it.
pub struct Role {
    pub id: String,
    pub key: String,
    pub permissions: Vec<String>,
    pub includes: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    types: Vec<TypeChange>,
    roles: Vec<RoleChange>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct TypeChange {
    name: String,
    kind: Kind,
    verbs: Change,
    parents: Change,
    description: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Added,
    #[default]
    Changed,
    Removed,
}

/// Names that come and go, each list sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    added: Vec<String>,
    removed: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct RoleChange {
    key: String,
    gains: Vec<String>,
    loses: Vec<String>,
}

impl Change {
    fn between(before: &[String], after: &[String]) -> Self {
        let (before, after): (BTreeSet<&String>, BTreeSet<&String>) = (before.iter().collect(), after.iter().collect());
        Self {
            added: after.difference(&before).map(|name| (*name).clone()).collect(),
            removed: before.difference(&after).map(|name| (*name).clone()).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn lines(&self, what: &str) -> impl Iterator<Item = String> {
        let line = move |sign: &str, name: &String| format!("    {sign} {what} {name}\n");
        let added = self.added.iter().map(move |name| line("+", name));
        added.chain(self.removed.iter().map(move |name| line("-", name)))
    }
}

impl Difference {
    /// The order of types and verbs means nothing, and is no difference.
    pub fn between(before: Vec<ResourceType>, after: Vec<ResourceType>, roles: &[Role]) -> Self {
        let by_name = |types: &[ResourceType]| -> BTreeMap<String, ResourceType> {
            types.iter().map(|kind| (kind.name.clone(), kind.clone())).collect()
        };
        let (old, new) = (by_name(&before), by_name(&after));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let nothing = ResourceType::default();
        let mut types = Vec::new();
        for name in names {
            let (was, is) = (old.get(name), new.get(name));
            let kind = match (was, is) {
                (None, _) => Kind::Added,
                (_, None) => Kind::Removed,
                _ => Kind::Changed,
            };
            let (was, is) = (was.unwrap_or(&nothing), is.unwrap_or(&nothing));
            let change = TypeChange {
                name: name.clone(),
                kind,
                verbs: Change::between(&was.verbs, &is.verbs),
                parents: Change::between(&was.parent_types, &is.parent_types),
                description: was.description != is.description,
            };
            let unchanged = change.verbs.is_empty() && change.parents.is_empty() && !change.description;
            if kind != Kind::Changed || !unchanged {
                types.push(change);
            }
        }
        Self { types, roles: role_changes(before, after, roles) }
    }

    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub fn draw(&self) -> String {
        if self.is_empty() {
            return "Nothing changes.\n".to_owned();
        }
        let mut text = String::new();
        for change in &self.types {
            let sign = match change.kind {
                Kind::Added => "+",
                Kind::Changed => "~",
                Kind::Removed => "-",
            };
            text += &format!("{sign} type {}\n", change.name);
            text.extend(change.verbs.lines("verb"));
            text.extend(change.parents.lines("parent"));
            if change.description && change.kind == Kind::Changed {
                text += "    ~ description\n";
            }
        }
        if self.roles.is_empty() {
            return text + "No role gains or loses anything.\n";
        }
        text += "Roles:\n";
        for role in &self.roles {
            let (gains, loses) = (shown("gains", &role.gains), shown("loses", &role.loses));
            let both = if gains.is_empty() || loses.is_empty() { "" } else { "; " };
            text += &format!("  {} {gains}{both}{loses}\n", role.key);
        }
        text
    }

    pub fn to_json(&self) -> Value {
        let types: Vec<Value> = self
            .types
            .iter()
            .map(|change| {
                json!({
                    "name": change.name,
                    "change": match change.kind { Kind::Added => "added", Kind::Changed => "changed", Kind::Removed => "removed" },
                    "verbs_added": change.verbs.added,
                    "verbs_removed": change.verbs.removed,
                    "parents_added": change.parents.added,
                    "parents_removed": change.parents.removed,
                    "description_changed": change.description,
                })
            })
            .collect();
        let roles = self.roles.iter().map(|role| json!({"key": role.key, "gains": role.gains, "loses": role.loses}));
        json!({"changes": !self.is_empty(), "types": types, "roles": roles.collect::<Vec<_>>()})
    }
}

fn shown(what: &str, permissions: &[String]) -> String {
    const MOST: usize = 8;
    let more = match permissions.len() {
        0 => return String::new(),
        count if count > MOST => format!(" and {} more", count - MOST),
        _ => String::new(),
    };
    format!("{what} {}{more}", permissions.iter().take(MOST).cloned().collect::<Vec<_>>().join(", "))
}

/// What each role means under both: with what it includes.
fn role_changes(before: Vec<ResourceType>, after: Vec<ResourceType>, roles: &[Role]) -> Vec<RoleChange> {
    // What the server has, it took; what is wanted was looked at before.
    let (Ok(before), Ok(after)) = (Catalog::new(before), Catalog::new(after)) else { return Vec::new() };
    let by_id: HashMap<&str, &Role> = roles.iter().map(|role| (role.id.as_str(), role)).collect();
    let mut changes = Vec::new();
    for role in roles {
        let patterns = patterns(role, &by_id);
        let means = |catalog: &Catalog| -> BTreeSet<String> {
            let all = patterns.iter().flat_map(|pattern| catalog.matching(pattern));
            all.map(Permission::to_string).collect()
        };
        let (was, is) = (means(&before), means(&after));
        let gains: Vec<String> = is.difference(&was).cloned().collect();
        let loses: Vec<String> = was.difference(&is).cloned().collect();
        if !(gains.is_empty() && loses.is_empty()) {
            changes.push(RoleChange { key: role.key.clone(), gains, loses });
        }
    }
    changes
}

fn patterns(role: &Role, by_id: &HashMap<&str, &Role>) -> Vec<PermissionPattern> {
    let mut reached: Vec<&Role> = vec![role];
    let mut seen: BTreeSet<&str> = [role.id.as_str()].into();
    let mut patterns = Vec::new();
    while let Some(role) = reached.pop() {
        patterns.extend(role.permissions.iter().filter_map(|text| text.parse::<PermissionPattern>().ok()));
        let included = role.includes.iter().filter_map(|id| by_id.get(id.as_str()));
        reached.extend(included.filter(|included| seen.insert(&included.id)).copied());
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, verbs: &[&str], parents: &[&str]) -> ResourceType {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        ResourceType {
            name: name.to_owned(),
            verbs: texts(verbs),
            parent_types: texts(parents),
            description: String::new(),
        }
    }

    fn role(key: &str, permissions: &[&str], includes: &[&str]) -> Role {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Role { id: key.to_owned(), key: key.to_owned(), permissions: texts(permissions), includes: texts(includes) }
    }

    #[test]
    fn what_comes_and_goes_and_who_feels_it() {
        let before = vec![kind("document", &["read", "print"], &[]), kind("box", &["open"], &[])];
        let after = vec![kind("folder", &["read"], &["folder"]), kind("document", &["sign", "read"], &["folder"])];
        let roles = [
            role("owner", &["*"], &[]),
            role("editor", &["document:*"], &["reader", "chief"]),
            role("chief", &[], &["editor"]),
            role("reader", &["document:read"], &[]),
        ];
        let difference = Difference::between(before.clone(), after, &roles);
        assert_eq!(
            difference.draw(),
            "- type box\n    - verb open\n\
             ~ type document\n    + verb sign\n    - verb print\n    + parent folder\n\
             + type folder\n    + verb read\n    + parent folder\n\
             Roles:\n  owner gains document:sign, folder:read; loses box:open, document:print\n  \
             editor gains document:sign; loses document:print\n  chief gains document:sign; loses document:print\n"
        );
        let reordered = vec![before[1].clone(), kind("document", &["print", "read"], &[])];
        let none = Difference::between(before.clone(), reordered, &roles);
        assert!(none.is_empty());
        assert_eq!(none.draw(), "Nothing changes.\n");
        let mut described = before.clone();
        described[0].description = "What people write.".to_owned();
        let text = Difference::between(before, described, &roles).draw();
        assert_eq!(text, "~ type document\n    ~ description\nNo role gains or loses anything.\n");
    }
}
