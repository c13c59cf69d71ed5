//! Reading connections.

use access::Tenant;
use tenancy::{
    ConnectionId, Database, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::Connection,
    store::connection::{self, Filter},
};

pub async fn get(database: &Database, scope: Tenant, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
    let mut read = database.read(scope).await?;
    let found = connection::find(read.connection(), scope.key(), id).await?;
    read.finish();
    Ok(found)
}

pub async fn list(
    database: &Database,
    scope: Tenant,
    filter: Filter,
    page: &Page<ConnectionId>,
) -> Result<Listed<Connection, ConnectionId>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = connection::list(read.connection(), scope.key(), filter, page).await?;
    read.finish();
    Ok(Listed::from_rows(rows, page.size, |connection| connection.connection_id))
}
