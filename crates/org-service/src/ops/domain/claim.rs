//! Claiming a domain, and giving it up.

use tenancy::{Change, Database, DomainId, Once, OrganizationScope, Origin, mask::etag_matches};

use super::{DomainError, Domains, event, refuse_ended};
use crate::{
    model::{Domain, DomainName, DomainPurpose, DomainState, RecordValue, Watched},
    store::domain,
};

/// Domains that an organization may claim at a time.
const MOST: i64 = 100;

/// Whoever else claims the name: a claim gives nothing, and takes nothing from anybody.
pub async fn claim(
    domains: &Domains,
    scope: OrganizationScope,
    origin: &Origin,
    once: Option<&Once>,
    name: DomainName,
    purpose: DomainPurpose,
) -> Result<Domain, DomainError> {
    let mut tx = domains.database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    refuse_ended(&mut tx, scope).await?;
    if domain::count(tx.connection(), scope.organization_id()).await? >= MOST {
        return Err(DomainError::LimitReached { limit: MOST });
    }
    let time = tenancy::event::now();
    let claimed = Domain {
        domain_id: DomainId::new(),
        organization_id: scope.organization_id(),
        name,
        purpose,
        state: DomainState::Pending,
        record_value: RecordValue::random(),
        verify_time: None,
        revision: tx.revision(),
        create_time: time,
        update_time: time,
    };
    let watched = Watched::claimed(claimed.clone(), &domains.schedule);
    domain::insert(tx.connection(), scope.project_id(), &watched).await?;
    tx.append(event("domain.created", &claimed, &Change::created(&claimed)));
    Ok(tx.commit(claimed).await?)
}

pub async fn give_up(
    database: &Database,
    scope: OrganizationScope,
    origin: &Origin,
    once: Option<&Once>,
    id: DomainId,
    etag: &str,
) -> Result<(), DomainError> {
    let mut tx = database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    refuse_ended(&mut tx, scope).await?;
    let found = domain::find_to_change(tx.connection(), scope.organization_id(), id).await?;
    let gone = found.ok_or(DomainError::Unknown)?.domain;
    if !etag_matches(etag, gone.revision) {
        return Err(DomainError::EtagMismatch);
    }
    domain::delete(tx.connection(), scope.organization_id(), id).await?;
    tx.append(event("domain.deleted", &gone, &Change::removed(&gone)));
    Ok(tx.commit(()).await?)
}
