use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};

use local_postgres::{Held, Leash};
use nix::sys::signal::Signal;

use super::directory::write_secret;
use super::record::Record;
use crate::{Failure, Output};

/// Who runs. Keeps the leash and `dev.json` true as children come and go.
#[derive(Debug)]
pub struct Roster {
    leash: Leash,
    dev_json: PathBuf,
    output: Output,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pids: BTreeMap<&'static str, u32>,
    ends: BTreeMap<&'static str, (u32, ExitStatus)>,
    record: Option<Record>,
}

impl Roster {
    pub fn new(dev_json: PathBuf, output: Output) -> Result<Self, Failure> {
        let leash = Leash::new(None).map_err(Failure::system("cannot run /bin/sh"))?;
        Ok(Self { leash, dev_json, output, state: Mutex::default() })
    }

    pub fn entered(&self, name: &'static str, pid: u32) {
        let mut state = self.lock();
        state.pids.insert(name, pid);
        self.update(&state);
    }

    pub fn left(&self, name: &'static str, status: Option<ExitStatus>) {
        let mut state = self.lock();
        state.pids.remove(name);
        if let Some(status) = status {
            let count = state.ends.get(name).map_or(0, |(count, _)| *count);
            state.ends.insert(name, (count + 1, status));
        }
        self.update(&state);
    }

    /// How often a child ended unasked, and how it did the last time.
    pub fn ends(&self, name: &str) -> Option<(u32, ExitStatus)> {
        self.lock().ends.get(name).copied()
    }

    /// From now on there is a `dev.json`.
    pub fn publish(&self, record: Record) -> Result<(), Failure> {
        let mut state = self.lock();
        state.record = Some(record);
        self.write(&state)
    }

    /// From now on there is none.
    pub fn withdraw(&self) {
        self.lock().record = None;
        let _ = std::fs::remove_file(&self.dev_json);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, state: &State) {
        // PostgreSQL has a leash of its own, which knows how to end it.
        let held: Vec<Held> = state
            .pids
            .iter()
            .filter(|(name, _)| **name != "postgres")
            .map(|(_, pid)| Held { pid: *pid, signal: Signal::SIGTERM })
            .collect();
        if self.leash.hold(&held).is_err() {
            self.output.say("the leash is gone: if this process is killed, its children will stay");
        }
        if let Err(failure) = self.write(state) {
            self.output.say(failure);
        }
    }

    fn write(&self, state: &State) -> Result<(), Failure> {
        let Some(record) = &state.record else { return Ok(()) };
        let mut record = record.clone();
        record.pids = state.pids.clone();
        record.pids.insert("guildhall", std::process::id());
        let text = serde_json::to_string_pretty(&record)
            .map_err(|source| Failure::Unreadable { path: self.dev_json.clone(), source })?;
        write_secret(&self.dev_json, &format!("{text}\n"))
    }
}
