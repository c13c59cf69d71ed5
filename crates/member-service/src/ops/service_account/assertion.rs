//! Accounts that prove themselves by a signature, and single access tokens that end.

use access::Granted;
use tenancy::{
    ClusterScope, NewEvent, OrganizationId, OrganizationState, ProjectId, ServiceAccountId, StoreError, event::now,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AccountError, Authenticated, key::mark_used};
use crate::{
    model::{Assertion, TokenRevocation},
    ops::Context,
    store::{assertion, service_account},
};

/// Whose assertion this is. None where it proves nothing, whatever the reason. One that proved something does so no second time.
pub async fn authenticate_assertion(
    context: &Context,
    granted: &Granted<ClusterScope>,
    presented: &Assertion<'_>,
    audiences: &[String],
    client: Option<ServiceAccountId>,
) -> Result<Option<Authenticated>, StoreError> {
    let named = OrganizationId::from_uuid(presented.key.tenant);
    let Some(head) = context.database.head(named).await? else { return Ok(None) };
    if head.state != OrganizationState::Active {
        return Ok(None);
    }
    let tenant = granted.in_tenant(head.project_id, named).scope;
    let mut read = context.database.read(tenant).await?;
    let found = assertion::public_key(read.connection(), tenant, presented.key.key).await?;
    read.finish();
    let Some((jwk, found)) = found else { return Ok(None) };
    let Some(proof) = presented.verify(&jwk, audiences, now()) else { return Ok(None) };
    let account = found.account.service_account_id;
    if proof.account != account || client.is_some_and(|client| client != account) {
        return Ok(None);
    }
    let mut tx = context.database.upkeep(tenant).await?;
    let first =
        assertion::spend(tx.connection(), tenant, found.api_key_id, &proof.token_hash, proof.forget_time).await?;
    tx.commit().await?;
    if !first {
        return Ok(None);
    }
    if let Err(error) = mark_used(context, tenant, &found).await {
        tracing::warn!(error = %runtime::Chain(&error), key = %found.api_key_id, "the last use of a key is not noted");
    }
    Ok(Some(found))
}

/// A token that is to be worthless from now on.
#[derive(Debug)]
pub struct Revoking {
    pub project: ProjectId,
    /// None: the account is the project's.
    pub organization: Option<OrganizationId>,
    pub account: ServiceAccountId,
    pub token_id: Uuid,
    pub expire_time: OffsetDateTime,
}

/// Revokes one access token. Its event is what the others learn it by.
pub async fn revoke_token(
    context: &Context,
    granted: &Granted<ClusterScope>,
    revoking: Revoking,
) -> Result<(), AccountError> {
    let Revoking { project, organization, account, token_id, expire_time } = revoking;
    let key = organization.unwrap_or(project.into());
    let head = context.database.head(key).await?.filter(|head| head.project_id == project);
    let Some(head) = head else { return Err(AccountError::AccountUnknown) };
    let tenant = granted.in_tenant(head.project_id, key).scope;
    let mut tx = context.database.write(tenant, &granted.origin(), None).await?;
    if service_account::find(tx.connection(), tenant, account).await?.is_none() {
        return Err(AccountError::AccountUnknown);
    }
    if assertion::revoke_token(tx.connection(), tenant, token_id, expire_time).await? {
        let ids = vec![account.to_string()];
        let revocation = TokenRevocation { token_id, service_account_id: account, expire_time };
        tx.append(NewEvent::new("access_token.revoked", ids, &revocation));
        return Ok(tx.commit(()).await?);
    }
    // Dropped: nothing was changed.
    Ok(())
}
