use tenancy::{
    Database, OrganizationScope, StoreError,
    page::{Listed, Page},
};

use super::{
    Call, Refused, apply,
    edit::{Edit, NewResource, Relocation},
};
use crate::{
    model::{At, Registration, Resource},
    snapshots::Snapshots,
    store,
};

pub async fn children(
    database: &Database,
    scope: OrganizationScope,
    parent: Option<&Resource>,
    type_name: &str,
    page: &Page<Resource>,
) -> Result<Listed<Registration, Resource>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = store::resource::children(read.connection(), scope.organization_id(), parent, type_name, page).await?;
    read.finish();
    Ok(Listed::from_rows(rows, page.size, |registration| registration.resource.clone()))
}

/// Registers all of them, or none.
pub async fn register(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    asked: Vec<NewResource>,
) -> Result<At<Vec<Registration>>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::Register(asked)).await?.registrations()?)
}

/// Puts a resource, with all that lies in it, elsewhere.
pub async fn relocate(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    to: Relocation,
) -> Result<At<Registration>, Refused> {
    let moved = apply::one(snapshots, scope, call, Edit::Move(to)).await?.registrations()?;
    Ok(moved.try_map(|moved| moved.into_iter().next().ok_or(StoreError::Corrupt("kept answer")))?)
}

/// Removes all of them, or none, with the bindings at them; answers how many were there.
pub async fn remove(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    resources: Vec<Resource>,
    with_descendants: bool,
) -> Result<At<i32>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::Remove { resources, with_descendants }).await?.count()?)
}
