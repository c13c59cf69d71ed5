//! Whose a name is.

use tenancy::{Database, OrganizationId, ProjectId, Read, Scope, StoreError};

use crate::{
    model::{AskedName, DomainPurpose, HostBase},
    store::{
        directory::{self, Entry},
        domain,
    },
};

/// The organization that a host name stands for. Without a project: in whichever, if it is one alone.
pub(in crate::ops) async fn host_owner(
    read: &mut Read,
    project: Option<ProjectId>,
    host: &AskedName,
    vanity_base: Option<&HostBase>,
) -> Result<Option<OrganizationId>, StoreError> {
    let slug = vanity_base.and_then(|base| base.slug_of(host));
    match (project, slug) {
        (Some(project), Some(slug)) => domain::slug_owner(read.connection(), project, slug).await,
        (Some(project), None) => domain::owner(read.connection(), project, host, DomainPurpose::Host).await,
        (None, Some(slug)) => domain::slug_owner_anywhere(read.connection(), slug).await,
        (None, None) => domain::host_owner_anywhere(read.connection(), host).await,
    }
}

pub(in crate::ops) async fn email_owner(
    read: &mut Read,
    project: ProjectId,
    name: &AskedName,
) -> Result<Option<OrganizationId>, StoreError> {
    domain::owner(read.connection(), project, name, DomainPurpose::Email).await
}

pub async fn resolve_host(
    database: &Database,
    scope: impl Into<Scope>,
    project: Option<ProjectId>,
    host: &AskedName,
    vanity_base: Option<&HostBase>,
) -> Result<Option<Entry>, StoreError> {
    let mut read = database.read(scope).await?;
    let owner = host_owner(&mut read, project, host, vanity_base).await?;
    entry(read, owner).await
}

pub async fn resolve_email_domain(
    database: &Database,
    scope: impl Into<Scope>,
    project: ProjectId,
    name: &AskedName,
) -> Result<Option<Entry>, StoreError> {
    let mut read = database.read(scope).await?;
    let owner = email_owner(&mut read, project, name).await?;
    entry(read, owner).await
}

async fn entry(mut read: Read, owner: Option<OrganizationId>) -> Result<Option<Entry>, StoreError> {
    let entry = match owner {
        Some(owner) => directory::organization(read.connection(), owner).await?,
        None => None,
    };
    read.finish();
    Ok(entry)
}
