use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id!(
    /// A role, of the project or of one organization. Ids are unique across both.
    RoleId
);
id!(
    /// A binding of one organization.
    BindingId
);
id!(
    /// A group of one organization.
    GroupId
);

/// What a binding names and what a check asks about.
///
/// `AllMembers` stands for every member of the organization, now and later, and for nobody else: no service account, and no
/// group in its own right. Asking about a group or about `AllMembers` asks what that set is given as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectId {
    Member(Uuid),
    ServiceAccount(Uuid),
    Group(Uuid),
    AllMembers,
}

/// By hand, because the derived one feeds a hasher a length and a byte slice where two fixed-width writes do: this hash is on
/// the path of every check.
impl Hash for SubjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (tag, id) = match self {
            Self::Member(id) => (0, id.as_u128()),
            Self::ServiceAccount(id) => (1, id.as_u128()),
            Self::Group(id) => (2, id.as_u128()),
            Self::AllMembers => (3, 0),
        };
        state.write_u8(tag);
        state.write_u128(id);
    }
}

impl SubjectId {
    /// The id as callers of the services write it: a TypeID, such as `member_01h455vb4pex5vsknk084sn02q`. Empty for all members.
    pub(crate) fn wire(&self) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let (prefix, id) = match self {
            Self::Member(id) => ("member_", id),
            Self::ServiceAccount(id) => ("sa_", id),
            Self::Group(id) => ("group_", id),
            Self::AllMembers => return String::new(),
        };
        let digits = (0..26).rev().map(|at| char::from(ALPHABET[(id.as_u128() >> (5 * at) & 31) as usize]));
        prefix.chars().chain(digits).collect()
    }
}

impl From<GroupId> for SubjectId {
    fn from(group: GroupId) -> Self {
        Self::Group(group.0)
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => write!(f, "member {id}"),
            Self::ServiceAccount(id) => write!(f, "service account {id}"),
            Self::Group(id) => write!(f, "group {id}"),
            Self::AllMembers => f.write_str("all members"),
        }
    }
}
