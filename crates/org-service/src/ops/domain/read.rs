//! Reading domains.

use tenancy::{
    Database, DomainId, OrganizationScope, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::Domain,
    store::domain::{self, Filter},
};

pub async fn get(database: &Database, scope: OrganizationScope, id: DomainId) -> Result<Option<Domain>, StoreError> {
    let mut read = database.read(scope).await?;
    let found = domain::find(read.connection(), scope.organization_id(), id).await?;
    read.finish();
    Ok(found.map(|found| found.domain))
}

pub async fn list(
    database: &Database,
    scope: OrganizationScope,
    filter: Filter,
    page: &Page<DomainId>,
) -> Result<Listed<Domain, DomainId>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = domain::list(read.connection(), scope.organization_id(), filter, page).await?;
    read.finish();
    Ok(Listed::from_rows(rows, page.size, |domain| domain.domain_id))
}
