//! Identities.

use api::member::v1::{self as proto, ImportIdentitiesRequest, UpdateIdentityRequest, identity_pool::Pool};
use runtime::Violations;
use tenancy::{
    IdentityId, OrganizationId, ProjectId,
    mask::{self, Mask},
};
use tonic::Status;

use super::timestamp;
use crate::model::{
    EmailAddress, Fault, ForeignHash, Identity, IdentityChanges, IdentityDraft, IdentityState, Name, PictureUri,
};

const WRITABLE: &[&str] = &["email_address", "display_name", "picture_uri", "state", "mfa_methods"];

pub fn identity(identity: &Identity) -> proto::Identity {
    let pool = if identity.pool_is_project {
        Pool::ProjectId(ProjectId::from_uuid(identity.pool.uuid()).to_string())
    } else {
        Pool::OrganizationId(identity.pool.to_string())
    };
    let state = match identity.state {
        IdentityState::Active => proto::IdentityState::Active,
        IdentityState::Suspended => proto::IdentityState::Suspended,
    };
    proto::Identity {
        identity_id: identity.identity_id.to_string(),
        pool: Some(proto::IdentityPool { pool: Some(pool) }),
        email_address: identity.email_address.as_str().to_owned(),
        email_verified: identity.email_verified,
        retired_email_addresses: identity.retired_email_addresses.iter().map(|a| a.as_str().to_owned()).collect(),
        display_name: identity.display_name.as_str().to_owned(),
        picture_uri: identity.picture_uri.as_str().to_owned(),
        has_password: identity.has_password,
        mfa_methods: if identity.has_totp { vec![proto::AuthFactorMethod::Totp.into()] } else { Vec::new() },
        state: state.into(),
        create_time: Some(timestamp(identity.create_time)),
        update_time: Some(timestamp(identity.update_time)),
        etag: mask::etag(identity.revision),
    }
}

fn read_state(state: i32) -> Result<IdentityState, Fault> {
    match proto::IdentityState::try_from(state) {
        Ok(proto::IdentityState::Active) => Ok(IdentityState::Active),
        Ok(proto::IdentityState::Suspended) => Ok(IdentityState::Suspended),
        Ok(proto::IdentityState::Unspecified) | Err(_) => Err(Fault("must be ACTIVE or SUSPENDED")),
    }
}

/// Which identity, the etag that was decided on, and what to set.
pub fn read_identity_update(request: UpdateIdentityRequest) -> Result<(IdentityId, String, IdentityChanges), Status> {
    let identity = request.identity.ok_or_else(|| access::invalid_field("identity", "is required"))?;
    let mut violations = Violations::default();
    let id = violations.check("identity.identity_id", identity.identity_id.parse());
    let named = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let fills = |path: &str| match path {
        "email_address" => !identity.email_address.is_empty(),
        "display_name" => !identity.display_name.is_empty(),
        "picture_uri" => !identity.picture_uri.is_empty(),
        // They are only ever taken away, which nothing but a mask can say.
        "mfa_methods" => false,
        _ => identity.state != 0,
    };
    let paths: Vec<String> = match named.as_slice() {
        [] => WRITABLE.iter().filter(|path| fills(path)).map(|path| (*path).to_owned()).collect(),
        _ => named,
    };
    // With nothing named and nothing filled there is nothing to do, which is no error.
    let mask = if paths.is_empty() { None } else { violations.check("update_mask", Mask::parse(&paths, WRITABLE)) };
    let has = |path: &str| mask.as_ref().is_some_and(|mask| mask.has(path));
    let mut changes = IdentityChanges::default();
    if has("email_address") {
        changes.email_address =
            violations.check("identity.email_address", EmailAddress::parse(&identity.email_address));
    }
    if has("display_name") {
        changes.display_name = violations.check("identity.display_name", Name::parse(&identity.display_name));
    }
    if has("picture_uri") {
        changes.picture_uri = violations.check("identity.picture_uri", PictureUri::parse(&identity.picture_uri));
    }
    if has("mfa_methods") {
        let none = identity.mfa_methods.is_empty();
        violations.require(none, "identity.mfa_methods", "must be empty: a second factor is enrolled by the person");
        changes.forget_second_factors = true;
    }
    if has("state") {
        changes.state = violations.check("identity.state", read_state(identity.state));
    }
    let (id,) = violations.all((id,))?;
    Ok((id, identity.etag, changes))
}

/// The organization whose pool is meant, if one is named.
pub fn read_pool(text: &str, violations: &mut Violations) -> Option<Option<OrganizationId>> {
    match text {
        "" => Some(None),
        text => violations.check("organization_id", text.parse::<OrganizationId>()).map(Some),
    }
}

/// One identity of an import, with the organization whose pool it is for.
pub fn read_import(request: ImportIdentitiesRequest) -> Result<(Option<OrganizationId>, IdentityDraft), Status> {
    let mut violations = Violations::default();
    let organization = read_pool(&request.organization_id, &mut violations);
    let password_hash = violations.check("password_hash", ForeignHash::parse(&request.password_hash));
    let Some(identity) = request.identity else {
        violations.add("identity", "is required");
        return Err(violations.finish().err().unwrap_or_else(|| access::invalid_field("identity", "is required")));
    };
    let email_address = violations.check("identity.email_address", EmailAddress::parse(&identity.email_address));
    let display_name = violations.check("identity.display_name", Name::parse(&identity.display_name));
    let picture_uri = violations.check("identity.picture_uri", PictureUri::parse(&identity.picture_uri));
    let state = match identity.state {
        0 => Some(IdentityState::Active),
        state => violations.check("identity.state", read_state(state)),
    };
    let (organization, password_hash, email_address, display_name, picture_uri, state) =
        violations.all((organization, password_hash, email_address, display_name, picture_uri, state))?;
    let email_verified = identity.email_verified;
    let draft = IdentityDraft { email_address, email_verified, display_name, picture_uri, state, password_hash };
    Ok((organization, draft))
}
