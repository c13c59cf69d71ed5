//! Changing and removing a connection.

use access::{Granted, Tenant};
use tenancy::{
    ConnectionId, Database, Once, Origin,
    mask::{Mask, etag_matches},
};

use super::{ConnectionError, Connections, event, may_be_believed, refuse_ended, secret};
use crate::{
    model::{Connection, ConnectionChange, ConnectionDraft, Reason},
    store::connection,
};

#[derive(Debug, Clone)]
pub struct Update {
    pub id: ConnectionId,
    pub draft: ConnectionDraft,
    /// Which of the draft's fields count.
    pub mask: Mask,
    /// Empty: any.
    pub etag: String,
}

/// An update that changes nothing has no event and leaves the etag as it is.
pub async fn update(
    connections: &Connections,
    granted: &Granted<Tenant>,
    once: Option<&Once>,
    update: Update,
) -> Result<Connection, ConnectionError> {
    let database = &connections.database;
    let scope = granted.scope;
    let organization = scope.key();
    if let Some(once) = once
        && let Some(first) = database.kept_answer(scope, once).await?
    {
        return Ok(first);
    }
    let Update { id, mut draft, mask, etag } = update;

    // What may be granted is asked before the write begins, of the connection as it stands; the write then holds to that.
    let mut read = database.read(scope).await?;
    let seen = connection::find(read.connection(), organization, id).await?.ok_or(ConnectionError::Unknown)?;
    read.finish();
    let then = seen.with(draft.clone(), |path| mask.has(path));
    if seen.is_of_project {
        if !then.group_role_ids.is_empty() {
            return Err(ConnectionError::ProjectGivesNoRoles);
        }
    } else if mask.has("group_role_ids") {
        connections.grants.resolve(granted, &mut draft.group_role_ids).await?;
    } else if seen.grants_otherwise(&then) {
        connections.grants.check(granted, seen.roles()).await?;
    }
    let believed = seen.believes_otherwise(&then);
    if believed {
        may_be_believed(connections, granted).await?;
    }

    let mut tx = database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    refuse_ended(&mut tx, scope).await?;
    let before = connection::find(tx.connection(), organization, id).await?.ok_or(ConnectionError::Unknown)?;
    if !etag_matches(&etag, before.revision) {
        return Err(ConnectionError::EtagMismatch);
    }
    refuse_secret_elsewhere(&before, &draft, &mask)?;
    let client_secret = draft.client_secret.clone();
    let mut after = before.with(draft, |path| mask.has(path));
    // Between the two looks somebody may have mapped more roles than were asked about.
    let unasked = !mask.has("group_role_ids") && before.group_role_ids != seen.group_role_ids;
    if (unasked && before.grants_otherwise(&after)) || (!believed && before.believes_otherwise(&after)) {
        return Err(ConnectionError::EtagMismatch);
    }
    // A secret that is named is a new one, whatever it is.
    if after == before && client_secret.is_none() {
        return Ok(tx.commit(before).await?);
    }
    after.revision = tx.revision();
    after.update_time = tenancy::event::now();
    connection::update(tx.connection(), &after).await?;
    if mask.has("client_secret") {
        let sealed = client_secret
            .map(|client_secret| secret::seal(database.sealer(), organization, id, &after.issuer, &client_secret));
        connection::set_secret(tx.connection(), organization, id, sealed.as_deref()).await?;
    }
    let change = ConnectionChange { before: Some(before), after: Some(after.clone()), reason: String::new() };
    tx.append(event("connection.updated", &change));
    Ok(tx.commit(after).await?)
}

/// A secret that is kept was for the issuer that is there.
fn refuse_secret_elsewhere(before: &Connection, draft: &ConnectionDraft, mask: &Mask) -> Result<(), ConnectionError> {
    let elsewhere = mask.has("issuer") && draft.issuer.as_ref().is_some_and(|issuer| *issuer != before.issuer);
    if elsewhere && before.has_client_secret && !mask.has("client_secret") {
        return Err(ConnectionError::SecretElsewhere);
    }
    Ok(())
}

pub async fn remove(
    database: &Database,
    scope: Tenant,
    origin: &Origin,
    once: Option<&Once>,
    id: ConnectionId,
    etag: &str,
    reason: Reason,
) -> Result<(), ConnectionError> {
    let mut tx = database.write(scope, origin, once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    refuse_ended(&mut tx, scope).await?;
    let found = connection::find(tx.connection(), scope.key(), id).await?;
    let gone = found.ok_or(ConnectionError::Unknown)?;
    if !etag_matches(etag, gone.revision) {
        return Err(ConnectionError::EtagMismatch);
    }
    connection::delete(tx.connection(), scope.key(), id).await?;
    let change = ConnectionChange { before: Some(gone), after: None, reason: reason.into() };
    tx.append(event("connection.deleted", &change));
    Ok(tx.commit(()).await?)
}
