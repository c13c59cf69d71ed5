//! Passwords.

use access::Granted;
use tenancy::{ClusterScope, IdentityId, MemberId, Once, OrganizationScope, StoreError, event::now};

use super::{Entrance, MAX_TRIES, Proven, SignInError, WINDOW, active_member, tag};
use crate::{
    hashing::HashError,
    model::{AuthFactor, AuthMethod, EmailAddress, Identity, IdentityState, MAX_CHARACTERS, NewPassword, WeakPassword},
    ops::{
        Context, NotActive, active,
        entry::{Proof, issue},
        identity::{append_update, changed},
    },
    remote::RemoteError,
    store::{
        attempt::{self, Kind},
        identity,
        member::{self, Key},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum SetPasswordError {
    #[error("no such member")]
    Unknown,
    #[error("the password {0}")]
    Weak(#[from] WeakPassword),
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sets the password of the person behind a member. Their sessions go on.
pub async fn set_password(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    member: MemberId,
    password: NewPassword,
) -> Result<(), SetPasswordError> {
    let pool = context.pool(granted).await?;
    if let Some(once) = once
        && let Some(()) = context.database.kept_answer(pool, once).await?
    {
        return Ok(());
    }
    let organization = granted.scope.organization_id();
    let mut read = context.database.read(granted.scope).await?;
    let head = tenancy::Head::find(read.connection(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    let member = member::find(read.connection(), organization, &Key::Id(member)).await?;
    read.finish().await?;
    active(head.state)?;
    let member = member.ok_or(SetPasswordError::Unknown)?;
    password.fits(&member.email_address)?;
    let hash = context.hasher.hash(password.into_text()).await?;

    let mut tx = context.database.write(pool, &granted.origin(), once).await?;
    if let Some(()) = tx.first_answer()? {
        return Ok(());
    }
    let before = identity::get(tx.connection(), pool, member.identity_id).await?.ok_or(SetPasswordError::Unknown)?;
    let after = Identity { has_password: true, ..changed(&tx, &before) };
    identity::set_password(tx.connection(), pool, &after, &hash).await?;
    let address = tag(context, pool, &after.email_address);
    attempt::forgive(tx.connection(), pool, Kind::Password, address).await?;
    append_update(&mut tx, before, after);
    Ok(tx.commit(()).await?)
}

/// Checks an address and a password. `address` is None where what was given is no address at all.
pub async fn verify_password(
    context: &Context,
    granted: &Granted<ClusterScope>,
    entrance: Entrance,
    address: Option<EmailAddress>,
    password: String,
) -> Result<Proven, SignInError> {
    let target = entrance.target(context, granted).await?;
    let Some(address) = address else {
        context.hasher.verify(String::new(), None).await?;
        return Err(SignInError::Failed);
    };
    let (pool, address_tag) = (target.pool, tag(context, target.pool, &address));
    let mut tx = context.database.upkeep(pool).await?;
    let count = attempt::count(tx.connection(), pool, Kind::Password, address_tag, WINDOW).await?;
    let known = identity::by_address(tx.connection(), pool, &address).await?;
    tx.commit().await?;
    if count.tries > MAX_TRIES {
        return Err(SignInError::RateLimited { until: count.window_end });
    }
    let (hash, identity): (Option<String>, Option<Identity>) =
        known.map_or((None, None), |known| (known.password_hash, Some(known.identity)));
    let too_long = password.chars().nth(MAX_CHARACTERS).is_some();
    let password = if too_long { String::new() } else { password };
    let imported = hash.clone().filter(|hash| !context.hasher.is_ours(hash)).map(|hash| (hash, password.clone()));
    let right = context.hasher.verify(password, hash.as_deref().filter(|_| !too_long)).await?;

    // Asked also after a wrong password, so that the answer takes as long.
    let someone = identity.as_ref().map_or_else(IdentityId::new, |identity| identity.identity_id);
    let member = match target.organization {
        Some(organization) => active_member(context, granted, entrance.project, organization, someone).await?,
        None => None,
    };
    let able = identity.filter(|identity| identity.state == IdentityState::Active && right && target.open);
    let identity = able.ok_or(SignInError::Failed)?;
    let rehashed = match imported {
        Some((checked, password)) => Some((checked, context.hasher.hash(password).await?)),
        None => None,
    };
    let mut tx = context.database.upkeep(pool).await?;
    if let Some((checked, ours)) = rehashed {
        identity::replace_hash(tx.connection(), pool, someone, &checked, &ours).await?;
    }
    attempt::forgive(tx.connection(), pool, Kind::Password, address_tag).await?;
    tx.commit().await?;
    let factor = AuthFactor::given(AuthMethod::Password, now());
    let intermediate = match &member {
        Some(_) => None,
        // A password proves no address.
        None => {
            let proof = Proof { identity: Some(someone), address: &identity.email_address, verified: false, factor };
            Some(issue(context, target.tenant, proof).await?)
        }
    };
    Ok(Proven {
        identity: Some(someone),
        organization: target.organization,
        member: member.map(|member| member.member_id),
        factor,
        intermediate,
    })
}
