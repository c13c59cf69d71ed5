//! A mail as it waits in the outbox: sealed, for it holds a secret.

use access::Tenant;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tenancy::{OrganizationId, Sealer, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{model::EmailAddress, store::outbox};

const PURPOSE: &str = "mail";

#[derive(Clone, Serialize, Deserialize)]
pub struct Mail {
    pub to: EmailAddress,
    /// The name that it is from. Empty: the installation's.
    #[serde(default)]
    pub sender_name: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// A stored mail that cannot be read: its key was dropped, or it is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mail cannot be opened")]
pub struct MailError;

impl Mail {
    /// Puts the mail into the outbox, from which it is sent once the transaction commits.
    pub async fn put(
        &self,
        connection: &mut PgConnection,
        sealer: &Sealer,
        tenant: Tenant,
        give_up_time: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mail_id = Uuid::now_v7();
        let content = serde_json::to_vec(self).map_err(|_| StoreError::Corrupt("mail"))?;
        let sealed = sealer.seal(PURPOSE, &place(tenant.key(), mail_id), &content);
        outbox::put(connection, tenant, mail_id, &sealed, give_up_time).await
    }

    pub fn open(sealer: &Sealer, stored: &outbox::Mail) -> Result<Self, MailError> {
        let place = place(stored.tenant, stored.mail_id);
        let content = sealer.open(PURPOSE, &place, &stored.content).map_err(|_| MailError)?;
        serde_json::from_slice(&content).map_err(|_| MailError)
    }
}

fn place(tenant: OrganizationId, mail_id: Uuid) -> Vec<u8> {
    [tenant.uuid().as_bytes().as_slice(), mail_id.as_bytes()].concat()
}
