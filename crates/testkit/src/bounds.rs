//! Bounds of time that hold on a machine however busy: it counts when a question was asked, and not how long its answer took.

use std::{
    fmt::Debug,
    ops::AsyncFnMut,
    time::{Duration, Instant},
};

use tokio::time::sleep;

/// How long after its revocation a credential may be believed.
pub const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again what still goes on, until nothing does.
///
/// # Panics
/// If it goes on for somebody who asks more than `bound` after `since`.
pub async fn ends_within<T: Debug>(
    since: Instant,
    bound: Duration,
    what: &str,
    mut goes_on: impl AsyncFnMut() -> Option<T>,
) {
    loop {
        let asked = since.elapsed();
        let Some(still) = goes_on().await else { return };
        assert!(asked < bound, "{what}: whoever asks {asked:?} later finds {still:?}");
        sleep(PAUSE).await;
    }
}
