use tenancy::{
    BindingId, Database, OrganizationScope, StoreError,
    page::{Listed, Page},
};

use super::{
    Call, Refused, apply,
    edit::{BindingPatch, Edit, NewBinding},
};
use crate::{
    model::{At, Binding},
    snapshots::Snapshots,
    store::{self, binding::BindingFilter},
};

pub async fn get(database: &Database, scope: OrganizationScope, id: BindingId) -> Result<Binding, Refused> {
    let mut read = database.read(scope).await?;
    let found = store::binding::find(read.connection(), scope.organization_id(), &[id]).await?;
    read.finish();
    found.into_iter().next().ok_or(Refused::NotFound("binding"))
}

pub async fn list(
    database: &Database,
    scope: OrganizationScope,
    filter: &BindingFilter,
    page: &Page<BindingId>,
) -> Result<Listed<Binding, BindingId>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = store::binding::list(read.connection(), scope.organization_id(), filter, page).await?;
    read.finish();
    Ok(Listed::from_rows(rows, page.size, |binding| binding.binding_id))
}

pub async fn create(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    new: NewBinding,
) -> Result<At<Binding>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::CreateBinding(new)).await?.binding()?)
}

pub async fn update(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    patch: BindingPatch,
) -> Result<At<Binding>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::UpdateBinding(patch)).await?.binding()?)
}

pub async fn delete(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    id: BindingId,
    etag: String,
) -> Result<At<Binding>, Refused> {
    Ok(apply::one(snapshots, scope, call, Edit::DeleteBinding { id, etag }).await?.binding()?)
}
