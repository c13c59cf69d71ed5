//! The second factor of a sign-in: a code of an authenticator app, or a recovery code in its place.
//!
//! The intermediate session says whose sign-in it is and where to. A code is six digits, so it is guarded by counts: five for each
//! intermediate session, and five for each person in a window that doubles. What is right is written in one transaction: the code is used
//! up, and the intermediate session has the proof.

use access::{Granted, Tenant};
use tenancy::{Change, ClusterScope, NewEvent, OrganizationId, OrganizationScope, event::now};

use super::{SEALED, SignInError, tag};
use crate::{
    model::{AddressTag, AuthFactor, AuthMethod, Identity, Name, RecoveryCode, RecoveryCodes, TotpSecret},
    ops::{
        Context,
        entry::{EntryError, Opened, UNCONFIRMED, vouched},
        identity::{append_update, changed, find_or_create},
        sso,
    },
    store::{
        attempt::{self, Kind},
        identity, intermediate,
        second_factor::{self, Enrolled},
    },
};

const CODE_TRIES: i32 = 5;

/// What a right code came to.
#[derive(Debug)]
pub struct Given {
    pub organization: OrganizationId,
    pub factor: AuthFactor,
    /// Of an app that was confirmed by it.
    pub new_codes: Option<RecoveryCodes>,
    /// Recovery codes that are left, where one was used.
    pub left: i64,
}

/// A sign-in that waits, with one of its tries taken.
struct Waiting {
    scope: OrganizationScope,
    tenant: Tenant,
    pool: Tenant,
    address_tag: AddressTag,
    enrolled: Option<Enrolled>,
    /// The app that it enrols, sealed.
    enrollment: Option<Vec<u8>>,
}

async fn take_try(context: &Context, granted: &Granted<ClusterScope>, opened: &Opened) -> Result<Waiting, SignInError> {
    let Tenant::Organization(scope) = opened.tenant else { return Err(SignInError::Failed) };
    let pool = opened.pool.ok_or(SignInError::Failed)?;
    let address_tag = tag(context, pool, &opened.session.email_address);
    let mut tx = context.database.upkeep(granted.in_project(opened.project).scope).await?;
    let count = attempt::count(tx.connection(), pool, Kind::SecondFactor, address_tag).await?;
    if count.is_used_up(Kind::SecondFactor) {
        tx.commit().await?;
        return Err(SignInError::RateLimited { until: count.window_end });
    }
    let (tenant, id) = (opened.tenant, opened.session.id);
    let taken = intermediate::take_code_try(tx.connection(), tenant, id, CODE_TRIES).await?;
    let enrolled = match &opened.candidate.identity {
        Some(person) => second_factor::enrolled(tx.connection(), pool, person.identity_id).await?,
        None => None,
    };
    tx.commit().await?;
    Ok(Waiting { scope, tenant, pool, address_tag, enrolled, enrollment: taken.ok_or(SignInError::Failed)? })
}

/// Gives a code of the person's app, or the first one of the app that the sign-in enrols.
pub async fn verify_totp(
    context: &Context,
    granted: &Granted<ClusterScope>,
    opened: &Opened,
    code: &str,
) -> Result<Given, SignInError> {
    let waiting = take_try(context, granted, opened).await?;
    let factor = AuthFactor::given(AuthMethod::Totp, now());
    let sealer = context.database.sealer();
    // Whoever has an app by now enrols no other here.
    let new_codes = match (&waiting.enrolled, &waiting.enrollment, &opened.candidate.identity) {
        (Some(enrolled), _, Some(person)) => {
            let secret = sealer.open(SEALED, person.identity_id.uuid().as_bytes(), &enrolled.secret);
            let secret = secret.ok().and_then(|bytes| TotpSecret::stored(&bytes)).ok_or(SignInError::Unreadable)?;
            let step = secret.step_of(code, factor.time, enrolled.last_step).ok_or(SignInError::Failed)?;
            let mut tx = context.database.upkeep(granted.in_project(opened.project).scope).await?;
            let connection = tx.connection();
            let first = second_factor::take_step(connection, waiting.pool, person.identity_id, step, enrolled).await?;
            if !first
                || !second_factor::prove(
                    connection,
                    waiting.pool,
                    waiting.address_tag,
                    waiting.tenant,
                    opened.session.id,
                    person.identity_id,
                    &factor,
                )
                .await?
            {
                return Err(SignInError::Failed);
            }
            tx.commit().await?;
            None
        }
        (None, Some(sealed), _) => {
            let secret = sealer.open(UNCONFIRMED, opened.session.id.uuid().as_bytes(), sealed);
            let secret = secret.ok().and_then(|bytes| TotpSecret::stored(&bytes)).ok_or(SignInError::Unreadable)?;
            let step = secret.step_of(code, factor.time, 0).ok_or(SignInError::Failed)?;
            Some(enroll(context, granted, opened, &waiting, &secret, step, &factor).await?)
        }
        (Some(_), _, None) | (None, None, _) => return Err(SignInError::Failed),
    };
    runtime::kill_point("second-factor/given");
    Ok(Given { organization: waiting.scope.organization_id(), factor, new_codes, left: 0 })
}

/// Confirms the app that the sign-in enrols. Somebody new gets the identity that they would get by entering: it is harmless alone.
async fn enroll(
    context: &Context,
    granted: &Granted<ClusterScope>,
    opened: &Opened,
    waiting: &Waiting,
    secret: &TotpSecret,
    step: i64,
    factor: &AuthFactor,
) -> Result<RecoveryCodes, SignInError> {
    let (pool, origin) = (waiting.pool, granted.origin());
    let here = granted.in_organization(opened.project, waiting.scope.organization_id());
    let vouched = vouched(context, &here, opened).await.map_err(not_vouched_for)?;
    let person = match (&vouched, &opened.candidate.identity) {
        // Not whoever has the address by now: the provider may not stand for them.
        (Some((_, vouching)), _) => sso::person(context, &here, vouching).await.map_err(not_vouched_for)?,
        (None, Some(person)) => person.identity_id,
        (None, None) if opened.candidate.proven => {
            let address = &opened.candidate.address;
            find_or_create(context, pool, &origin, address, &Name::default(), true).await?.identity_id
        }
        (None, None) => return Err(SignInError::Failed),
    };
    let codes = RecoveryCodes::random();
    let mut tx = context.database.write(pool, &origin, None).await?;
    let before = identity::get(tx.connection(), pool, person).await?.filter(|before| !before.has_totp);
    let before = before.ok_or(SignInError::Failed)?;
    let after = Identity { has_totp: true, ..changed(&tx, &before) };
    let sealed = context.database.sealer().seal(SEALED, person.uuid().as_bytes(), secret.bytes());
    second_factor::enroll(tx.connection(), pool, &after, &sealed, step).await?;
    second_factor::replace_codes(tx.connection(), pool, person, &codes.hashes(person)).await?;
    if !second_factor::prove(
        tx.connection(),
        waiting.pool,
        waiting.address_tag,
        waiting.tenant,
        opened.session.id,
        person,
        factor,
    )
    .await?
    {
        return Err(SignInError::Failed);
    }
    append_update(&mut tx, before, after);
    Ok(tx.commit(codes).await?)
}

fn not_vouched_for(error: EntryError) -> SignInError {
    match error {
        EntryError::Remote(error) => SignInError::Remote(error),
        EntryError::Store(error) => SignInError::Store(error),
        EntryError::Refused
        | EntryError::Unmet(_)
        | EntryError::Account(_)
        | EntryError::InvitationNotPending
        | EntryError::InviterLostRights
        | EntryError::LimitReached(_)
        | EntryError::TooLate => SignInError::Failed,
    }
}

/// Gives a recovery code.
pub async fn use_recovery_code(
    context: &Context,
    granted: &Granted<ClusterScope>,
    opened: &Opened,
    code: &str,
) -> Result<Given, SignInError> {
    let waiting = take_try(context, granted, opened).await?;
    let code = RecoveryCode::parse(code).ok_or(SignInError::Failed)?;
    let person = opened.candidate.identity.as_ref().filter(|_| waiting.enrolled.is_some());
    let (pool, person) = (waiting.pool, person.ok_or(SignInError::Failed)?);
    let (id, hash) = (person.identity_id, code.hash(person.identity_id));
    let mut read = context.database.read(pool).await?;
    let known = second_factor::has_code(read.connection(), pool, id, &hash).await?;
    read.finish();
    if !known {
        return Err(SignInError::Failed);
    }
    let factor = AuthFactor::given(AuthMethod::RecoveryCode, now());
    let mut tx = context.database.write(pool, &granted.origin(), None).await?;
    let left = second_factor::use_code(tx.connection(), pool, id, &hash).await?.ok_or(SignInError::Failed)?;
    if !second_factor::prove(
        tx.connection(),
        waiting.pool,
        waiting.address_tag,
        waiting.tenant,
        opened.session.id,
        id,
        &factor,
    )
    .await?
    {
        return Err(SignInError::Failed);
    }
    let change = Change::updated(person.clone(), person.clone());
    tx.append(NewEvent::new("identity.recovery_code_used", vec![id.to_string()], &change));
    tx.commit(()).await?;
    runtime::kill_point("second-factor/given");
    Ok(Given { organization: waiting.scope.organization_id(), factor, new_codes: None, left })
}
