//! Ending a sign-in at an identity provider: from what came back with the browser to an intermediate session.

use access::{Granted, Tenant};
use runtime::kill_point;
use subtle::ConstantTimeEq as _;
use tenancy::{ClusterScope, IdentityId, OrganizationId, OrganizationState, ProjectId, event::now, secret::Presented};
use time::Duration;

use super::{
    SsoError, link,
    start::{SECRETS, challenge},
};
use crate::{
    model::{AccountRefused, AuthFactor, AuthMethod, Identity, IdentityState, IssuedIntermediate, SsoSignIn, Vouching},
    ops::{
        Context,
        entry::{Proof, issue},
        identity as identities,
    },
    remote::Returned,
    store::{identity, provider_account, sso},
};

/// What a provider said is remembered for as long as the intermediate sessions that may come of it, one by one, are good.
const REMEMBERED: Duration = Duration::minutes(30);

/// What came back with the browser, and what proves that it is the browser that was sent.
#[derive(Debug)]
pub struct Back {
    pub state: Presented,
    pub code: String,
    pub code_verifier: String,
    /// Empty: none came back.
    pub issuer: String,
    /// Where the browser came back to. Empty: the caller does not say.
    pub redirect_uri: String,
}

#[derive(Debug)]
pub struct Completed {
    /// Whose connection it was. None: the project's.
    pub organization: Option<OrganizationId>,
    pub intermediate: IssuedIntermediate,
}

pub async fn complete(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    back: Back,
) -> Result<Completed, SsoError> {
    // From here on the provider is asked: what ends its connection later ends what comes of it.
    let time = now();
    let scope = granted.in_project(project).scope;
    if back.state.tenant != project.uuid() {
        return Err(SsoError::Failed);
    }
    let mut tx = context.database.upkeep(scope).await?;
    let taken = sso::take(tx.connection(), scope, &back.state).await?;
    tx.commit().await?;
    kill_point("sso/taken");
    let (sign_in, sealed) = taken.ok_or(SsoError::Failed)?;
    let vouching = redeem(context, granted, project, &sign_in, sealed, back).await?;
    let (connection_id, sso_sign_in_id) = (Some(sign_in.connection), Some(sign_in.id));
    let factor = |method| AuthFactor { method, time, connection_id, sso_sign_in_id, session_id: None };
    let intermediate = match sign_in.organization {
        Some(organization) => {
            bound(context, granted, project, organization, &vouching, factor(AuthMethod::Oidc)).await?
        }
        None => free(context, granted, project, &vouching, factor(AuthMethod::Social)).await?,
    };
    Ok(Completed { organization: sign_in.organization, intermediate })
}

async fn redeem(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    sign_in: &SsoSignIn,
    sealed: Vec<u8>,
    back: Back,
) -> Result<Vouching, SsoError> {
    let theirs = challenge(&back.code_verifier);
    if !bool::from(theirs.as_bytes().ct_eq(sign_in.code_challenge.as_bytes())) {
        return Err(SsoError::Failed);
    }
    // Before the code is sent anywhere: it may be of another provider, whose owner would sign in with what that says.
    let of_another = |said: &str, ours: &str| !said.is_empty() && said != ours;
    let to_each_its_own = sign_in.redirect_uri.contains(&sign_in.connection.to_string());
    if of_another(&back.issuer, &sign_in.issuer)
        || of_another(&back.redirect_uri, &sign_in.redirect_uri)
        || to_each_its_own && back.redirect_uri.is_empty()
    {
        return Err(SsoError::Failed);
    }
    let opened = context.database.sealer().open(SECRETS, sign_in.id.uuid().as_bytes(), &sealed);
    let text = opened.ok().and_then(|secrets| String::from_utf8(secrets).ok()).ok_or(SsoError::Failed)?;
    let (nonce, code_verifier) = text.split_once(' ').ok_or(SsoError::Failed)?;
    let returned = Returned {
        code: back.code,
        code_verifier: code_verifier.to_owned(),
        nonce: nonce.to_owned(),
        without_issuer: back.issuer.is_empty(),
    };
    let vouching = context.remote.redeem_code(granted.into(), project, sign_in, returned).await?;
    kill_point("sso/redeemed");
    Ok(vouching)
}

/// An intermediate session that is bound to the organization, with what its provider said. Who that is there is looked at when it is
/// entered: a second factor may be asked for first.
async fn bound(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    organization: OrganizationId,
    vouching: &Vouching,
    factor: AuthFactor,
) -> Result<IssuedIntermediate, SsoError> {
    let head = context.access.head(&granted.call, organization).await.map_err(crate::remote::RemoteError::from)?;
    let open = head.is_some_and(|head| head.project_id == project && head.state == OrganizationState::Active);
    if !open {
        return Err(SsoError::Failed);
    }
    let granted = granted.in_organization(project, organization);
    let tenant = Tenant::Organization(granted.scope);
    let mut read = context.database.read(tenant).await?;
    let linked = provider_account::find(read.connection(), tenant, vouching).await?;
    read.finish();
    let pool = context.pool(&granted).await?;
    let person = person(context, pool, linked).await?;
    let address = person.as_ref().map(|person| &person.email_address).or(vouching.email_address.as_ref());
    let address = address.ok_or(AccountRefused::EmailMissing)?;
    let identity = person.as_ref().map(|person| person.identity_id);
    if let Some(sign_in) = factor.sso_sign_in_id {
        let mut tx = context.database.upkeep(granted.scope).await?;
        sso::vouch(tx.connection(), granted.scope, sign_in, vouching, factor.time + REMEMBERED).await?;
        tx.commit().await?;
    }
    // Proven to this organization, which is looked at there; to nobody else.
    let proof = Proof { identity, address, verified: false, factor };
    Ok(issue(context, tenant, proof).await?)
}

/// The person of an account. None of one that is not linked, or whose making was cut short.
async fn person(
    context: &Context,
    pool: Tenant,
    linked: Option<IdentityId>,
) -> Result<Option<Identity>, tenancy::StoreError> {
    let Some(linked) = linked else { return Ok(None) };
    let mut read = context.database.read(pool).await?;
    let person = identity::get(read.connection(), pool, linked).await?;
    read.finish();
    Ok(person)
}

/// An intermediate session of the person whom a provider of the project vouches for. The first time they are made, of a verified
/// address that nobody has: an account at a provider is never taken for a person who is known already by their address.
async fn free(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    vouching: &Vouching,
    factor: AuthFactor,
) -> Result<IssuedIntermediate, SsoError> {
    let scope = granted.in_project(project).scope;
    let pool = Tenant::Project(scope);
    let mut read = context.database.read(pool).await?;
    let linked = provider_account::find(read.connection(), pool, vouching).await?;
    read.finish();
    let identity = match person(context, pool, linked).await? {
        Some(person) if person.state == IdentityState::Active => person,
        Some(_) => return Err(SsoError::Failed),
        None => {
            let address = vouching.email_address.as_ref().ok_or(AccountRefused::EmailMissing)?;
            if !vouching.email_verified {
                return Err(AccountRefused::EmailNotVerified.into());
            }
            let id = linked.unwrap_or_else(IdentityId::new);
            let mut read = context.database.read(pool).await?;
            let taken = identity::by_address(read.connection(), pool, address).await?;
            read.finish();
            if taken.is_some() {
                return Err(AccountRefused::AddressInUse.into());
            }
            let origin = granted.origin();
            let id = link(context, pool, &origin, vouching, id).await?;
            kill_point("sso/linked");
            let name = &vouching.display_name;
            let made = identities::create(context, pool, &origin, id, address, name, true).await?;
            made.ok_or(AccountRefused::AddressInUse)?
        }
    };
    let (id, address) = (identity.identity_id, &identity.email_address);
    let proof = Proof { identity: Some(id), address, verified: false, factor };
    Ok(issue(context, pool, proof).await?)
}
