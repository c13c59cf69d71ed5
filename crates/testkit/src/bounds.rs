//! Bounds of time that hold on a machine however busy: it counts when a question was asked, and not how long its answer took.

use std::{
    ops::AsyncFnMut,
    time::{Duration, Instant},
};

use tokio::time::sleep;

/// How long after its revocation a credential may be believed.
pub const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again whether something still goes on, until it does not.
///
/// # Panics
/// If it goes on for somebody who asks more than `bound` after `since`.
pub async fn ends_within(since: Instant, bound: Duration, what: &str, mut goes_on: impl AsyncFnMut() -> bool) {
    loop {
        let asked = since.elapsed();
        if !goes_on().await {
            return;
        }
        assert!(asked < bound, "{what}: it goes on for whoever asks {asked:?} later");
        sleep(PAUSE).await;
    }
}
