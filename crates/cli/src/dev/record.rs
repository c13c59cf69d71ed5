use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

/// `dev.json`: where everything is, and how to sign in there. It exists while the installation is up.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub gateway: SocketAddr,
    pub gateway_admin: SocketAddr,
    pub org: SocketAddr,
    pub member: SocketAddr,
    pub authz: SocketAddr,
    pub org_admin: SocketAddr,
    pub member_admin: SocketAddr,
    pub authz_admin: SocketAddr,
    pub project_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub operator_client_id: String,
    pub operator_client_secret: String,
    /// The superuser's, in the database of the services.
    pub database_url: String,
    /// What each service signs in with.
    pub service_database_urls: BTreeMap<&'static str, DatabaseUrls>,
    /// Of `guildhall` itself and of every child by its name, kept up to date as they are restarted.
    pub pids: BTreeMap<&'static str, u32>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DatabaseUrls {
    pub owner: String,
    pub runtime: String,
}

impl From<local_postgres::ServiceUrl> for DatabaseUrls {
    fn from(url: local_postgres::ServiceUrl) -> Self {
        Self { owner: url.owner, runtime: url.runtime }
    }
}
