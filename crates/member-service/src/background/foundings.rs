//! Completing the sign-ups that nobody goes on with: see `ops::sign_up`.

use std::{sync::Arc, time::Duration};

use access::{Granted, Service};
use tenancy::{ClusterScope, StoreError};
use tokio::time::sleep;

use crate::{
    model::Founding,
    ops::{Context, sign_up},
    store::founding,
};

const EVERY: Duration = Duration::from_secs(5);
const AT_ONCE: i64 = 20;

pub async fn complete_foundings_for_ever(context: Arc<Context>) {
    loop {
        sleep(EVERY).await;
        let abandoned = match abandoned(&context).await {
            Ok(abandoned) => abandoned,
            Err(error) => {
                tracing::warn!(error = %runtime::Chain(&error), "sign-ups that nobody goes on with cannot be looked for");
                continue;
            }
        };
        for founding in abandoned {
            let granted = Granted::of_background(Service::Member);
            if let Err(error) = sign_up::complete(&context, &granted, &founding).await {
                let organization = founding.organization_id;
                tracing::warn!(error = %runtime::Chain(&error), %organization, "a sign-up stays half done for now");
            }
        }
    }
}

async fn abandoned(context: &Context) -> Result<Vec<Founding>, StoreError> {
    let mut tx = context.database.upkeep(ClusterScope::granted()).await?;
    let abandoned = founding::abandoned(tx.connection(), AT_ONCE).await?;
    tx.commit().await?;
    Ok(abandoned)
}
