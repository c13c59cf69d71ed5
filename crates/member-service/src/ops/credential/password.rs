//! Passwords.

use access::Granted;
use tenancy::{ClusterScope, IdentityId, MemberId, Once, OrganizationScope, StoreError};

use super::{Entrance, Proven, SignInError, active_member, tag};
use crate::{
    hashing::HashError,
    model::{AuthFactor, AuthMethod, EmailAddress, Identity, IdentityState, NewPassword, WeakPassword, hashed_form},
    ops::{
        Context, NotActive, active,
        entry::{Proof, issue},
        identity::{append_update, changed, end_outdated},
    },
    remote::RemoteError,
    store::{
        attempt::{self, Kind},
        challenge, identity, intermediate,
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

/// Sets the password of the person behind a member, and ends their sessions, wherever they are: whoever knew the one before is out.
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
    read.finish();
    active(head.state)?;
    let member = member.ok_or(SetPasswordError::Unknown)?;
    password.fits(&member.email_address)?;
    let entry = context.remote.organization(granted.into(), organization).await?.ok_or(SetPasswordError::Unknown)?;
    let asks_everybody = entry.policy.sign_in.needs_second_factor;
    let is_short = password.is_short();
    let hash = context.hasher.hash(&context.hasher.place()?, password.into_text()).await?;

    let mut tx = context.database.write(pool, &granted.origin(), once).await?;
    if let Some(()) = tx.first_answer()? {
        return Ok(());
    }
    // Before it is read: whoever is reading the password before is done.
    let sessions_from = identity::lock(tx.connection(), pool, member.identity_id).await?;
    let before = identity::get(tx.connection(), pool, member.identity_id).await?.ok_or(SetPasswordError::Unknown)?;
    if is_short && !(asks_everybody || before.has_totp) {
        return Err(WeakPassword::Alone.into());
    }
    let changed = changed(&tx, &before);
    let after =
        Identity { has_password: true, password_is_short: is_short, sessions_from: Some(sessions_from), ..changed };
    identity::set_password(tx.connection(), pool, &after, &hash).await?;
    let address = tag(context, pool, &after.email_address);
    attempt::forgive(tx.connection(), pool, Kind::Password, address).await?;
    let id = after.identity_id;
    // What came of the password before, and codes on their way that somebody else may have asked for.
    challenge::end_everywhere(tx.connection(), granted.scope.project_id(), id).await?;
    intermediate::end_everywhere(tx.connection(), granted.scope.project_id(), id).await?;
    append_update(&mut tx, before, after);
    tx.commit(()).await?;
    runtime::kill_point("set-password/committed");
    if let Err(error) = end_outdated(context, &granted.in_its_project(), id, sessions_from).await {
        tracing::warn!(error = %runtime::Chain(&error), identity = %id, "sessions of before a new password are left to the sweep");
    }
    Ok(())
}

/// Checks an address and a password. `address` is None where what was given is no address at all.
pub async fn verify_password(
    context: &Context,
    granted: &Granted<ClusterScope>,
    entrance: Entrance,
    address: Option<EmailAddress>,
    password: String,
) -> Result<Proven, SignInError> {
    // Before the try is counted: whom we have no time for has not tried.
    let place = context.hasher.place()?;
    let target = entrance.target(context, granted).await?;
    let Some(address) = address else {
        context.hasher.verify(&place, String::new(), None).await?;
        return Err(SignInError::Failed);
    };
    let (pool, address_tag) = (target.pool, tag(context, target.pool, &address));
    let mut tx = context.database.upkeep(pool).await?;
    // Whoever sets another password has done so, or waits: either that one is read below, or they are done after the moment that
    // is counted here, and what the one before has proven is outdated. Both moments are by the database's clock.
    identity::hold(tx.connection(), pool, &address).await?;
    let count = attempt::count(tx.connection(), pool, Kind::Password, address_tag).await?;
    let known = identity::by_address(tx.connection(), pool, &address).await?;
    tx.commit().await?;
    let factor = AuthFactor::given(AuthMethod::Password, count.time);
    if count.is_used_up(Kind::Password) {
        return Err(SignInError::RateLimited { until: count.window_end });
    }
    let (hash, identity): (Option<String>, Option<Identity>) =
        known.map_or((None, None), |known| (known.password_hash, Some(known.identity)));
    let form = hashed_form(&password);
    let fits = form.is_some();
    let form = form.unwrap_or_default();
    // One that an import brought, or with less work than hashing takes today: replaced, now that the password is known. Other systems
    // hashed what was typed.
    let former = hash.clone().filter(|hash| !context.hasher.is_ours(hash)).map(|hash| (hash, form.clone()));
    let tried =
        if fits && hash.as_deref().is_some_and(|hash| !context.hasher.is_argon2id(hash)) { password } else { form };
    let right = context.hasher.verify(&place, tried, hash.as_deref().filter(|_| fits)).await?;

    // Asked also after a wrong password, so that the answer takes as long.
    let someone = identity.as_ref().map_or_else(IdentityId::new, |identity| identity.identity_id);
    let member = match target.organization {
        Some(organization) => active_member(context, granted, entrance.project, organization, someone).await?,
        None => None,
    };
    let able = identity.filter(|identity| identity.state == IdentityState::Active && right && target.open);
    let identity = able.ok_or(SignInError::Failed)?;
    let rehashed = match former {
        Some((checked, password)) => Some((checked, context.hasher.hash(&place, password).await?)),
        None => None,
    };
    let mut tx = context.database.upkeep(pool).await?;
    if let Some((checked, ours)) = rehashed {
        identity::replace_hash(tx.connection(), pool, someone, &checked, &ours).await?;
    }
    attempt::forgive(tx.connection(), pool, Kind::Password, address_tag).await?;
    tx.commit().await?;
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
