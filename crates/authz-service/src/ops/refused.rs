use tenancy::{OrganizationState, StoreError};

use crate::store::group::GroupError;

/// Why a change is refused. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the organization is not active")]
    NotActive(OrganizationState),
    /// What was named is not there, or is another tenant's.
    #[error("no such {0}")]
    NotFound(&'static str),
    #[error("it was changed since the etag was read")]
    EtagMismatch,
    #[error("the role key `{0}` is taken")]
    RoleKeyTaken(String),
    #[error("the role is built in, bound or included")]
    RoleInUse,
    /// Something would contain itself, or lie too deep.
    #[error("{0}")]
    Cycle(String),
    #[error("the catalogue does not declare {}", .0.join(", "))]
    UnknownPermission(Vec<String>),
    /// What the grantor would hand out and does not hold.
    #[error("nobody grants what they do not hold: {}", .0.join(", "))]
    ExceedsGrantor(Vec<String>),
    /// What an update leaves of a binding's times.
    #[error("expire_time must be later than not_before")]
    WindowReversed,
    #[error("the organization would have no owner left")]
    LastOwner,
    #[error("another group of the organization has this external_id")]
    ExternalIdTaken,
    #[error("still in use: {}", .0.join(", "))]
    CatalogInUse(Vec<String>),
    #[error("there may be {limit} roles, and there are {used}")]
    TooManyRoles { limit: i64, used: i64 },
    #[error("{0} is registered with another parent")]
    ResourceElsewhere(String),
    #[error("something lies in {0}")]
    ResourceNotEmpty(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<GroupError> for Refused {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::ExternalIdTaken => Self::ExternalIdTaken,
            GroupError::Store(error) => Self::Store(error),
        }
    }
}
