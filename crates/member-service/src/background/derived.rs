//! What came of sessions that were ended.

use std::{sync::Arc, time::Duration};

use access::{Granted, Service};
use tokio::time::sleep;

use crate::ops::{Context, session::end_derived};

/// Half of what may pass until nothing revoked is in force.
const EVERY: Duration = Duration::from_millis(500);

pub async fn end_derived_for_ever(context: Arc<Context>) {
    loop {
        match end_derived(&context, &Granted::of_background(Service::Member)).await {
            Ok(true) => {}
            Ok(false) => sleep(EVERY).await,
            Err(error) => {
                tracing::warn!(error = %runtime::Chain(&error), "what came of an ended session stays for now");
                sleep(EVERY).await;
            }
        }
    }
}
