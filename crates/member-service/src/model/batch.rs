//! What becomes of the entries of a batch.

use std::collections::BTreeMap;

use super::{LimitReached, MemberDraft, MemberWithRoles};

/// One entry of a batch of new members.
#[derive(Debug, Clone)]
pub struct NewMember {
    pub draft: MemberDraft,
    /// Ids or keys.
    pub roles: Vec<String>,
}

/// What became of one entry.
pub type Outcome = Result<MemberWithRoles, EntryRefusal>;

/// Why an entry was refused.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum EntryRefusal {
    /// The bad fields by their paths, and what is wrong with them.
    Invalid(Vec<(String, String)>),
    EmailTaken,
    ExternalIdTaken,
    Grant(GrantRefused),
    MaxMembers(LimitReached),
}

/// Why roles cannot be granted: the grantor lacks what one holds, or there is no such role.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GrantRefused {
    pub exceeds_grantor: bool,
    pub message: String,
    pub metadata: BTreeMap<String, String>,
}
