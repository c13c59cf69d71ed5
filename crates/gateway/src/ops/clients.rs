//! Programs that prove who they are: service accounts, by a secret or a signature, and the operator.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime},
};

use access::Caller;
use api::member::v1::AuthenticateApiKeyResponse;
use runtime::CallContext;
use subtle::ConstantTimeEq;
use tenancy::{ApiKeyId, OrganizationId, ProjectId, ServiceAccountId, event::sha256};
use tonic::Status;

use super::{
    grants::{Given, Wish, Wishes},
    proven::Proven,
    refused::Refused,
};
use crate::{SecretDigest, limits::Limits, mint::Mint, refusal, remote::Remote};

/// The operator's credential, from the configuration.
#[derive(Debug, Clone)]
pub struct Operator {
    pub client_id: String,
    pub secret: SecretDigest,
}

/// What a program presents. What it proves itself by is in no debug output.
pub enum Presented {
    Secret {
        client_id: String,
        secret: String,
    },
    /// A JWT. The client's id may be left to it.
    Assertion {
        client_id: String,
        assertion: String,
    },
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Secret { client_id, .. } | Self::Assertion { client_id, .. }) = self;
        f.debug_struct("Presented").field("client_id", client_id).finish_non_exhaustive()
    }
}

impl Presented {
    /// Whose tries these are. An assertion's header names its key: who makes one up counts for a key that nobody has.
    fn counted_as(&self) -> &str {
        match self {
            Self::Assertion { client_id, assertion } if client_id.is_empty() => {
                assertion.split('.').next().unwrap_or_default()
            }
            Self::Secret { client_id, .. } | Self::Assertion { client_id, .. } => client_id,
        }
    }
}

/// A service account that has proven who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub project: ProjectId,
    /// None: the project's own.
    pub organization: Option<OrganizationId>,
    pub id: ServiceAccountId,
    pub key: ApiKeyId,
}

impl Account {
    pub fn caller(&self) -> Caller {
        let Self { project, organization, id, key } = *self;
        Caller::ServiceAccount { project, organization, id, key }
    }
}

#[derive(Debug)]
pub enum Client {
    Operator(String),
    Account(Account),
}

#[derive(Debug)]
pub struct Clients {
    remote: Remote,
    mint: Arc<Mint>,
    wishes: Arc<Wishes>,
    limits: Arc<Limits>,
    proven: Proven,
    operator: Option<Operator>,
    /// What an assertion may be meant for.
    audiences: Vec<String>,
}

impl Clients {
    pub fn new(
        remote: Remote,
        mint: Arc<Mint>,
        wishes: Arc<Wishes>,
        limits: Arc<Limits>,
        proven: Proven,
        operator: Option<Operator>,
        issuer: &str,
    ) -> Self {
        let endpoint = format!("{}/oauth2/token", issuer.trim_end_matches('/'));
        Self { remote, mint, wishes, limits, proven, operator, audiences: vec![issuer.to_owned(), endpoint] }
    }

    /// Who a program is, or `SIGN_IN_FAILED`.
    pub async fn authenticate(&self, call: &CallContext, presented: Presented) -> Result<Client, Status> {
        self.limits.token_for(presented.counted_as())?;
        let known = match presented {
            Presented::Secret { client_id, secret } => {
                if let Some(operator) = self.operator.as_ref().filter(|operator| operator.client_id == client_id) {
                    let same = sha256(secret.as_bytes()).ct_eq(&operator.secret.0);
                    return if same.into() { Ok(Client::Operator(client_id)) } else { Err(refusal::sign_in_failed()) };
                }
                // One that is no account's id asks about nobody.
                client_id.parse::<ServiceAccountId>().map_err(|_| refusal::sign_in_failed())?;
                return self.by_secret(call, client_id, secret).await.map(Client::Account);
            }
            Presented::Assertion { client_id, assertion } => {
                self.remote.authenticate_assertion(call, client_id, assertion, self.audiences.clone()).await?
            }
        };
        account(&known).map(Client::Account)
    }

    /// Whose API key this is, or `SIGN_IN_FAILED`.
    pub async fn by_key(&self, call: &CallContext, secret: String) -> Result<Account, Status> {
        self.by_secret(call, String::new(), secret).await
    }

    async fn by_secret(&self, call: &CallContext, client_id: String, secret: String) -> Result<Account, Status> {
        let key = Proven::key(&client_id, &secret);
        if let Some(account) = self.proven.account(&key) {
            return Ok(account);
        }
        let asked = (Instant::now(), SystemTime::now());
        let known = self.remote.authenticate_api_key(call, client_id, secret).await?;
        let account = account(&known)?;
        let until = known.expire_time.map(SystemTime::try_from).transpose();
        self.proven.remember(key, account, asked, until.map_err(|_| refusal::incomplete("an API key"))?);
        Ok(account)
    }

    /// A token for a program.
    pub async fn token(&self, call: &CallContext, presented: Presented, wish: Wish) -> Result<Given, Refused> {
        match self.authenticate(call, presented).await? {
            Client::Operator(client_id) => {
                let minted = self.mint.operator(&client_id)?;
                self.wishes.none(&wish)?;
                Ok(Given::of(minted, Vec::new()))
            }
            Client::Account(account) => self.token_for(call, account, wish).await,
        }
    }

    pub async fn token_for(&self, call: &CallContext, account: Account, wish: Wish) -> Result<Given, Refused> {
        let terms = self.wishes.granted(call, &account.caller(), wish).await?;
        let permissions = terms.permissions.clone();
        let Account { project, organization, id, key } = account;
        Ok(Given::of(self.mint.service_account(project, organization, id, key, terms)?, permissions))
    }
}

fn account(known: &AuthenticateApiKeyResponse) -> Result<Account, Status> {
    let account = known.service_account.clone().unwrap_or_default();
    let organization = (!account.organization_id.is_empty()).then_some(account.organization_id.as_str());
    let parsed = (
        account.service_account_id.parse::<ServiceAccountId>(),
        known.project_id.parse(),
        organization.map(str::parse).transpose(),
        known.api_key_id.parse(),
    );
    match parsed {
        (Ok(id), Ok(project), Ok(organization), Ok(key)) => Ok(Account { project, organization, id, key }),
        _ => Err(refusal::incomplete("an authenticated service account")),
    }
}
