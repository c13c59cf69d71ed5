use std::fmt;

use engine::{SubjectId, SubjectState};
use serde::{Deserialize, Serialize};
use tenancy::{GroupId, MemberId, ServiceAccountId};
use time::OffsetDateTime;
use uuid::Uuid;

/// Who holds, or is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Member(MemberId),
    ServiceAccount(ServiceAccountId),
    Group(GroupId),
    AllMembers,
}

impl Subject {
    /// How it stands in a row: its kind and its uuid.
    pub fn columns(&self) -> (&'static str, Uuid) {
        match self {
            Self::Member(id) => ("MEMBER", id.uuid()),
            Self::ServiceAccount(id) => ("SERVICE_ACCOUNT", id.uuid()),
            Self::Group(id) => ("GROUP", id.uuid()),
            Self::AllMembers => ("ALL_MEMBERS", Uuid::nil()),
        }
    }

    pub fn from_columns(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            "MEMBER" => Some(Self::Member(MemberId::from_uuid(id))),
            "SERVICE_ACCOUNT" => Some(Self::ServiceAccount(ServiceAccountId::from_uuid(id))),
            "GROUP" => Some(Self::Group(GroupId::from_uuid(id))),
            "ALL_MEMBERS" => Some(Self::AllMembers),
            _ => None,
        }
    }

    /// A member or a service account: somebody, not a set.
    pub fn is_one(&self) -> bool {
        matches!(self, Self::Member(_) | Self::ServiceAccount(_))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => id.fmt(f),
            Self::ServiceAccount(id) => id.fmt(f),
            Self::Group(id) => id.fmt(f),
            Self::AllMembers => f.write_str("all_members"),
        }
    }
}

impl From<Subject> for SubjectId {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Member(id) => Self::Member(id.uuid()),
            Subject::ServiceAccount(id) => Self::ServiceAccount(id.uuid()),
            Subject::Group(id) => Self::Group(id.uuid()),
            Subject::AllMembers => Self::AllMembers,
        }
    }
}

impl From<SubjectId> for Subject {
    fn from(subject: SubjectId) -> Self {
        match subject {
            SubjectId::Member(id) => Self::Member(MemberId::from_uuid(id)),
            SubjectId::ServiceAccount(id) => Self::ServiceAccount(ServiceAccountId::from_uuid(id)),
            SubjectId::Group(id) => Self::Group(GroupId::from_uuid(id)),
            SubjectId::AllMembers => Self::AllMembers,
        }
    }
}

/// Whose rights bound what a write may hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grantor {
    /// A member or service account of the organization: nobody grants what they do not hold.
    Bound(Subject),
    /// The project, the operator, a policy carried out by a service.
    Free,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SubjectStatus {
    Active,
    Suspended,
    Removed,
}

impl SubjectStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Removed => "REMOVED",
        }
    }

    /// None: nothing holds the subject back.
    pub fn for_engine(self) -> Option<SubjectState> {
        match self {
            Self::Active => None,
            Self::Suspended => Some(SubjectState::Suspended),
            Self::Removed => Some(SubjectState::Removed),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ACTIVE" => Some(Self::Active),
            "SUSPENDED" => Some(Self::Suspended),
            "REMOVED" => Some(Self::Removed),
            _ => None,
        }
    }
}

/// Whether a subject may hold anything at all, as member-service told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub organization_id: tenancy::OrganizationId,
    pub subject: Subject,
    pub status: SubjectStatus,
    /// The revision in member-service that made it so.
    pub member_revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
    pub revision: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_subject_survives_its_columns_and_the_engine(kind in 0..4u8, bits: u128) {
            let id = Uuid::from_u128(bits);
            let subject = match kind {
                0 => Subject::Member(MemberId::from_uuid(id)),
                1 => Subject::ServiceAccount(ServiceAccountId::from_uuid(id)),
                2 => Subject::Group(GroupId::from_uuid(id)),
                _ => Subject::AllMembers,
            };
            let (kind, id) = subject.columns();
            prop_assert_eq!(Subject::from_columns(kind, id), Some(subject));
            prop_assert_eq!(Subject::from(SubjectId::from(subject)), subject);
        }
    }
}
