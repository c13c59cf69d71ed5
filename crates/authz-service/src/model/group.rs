use serde::{Deserialize, Serialize};
use tenancy::{GroupId, OrganizationId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Subject;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub group_id: GroupId,
    pub organization_id: OrganizationId,
    pub display_name: String,
    /// Empty: none.
    pub external_id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
    /// The last change of the group's own fields.
    pub revision: i64,
    /// The last change of who is in it.
    pub members_revision: i64,
}

impl Group {
    pub fn last_revision(&self) -> i64 {
        self.revision.max(self.members_revision)
    }
}

/// One subject being directly in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMembership {
    pub organization_id: OrganizationId,
    pub group_id: GroupId,
    pub subject: Subject,
    /// Ordered by time. One that ended and began anew has another.
    pub membership_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    pub revision: i64,
}
