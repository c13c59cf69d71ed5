use tenancy::{OrganizationState, StoreError};

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
    #[error("the revision token is of another organization")]
    ForeignRevision,
    #[error("the revision token is from before a restore of the database: drop it")]
    RevisionOfAnotherHistory,
    /// A batch gives what it makes an id that something has already.
    #[error("the id is in use")]
    IdTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What [`Refused::NotFound`] calls a member or a service account.
pub(super) const SUBJECT: &str = "subject";

/// What is wrong with one edit of a list.
#[derive(Debug)]
pub struct Fault {
    /// Which edit.
    pub at: usize,
    /// The part of it; empty where it is the whole.
    pub field: &'static str,
    pub refused: Refused,
}

/// What a list of edits was to find, and did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    Revision,
    /// The precondition at this place.
    Precondition(usize),
}

/// Why a list of edits is refused: for what it needs as a whole, or for each of the faults that its edits have.
#[derive(Debug)]
pub enum Rejected {
    Whole(Refused),
    /// At least one.
    Unmet(Vec<Unmet>),
    /// At least one.
    Edits(Vec<Fault>),
}

impl From<Refused> for Rejected {
    fn from(refused: Refused) -> Self {
        Self::Whole(refused)
    }
}

impl From<StoreError> for Rejected {
    fn from(error: StoreError) -> Self {
        Self::Whole(error.into())
    }
}

impl From<Rejected> for Refused {
    /// Of one edit the first fault says enough. It has no preconditions.
    fn from(rejected: Rejected) -> Self {
        let nothing = || Self::Store(StoreError::Corrupt("refusal"));
        match rejected {
            Rejected::Whole(refused) => refused,
            Rejected::Unmet(_) => nothing(),
            Rejected::Edits(faults) => faults.into_iter().next().map_or_else(nothing, |fault| fault.refused),
        }
    }
}
