//! How client secrets rest: sealed for one connection and one issuer, so that a row's secret opens neither in another row nor beside
//! another issuer.

use secrecy::ExposeSecret as _;
use tenancy::{
    ConnectionId, Database, OrganizationId, ProjectScope, Sealer, StoreError,
    resting::{Resting, Rests, Transaction},
};
use uuid::Uuid;

use crate::{
    model::{ClientSecret, Connection, Issuer},
    store::connection,
};

const PURPOSE: &str = "connection client secret";

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

/// All of them.
#[derive(Debug)]
pub struct ClientSecrets;

impl Rests for ClientSecrets {
    const WHAT: &'static str = "client secrets of connections";
    const PURPOSE: &'static str = PURPOSE;

    async fn others(
        database: &mut Transaction,
        after: (Uuid, Uuid),
        current: &[u8],
        limit: i64,
    ) -> Result<Vec<Resting>, StoreError> {
        let others = connection::sealed_otherwise(database, after, current, limit).await?;
        let resting = others.into_iter().map(|other| Resting {
            organization: other.organization.uuid(),
            id: other.id.uuid(),
            context: place(other.organization, other.id, &other.issuer),
            sealed: other.secret,
        });
        Ok(resting.collect())
    }

    async fn replace(database: &mut Transaction, old: &Resting, new: &[u8]) -> Result<(), StoreError> {
        connection::reseal(database, (old.organization, old.id), &old.sealed, new).await
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
