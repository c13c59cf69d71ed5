//! One-time codes and links by email. A challenge has one of them or both, as the organization that is named allows.
//!
//! A code has six digits, so it is guarded by counts, not by its length (a link has 256 random bits): five tries for each challenge, and for each address ten
//! in fifteen minutes of challenges begun and codes got wrong together.

use access::{Granted, Tenant};
use secrecy::ExposeSecret;
use tenancy::{
    ChallengeId, ClusterScope, OrganizationId, ProjectId,
    event::now,
    sealing::random,
    secret::{self, Presented, SecretKind},
};
use time::{Duration, OffsetDateTime};

use super::{Entrance, Proven, SignInError, active_member, tag};
use crate::{
    mail,
    model::{AuthFactor, AuthMethod, Brand, EmailAddress, IdentityState, SignInMethod, SignInPolicy},
    ops::{
        Context,
        entry::{Candidate, Proof, issue, may_go_anywhere, right},
        identity as identities,
    },
    store::{
        attempt::{self, Kind},
        challenge::{self, NewChallenge, Tried},
        identity,
    },
};

const LIFETIME: Duration = Duration::minutes(10);
const TRIES: i32 = 5;

/// A challenge under way, whether or not anybody got a mail.
#[derive(Debug)]
pub struct Started {
    pub challenge: ChallengeId,
    pub expire_time: OffsetDateTime,
}

/// `address` is None where what was given is no address at all.
pub async fn start_email_challenge(
    context: &Context,
    granted: &Granted<ClusterScope>,
    entrance: Entrance,
    address: Option<EmailAddress>,
) -> Result<Started, SignInError> {
    let target = entrance.target(context, granted).await?;
    let started = Started { challenge: ChallengeId::new(), expire_time: now() + LIFETIME };
    let Some(address) = address else { return Ok(started) };
    let pool = target.pool;
    let address_tag = tag(context, pool, &address);
    let mut tx = context.database.upkeep(pool).await?;
    let count = attempt::count(tx.connection(), pool, Kind::EmailCode, address_tag).await?;
    let known = identity::by_address(tx.connection(), pool, &address).await?;
    tx.commit().await?;
    if count.is_used_up(Kind::EmailCode) {
        return Err(SignInError::RateLimited { until: count.window_end });
    }
    let suspended = known.as_ref().is_some_and(|known| known.identity.state == IdentityState::Suspended);
    let identity = known.map(|known| known.identity);
    // As if the code had come back: whoever could enter with it is sent one.
    let candidate = Candidate { identity, address, proven: true };
    let (mut able, mut brand) = (target.open && !suspended, Brand::default());
    let mut ways = Ways { code: true, link: true };
    match target.organization {
        Some(organization) => {
            let granted = granted.in_organization(entrance.project, organization);
            let named = context.remote.organization((&granted).into(), organization).await?;
            let policy = named.as_ref().map(|named| named.policy.clone()).unwrap_or_default();
            ways = Ways::of(&policy.sign_in);
            able &= right(context, &granted, &policy, &candidate).await?.is_some();
            brand = named.map(|named| named.brand).unwrap_or_default();
        }
        None => {
            // Asked of everybody, so that the answer takes as long.
            let awaited = may_go_anywhere(context, granted, entrance.project, &candidate.address).await?;
            able &= entrance.sign_up || candidate.identity.is_some() || awaited;
        }
    }
    let Candidate { identity, address, .. } = candidate;
    let code = ways.has_code(context).then(six_digits);
    let link = ways
        .has_link(context)
        .then(|| secret::issue(SecretKind::EmailLink, target.tenant.key().uuid(), started.challenge.uuid()));
    let sealer = context.database.sealer();
    let new = NewChallenge {
        challenge_id: started.challenge,
        address_tag,
        identity_id: identity.filter(|_| able).map(|identity| identity.identity_id),
        email_address: able.then(|| address.clone()),
        code_tag: code.as_ref().map(|code| sealer.tag("code", &code_message(started.challenge, code))),
        link: link.as_ref().map(|link| link.hash),
        expire_time: started.expire_time,
    };
    let mut tx = context.database.upkeep(target.tenant).await?;
    challenge::replace(tx.connection(), target.tenant, &new).await?;
    // Written also for nobody, as a mail whose time is over: it is never sent, and the answer takes as long.
    let give_up_time = if able { started.expire_time } else { OffsetDateTime::UNIX_EPOCH };
    let link = link.and_then(|link| context.sign_in_link(link.text.expose_secret()));
    let mail = mail::sign_in(&address, &brand, code.as_deref(), link.as_ref(), LIFETIME.whole_minutes());
    mail.put(tx.connection(), sealer, target.tenant, give_up_time).await?;
    tx.commit().await?;
    context.mail_waiting.notify_one();
    Ok(started)
}

/// Checks a code. Right, it is used up; wrong, it costs a try.
pub async fn verify_email_challenge(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    challenge: ChallengeId,
    code: &str,
) -> Result<Proven, SignInError> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).take(7).collect();
    let scope = granted.in_project(project).scope;
    let shared = context.remote.shares_pool(granted.into(), project).await?.ok_or(SignInError::Failed)?;
    let mut tx = context.database.upkeep(scope).await?;
    let tried = challenge::take_try(tx.connection(), scope, challenge, TRIES).await?.ok_or(SignInError::Failed)?;
    let message = code_message(challenge, &code);
    let sealer = context.database.sealer();
    let right = tried.code_tag.as_ref().is_some_and(|tag| sealer.verify("code", &message, tag).is_ok());
    let pool = if shared || tried.tenant == OrganizationId::from(project) {
        Tenant::Project(scope)
    } else {
        Tenant::Organization(granted.in_organization(project, tried.tenant).scope)
    };
    // Counted before it is looked at, and forgiven where it was right: many organizations may have a challenge for one address, and all
    // their codes together have so many tries.
    let count = attempt::count(tx.connection(), pool, Kind::EmailCode, tried.address_tag).await?;
    if !right || count.is_used_up(Kind::EmailCode) {
        tx.commit().await?;
        return Err(SignInError::Failed);
    }
    challenge::end(tx.connection(), tried.tenant, challenge).await?;
    attempt::forgive(tx.connection(), pool, Kind::EmailCode, tried.address_tag).await?;
    tx.commit().await?;
    enter(context, granted, project, pool, tried, AuthMethod::EmailCode).await
}

/// Takes the secret at the end of a link. It is used up by it.
pub async fn verify_email_link(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    presented: &Presented,
) -> Result<Proven, SignInError> {
    let scope = granted.in_project(project).scope;
    let shared = context.remote.shares_pool(granted.into(), project).await?.ok_or(SignInError::Failed)?;
    let mut tx = context.database.upkeep(scope).await?;
    let tried = challenge::follow(tx.connection(), scope, presented, TRIES).await?.ok_or(SignInError::Failed)?;
    let pool = if shared || tried.tenant == OrganizationId::from(project) {
        Tenant::Project(scope)
    } else {
        Tenant::Organization(granted.in_organization(project, tried.tenant).scope)
    };
    attempt::forgive(tx.connection(), pool, Kind::EmailCode, tried.address_tag).await?;
    tx.commit().await?;
    enter(context, granted, project, pool, tried, AuthMethod::EmailLink).await
}

/// What a mail holds, as the organization allows. One that allows neither gets a code, and says what it allows when that comes back.
#[derive(Debug, Clone, Copy)]
struct Ways {
    code: bool,
    link: bool,
}

impl Ways {
    fn of(policy: &SignInPolicy) -> Self {
        let allows = |method| policy.allowed.as_ref().is_none_or(|allowed| allowed.contains(&method));
        Self { code: allows(SignInMethod::EmailCode), link: allows(SignInMethod::MagicLink) }
    }

    /// Where the installation has no page for links, a mail has a code.
    fn has_link(self, context: &Context) -> bool {
        self.link && context.sign_in_url.is_some()
    }

    fn has_code(self, context: &Context) -> bool {
        self.code || !self.has_link(context)
    }
}

/// Who it was, as things stand now.
async fn enter(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    pool: Tenant,
    tried: Tried,
    method: AuthMethod,
) -> Result<Proven, SignInError> {
    let address = tried.email_address.ok_or(SignInError::Failed)?;
    let mut read = context.database.read(pool).await?;
    let person = match tried.identity_id {
        Some(someone) => Some(identity::get(read.connection(), pool, someone).await?.ok_or(SignInError::Failed)?),
        None => identity::by_address(read.connection(), pool, &address).await?.map(|known| known.identity),
    };
    read.finish();
    if person.as_ref().is_some_and(|person| person.state != IdentityState::Active || person.email_address != address) {
        return Err(SignInError::Failed);
    }
    let identity = person.as_ref().map(|person| person.identity_id);
    if let Some(person) = person {
        let verified = identities::verify(context, pool, &granted.origin(), person, true).await?;
        verified.ok_or(SignInError::Failed)?;
    }
    let organization = (tried.tenant != OrganizationId::from(project)).then_some(tried.tenant);
    let member = match (organization, identity) {
        (Some(organization), Some(identity)) => {
            active_member(context, granted, project, organization, identity).await?.map(|member| member.member_id)
        }
        _ => None,
    };
    let factor = AuthFactor::given(method, now());
    let intermediate = match member {
        Some(_) => None,
        None => {
            let tenant = match organization {
                Some(organization) => Tenant::Organization(granted.in_organization(project, organization).scope),
                None => Tenant::Project(granted.in_project(project).scope),
            };
            Some(issue(context, tenant, Proof { identity, address: &address, verified: true, factor }).await?)
        }
    };
    Ok(Proven { identity, organization, member, factor, intermediate })
}

fn code_message(challenge: ChallengeId, code: &str) -> Vec<u8> {
    [challenge.uuid().as_bytes().as_slice(), code.as_bytes()].concat()
}

/// Each of the million codes as likely as another: numbers beyond the last whole million are drawn again.
fn six_digits() -> String {
    const CODES: u32 = 1_000_000;
    loop {
        let number = u32::from_be_bytes(random());
        if number < u32::MAX - u32::MAX % CODES {
            return format!("{:06}", number % CODES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_six_digits() {
        for _ in 0..1000 {
            let code = six_digits();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
        }
    }
}
