use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use engine::MAX_RESOURCE_DEPTH;
use tenancy::{Change as Changed, mask};

use super::{Plan, Step, group::count, step::Ways};
use crate::{
    model::{Registration, Resource},
    ops::{
        Refused,
        edit::{Made, NewResource, Relocation},
    },
};

impl Plan {
    pub(super) fn register(&mut self, asked: &[NewResource]) -> Option<Made> {
        let faults = self.faults.len();
        asked.iter().for_each(|new| self.may_lie_in(&new.resource, new.parent.as_ref()));
        let mut fresh = Vec::new();
        for new in asked {
            match self.records.resources.get(&new.resource) {
                None => fresh.push(Registration {
                    organization_id: self.ground.owners.tenant,
                    resource: new.resource.clone(),
                    parent: new.parent.clone(),
                    create_time: self.ground.now,
                    update_time: self.ground.now,
                    revision: self.ground.revision,
                }),
                Some(registered) if registered.parent == new.parent => {}
                Some(_) => self.refuse("resource", Refused::ResourceElsewhere(new.resource.to_string())),
            }
        }
        if self.faults.len() > faults {
            return None;
        }
        self.settle(fresh.into_iter().map(Changed::created).collect());
        let found = |new: &NewResource| self.records.resources.get(&new.resource).cloned();
        Some(Made::Registrations(asked.iter().filter_map(found).collect()))
    }

    /// Whether the catalogue declares the type, and allows it in the parent's.
    fn may_lie_in(&mut self, resource: &Resource, parent: Option<&Resource>) {
        let catalog = Arc::clone(&self.ground.catalog);
        let known = catalog.project_types().iter().any(|declared| declared.name == resource.type_name);
        let (field, unknown) = match parent {
            _ if !known => ("resource.type", resource.type_name.clone()),
            Some(parent) if !catalog.may_contain(&parent.type_name, &resource.type_name) => {
                ("parent.type", format!("{} in {}", resource.type_name, parent.type_name))
            }
            _ => return,
        };
        self.refuse(field, Refused::UnknownPermission(vec![unknown]));
    }

    pub(super) fn relocate(&mut self, to: &Relocation) -> Option<Made> {
        let Some(before) = self.records.resources.get(&to.resource).cloned() else {
            self.refuse("resource", Refused::NotFound("resource"));
            return None;
        };
        let faults = self.faults.len();
        if !mask::etag_matches(&to.etag, before.revision) {
            self.refuse("resource", Refused::EtagMismatch);
        }
        self.may_lie_in(&to.resource, to.parent.as_ref());
        if self.faults.len() > faults {
            return None;
        }
        if before.parent == to.parent {
            return Some(Made::Registrations(vec![before]));
        }
        let after = Registration {
            parent: to.parent.clone(),
            update_time: self.ground.now,
            revision: self.ground.revision,
            ..before.clone()
        };
        self.settle(vec![Changed::updated(before, after.clone())]);
        Some(Made::Registrations(vec![after]))
    }

    /// Puts resources where they go. Circles and depth are judged where all of them stand.
    fn settle(&mut self, changes: Vec<Changed<Registration>>) {
        let named: Vec<Resource> =
            changes.iter().filter_map(|changed| Some(changed.after.as_ref()?.resource.clone())).collect();
        let before: HashMap<Resource, Vec<Resource>> =
            named.iter().map(|resource| (resource.clone(), self.records.above(resource).cloned().collect())).collect();
        let first = self.steps.len();
        for changed in changes {
            self.take(Step::Resource(changed, Ways::default()));
        }
        for (at, resource) in named.iter().enumerate() {
            let above: Vec<Resource> = self.records.above(resource).cloned().collect();
            if above.len() + 1 + self.records.height(resource) > MAX_RESOURCE_DEPTH {
                let levels = format!("the tree would be more than {MAX_RESOURCE_DEPTH} levels deep");
                self.refuse("parent", Refused::Cycle(format!("{resource} would lie in itself, or {levels}")));
                continue;
            }
            let was = before.get(resource).map(Vec::as_slice).unwrap_or_default();
            let ways = Ways {
                left: was.iter().filter(|place| !above.contains(place)).cloned().collect(),
                entered: above.iter().filter(|place| !was.contains(place)).cloned().collect(),
            };
            if let Some(Step::Resource(_, settled)) = self.steps.get_mut(first + at) {
                *settled = ways;
            }
        }
    }

    pub(super) fn remove_resources(&mut self, asked: &[Resource], with_descendants: bool) -> Option<Made> {
        let mut gone: BTreeSet<Resource> = asked.iter().cloned().collect();
        let mut next: Vec<Resource> = asked.to_vec();
        while let Some(resource) = next.pop() {
            for child in self.records.children(&resource).cloned().collect::<Vec<_>>() {
                if gone.contains(&child) {
                    continue;
                }
                if !with_descendants {
                    self.refuse("", Refused::ResourceNotEmpty(child.to_string()));
                    return None;
                }
                gone.insert(child.clone());
                next.push(child);
            }
        }
        // Removed, a resource stands directly under the organization: what holds above it reaches it no more.
        let ways: Vec<Ways> = gone
            .iter()
            .map(|resource| Ways { left: self.records.above(resource).cloned().collect(), entered: Vec::new() })
            .collect();
        for resource in &gone {
            for binding in self.records.bindings_at(resource) {
                self.take(Step::Binding(Changed::removed(binding)));
            }
        }
        let mut removed = 0;
        for (resource, ways) in gone.iter().zip(ways) {
            if let Some(registration) = self.records.resources.get(resource).cloned() {
                self.take(Step::Resource(Changed::removed(registration), ways));
                removed += 1;
            }
        }
        Some(count(removed))
    }
}
