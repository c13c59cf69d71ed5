//! How late this machine wakes somebody whose time has come: the control beside which a deadline is measured.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const NAP: Duration = Duration::from_millis(1);
/// Shorter ones are what a nap takes.
const WORTH_NOTING: Duration = Duration::from_millis(2);
const KEPT: usize = 100_000;

/// A thread that sleeps for a millisecond again and again, and notes by how much it overslept.
#[derive(Debug)]
pub struct Stalls {
    noted: Arc<Mutex<VecDeque<(Instant, Instant)>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stalls {
    pub fn watch() -> Self {
        let (noted, over) = (Arc::<Mutex<VecDeque<_>>>::default(), Arc::<AtomicBool>::default());
        let thread = thread::spawn({
            let (noted, over) = (noted.clone(), over.clone());
            move || {
                while !over.load(Ordering::Relaxed) {
                    let due = Instant::now() + NAP;
                    thread::sleep(NAP);
                    let woken = Instant::now();
                    if woken.saturating_duration_since(due) > WORTH_NOTING {
                        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                        noted.push_back((due, woken));
                        if noted.len() > KEPT {
                            noted.pop_front();
                        }
                    }
                }
            }
        });
        Self { noted, over, thread: Some(thread) }
    }

    /// The longest of those that lie in this time, whole or in part.
    pub fn worst(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let within = noted.iter().filter(|(due, woken)| *due <= to && *woken >= from);
        within.map(|(due, woken)| woken.saturating_duration_since(*due)).max().unwrap_or_default()
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
