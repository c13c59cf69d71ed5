//! An organization that somebody is making by signing up.

use tenancy::{IntermediateSessionId, OrganizationId, ProjectId};

use super::{EmailAddress, Name, words};

words! {
    FoundedKind { Personal = "PERSONAL", Team = "TEAM" }
}

/// What the person says of it. org-service knows the rules of names and slugs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FoundingPlan {
    pub display_name: String,
    pub slug: String,
    /// None: as the project's setting says.
    pub kind: Option<FoundedKind>,
}

/// What is to be there in the end.
#[derive(Clone)]
pub struct Founding {
    pub project_id: ProjectId,
    /// The sign-in that it comes of: it makes one.
    pub intermediate: IntermediateSessionId,
    /// Chosen before the organization is there.
    pub organization_id: OrganizationId,
    pub email_address: EmailAddress,
    /// May be empty.
    pub person_name: Name,
    pub plan: FoundingPlan,
    pub password_hash: Option<String>,
    pub done: bool,
}

impl std::fmt::Debug for Founding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Founding").field("organization_id", &self.organization_id).finish_non_exhaustive()
    }
}

impl Founding {
    /// What the person is called: their name or, where there is none, what stands before the @.
    pub fn called(&self) -> String {
        if self.person_name.is_empty() {
            self.email_address.local().to_owned()
        } else {
            self.person_name.as_str().to_owned()
        }
    }
}
