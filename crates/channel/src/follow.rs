//! Keeps the fleet as the names say.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::address::{Place, Target};
use crate::connect::{self, Dial};
use crate::fleet::{Endpoint, Fleet};
use crate::health::now;
use crate::names::Names;

/// Not more often, however many connections fail; and as often while nothing is known.
const SOON: Duration = Duration::from_millis(500);

pub(crate) struct Follow {
    targets: Vec<Target>,
    names: Names,
    interval: Duration,
    fleet: Arc<Fleet>,
    dial: Dial,
    alive: CancellationToken,
    /// What was found, target by target. An address may stand in several.
    known: Vec<Vec<Arc<Endpoint>>>,
    empty: bool,
}

impl Follow {
    pub fn new(
        targets: Vec<Target>,
        names: Names,
        interval: Duration,
        fleet: Arc<Fleet>,
        dial: Dial,
        alive: CancellationToken,
    ) -> Self {
        let known = targets.iter().map(|_| Vec::new()).collect();
        Self { targets, names, interval, fleet, dial, alive, known, empty: false }
    }

    /// Without end; addresses alone are looked up once.
    pub async fn run(mut self) {
        loop {
            let began = now();
            let found = join_all(self.targets.iter().map(|target| look_up(&self.names, &target.place))).await;
            for (at, found) in found.into_iter().enumerate() {
                // A resolver that fails is no reason to forget replicas that answer.
                if let Some(found) = found {
                    self.settle(at, &found);
                }
            }
            self.fleet.looked(began);
            self.tell();
            if self.targets.iter().all(|target| matches!(target.place, Place::Address(_))) {
                return std::future::pending().await;
            }
            let earliest = Instant::now() + SOON;
            if !self.empty {
                tokio::select! {
                    () = sleep(self.interval) => {}
                    () = self.fleet.is_looked_for() => {}
                }
            }
            sleep_until(earliest).await;
        }
    }

    fn settle(&mut self, at: usize, found: &HashSet<SocketAddr>) {
        let (Some(known), Some(target)) = (self.known.get_mut(at), self.targets.get(at)) else { return };
        known.retain(|endpoint| {
            let stays = found.contains(&endpoint.address);
            if !stays {
                self.fleet.remove(endpoint);
            }
            stays
        });
        for &address in found {
            if known.iter().any(|endpoint| endpoint.address == address) {
                continue;
            }
            let endpoint = Arc::new(Endpoint::new(address, Arc::clone(&target.origin), self.alive.child_token()));
            self.fleet.add(&endpoint);
            let keep = connect::keep(Arc::clone(&endpoint), Arc::clone(&self.fleet), self.dial.clone());
            tokio::spawn(endpoint.gone.clone().run_until_cancelled_owned(keep));
            known.push(endpoint);
        }
    }

    fn tell(&mut self) {
        let addresses = self.known.iter().map(Vec::len).sum::<usize>();
        let names: Vec<_> = self.targets.iter().map(|target| target.origin.authority.as_str()).collect();
        let names = names.join(",");
        match (addresses == 0, self.empty) {
            (true, false) => tracing::warn!(names, "no address of a service is known: calls to it are refused"),
            (false, true) => tracing::info!(names, addresses, "addresses of a service are known again"),
            _ => {}
        }
        self.empty = addresses == 0;
    }
}

async fn look_up(names: &Names, place: &Place) -> Option<HashSet<SocketAddr>> {
    match place {
        Place::Address(address) => Some(HashSet::from([*address])),
        Place::Name(name, port) => names.look_up(name, *port).await,
    }
}
