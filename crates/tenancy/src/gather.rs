//! One read that many callers share.
//!
//! Callers who come while a read is under way wait for the next one, which then asks for all of them at once. So no caller gets an answer
//! from a read that began before they came, and however many there are, at most one read is under way and one is due.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::{Moment, StoreError};

#[derive(Debug)]
struct Asked<K, V> {
    key: K,
    answer: oneshot::Sender<Result<(Moment, V), StoreError>>,
}

#[derive(Debug)]
struct Queue<K, V> {
    waiting: Vec<Asked<K, V>>,
    /// Whether a task is at it.
    reading: bool,
}

/// All who wait for one kind of read.
#[derive(Debug)]
pub(crate) struct Gather<K, V> {
    queue: Arc<Mutex<Queue<K, V>>>,
    /// A read asks for at most this many callers; the rest are in the next.
    most: usize,
}

impl<K, V> Clone for Gather<K, V> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), most: self.most }
    }
}

impl<K: Send + 'static, V: Send + 'static> Gather<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { queue: Arc::new(Mutex::new(Queue { waiting: Vec::new(), reading: false })), most }
    }

    /// What a read says of `key` that begins after this call, and the moment at which it began. `read` answers keys in their order; what
    /// it holds on to, such as a connection, is handed from one read to the next and dropped when nobody waits.
    pub(crate) async fn ask<S, R, F>(&self, key: K, read: R) -> Result<(Moment, V), StoreError>
    where
        S: Default + Send + 'static,
        R: Fn(S, Vec<K>) -> F + Send + 'static,
        F: Future<Output = (S, Result<Vec<V>, StoreError>)> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let idle = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push(Asked { key, answer });
            !mem::replace(&mut queue.reading, true)
        };
        if idle {
            // In a task of its own: a caller who goes away must not take the others' read along.
            tokio::spawn(self.clone().run(read));
        }
        answered.await.unwrap_or(Err(StoreError::Busy))
    }

    fn next(&self) -> Option<Vec<Asked<K, V>>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.waiting.len().min(self.most);
        queue.reading = count > 0;
        (count > 0).then(|| queue.waiting.drain(..count).collect())
    }

    /// Whatever ends the reading task, the next caller starts another, and who still waited is told.
    fn ended(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if mem::take(&mut queue.reading) {
            queue.waiting.clear();
        }
    }

    async fn run<S, R, F>(self, read: R)
    where
        S: Default,
        R: Fn(S, Vec<K>) -> F,
        F: Future<Output = (S, Result<Vec<V>, StoreError>)>,
    {
        let turn = Turn(self);
        let mut held = S::default();
        while let Some(asked) = turn.0.next() {
            // After the last of them came, and before the read.
            let began = Moment::now();
            let (keys, answers): (Vec<K>, Vec<_>) = asked.into_iter().map(|asked| (asked.key, asked.answer)).unzip();
            let outcome;
            (held, outcome) = read(mem::take(&mut held), keys).await;
            match outcome {
                Ok(values) => {
                    for (answer, value) in answers.into_iter().zip(values) {
                        // Who does not wait any more has no use for it.
                        let _ = answer.send(Ok((began, value)));
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.again()));
                    }
                }
            }
        }
    }
}

/// The reading task's turn: ends when nobody waits, and also when the task dies.
struct Turn<K: Send + 'static, V: Send + 'static>(Gather<K, V>);

impl<K: Send + 'static, V: Send + 'static> Drop for Turn<K, V> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ended();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        time::Duration,
    };

    use futures::future::join_all;
    use proptest::prelude::*;
    use tokio::time::sleep;

    use super::*;

    type Reading = Pin<Box<dyn Future<Output = ((), Result<Vec<(u64, usize)>, StoreError>)> + Send>>;

    /// A store that counts on one clock who came and which read began.
    #[derive(Debug, Clone, Default)]
    struct Store {
        clock: Arc<AtomicUsize>,
        reads: Arc<AtomicUsize>,
    }

    impl Store {
        fn tick(&self) -> usize {
            self.clock.fetch_add(1, SeqCst)
        }

        /// Answers each key with itself and the time at which the read began.
        fn read(&self) -> impl Fn((), Vec<u64>) -> Reading + Send + 'static + use<> {
            let store = self.clone();
            move |(), keys| {
                let (began, store) = (store.tick(), store.clone());
                Box::pin(async move {
                    store.reads.fetch_add(1, SeqCst);
                    sleep(Duration::from_millis(10)).await;
                    let failed = keys.contains(&u64::MAX);
                    assert!(!keys.contains(&(u64::MAX - 1)), "a reader that dies");
                    if failed {
                        ((), Err(StoreError::Busy))
                    } else {
                        ((), Ok(keys.into_iter().map(|key| (key, began)).collect()))
                    }
                })
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn nobody_is_answered_by_a_read_that_began_before_they_came(
            arrivals in prop::collection::vec((0u64..60, 0u64..9), 1..60),
            most in 1usize..20,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let (gather, store) = (Gather::new(most), Store::default());
                let callers = arrivals.iter().map(|(after, key)| {
                    let (gather, store) = (gather.clone(), store.clone());
                    async move {
                        sleep(Duration::from_millis(*after)).await;
                        let (came, before) = (store.tick(), Moment::now());
                        let (moment, (answered, began)) = gather.ask(*key, store.read()).await.unwrap();
                        assert_eq!(answered, *key, "another's answer");
                        assert!(began > came, "the read began before the caller came");
                        assert!(moment >= before, "the moment said is before the caller came");
                    }
                });
                join_all(callers).await;
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_takes_two_reads() {
        let (gather, store) = (Gather::new(1000), Store::default());
        let first = gather.ask(0, store.read());
        let crowd = join_all((1..500).map(|key| gather.ask(key, store.read())));
        let (first, crowd) = tokio::join!(first, crowd);
        assert!(first.is_ok() && crowd.iter().all(Result::is_ok));
        assert!(store.reads.load(SeqCst) <= 2, "{store:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_reaches_everybody_and_ends_nothing() {
        let (gather, store) = (Gather::new(1000), Store::default());
        let asked = [1, u64::MAX, 2].map(|key| gather.ask(key, store.read()));
        for outcome in join_all(asked).await {
            assert!(matches!(outcome, Err(StoreError::Busy)));
        }
        assert!(gather.ask(3, store.read()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_goes_away_takes_nobody_along() {
        let (gather, store) = (Gather::new(1000), Store::default());
        let patient = gather.ask(2, store.read());
        let hasty = tokio::time::timeout(Duration::from_millis(1), gather.ask(1, store.read()));
        let (hasty, patient) = tokio::join!(hasty, patient);
        assert!(hasty.is_err() && patient.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_dies_is_replaced() {
        let (gather, store) = (Gather::new(1000), Store::default());
        assert!(gather.ask(u64::MAX - 1, store.read()).await.is_err());
        assert!(gather.ask(1, store.read()).await.is_ok());
    }
}
