//! How client secrets rest: sealed for one connection and one issuer, so that a row's secret opens neither in another row nor beside
//! another issuer.

use secrecy::ExposeSecret as _;
use tenancy::{ClusterScope, ConnectionId, Database, OrganizationId, ProjectScope, Sealer, StoreError};
use uuid::Uuid;

use crate::{
    model::{ClientSecret, Connection, Issuer},
    store::connection,
};

const PURPOSE: &str = "connection client secret";
const AT_ONCE: i64 = 100;

fn place(organization: OrganizationId, id: ConnectionId, issuer: &Issuer) -> Vec<u8> {
    [organization.uuid().as_bytes(), id.uuid().as_bytes(), issuer.as_str().as_bytes()].concat()
}

pub(super) fn seal(
    sealer: &Sealer,
    organization: OrganizationId,
    id: ConnectionId,
    issuer: &Issuer,
    secret: &ClientSecret,
) -> Vec<u8> {
    sealer.seal(PURPOSE, &place(organization, id, issuer), secret.0.expose_secret().as_bytes())
}

/// The secret of a connection as it stands; None where it has none.
pub async fn open(
    database: &Database,
    scope: ProjectScope,
    connection: &Connection,
) -> Result<Option<ClientSecret>, StoreError> {
    let (organization, id) = (connection.organization_id, connection.connection_id);
    let mut read = database.read(scope).await?;
    let sealed = connection::secret(read.connection(), organization, id, &connection.issuer).await?;
    read.finish();
    let Some(sealed) = sealed else { return Ok(None) };
    let opened = database.sealer().open(PURPOSE, &place(organization, id, &connection.issuer), &sealed);
    let text = opened.ok().and_then(|secret| String::from_utf8(secret).ok());
    let secret = text.and_then(|text| ClientSecret::parse(&text).ok());
    secret.map(Some).ok_or(StoreError::Corrupt("connection.client_secret"))
}

/// Seals under the current key whatever rests under an earlier one, which can be dropped then. How many secrets there were.
pub async fn reseal(database: &Database, scope: ClusterScope) -> Result<usize, StoreError> {
    let mut after = (OrganizationId::from_uuid(Uuid::nil()), ConnectionId::from_uuid(Uuid::nil()));
    let mut resealed = 0;
    loop {
        let mut tx = database.upkeep(scope).await?;
        let some = connection::sealed_after(tx.connection(), after, AT_ONCE).await?;
        let Some(last) = some.last() else { return Ok(resealed) };
        after = (last.organization, last.id);
        for old in some.iter().filter(|old| !database.sealer().is_current(&old.secret)) {
            let place = place(old.organization, old.id, &old.issuer);
            let Ok(secret) = database.sealer().open(PURPOSE, &place, &old.secret) else {
                tracing::error!(connection_id = %old.id, "a client secret opens with no sealing key that is left");
                continue;
            };
            connection::reseal(tx.connection(), old, &database.sealer().seal(PURPOSE, &place, &secret)).await?;
            resealed += 1;
        }
        tx.commit().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConnectionKind;

    #[test]
    fn a_secret_opens_in_its_own_row_beside_its_own_issuer_only() {
        let sealer = Sealer::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
        let issuer = |text: &str| Issuer::parse(text, ConnectionKind::Oidc, false).unwrap();
        let (organization, id, own) = (OrganizationId::new(), ConnectionId::new(), issuer("https://idp.acme.test"));
        let sealed = seal(&sealer, organization, id, &own, &ClientSecret::parse("hush").unwrap());
        let open = |organization, id, issuer: &Issuer| sealer.open(PURPOSE, &place(organization, id, issuer), &sealed);
        assert_eq!(open(organization, id, &own).unwrap(), b"hush");
        assert!(open(OrganizationId::new(), id, &own).is_err());
        assert!(open(organization, ConnectionId::new(), &own).is_err());
        assert!(open(organization, id, &issuer("https://evil.test")).is_err());
    }
}
