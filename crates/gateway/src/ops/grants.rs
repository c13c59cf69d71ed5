//! What may be asked of a token, and what came of it.

use std::sync::Arc;

use access::Caller;
use api::access::v1::ErrorReason;
use runtime::{CallContext, Refusal, Violations};
use tenancy::OrganizationId;
use tonic::{Code, Status};

use super::{
    projects::Projects,
    refused::{OauthCode, Refused},
};
use crate::{
    mint::{HeldAt, Mint, Minted, Terms},
    remote::{Holds, Remote},
};

const MAX_PERMISSIONS: usize = 50;
const MAX_PERMISSION: usize = 128;
const MAX_AUDIENCE: usize = 255;

/// What is asked of a token besides whom it is for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub audience: String,
    pub permissions: Vec<String>,
}

impl Wish {
    pub fn is_none(&self) -> bool {
        self.audience.is_empty() && self.permissions.is_empty()
    }

    /// Every fault in it at once.
    pub fn check(&self, violations: &mut Violations) {
        violations.require(self.audience.len() <= MAX_AUDIENCE, "audience", "must be at most 255 bytes");
        let few = self.permissions.len() <= MAX_PERMISSIONS;
        violations.require(few, "permissions", "must be at most 50");
        for (at, permission) in self.permissions.iter().take(MAX_PERMISSIONS).enumerate() {
            let field = || format!("permissions[{at}]");
            violations.require(
                is_permission(permission),
                field(),
                "must be of the form `type:verb`, without wildcards",
            );
            violations.require(!self.permissions[..at].contains(permission), field(), "is there twice");
        }
    }
}

fn is_permission(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    text.len() <= MAX_PERMISSION && text.split_once(':').is_some_and(|(kind, verb)| word(kind) && word(verb))
}

/// A token that was given.
#[derive(Debug)]
pub struct Given {
    pub access: Minted,
    /// Empty: there is none.
    pub refresh_token: String,
    pub permissions: Vec<String>,
}

impl Given {
    pub fn of(access: Minted, permissions: Vec<String>) -> Self {
        Self { access, refresh_token: String::new(), permissions }
    }
}

/// Decides on wishes.
#[derive(Debug)]
pub struct Wishes {
    remote: Remote,
    projects: Arc<Projects>,
    mint: Arc<Mint>,
}

impl Wishes {
    pub fn new(remote: Remote, projects: Arc<Projects>, mint: Arc<Mint>) -> Self {
        Self { remote, projects, mint }
    }

    /// For whom nothing can be asked.
    pub fn none(&self, wish: &Wish) -> Result<(), Refused> {
        if !wish.audience.is_empty() && wish.audience != self.mint.audience() {
            return Err(crate::refusal::audience_not_allowed().into());
        }
        match wish.permissions.first() {
            Some(first) => Err(Refused::new(OauthCode::InvalidScope, not_held(first))),
            None => Ok(()),
        }
    }

    /// The terms that somebody's wish comes to: an audience that the project declares, and permissions that they hold.
    pub async fn granted(&self, call: &CallContext, caller: &Caller, wish: Wish) -> Result<Terms, Refused> {
        let Wish { audience, permissions } = wish;
        let (project, organization) = match caller {
            Caller::Member { project, organization, .. } => (*project, Some(*organization)),
            Caller::ServiceAccount { project, organization, .. } => (*project, *organization),
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => return Ok(Terms::default()),
        };
        let audience = self.projects.audience(call, project, audience, self.mint.audience()).await?;
        let held_at = self.hold(call, caller, organization, &permissions).await?;
        Ok(Terms { audience, permissions, held_at, ..self.projects.terms(call, project).await? })
    }

    /// Refuses what somebody does not hold now. What an organization's permissions were read at.
    async fn hold(
        &self,
        call: &CallContext,
        caller: &Caller,
        organization: Option<OrganizationId>,
        permissions: &[String],
    ) -> Result<Option<HeldAt>, Refused> {
        let (missing, held_at) = match organization {
            _ if permissions.is_empty() => (None, None),
            // A service account of the project may call every method for organizations, and holds nothing else.
            None => {
                let is_one = |asked: &&String| api::METHODS.iter().any(|method| method.permission == **asked);
                (permissions.iter().find(|asked| !is_one(asked)), None)
            }
            Some(organization) => {
                let Holds { each, at } = self.remote.held(call, organization, &caller.actor(), permissions).await?;
                let missing = permissions.iter().zip(each).find(|(_, held)| !held).map(|(permission, _)| permission);
                (missing, Some(at))
            }
        };
        match missing {
            Some(missing) => Err(Refused::new(OauthCode::InvalidScope, not_held(missing))),
            None => Ok(held_at),
        }
    }
}

pub fn not_held(permission: &str) -> Status {
    Refusal::new(Code::PermissionDenied, ErrorReason::PermissionMissing, "a permission that was asked for is not held")
        .metadata("permission", permission)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_one_and_no_pattern() {
        assert!(is_permission("document:read") && is_permission("guildhall.member:read"));
        for bad in [
            "",
            "document",
            ":read",
            "document:",
            "document:*",
            "*",
            "a:b:c",
            "a b:c",
            "a:\"",
            &format!("a:{}", "b".repeat(128)),
        ] {
            assert!(!is_permission(bad), "{bad}");
        }
    }
}
