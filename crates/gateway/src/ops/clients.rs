//! Programs that prove themselves by a client id and secret: service accounts, and the operator.

use std::{fmt, sync::Arc};

use runtime::CallContext;
use subtle::ConstantTimeEq;
use tenancy::{ServiceAccountId, event::sha256};
use tonic::Status;

use super::projects::Projects;
use crate::{
    SecretDigest,
    mint::{Mint, Minted},
    refusal,
    remote::Remote,
};

/// The operator's credential, from the configuration.
#[derive(Debug, Clone)]
pub struct Operator {
    pub client_id: String,
    pub secret: SecretDigest,
}

/// What a program presents. The secret is in no debug output.
pub struct Presented {
    pub client_id: String,
    pub secret: String,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub struct Clients {
    remote: Remote,
    projects: Arc<Projects>,
    mint: Arc<Mint>,
    operator: Option<Operator>,
}

impl Clients {
    pub fn new(remote: Remote, projects: Arc<Projects>, mint: Arc<Mint>, operator: Option<Operator>) -> Self {
        Self { remote, projects, mint, operator }
    }

    /// A token for a program, or `SIGN_IN_FAILED`.
    pub async fn token(&self, call: &CallContext, presented: Presented) -> Result<Minted, Status> {
        if let Some(operator) = self.operator.as_ref().filter(|operator| operator.client_id == presented.client_id) {
            let same = sha256(presented.secret.as_bytes()).ct_eq(&operator.secret.0);
            return if same.into() { self.mint.operator(&operator.client_id) } else { Err(refusal::sign_in_failed()) };
        }
        let client = presented.client_id.parse::<ServiceAccountId>().map_err(|_| refusal::sign_in_failed())?;
        let known = self.remote.authenticate_api_key(call, presented.client_id, presented.secret).await?;
        let account = known.service_account.unwrap_or_default();
        let organization = (!account.organization_id.is_empty()).then_some(account.organization_id.as_str());
        let parsed = (
            account.service_account_id.parse::<ServiceAccountId>(),
            known.project_id.parse(),
            organization.map(str::parse).transpose(),
            known.api_key_id.parse(),
        );
        match parsed {
            (Ok(id), Ok(project), Ok(organization), Ok(key)) if id == client => {
                let making = self.projects.making(call, project).await?;
                self.mint.service_account(project, organization, id, key, making.algorithm)
            }
            _ => Err(refusal::incomplete("an authenticated service account")),
        }
    }
}
