//! Reading organizations.

use tenancy::{
    Database, OrganizationScope, ProjectScope, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::OrganizationView,
    store::organization::{self, Cursor, Filter},
};

pub async fn get(database: &Database, scope: OrganizationScope) -> Result<Option<OrganizationView>, StoreError> {
    let mut read = database.read(scope).await?;
    let found = organization::find(read.connection(), scope.organization_id()).await?;
    read.finish().await?;
    Ok(found.map(|found| found.view))
}

/// Another key of an organization than its id, as it came: one that is no slug finds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Slug(String),
    ExternalId(String),
}

pub async fn lookup(
    database: &Database,
    scope: ProjectScope,
    key: &Key,
) -> Result<Option<OrganizationView>, StoreError> {
    let mut read = database.read(scope).await?;
    let project = scope.project_id();
    let found = match key {
        Key::Slug(slug) => organization::find_by_slug(read.connection(), project, slug).await?,
        Key::ExternalId(id) => organization::find_by_external_id(read.connection(), project, id).await?,
    };
    read.finish().await?;
    Ok(found.map(|found| found.view))
}

pub async fn list(
    database: &Database,
    scope: ProjectScope,
    filter: &Filter,
    page: &Page<Cursor>,
) -> Result<Listed<OrganizationView, Cursor>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = organization::list(read.connection(), scope.project_id(), filter, page).await?;
    read.finish().await?;
    let views = rows.into_iter().map(|found| found.view).collect();
    Ok(Listed::from_rows(views, page.size, |view: &OrganizationView| Cursor::behind(&view.organization, filter)))
}
