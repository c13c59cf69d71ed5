//! Service accounts and their keys.

use api::member::v1::{
    self as proto, AuthenticateApiKeyResponse, CreateProjectServiceAccountResponse, UpdateServiceAccountRequest,
};
use runtime::Violations;
use tenancy::{
    OrganizationId, ServiceAccountId,
    event::now,
    mask::{self, Mask},
};
use time::Duration;
use tonic::Status;

use super::{time::read_time, timestamp};
use crate::{
    model::{
        AccountChanges, AccountState, ApiKey, ApiKeyDraft, Fault, IssuedApiKey, Name, NewProjectAccount, ServiceAccount,
    },
    ops::service_account::Authenticated,
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
        create_time: Some(timestamp(key.create_time)),
        update_time: Some(timestamp(key.update_time)),
        etag: mask::etag(key.revision),
    }
}

pub fn issued_api_key(issued: IssuedApiKey) -> proto::ApiKey {
    proto::ApiKey { secret: issued.secret, ..api_key(&issued.api_key) }
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
    let (display_name, expire_time) = violations.all((display_name, expire_time))?;
    Ok(ApiKeyDraft { display_name, expire_time })
}
