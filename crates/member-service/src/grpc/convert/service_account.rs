//! Service accounts and their keys.

use access::Tenant;
use api::event::v1::AccessTokenRevocation;
use api::member::v1::{
    self as proto, AuthenticateApiKeyResponse, CreateProjectServiceAccountResponse, RevokeAccessTokenRequest,
    UpdateServiceAccountRequest,
};
use runtime::Violations;
use tenancy::{
    OrganizationId, ServiceAccountId,
    event::now,
    mask::{self, Mask},
};
use time::Duration;
use tonic::Status;
use uuid::Uuid;

use super::{time::read_time, timestamp};
use crate::{
    model::{
        AccountChanges, AccountState, ApiKey, ApiKeyDraft, AssertionKeyId, Fault, IssuedApiKey, Name,
        NewProjectAccount, PublicKey, ServiceAccount, TokenRevocation,
    },
    ops::service_account::{Authenticated, Revoking},
};

fn owner(organization: Option<OrganizationId>) -> String {
    organization.map(|id| id.to_string()).unwrap_or_default()
}

pub fn service_account(account: &ServiceAccount) -> proto::ServiceAccount {
    let state = match account.state {
        AccountState::Active => proto::ServiceAccountState::Active,
        AccountState::Suspended => proto::ServiceAccountState::Suspended,
    };
    proto::ServiceAccount {
        service_account_id: account.service_account_id.to_string(),
        organization_id: owner(account.organization_id),
        display_name: account.display_name.as_str().to_owned(),
        state: state.into(),
        create_time: Some(timestamp(account.create_time)),
        update_time: Some(timestamp(account.update_time)),
        etag: mask::etag(account.revision),
    }
}

pub fn api_key(key: &ApiKey) -> proto::ApiKey {
    proto::ApiKey {
        api_key_id: key.api_key_id.to_string(),
        service_account_id: key.service_account_id.to_string(),
        organization_id: owner(key.organization_id),
        display_name: key.display_name.as_str().to_owned(),
        prefix: key.prefix.clone(),
        expire_time: key.expire_time.map(timestamp),
        last_used_time: key.last_used_time.map(timestamp),
        revoke_time: key.revoke_time.map(timestamp),
        secret: String::new(),
        public_jwk: key.public_jwk.clone().unwrap_or_default(),
        // Said where the key's tenant is known: see `api_key_in`.
        assertion_key_id: String::new(),
        create_time: Some(timestamp(key.create_time)),
        update_time: Some(timestamp(key.update_time)),
        etag: mask::etag(key.revision),
    }
}

/// A key as its tenant sees it.
pub fn api_key_in(tenant: Tenant, key: &ApiKey) -> proto::ApiKey {
    let id = key.public_jwk.as_ref().map(|_| AssertionKeyId::new(tenant.key(), key.api_key_id).text());
    proto::ApiKey { assertion_key_id: id.unwrap_or_default(), ..api_key(key) }
}

pub fn issued_api_key(tenant: Tenant, issued: IssuedApiKey) -> proto::ApiKey {
    proto::ApiKey { secret: issued.secret, ..api_key_in(tenant, &issued.api_key) }
}

pub fn token_revocation(revocation: &TokenRevocation) -> AccessTokenRevocation {
    AccessTokenRevocation {
        token_id: revocation.token_id.to_string(),
        service_account_id: revocation.service_account_id.to_string(),
        expire_time: Some(timestamp(revocation.expire_time)),
    }
}

pub fn read_revoking(request: &RevokeAccessTokenRequest) -> Result<Revoking, Status> {
    let mut violations = Violations::default();
    let project = violations.check("project_id", request.project_id.parse());
    let organization = match request.organization_id.as_str() {
        "" => Some(None),
        text => violations.check("organization_id", text.parse()).map(Some),
    };
    let account = violations.check("service_account_id", request.service_account_id.parse());
    let token_id = violations.check("token_id", request.token_id.parse::<Uuid>());
    let expire_time = request.expire_time.ok_or(Fault("is required")).and_then(read_time);
    let expire_time = violations.check("expire_time", expire_time);
    let (project, organization, account, token_id, expire_time) =
        violations.all((project, organization, account, token_id, expire_time))?;
    Ok(Revoking { project, organization, account, token_id, expire_time })
}

pub fn project_account(made: NewProjectAccount) -> CreateProjectServiceAccountResponse {
    CreateProjectServiceAccountResponse {
        client_id: made.account.service_account_id.to_string(),
        service_account: Some(service_account(&made.account)),
        api_key: Some(api_key(&made.issued.api_key)),
        client_secret: made.issued.secret,
    }
}

pub fn authenticated(found: &Authenticated) -> AuthenticateApiKeyResponse {
    AuthenticateApiKeyResponse {
        service_account: Some(service_account(&found.account)),
        project_id: found.project_id.to_string(),
        api_key_id: found.api_key_id.to_string(),
        expire_time: found.expire_time.map(timestamp),
    }
}

pub fn read_display_name(account: Option<proto::ServiceAccount>, violations: &mut Violations) -> Option<Name> {
    let Some(account) = account else {
        violations.add("service_account", "is required");
        return None;
    };
    violations.check("service_account.display_name", Name::required(&account.display_name))
}

const WRITABLE: &[&str] = &["display_name", "state"];

fn read_state(state: i32) -> Result<AccountState, Fault> {
    match proto::ServiceAccountState::try_from(state) {
        Ok(proto::ServiceAccountState::Active) => Ok(AccountState::Active),
        Ok(proto::ServiceAccountState::Suspended) => Ok(AccountState::Suspended),
        Ok(proto::ServiceAccountState::Unspecified) | Err(_) => Err(Fault("must be ACTIVE or SUSPENDED")),
    }
}

/// Which account, the etag that was decided on, and what to set.
pub fn read_account_update(
    request: UpdateServiceAccountRequest,
) -> Result<(ServiceAccountId, String, AccountChanges), Status> {
    let account = request.service_account.ok_or_else(|| access::invalid_field("service_account", "is required"))?;
    let mut violations = Violations::default();
    let id = violations.check("service_account.service_account_id", account.service_account_id.parse());
    let named = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let fills = |path: &str| if path == "state" { account.state != 0 } else { !account.display_name.is_empty() };
    let paths: Vec<String> = match named.as_slice() {
        [] => WRITABLE.iter().filter(|path| fills(path)).map(|path| (*path).to_owned()).collect(),
        _ => named,
    };
    // With nothing named and nothing filled there is nothing to do, which is no error.
    let mask = if paths.is_empty() { None } else { violations.check("update_mask", Mask::parse(&paths, WRITABLE)) };
    let has = |path: &str| mask.as_ref().is_some_and(|mask| mask.has(path));
    let mut changes = AccountChanges::default();
    if has("display_name") {
        changes.display_name = violations.check("service_account.display_name", Name::required(&account.display_name));
    }
    if has("state") {
        changes.state = violations.check("service_account.state", read_state(account.state));
    }
    let (id,) = violations.all((id,))?;
    Ok((id, account.etag, changes))
}

pub fn read_api_key(key: Option<proto::ApiKey>) -> Result<ApiKeyDraft, Status> {
    let key = key.unwrap_or_default();
    let mut violations = Violations::default();
    let display_name = violations.check("api_key.display_name", Name::parse(&key.display_name));
    let expire_time = key.expire_time.map(|time| {
        let time = read_time(time)?;
        if time - now() >= Duration::MINUTE { Ok(time) } else { Err(Fault("must be at least a minute ahead")) }
    });
    let expire_time = violations.check("api_key.expire_time", expire_time.transpose());
    let public_key = match key.public_jwk.as_str() {
        "" => Some(None),
        text => violations.check("api_key.public_jwk", PublicKey::parse(text)).map(Some),
    };
    let (display_name, expire_time, public_key) = violations.all((display_name, expire_time, public_key))?;
    Ok(ApiKeyDraft { display_name, expire_time, public_key })
}
