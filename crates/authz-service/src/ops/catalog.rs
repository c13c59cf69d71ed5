use std::collections::HashSet;

use engine::{Catalog, Permission, ResourceType};
use tenancy::{Change as Changed, Database, NewEvent, ProjectScope, StoreError, mask};

use super::{
    Call, Refused,
    change::{Change, Opened},
};
use crate::{
    model::{At, PermissionCatalog},
    store::{self, catalog::Dropped},
};

/// How many of the names in use a refusal lists.
const NAMED: i64 = 100;

pub async fn get(database: &Database, scope: ProjectScope) -> Result<PermissionCatalog, StoreError> {
    let mut read = database.read(scope).await?;
    let catalog = store::catalog::find(read.connection(), scope.project_id()).await?;
    read.finish();
    Ok(catalog)
}

/// Replaces the catalogue, or with `validate_only` says what that would answer. The types are checked before.
pub async fn update(
    database: &Database,
    scope: ProjectScope,
    call: &Call,
    types: Vec<ResourceType>,
    etag: &str,
    validate_only: bool,
) -> Result<At<PermissionCatalog>, Refused> {
    let mut change = match Change::open(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let project = scope.project_id();
    let before = store::catalog::find(change.connection(), project).await?;
    if !mask::etag_matches(etag, before.revision) {
        return Err(Refused::EtagMismatch);
    }
    let used =
        store::catalog::in_use(change.connection(), project, &dropped(&before.resource_types, &types), NAMED).await?;
    if !used.is_empty() {
        return Err(Refused::CatalogInUse(used));
    }
    let after = PermissionCatalog {
        resource_types: types,
        version: before.version + 1,
        create_time: before.create_time.or(Some(change.now())),
        update_time: Some(change.now()),
        revision: change.revision(),
    };
    if validate_only {
        return Ok(change.preview(after));
    }
    store::catalog::put(change.connection(), project, &after).await?;
    let ids = vec![project.to_string()];
    change.append(NewEvent::new("catalog.updated", ids, &Changed::updated(before, after.clone())));
    Ok(change.commit(after).await?)
}

fn dropped(before: &[ResourceType], after: &[ResourceType]) -> Dropped {
    let names = |types: &[ResourceType]| -> HashSet<String> { types.iter().map(|t| t.name.clone()).collect() };
    let (kept, had) = (names(after), names(before));
    let types: Vec<String> = had.difference(&kept).cloned().collect();
    let permissions = |types: &[ResourceType]| -> HashSet<String> {
        let catalog = Catalog::new(types.to_vec()).unwrap_or_else(|_| Catalog::system());
        catalog.permissions().iter().map(Permission::to_string).collect()
    };
    let mut gone: Vec<String> = permissions(before).difference(&permissions(after)).cloned().collect();
    gone.extend(types.iter().map(|name| format!("{name}:*")));
    let placements = |types: &[ResourceType]| -> HashSet<(String, String)> {
        types.iter().flat_map(|t| t.parent_types.iter().map(|parent| (t.name.clone(), parent.clone()))).collect()
    };
    let placements = placements(before).difference(&placements(after)).cloned().collect();
    Dropped { permissions: gone, types, placements }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str, verbs: &[&str], parents: &[&str]) -> ResourceType {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ResourceType { name: name.to_owned(), parent_types: owned(parents), verbs: owned(verbs), ..Default::default() }
    }

    #[test]
    fn what_goes_is_named_with_the_wildcard_of_its_type() {
        let before = [declared("folder", &["read"], &[]), declared("document", &["read", "write"], &["folder"])];
        let after = [declared("document", &["read"], &[])];
        let Dropped { mut permissions, types, placements } = dropped(&before, &after);
        permissions.sort();
        assert_eq!(permissions, ["document:write", "folder:*", "folder:read"]);
        assert_eq!(types, ["folder"]);
        assert_eq!(placements, [("document".to_owned(), "folder".to_owned())]);
        assert!(dropped(&before, &before).permissions.is_empty());
    }
}
