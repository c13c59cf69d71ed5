//! Which call the running task works for: log lines carry its ids without being told them.
//!
//! Kept beside the task and not as a `tracing` span: a span costs each call its making, its fields and every entering, and is wanted only of
//! the few calls that are traced.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::call::Call;

tokio::task_local! {
    static CURRENT: Arc<Call>;
}

/// What goes on without anybody who waits for it.
static LEFT: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Waits until what calls left behind has ended.
pub(crate) async fn nothing_is_left() {
    LEFT.close();
    LEFT.wait().await;
}

/// Runs `poll` as work for `call`.
pub(crate) fn within<R>(call: Arc<Call>, poll: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(call, poll)
}

/// Shows the call that is being worked for, if there is one.
pub(crate) fn current<R>(show: impl FnOnce(&Call) -> R) -> Option<R> {
    CURRENT.try_with(|call| show(call)).ok()
}

/// Goes on with `work` in a task of its own that still belongs to the call: the lines that it logs carry the call's ids. Where there
/// is no runtime any more, nobody is served, and it ends. A shutdown waits for it.
pub fn spawn_in_call(work: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let work = work.in_current_span();
    match CURRENT.try_with(Arc::clone) {
        Ok(call) => LEFT.spawn_on(CURRENT.scope(call, work), &runtime),
        Err(_) => LEFT.spawn_on(work, &runtime),
    };
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::call::CallContext;

    fn shown() -> Option<String> {
        current(|call| call.request_id.as_str().to_owned())
    }

    #[tokio::test]
    async fn what_is_spawned_in_a_call_belongs_to_it() {
        let call = CallContext::background().call;
        let (tell, told) = oneshot::channel();
        within(Arc::clone(&call), || {
            spawn_in_call(async move {
                tokio::task::yield_now().await;
                let _ = tell.send(shown());
            });
        });
        assert_eq!(told.await.expect("it ran"), Some(call.request_id.as_str().to_owned()));
        assert_eq!(shown(), None, "and nothing else does");
    }
}
