//! Ending what came of connections that are no more, or no more what they were: see `ops::sso`.

use std::{sync::Arc, time::Duration};

use access::{Granted, Service};
use tokio::time::sleep;

use crate::ops::{Context, sso::end_some};

const EVERY: Duration = Duration::from_millis(500);

pub async fn end_connections_for_ever(context: Arc<Context>) {
    loop {
        match end_some(&context, &Granted::of_background(Service::Member)).await {
            Ok(true) => {}
            Ok(false) => sleep(EVERY).await,
            Err(error) => {
                tracing::warn!(error = %runtime::Chain(&error), "what came of an ended connection stays for now");
                sleep(EVERY).await;
            }
        }
    }
}
