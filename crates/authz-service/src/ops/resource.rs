use std::collections::{HashMap, HashSet};

use engine::{MAX_RESOURCE_DEPTH, Snapshot};
use tenancy::{
    BindingId, Change as Changed, Database, NewEvent, OrganizationScope, StoreError,
    page::{Listed, Page},
};

use super::{
    Call, Refused, binding,
    change::{Change, Opened},
    rules::{self, Given},
};
use crate::{
    model::{At, Effect, Grantor, Registration, Resource},
    snapshots::Snapshots,
    store::{self, tree},
};

/// A resource to be registered.
#[derive(Debug, Clone)]
pub struct NewResource {
    pub resource: Resource,
    pub parent: Option<Resource>,
}

pub async fn children(
    database: &Database,
    scope: OrganizationScope,
    parent: Option<&Resource>,
    type_name: &str,
    page: &Page<Resource>,
) -> Result<Listed<Registration, Resource>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = store::resource::children(read.connection(), scope.organization_id(), parent, type_name, page).await?;
    read.finish().await?;
    Ok(Listed::from_rows(rows, page.size, |registration| registration.resource.clone()))
}

/// Registers all of them, or none.
pub async fn register(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    asked: Vec<NewResource>,
) -> Result<At<Vec<Registration>>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let template = change.template();
    let before = snapshots.of_write(change.write(), template).await?;
    declared(&before.engine, &asked)?;

    let (organization, project) = (change.organization(), change.project());
    let named: Vec<Resource> = asked.iter().map(|new| new.resource.clone()).collect();
    let found = store::resource::find(change.connection(), organization, &named).await?;
    let known: HashMap<Resource, Registration> = found.into_iter().map(|r| (r.resource.clone(), r)).collect();
    let mut fresh = Vec::new();
    for new in &asked {
        match known.get(&new.resource) {
            None => fresh.push(Registration {
                organization_id: organization,
                resource: new.resource.clone(),
                parent: new.parent.clone(),
                create_time: change.now(),
                update_time: change.now(),
                revision: change.revision(),
            }),
            Some(registered) if registered.parent == new.parent => {}
            Some(_) => return Err(Refused::ResourceElsewhere(new.resource.to_string())),
        }
    }
    may_stand(&mut change, call.grantor, &before.engine, &fresh).await?;
    let (now, revision) = (change.now(), change.revision());
    store::resource::insert(change.connection(), project, organization, &fresh, now, revision).await?;
    for registration in &fresh {
        let ids = vec![registration.resource.to_string()];
        change.append(NewEvent::new("resource.registered", ids, &Changed::created(registration.clone())));
    }
    let mut registered: HashMap<Resource, Registration> =
        fresh.into_iter().map(|r| (r.resource.clone(), r)).chain(known).collect();
    let answer = asked.iter().filter_map(|new| registered.remove(&new.resource)).collect();
    Ok(change.commit(answer).await?)
}

fn declared(before: &Snapshot, asked: &[NewResource]) -> Result<(), Refused> {
    let catalog = before.catalog();
    let project_type = |name: &str| catalog.project_types().iter().any(|declared| declared.name == name);
    let mut unknown: Vec<String> = Vec::new();
    for NewResource { resource, parent } in asked {
        if !project_type(&resource.type_name) {
            unknown.push(resource.type_name.clone());
        } else if let Some(parent) = parent
            && !catalog.may_contain(&parent.type_name, &resource.type_name)
        {
            unknown.push(format!("{} in {}", resource.type_name, parent.type_name));
        }
    }
    unknown.sort_unstable();
    unknown.dedup();
    if unknown.is_empty() { Ok(()) } else { Err(Refused::UnknownPermission(unknown)) }
}

/// No circles, no more levels than a place may have, and nobody is brought what the grantor could not have granted there.
async fn may_stand(
    change: &mut Change,
    grantor: Grantor,
    before: &Snapshot,
    fresh: &[Registration],
) -> Result<(), Refused> {
    let organization = change.organization();
    let parents: Vec<Resource> = fresh.iter().filter_map(|new| new.parent.clone()).collect();
    if parents.is_empty() {
        return Ok(());
    }
    let mut above = tree::parents(change.connection(), organization, &parents).await?;
    above.extend(fresh.iter().filter_map(|new| Some((new.resource.clone(), new.parent.clone()?))));
    let named: Vec<Resource> = fresh.iter().map(|new| new.resource.clone()).collect();
    let heights = tree::heights(change.connection(), organization, &named).await?;
    for new in fresh {
        let height = heights.get(&new.resource).copied().unwrap_or(0);
        if way_up(&above, &new.resource).count() + height > MAX_RESOURCE_DEPTH {
            return Err(Refused::Cycle(format!(
                "{} would lie in itself, or the tree would be more than {MAX_RESOURCE_DEPTH} levels deep",
                new.resource
            )));
        }
    }
    if grantor == Grantor::Free {
        return Ok(());
    }
    let places: HashSet<Resource> =
        fresh.iter().flat_map(|new| way_up(&above, &new.resource).skip(1)).cloned().collect();
    let places: Vec<Resource> = places.into_iter().collect();
    let reaching = store::binding::at_resources(change.connection(), organization, &places).await?;
    let mut given = Vec::new();
    for new in fresh {
        let path: HashSet<&Resource> = way_up(&above, &new.resource).skip(1).collect();
        let allows = reaching.iter().filter(|binding| {
            binding.effect == Effect::Allow && binding.resource.as_ref().is_some_and(|at| path.contains(at))
        });
        for allow in allows {
            let by = Given::by(&binding::for_engine(allow), before, change.now());
            given.extend(by.map(|given| Given { scope: new.resource.reference(), ..given }));
        }
    }
    rules::may_give(grantor, &given, before, change.now())
}

/// The resource and what it lies in, nearest first; no more than one level too many.
fn way_up<'a>(above: &'a HashMap<Resource, Resource>, from: &'a Resource) -> impl Iterator<Item = &'a Resource> {
    std::iter::successors(Some(from), |at| above.get(*at)).take(MAX_RESOURCE_DEPTH + 1)
}

/// Removes all of them, or none, with the bindings at them; answers how many were there.
pub async fn remove(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    mut resources: Vec<Resource>,
    with_descendants: bool,
) -> Result<At<i32>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let organization = change.organization();
    let below = tree::descendants(change.connection(), organization, &resources).await?;
    if with_descendants {
        resources.extend(below);
    } else if let Some(inside) = below.first() {
        return Err(Refused::ResourceNotEmpty(inside.to_string()));
    }
    may_vanish(&mut change, snapshots, call.grantor, &resources).await?;

    let registered = store::resource::find(change.connection(), organization, &resources).await?;
    let bindings = store::binding::at_resources(change.connection(), organization, &resources).await?;
    let ids: Vec<BindingId> = bindings.iter().map(|binding| binding.binding_id).collect();
    store::binding::delete(change.connection(), organization, &ids).await?;
    store::resource::delete(change.connection(), organization, &resources).await?;
    let count = i32::try_from(registered.len()).unwrap_or(i32::MAX);
    bindings.iter().for_each(|gone| change.append(binding::deleted(gone)));
    for registration in registered {
        let ids = vec![registration.resource.to_string()];
        change.append(NewEvent::new("resource.removed", ids, &Changed::removed(registration)));
    }
    Ok(change.commit(count).await?)
}

/// Removed, a resource stands directly under the organization: the denies at it and above it forbid nothing there any more.
async fn may_vanish(
    change: &mut Change,
    snapshots: &Snapshots,
    grantor: Grantor,
    resources: &[Resource],
) -> Result<(), Refused> {
    if grantor == Grantor::Free {
        return Ok(());
    }
    let template = change.template();
    let before = snapshots.of_write(change.write(), template).await?;
    let organization = change.organization();
    let above = tree::parents(change.connection(), organization, resources).await?;
    let places: HashSet<Resource> = resources.iter().flat_map(|from| way_up(&above, from)).cloned().collect();
    let places: Vec<Resource> = places.into_iter().collect();
    let reaching = store::binding::at_resources(change.connection(), organization, &places).await?;
    let mut given = Vec::new();
    for resource in resources {
        let path: HashSet<&Resource> = way_up(&above, resource).collect();
        let denies = reaching.iter().filter(|binding| {
            binding.effect == Effect::Deny && binding.resource.as_ref().is_some_and(|at| path.contains(at))
        });
        for deny in denies {
            let by = Given::by(&binding::for_engine(deny), &before.engine, change.now());
            given.extend(by.map(|given| Given { scope: resource.reference(), ..given }));
        }
    }
    rules::may_give(grantor, &given, &before.engine, change.now())
}
