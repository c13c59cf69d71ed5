//! Reading organizations.

use std::collections::HashMap;

use tenancy::{
    Database, OrganizationId, OrganizationScope, ProjectScope, Read, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::{AskedName, HostBase, OrganizationView},
    ops::domain::{email_owner, host_owner},
    store::organization::{self, Cursor, Filter, Found},
};

pub async fn get(database: &Database, scope: OrganizationScope) -> Result<Option<OrganizationView>, StoreError> {
    let mut read = database.read(scope).await?;
    let found = organization::find(read.connection(), scope.organization_id()).await?;
    read.finish();
    Ok(found.map(|found| found.view))
}

/// Another key of an organization than its id, as it came: one that is no slug finds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Slug(String),
    ExternalId(String),
    Host(AskedName),
    EmailDomain(AskedName),
}

pub async fn lookup(
    database: &Database,
    scope: ProjectScope,
    key: &Key,
    vanity_base: Option<&HostBase>,
) -> Result<Option<OrganizationView>, StoreError> {
    let mut read = database.read(scope).await?;
    let project = scope.project_id();
    let found = match key {
        Key::Slug(slug) => organization::find_by_slug(read.connection(), project, slug).await?,
        Key::ExternalId(id) => organization::find_by_external_id(read.connection(), project, id).await?,
        Key::Host(host) => {
            let owner = host_owner(&mut read, Some(project), host, vanity_base).await?;
            owned(&mut read, owner).await?
        }
        Key::EmailDomain(name) => {
            let owner = email_owner(&mut read, project, name).await?;
            owned(&mut read, owner).await?
        }
    };
    read.finish();
    Ok(found.map(|found| found.view))
}

/// What several organizations hold together at most, as JSON: twice as much as a message is as much as a client of gRPC takes.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Why several organizations are not read.
#[derive(Debug)]
pub enum SeveralError {
    /// The place of the first that is not there.
    Missing(usize),
    TooLarge,
    Store(StoreError),
}

impl From<StoreError> for SeveralError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// All of them, in the order asked.
pub async fn get_several(
    database: &Database,
    scope: ProjectScope,
    organizations: &[OrganizationId],
) -> Result<Vec<OrganizationView>, SeveralError> {
    let mut read = database.read(scope).await?;
    let project = scope.project_id();
    let (found, all) = organization::find_several(read.connection(), project, organizations, BATCH_BYTES).await?;
    read.finish();
    if !all {
        return Err(SeveralError::TooLarge);
    }
    let mut views: HashMap<_, _> = found.into_iter().map(|view| (view.organization.organization_id, view)).collect();
    organizations.iter().enumerate().map(|(at, id)| views.remove(id).ok_or(SeveralError::Missing(at))).collect()
}

async fn owned(read: &mut Read, owner: Option<OrganizationId>) -> Result<Option<Found>, StoreError> {
    match owner {
        Some(owner) => organization::find(read.connection(), owner).await,
        None => Ok(None),
    }
}

pub async fn list(
    database: &Database,
    scope: ProjectScope,
    filter: &Filter,
    page: &Page<Cursor>,
) -> Result<Listed<OrganizationView, Cursor>, StoreError> {
    let mut read = database.read(scope).await?;
    let views = organization::list(read.connection(), scope.project_id(), filter, page).await?;
    read.finish();
    Ok(Listed::from_rows(views, page.size, |view: &OrganizationView| Cursor::behind(&view.organization, filter)))
}
