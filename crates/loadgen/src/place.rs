//! Which cores run the clients and which the servers.
//!
//! A rate is a server's own only where the server has its cores to itself and nothing else is the limit. So servers are held to one
//! core and clients to the others, and each measurement says whether it was the client that could give no more.

use std::io;

use crate::process::{descendants, threads};

/// The cores of this machine, shared out.
#[derive(Debug, Clone)]
pub struct Cores {
    pub client: Vec<usize>,
    pub server: Vec<usize>,
    /// All that this process may use.
    pub all: Vec<usize>,
}

impl Cores {
    pub fn of_this_machine() -> Self {
        Self::share(usable())
    }

    /// The last is the servers', where there are two.
    fn share(all: Vec<usize>) -> Self {
        match all.split_last() {
            Some((last, rest)) if !rest.is_empty() => Self { client: rest.to_vec(), server: vec![*last], all },
            _ => Self { client: all.clone(), server: all.clone(), all },
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    pub fn usable() -> Vec<usize> {
        let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![0] };
        (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect()
    }

    pub fn hold(thread: i32, cores: &[usize]) -> std::io::Result<()> {
        let mut set = CpuSet::new();
        for core in cores {
            set.set(*core)?;
        }
        Ok(sched_setaffinity(Pid::from_raw(thread), &set)?)
    }
}

/// Elsewhere threads go where the system puts them.
#[cfg(not(target_os = "linux"))]
mod system {
    pub fn usable() -> Vec<usize> {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
    }

    pub fn hold(_thread: i32, _cores: &[usize]) -> std::io::Result<()> {
        Ok(())
    }
}

use system::usable;

/// Holds the calling thread, and what it starts from now on, to these cores.
pub fn hold_this_thread(cores: &[usize]) -> io::Result<()> {
    system::hold(0, cores)
}

/// Keeps everything that this process started off the servers' cores, but for the servers: until it is dropped.
///
/// On a core that is busy with something else, be it for half a millisecond, whoever is woken waits for its turn; how long is the
/// scheduler's affair and not the server's.
#[derive(Debug)]
pub struct Apart<'c> {
    cores: &'c Cores,
    moved: Vec<u32>,
}

impl<'c> Apart<'c> {
    pub fn from(cores: &'c Cores, servers: &[u32]) -> io::Result<Self> {
        let moved = descendants()?.into_iter().filter(|pid| !servers.contains(pid)).collect();
        let apart = Self { cores, moved };
        apart.hold(&cores.client);
        Ok(apart)
    }

    /// Whatever has ended meanwhile needs no place.
    fn hold(&self, cores: &[usize]) {
        for pid in &self.moved {
            for thread in threads(*pid) {
                let _ = system::hold(thread, cores);
            }
        }
    }
}

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        self.hold(&self.cores.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_get_a_core_of_their_own_where_there_are_two() {
        let two = Cores::share(vec![0, 1]);
        assert_eq!((two.client, two.server), (vec![0], vec![1]));
        let eight = Cores::share((0..8).collect());
        assert_eq!((eight.client.len(), eight.server), (7, vec![7]));
        let one = Cores::share(vec![3]);
        assert_eq!((one.client, one.server), (vec![3], vec![3]));
    }
}
