use engine::ResourceType;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What can be permitted in a project, besides the system's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionCatalog {
    pub resource_types: Vec<ResourceType>,
    /// Raised by one with each change; 0 while there was none.
    pub version: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub create_time: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub update_time: Option<OffsetDateTime>,
    pub revision: i64,
}
