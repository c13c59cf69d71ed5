//! Making a connection.

use access::{Granted, Tenant};
use tenancy::{ConnectionId, Once};

use super::{ConnectionError, Connections, event, may_be_believed, refuse_ended, secret};
use crate::{
    model::{
        Connection, ConnectionChange, ConnectionDraft, ConnectionKind, ConnectionName, ConnectionState, Issuer,
        SamlSettings,
    },
    store::connection,
};

/// Connections that an organization may have.
const MOST: i64 = 20;

pub async fn create(
    connections: &Connections,
    granted: &Granted<Tenant>,
    once: Option<&Once>,
    kind: ConnectionKind,
    display_name: ConnectionName,
    issuer: Issuer,
    mut draft: ConnectionDraft,
) -> Result<Connection, ConnectionError> {
    let database = &connections.database;
    let scope = granted.scope;
    if let Some(once) = once
        && let Some(first) = database.kept_answer(scope, once).await?
    {
        return Ok(first);
    }
    match scope {
        Tenant::Organization(_) => connections.grants.resolve(granted, &mut draft.group_role_ids).await?,
        Tenant::Project(_) if kind == ConnectionKind::Saml => return Err(ConnectionError::ProjectsAreOidc),
        Tenant::Project(_) if !draft.group_role_ids.is_empty() => return Err(ConnectionError::ProjectGivesNoRoles),
        Tenant::Project(_) => {}
    }
    if draft.state == ConnectionState::Active {
        may_be_believed(connections, granted).await?;
    }

    let mut tx = database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    refuse_ended(&mut tx, scope).await?;
    if connection::count(tx.connection(), scope.key()).await? >= MOST {
        return Err(ConnectionError::LimitReached { limit: MOST });
    }
    let client_secret = draft.client_secret.take();
    let time = tenancy::event::now();
    let made = Connection {
        connection_id: ConnectionId::new(),
        organization_id: scope.key(),
        is_of_project: matches!(scope, Tenant::Project(_)),
        kind,
        display_name,
        issuer,
        client_id: draft.client_id,
        has_client_secret: client_secret.is_some(),
        saml: draft.sign_in_uri.map(|sign_in_uri| SamlSettings { sign_in_uri, certificates: draft.certificates }),
        attribute_mapping: draft.attribute_mapping,
        group_role_ids: draft.group_role_ids,
        state: draft.state,
        revision: tx.revision(),
        create_time: time,
        update_time: time,
    };
    let sealed = client_secret.map(|client_secret| {
        secret::seal(database.sealer(), made.organization_id, made.connection_id, &made.issuer, &client_secret)
    });
    connection::insert(tx.connection(), scope.project_id(), &made, sealed.as_deref()).await?;
    let change = ConnectionChange { before: None, after: Some(made.clone()), reason: String::new() };
    tx.append(event("connection.created", &change));
    Ok(tx.commit(made).await?)
}
