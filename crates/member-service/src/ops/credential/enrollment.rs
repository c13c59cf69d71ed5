//! An authenticator app that somebody enrols for themselves, signed in, and their recovery codes.

use access::{Granted, Tenant};
use tenancy::{Change, MemberId, NewEvent, Once, OrganizationScope, SessionId, StoreError, event::now};
use time::OffsetDateTime;

use super::{SEALED, tag};
use crate::{
    model::{
        ENROLLMENT, Identity, IdentityState, MemberState, RecoveryCodes, SecondFactor, Session, TotpEnrollment,
        TotpSecret, Unmet, are_of_one_organization,
    },
    ops::{
        Context,
        entry::{ELSEWHERE, enrollment},
        identity::{append_update, changed},
    },
    remote::RemoteError,
    store::{
        attempt::{self, Kind},
        identity,
        member::{self, Key},
        second_factor::{self, Enrolled},
        session,
    },
};

/// The use of the seal on an app that waits for its first code. Its place is the identity.
const PENDING: &str = "pending totp";

#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error("the session has ended")]
    Ended,
    #[error("the organization does not allow this second factor")]
    NotAllowed { allowed: Vec<SecondFactor> },
    #[error(transparent)]
    Unmet(#[from] Unmet),
    #[error("wrong code, or nothing that it could be of")]
    Failed,
    #[error("too many tries")]
    RateLimited { until: OffsetDateTime },
    #[error("the secret of an authenticator app does not open")]
    Unreadable,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who calls about themselves.
#[derive(Debug, Clone, Copy)]
pub struct Oneself {
    pub member: MemberId,
    pub session: SessionId,
}

struct Person {
    pool: Tenant,
    identity: Identity,
    session: Session,
}

impl Oneself {
    /// As they stand now: an access token says what was.
    async fn look(&self, context: &Context, granted: &Granted<OrganizationScope>) -> Result<Person, EnrollError> {
        let organization = granted.scope.organization_id();
        let pool = context.pool(granted).await?;
        let mut read = context.database.read(granted.scope).await?;
        let session = session::live(read.connection(), organization, self.session).await?;
        let member = member::find(read.connection(), organization, &Key::Id(self.member)).await?;
        read.finish();
        let member = member.filter(|member| member.state == MemberState::Active).ok_or(EnrollError::Ended)?;
        let session = session.filter(|session| session.member_id == self.member).ok_or(EnrollError::Ended)?;
        let mut read = context.database.read(pool).await?;
        let identity = identity::get(read.connection(), pool, member.identity_id).await?;
        read.finish();
        let goes_on =
            |person: &Identity| person.state == IdentityState::Active && !person.outdates(&session.auth_factors);
        let identity = identity.filter(goes_on).ok_or(EnrollError::Ended)?;
        Ok(Person { pool, identity, session })
    }
}

impl Person {
    /// Whoever has an app replaces it from a session only that it, or another second factor, has proven: a stolen password is not enough.
    fn may_enroll(&self) -> Result<(), Unmet> {
        if matches!(self.pool, Tenant::Project(_)) && are_of_one_organization(&self.session.auth_factors) {
            return Err(Unmet::Method { allowed: ELSEWHERE.to_vec() });
        }
        let proven = self.session.auth_factors.iter().any(|factor| factor.method.second_factor().is_some());
        if self.identity.has_totp && !proven {
            return Err(Unmet::SecondFactor { allowed: vec![SecondFactor::Totp, SecondFactor::Passkey] });
        }
        Ok(())
    }

    /// Counts a try of a code before it is made.
    async fn take_try(&self, context: &Context) -> Result<(), EnrollError> {
        let address = tag(context, self.pool, &self.identity.email_address);
        let mut tx = context.database.upkeep(self.pool).await?;
        let count = attempt::count(tx.connection(), self.pool, Kind::SecondFactor, address).await?;
        tx.commit().await?;
        if count.is_used_up(Kind::SecondFactor) {
            return Err(EnrollError::RateLimited { until: count.window_end });
        }
        Ok(())
    }
}

/// Begins to enrol an app.
pub async fn enroll_totp(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    oneself: Oneself,
) -> Result<TotpEnrollment, EnrollError> {
    let person = oneself.look(context, granted).await?;
    let entry = context.remote.organization(granted.into(), granted.scope.organization_id()).await?;
    let policy = entry.ok_or(EnrollError::Ended)?.policy.sign_in;
    if !policy.takes(SecondFactor::Totp) {
        return Err(EnrollError::NotAllowed { allowed: policy.second_factors });
    }
    person.may_enroll()?;
    let id = person.identity.identity_id;
    let new = enrollment(context, granted, &person.identity.email_address).await?;
    let sealed = context.database.sealer().seal(PENDING, id.uuid().as_bytes(), new.secret.bytes());
    let mut tx = context.database.upkeep(person.pool).await?;
    second_factor::begin(tx.connection(), person.pool, id, &sealed, now() + ENROLLMENT).await?;
    tx.commit().await?;
    Ok(new.shown)
}

/// Enrols it, by a first code.
pub async fn confirm_totp(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    oneself: Oneself,
    code: &str,
) -> Result<RecoveryCodes, EnrollError> {
    let person = oneself.look(context, granted).await?;
    person.may_enroll()?;
    person.take_try(context).await?;
    let (pool, id, sealer) = (person.pool, person.identity.identity_id, context.database.sealer());
    let mut tx = context.database.write(pool, &granted.origin(), None).await?;
    let sealed = second_factor::pending(tx.connection(), pool, id).await?.ok_or(EnrollError::Failed)?;
    let secret = sealer.open(PENDING, id.uuid().as_bytes(), &sealed).ok();
    let secret = secret.and_then(|bytes| TotpSecret::stored(&bytes)).ok_or(EnrollError::Unreadable)?;
    let step = secret.step_of(code, now(), 0).ok_or(EnrollError::Failed)?;
    let before = identity::get(tx.connection(), pool, id).await?.ok_or(EnrollError::Ended)?;
    let after = Identity { has_totp: true, ..changed(&tx, &before) };
    let codes = RecoveryCodes::random();
    let sealed = sealer.seal(SEALED, id.uuid().as_bytes(), secret.bytes());
    second_factor::enroll(tx.connection(), pool, &after, &sealed, step).await?;
    second_factor::replace_codes(tx.connection(), pool, id, &codes.hashes(id)).await?;
    attempt::forgive(tx.connection(), pool, Kind::SecondFactor, tag(context, pool, &after.email_address)).await?;
    append_update(&mut tx, before, after);
    Ok(tx.commit(codes).await?)
}

/// Replaces the recovery codes, for who shows a code of the app.
pub async fn regenerate_recovery_codes(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    oneself: Oneself,
    code: &str,
) -> Result<RecoveryCodes, EnrollError> {
    let person = oneself.look(context, granted).await?;
    let (pool, id) = (person.pool, person.identity.identity_id);
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(pool, once).await?
    {
        return Ok(first);
    }
    person.take_try(context).await?;
    let mut tx = context.database.write(pool, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    let enrolled: Enrolled = second_factor::enrolled(tx.connection(), pool, id).await?.ok_or(EnrollError::Failed)?;
    let secret = context.database.sealer().open(SEALED, id.uuid().as_bytes(), &enrolled.secret).ok();
    let secret = secret.and_then(|bytes| TotpSecret::stored(&bytes)).ok_or(EnrollError::Unreadable)?;
    let step = secret.step_of(code, now(), enrolled.last_step).ok_or(EnrollError::Failed)?;
    if !second_factor::take_step(tx.connection(), pool, id, step, &enrolled).await? {
        return Err(EnrollError::Failed);
    }
    let codes = RecoveryCodes::random();
    second_factor::replace_codes(tx.connection(), pool, id, &codes.hashes(id)).await?;
    let address = tag(context, pool, &person.identity.email_address);
    attempt::forgive(tx.connection(), pool, Kind::SecondFactor, address).await?;
    let change = Change::updated(person.identity.clone(), person.identity);
    tx.append(NewEvent::new("identity.recovery_codes_replaced", vec![id.to_string()], &change));
    Ok(tx.commit(codes).await?)
}
