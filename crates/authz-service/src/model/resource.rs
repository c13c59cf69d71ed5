use std::fmt;

use engine::ResourceRef;
use serde::{Deserialize, Serialize};
use tenancy::OrganizationId;
use time::OffsetDateTime;

/// A thing of the customer's product, by its type and their own key for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    #[serde(rename = "type")]
    pub type_name: String,
    pub id: String,
}

impl Resource {
    /// None for what no request could have named.
    pub fn reference(&self) -> Option<ResourceRef> {
        ResourceRef::new(&self.type_name, &self.id).ok()
    }

    /// From two columns that are null together.
    pub fn from_columns(type_name: Option<String>, id: Option<String>) -> Option<Self> {
        Some(Self { type_name: type_name?, id: id? })
    }
}

impl From<&ResourceRef> for Resource {
    fn from(reference: &ResourceRef) -> Self {
        Self { type_name: reference.type_name().to_owned(), id: reference.id().to_owned() }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

/// Where a resource stands below its organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub organization_id: OrganizationId,
    pub resource: Resource,
    /// None: directly under the organization.
    pub parent: Option<Resource>,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
    pub revision: i64,
}

impl Registration {
    /// None for what no request could have named.
    pub fn for_engine(&self) -> Option<engine::Resource> {
        let parent = self.parent.as_ref().map(Resource::reference);
        Some(engine::Resource { resource: self.resource.reference()?, parent: parent.flatten() })
    }
}
