//! From names to what the engine decides on. Every fault of a file is found before anything is asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::{
    BUILTIN_ROLES, BindingId, Catalog, Condition, Context, GroupId, Input, InvalidContext, MAX_RESOURCE_DEPTH,
    OrganizationData, Permission, PermissionPattern, ResourceRef, ResourceType, RoleId, SubjectId, SubjectState,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::file::{Assertion, Binding, Effect, Policy, words};

/// An organization in memory, with the names that its ids stand for.
pub struct World {
    pub data: OrganizationData,
    names: HashMap<SubjectId, String>,
    roles: BTreeMap<String, RoleId>,
}

/// A question of a file.
pub struct Question {
    pub subject: SubjectId,
    pub permission: Permission,
    pub resource: Option<ResourceRef>,
    pub context: Context,
    pub time: OffsetDateTime,
}

impl World {
    /// Or every fault.
    pub fn of(policy: &Policy) -> Result<(Self, Vec<Question>), Vec<String>> {
        let mut faults = Vec::new();
        let world = Self::build(policy, &mut faults);
        let each = policy.assertions.iter().enumerate();
        let questions: Vec<Question> = each.filter_map(|(at, asked)| world.question(at, asked, &mut faults)).collect();
        if faults.is_empty() { Ok((world, questions)) } else { Err(faults) }
    }

    fn build(policy: &Policy, faults: &mut Vec<String>) -> Self {
        let catalog = catalog(policy, faults);
        let mut world = Self {
            data: OrganizationData::empty(Arc::new(catalog)),
            names: HashMap::new(),
            roles: BUILTIN_ROLES.iter().map(|role| (role.key.to_owned(), role.id)).collect(),
        };
        world.people(policy, faults);
        world.roles(policy, faults);
        world.groups(policy, faults);
        world.resources(policy, faults);
        for (at, binding) in policy.bindings.iter().enumerate() {
            world.bind(at, binding, faults);
        }
        world
    }

    /// The name of a subject, as a file writes it.
    pub fn name(&self, subject: SubjectId) -> &str {
        self.names.get(&subject).map_or("all-members", |name| name)
    }

    pub fn key(&self, role: RoleId) -> &str {
        self.roles.iter().find(|(_, id)| **id == role).map_or("", |(key, _)| key)
    }

    fn people(&mut self, policy: &Policy, faults: &mut Vec<String>) {
        let members = policy.members.each().map(|(name, _)| ("members", name));
        let accounts = policy.service_accounts.each().map(|(name, _)| ("service_accounts", name));
        for (at, (list, name)) in members.chain(accounts).enumerate() {
            let id = Uuid::from_u128(at as u128 + 1);
            if name.contains([' ', ':']) || name.is_empty() || name == "all-members" {
                faults.push(format!("{list}: {name:?} must be one word without a colon, and not all-members"));
            }
            if self.subject(name).is_some() {
                faults.push(format!("{list}: {name} is there already"));
            }
            let subject = if list == "members" { SubjectId::Member(id) } else { SubjectId::ServiceAccount(id) };
            self.names.insert(subject, name.to_owned());
            if list == "members" {
                self.data.members.push(id);
            }
        }
        for name in &policy.suspended {
            match self.subject(name) {
                Some(subject) => self.data.inactive_subjects.push((subject, SubjectState::Suspended)),
                None => faults.push(format!("suspended: {name} is neither a member nor a service account")),
            }
        }
    }

    fn roles(&mut self, policy: &Policy, faults: &mut Vec<String>) {
        for (at, role) in policy.roles.iter().enumerate() {
            if self.roles.insert(role.key.clone(), RoleId(Uuid::from_u128(at as u128 + 1))).is_some() {
                faults.push(format!("roles[{at}].key: {} is there already", role.key));
            }
        }
        for (at, role) in policy.roles.iter().enumerate() {
            let mut permissions: Vec<PermissionPattern> = Vec::new();
            for (n, text) in role.permissions.iter().enumerate() {
                match text.parse() {
                    Ok(pattern) if self.data.catalog.knows_pattern(&pattern) => permissions.push(pattern),
                    Ok(_) => faults.push(format!("roles[{at}].permissions[{n}]: {text} is not in the catalog")),
                    Err(fault) => faults.push(format!("roles[{at}].permissions[{n}]: {fault}")),
                }
            }
            let mut included_role_ids = Vec::new();
            for (n, key) in role.includes.iter().enumerate() {
                match self.roles.get(key) {
                    Some(id) => included_role_ids.push(*id),
                    None => faults.push(format!("roles[{at}].includes[{n}]: there is no role {key}")),
                }
            }
            let id = self.roles[&role.key];
            self.data.roles.push(engine::Role { id, permissions, included_role_ids });
        }
        for (at, role) in self.data.roles.iter().enumerate() {
            if let Some(circle) = engine::role_cycle(&self.data.roles, role.id, &role.included_role_ids) {
                let circle: Vec<&str> = circle.iter().map(|id| self.key(*id)).collect();
                faults.push(format!("roles[{at}].includes: a circle, {}", circle.join(" > ")));
            }
        }
    }

    fn groups(&mut self, policy: &Policy, faults: &mut Vec<String>) {
        for (at, name) in policy.groups.keys().enumerate() {
            if name.contains(' ') || name.is_empty() {
                faults.push(format!("groups: {name:?} must be one word"));
            }
            self.names.insert(SubjectId::Group(Uuid::from_u128(at as u128 + 1)), format!("group:{name}"));
        }
        for (name, members) in &policy.groups {
            let mut subjects = Vec::new();
            for member in members {
                match self.any(member) {
                    Some(SubjectId::AllMembers) | None => {
                        faults.push(format!("groups.{name}: {member} is no member, service account or group:.. here"));
                    }
                    Some(subject) => subjects.push(subject),
                }
            }
            if let Some(SubjectId::Group(id)) = self.any(&format!("group:{name}")) {
                self.data.groups.push(engine::Group { id: GroupId(id), members: subjects });
            }
        }
        for group in &self.data.groups {
            if engine::group_cycle(&self.data.groups, group.id, &group.members).is_some() {
                faults.push(format!("groups: {} is in itself", self.name(group.id.into())));
            }
        }
    }

    fn resources(&mut self, policy: &Policy, faults: &mut Vec<String>) {
        for (resource, parent) in &policy.resources {
            let path = format!("resources.{resource}");
            let of = |text: &str, faults: &mut Vec<String>| self.resource(text, &path, faults);
            let (found, above) = (of(resource, faults), parent.as_deref().map(|parent| of(parent, faults)));
            let Some(found) = found else { continue };
            let parent = match above {
                None => None,
                Some(None) => continue,
                Some(Some(above)) => Some(above),
            };
            if let Some(parent) = &parent {
                if !self.data.catalog.may_contain(parent.type_name(), found.type_name()) {
                    faults.push(format!(
                        "{path}: the catalog lets no {} lie in a {}",
                        found.type_name(),
                        parent.type_name()
                    ));
                }
                if !policy.resources.contains_key(&parent.to_string()) {
                    faults.push(format!("{path}: {parent} is not among the resources"));
                }
            }
            self.data.resources.push(engine::Resource { resource: found, parent });
        }
        let parents: HashMap<&ResourceRef, &ResourceRef> =
            self.data.resources.iter().filter_map(|r| Some((&r.resource, r.parent.as_ref()?))).collect();
        for registered in &self.data.resources {
            let above = std::iter::successors(Some(&registered.resource), |at| parents.get(at).copied());
            if above.take(MAX_RESOURCE_DEPTH + 1).count() > MAX_RESOURCE_DEPTH {
                let at = &registered.resource;
                faults.push(format!("resources.{at}: lies in itself, or deeper than {MAX_RESOURCE_DEPTH} levels"));
            }
        }
    }

    fn bind(&mut self, at: usize, binding: &Binding, faults: &mut Vec<String>) {
        let path = format!("bindings[{at}]");
        let subject = self.any(&binding.subject);
        if subject.is_none() {
            faults.push(format!("{path}.subject: {} is nobody here", binding.subject));
        }
        let role = self.roles.get(&binding.role).copied();
        if role.is_none() {
            faults.push(format!("{path}.role: there is no role {}", binding.role));
        }
        let resource = binding.resource.as_deref().map(|text| self.resource(text, &format!("{path}.resource"), faults));
        let not_before = time(binding.not_before.as_deref(), &format!("{path}.not_before"), faults);
        let expire_time = time(binding.expire_time.as_deref(), &format!("{path}.expire_time"), faults);
        let condition = binding.condition.as_deref().map(Condition::new).transpose();
        let condition = condition.map_err(|fault| faults.push(format!("{path}.condition: {fault}"))).ok().flatten();
        let (Some(subject), Some(role)) = (subject, role) else { return };
        let effect = match binding.effect {
            Effect::Allow => engine::Effect::Allow,
            Effect::Deny => engine::Effect::Deny,
        };
        let id = BindingId(Uuid::from_u128(at as u128 + 1));
        let resource = resource.flatten();
        self.data.bindings.push(engine::Binding {
            id,
            subject,
            role,
            resource,
            effect,
            condition,
            not_before,
            expire_time,
        });
    }

    fn question(&self, at: usize, asked: &Assertion, faults: &mut Vec<String>) -> Option<Question> {
        let path = format!("assertions[{at}]");
        let Some((who, what, place)) = words(&asked.check) else {
            faults.push(format!("{path}.check: must be a subject, a permission and perhaps a resource"));
            return None;
        };
        let subject = self.subject(who);
        if subject.is_none() {
            faults.push(format!("{path}.check: {who} is neither a member nor a service account here"));
        }
        let permission = match what.parse::<Permission>() {
            Ok(permission) if self.data.catalog.knows(&permission) => Some(permission),
            Ok(_) => {
                faults.push(format!("{path}.check: {what} is not in the catalog"));
                None
            }
            Err(fault) => {
                faults.push(format!("{path}.check: {fault}"));
                None
            }
        };
        let resource = place.map(|text| self.resource(text, &format!("{path}.check"), faults));
        let time = time(asked.time.as_deref(), &format!("{path}.time"), faults);
        let resource = match resource {
            Some(None) => return None,
            found => found.flatten(),
        };
        let time = time.unwrap_or_else(OffsetDateTime::now_utc);
        let context = context(&asked.context).map_err(|fault| faults.push(format!("{path}.context: {fault}"))).ok();
        Some(Question { subject: subject?, permission: permission?, resource, context: context?, time })
    }

    /// A member or a service account.
    fn subject(&self, name: &str) -> Option<SubjectId> {
        self.any(name).filter(|subject| matches!(subject, SubjectId::Member(_) | SubjectId::ServiceAccount(_)))
    }

    fn any(&self, name: &str) -> Option<SubjectId> {
        if name == "all-members" {
            return Some(SubjectId::AllMembers);
        }
        self.names.iter().find(|(_, known)| *known == name).map(|(subject, _)| *subject)
    }

    fn resource(&self, text: &str, path: &str, faults: &mut Vec<String>) -> Option<ResourceRef> {
        match text.parse::<ResourceRef>() {
            Ok(resource) if self.data.catalog.knows_type(resource.type_name()) => Some(resource),
            Ok(resource) => {
                faults.push(format!("{path}: the type {} is not in the catalog", resource.type_name()));
                None
            }
            Err(fault) => {
                faults.push(format!("{path}: {fault}"));
                None
            }
        }
    }
}

/// JSON that is too deep is refused by the engine, before it looks into it.
fn context(inputs: &Map<String, Value>) -> Result<Context, InvalidContext> {
    fn input(value: &Value) -> Input {
        match value {
            Value::Null => Input::Null,
            Value::Bool(value) => Input::Bool(*value),
            // As the wire has them: every number is a double.
            Value::Number(number) => Input::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Input::Text(text.clone()),
            Value::Array(items) => Input::List(items.iter().map(input).collect()),
            Value::Object(fields) => {
                Input::Object(fields.iter().map(|(name, value)| (name.clone(), input(value))).collect())
            }
        }
    }
    Context::new(inputs.iter().map(|(name, value)| (name.clone(), input(value))))
}

fn catalog(policy: &Policy, faults: &mut Vec<String>) -> Catalog {
    let types = policy.catalog.iter().cloned().map(|written| ResourceType {
        name: written.name,
        parent_types: written.parent_types,
        verbs: written.verbs,
        description: written.description,
    });
    Catalog::new(types.collect()).unwrap_or_else(|invalid| {
        faults.extend(invalid.0.iter().map(|fault| fault.to_string().replacen("resource_types", "catalog", 1)));
        Catalog::system()
    })
}

fn time(text: Option<&str>, path: &str, faults: &mut Vec<String>) -> Option<OffsetDateTime> {
    let read = OffsetDateTime::parse(text?, &Rfc3339);
    read.map_err(|_| faults.push(format!("{path}: must be a time such as 2030-01-31T12:00:00Z"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        World::of(&serde_saphyr::from_str(text).unwrap()).err().unwrap_or_default()
    }

    #[test]
    fn every_fault_is_named_at_once_where_it_stands() {
        let said = faults(
            "catalog: [{name: folder, verbs: [read], parent_types: [folder]}, {name: document, verbs: [read, Write]}]\n",
        );
        assert!(said.len() == 1 && said[0].starts_with("catalog[1].verbs[1]: "), "{said:?}");
        let said = faults(
            "catalog: [{name: folder, verbs: [read], parent_types: [folder]}]
members: [ada, ada, 'a b']
roles:
  - {key: a, permissions: ['folder:*', 'folder:write', 'x'], includes: [b, nothing]}
  - {key: b, includes: [a]}
  - {key: owner}
groups: {one: ['group:two', nobody], two: ['group:one']}
suspended: [nobody]
resources: {folder/a: folder/b, folder/b: folder/a, folder/c: folder/d, box/1: }
bindings:
  - {subject: nobody, role: nothing, resource: box/1, not_before: soon, condition: 'context. >'}
assertions:
  - {check: ada, expected: allowed}
  - {check: 'group:one folder:write box/2', expected: allowed, time: never}
",
        );
        for expected in [
            "members: ada is there already",
            "members: \"a b\"",
            "roles[0].permissions[1]: folder:write",
            "roles[0].permissions[2]: ",
            "roles[0].includes[1]: there is no role nothing",
            "roles[0].includes: a circle, a > b > a",
            "roles[2].key: owner is there already",
            "groups.one: nobody",
            "groups: group:one is in itself",
            "suspended: nobody",
            "resources.folder/a: lies in itself",
            "resources.folder/c: folder/d is not among",
            "resources.box/1: the type box",
            "bindings[0].subject: nobody",
            "bindings[0].role: there is no role nothing",
            "bindings[0].resource: the type box",
            "bindings[0].not_before: must be a time",
            "bindings[0].condition: ",
            "assertions[0].check: must be",
            "assertions[1].check: group:one is neither",
            "assertions[1].check: folder:write is not in the catalog",
            "assertions[1].check: the type box",
            "assertions[1].time: must be a time",
        ] {
            assert!(said.iter().any(|fault| fault.starts_with(expected)), "{expected} is not in {said:#?}");
        }
    }
}
