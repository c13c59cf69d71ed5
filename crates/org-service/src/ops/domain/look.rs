//! Looking for the records that prove domains. The name servers are asked with no transaction open; what they said is then held against
//! the row as it is by then.

use tenancy::{Change, DomainId, Once, OrganizationScope, Origin, Write};
use time::Duration;

use super::{DomainError, Domains, event, refuse_ended};
use crate::{
    model::{Domain, DomainState, Look, Watched},
    store::domain,
};

/// Between two looks that somebody asks for.
const PAUSE: Duration = Duration::seconds(10);

/// Looks because somebody asks. A record that is not there changes nothing.
pub async fn verify(
    domains: &Domains,
    scope: OrganizationScope,
    origin: &Origin,
    once: Option<&Once>,
    id: DomainId,
) -> Result<Domain, DomainError> {
    if let Some(once) = once
        && let Some(first) = domains.database.kept_answer(scope, once).await?
    {
        return Ok(first);
    }
    let organization = scope.organization_id();
    let _place = domains.outside.enter(organization).await?;
    let mut tx = domains.database.upkeep(scope).await?;
    let claimed = domain::find(tx.connection(), organization, id).await?.ok_or(DomainError::Unknown)?.domain;
    if !domain::ask(tx.connection(), organization, id, PAUSE).await? {
        return Err(DomainError::TooSoon);
    }
    tx.commit().await?;
    let look = domains.names.look(&claimed).await;
    if look == Look::NoAnswer {
        return Err(DomainError::NoAnswer);
    }

    let mut tx = domains.database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    refuse_ended(&mut tx, scope).await?;
    let before = domain::find_to_change(tx.connection(), organization, id).await?.ok_or(DomainError::Unknown)?;
    let after = before.after_asked(look, &domains.schedule, tenancy::event::now());
    let domain = settle(&mut tx, before, after).await?;
    Ok(tx.commit(domain).await?)
}

/// Looks because the schedule says so. A domain that is gone by now is no matter.
pub async fn look_at(
    domains: &Domains,
    scope: OrganizationScope,
    origin: &Origin,
    id: DomainId,
) -> Result<(), DomainError> {
    let organization = scope.organization_id();
    let mut read = domains.database.read(scope).await?;
    let found = domain::find(read.connection(), organization, id).await?;
    read.finish();
    let Some(found) = found else { return Ok(()) };
    let look = domains.names.look(&found.domain).await;
    match note(domains, scope, origin, id, look).await {
        // Proven, but not the first to be: it stays a claim, for the time that the other's proof ends.
        Err(DomainError::Taken) => note(domains, scope, origin, id, Look::Missing).await,
        noted => noted,
    }
}

async fn note(
    domains: &Domains,
    scope: OrganizationScope,
    origin: &Origin,
    id: DomainId,
    look: Look,
) -> Result<(), DomainError> {
    let organization = scope.organization_id();
    // Most looks find what the one before found, which is nobody's news and needs no turn among the tenant's writes.
    let mut tx = domains.database.upkeep(scope).await?;
    let Some(before) = domain::find_to_change(tx.connection(), organization, id).await? else { return Ok(()) };
    let after = before.after(look, &domains.schedule, tenancy::event::now());
    if after.domain.state == before.domain.state {
        domain::update(tx.connection(), &after).await?;
        return Ok(tx.commit().await?);
    }
    drop(tx);

    let mut tx = domains.database.write(scope, origin, None).await?;
    let Some(before) = domain::find_to_change(tx.connection(), organization, id).await? else { return Ok(()) };
    let after = before.after(look, &domains.schedule, tenancy::event::now());
    settle(&mut tx, before, after).await?;
    Ok(tx.commit(()).await?)
}

/// Writes what became of a domain, with the event of its new state if that is another one.
async fn settle(tx: &mut Write, before: Watched, mut after: Watched) -> Result<Domain, DomainError> {
    let changed = after.domain.state != before.domain.state;
    if changed {
        after.domain.revision = tx.revision();
    }
    domain::update(tx.connection(), &after).await?;
    if changed {
        let kind = match after.domain.state {
            DomainState::Verified => "domain.verified",
            DomainState::Failed => "domain.failed",
            DomainState::Pending => unreachable!("no look makes a proof a claim again"),
        };
        tx.append(event(kind, &after.domain, &Change::updated(&before.domain, &after.domain)));
    }
    Ok(after.domain)
}
