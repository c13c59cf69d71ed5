//! What an organization asks of those who enter, and what becomes of who has only half of it.
//!
//! Every session begins behind [`meet`], and nobody becomes a member but behind it: whichever way somebody comes, by a sign-in, from
//! another organization or as a newcomer, one function decides. What is missing and can be given is asked for: the proofs given so far wait
//! in an intermediate session of the organization's, for `ops::credential` to add the second one.

use access::{Granted, Tenant};
use tenancy::{IntermediateSessionId, OrganizationScope, StoreError};
use time::OffsetDateTime;

use super::intermediate::keep;
use crate::{
    model::{
        AuthFactor, EmailAddress, Enrollment, Identity, Intermediate, SecondFactor, SecondFactorRequired, Standing,
        TotpSecret, Unmet, are_of_one_organization,
    },
    ops::Context,
    remote::{OrganizationEntry, RemoteError},
};

/// The use of the seal on an app that a sign-in enrols. Its place is the intermediate session.
pub const UNCONFIRMED: &str = "unconfirmed totp";

#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    #[error(transparent)]
    Unmet(#[from] Unmet),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Somebody on their way into an organization.
#[derive(Debug)]
pub struct Halfway<'a> {
    /// None: nobody has the address yet.
    pub identity: Option<&'a Identity>,
    pub address: &'a EmailAddress,
    /// By a factor of this sign-in.
    pub verified: bool,
    pub is_breakglass: bool,
    pub auth_factors: &'a [AuthFactor],
    /// The session that comes of it ends then at the latest.
    pub no_later_than: Option<OffsetDateTime>,
    /// How long they may take.
    pub wait_until: OffsetDateTime,
}

/// None where the organization's policy is met. What is missing for good is an error.
pub async fn meet(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    entry: &OrganizationEntry,
    who: Halfway<'_>,
) -> Result<Option<SecondFactorRequired>, MeetError> {
    let standing = Standing::of(who.identity, who.is_breakglass);
    match entry.policy.sign_in.met_by(who.auth_factors, standing) {
        Ok(()) => return Ok(None),
        Err(Unmet::SecondFactor { allowed }) if allowed.contains(&SecondFactor::Totp) => {
            let shared = matches!(context.pool(granted).await?, Tenant::Project(_));
            if !standing.has_totp && shared && are_of_one_organization(who.auth_factors) {
                return Err(Unmet::SecondFactor { allowed }.into());
            }
        }
        Err(unmet) => return Err(unmet.into()),
    }
    let waiting = Intermediate {
        id: IntermediateSessionId::new(),
        identity_id: who.identity.map(|identity| identity.identity_id),
        email_address: who.address.clone(),
        email_verified: who.verified,
        auth_factors: who.auth_factors.to_vec(),
        no_later_than: who.no_later_than,
        expire_time: who.wait_until,
    };
    let enrollment = if standing.has_totp { None } else { Some(enrollment(context, granted, who.address).await?) };
    let sealed = enrollment.as_ref().map(|enrollment| {
        context.database.sealer().seal(UNCONFIRMED, waiting.id.uuid().as_bytes(), enrollment.secret.bytes())
    });
    let tenant = Tenant::Organization(granted.scope);
    Ok(Some(SecondFactorRequired {
        intermediate: keep(context, tenant, waiting, sealed.as_deref()).await?,
        organization_id: granted.scope.organization_id(),
        organization_slug: entry.slug.clone(),
        enrollment: enrollment.map(|enrollment| enrollment.shown),
    }))
}

/// A new app, named after the project: it is the person's wherever they are a member.
pub async fn enrollment(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    address: &EmailAddress,
) -> Result<Enrollment, RemoteError> {
    let issuer = context.remote.project_name(granted.into(), granted.scope.project_id()).await?;
    let secret = TotpSecret::random();
    let shown = secret.shown(&issuer.unwrap_or_default(), address);
    Ok(Enrollment { secret, shown })
}
