//! Authenticator apps as they rest.

use tenancy::{
    StoreError,
    resting::{Resting, Rests, Transaction},
};
use uuid::Uuid;

use super::SEALED;
use crate::store::second_factor;

/// All that are enrolled.
#[derive(Debug)]
pub struct Apps;

impl Rests for Apps {
    const WHAT: &'static str = "authenticator apps";
    const PURPOSE: &'static str = SEALED;

    async fn others(
        connection: &mut Transaction,
        after: (Uuid, Uuid),
        current: &[u8],
        limit: i64,
    ) -> Result<Vec<Resting>, StoreError> {
        let others = second_factor::sealed_otherwise(connection, after, current, limit).await?;
        let resting = others.into_iter().map(|other| Resting {
            organization: other.pool,
            id: other.identity.uuid(),
            context: other.identity.uuid().as_bytes().to_vec(),
            sealed: other.secret,
        });
        Ok(resting.collect())
    }

    async fn replace(connection: &mut Transaction, old: &Resting, new: &[u8]) -> Result<(), StoreError> {
        second_factor::reseal(connection, (old.organization, old.id), &old.sealed, new).await
    }
}
