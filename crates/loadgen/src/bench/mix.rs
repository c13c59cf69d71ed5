//! What an installation does all at once, through the gateway: questions, tokens, reads and writes beside each other, on all cores.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::authz::v1::consistency::Requirement;
use api::authz::v1::{CreateGroupRequest, Group};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::block_in_place;

use super::check::Ground;
use super::get::People;
use super::tokens::{self, Session};
use super::{CALLERS, CALLS_A_CONNECTION, Run};
use crate::Failure;
use crate::house::House;
use crate::measure::{Open, Times};
use crate::wire::{Call, Connection};

const CREATE_GROUP: &str = "guildhall.authz.v1.GroupService/CreateGroup";
const SEED: u64 = 5;
const SESSIONS: usize = 16;
const WRITES: usize = 20_000;
/// Of the rate of callers who wait for each other: at it, times are taken.
const HALF: f64 = 0.5;

/// What is called, and how often in a hundred times: by a product that asks about each request of its users, and by people who look
/// after their organizations.
const KINDS: [(&str, [u32; 2]); 7] = [
    ("check", [80, 10]),
    ("batch_check", [4, 5]),
    ("mint", [4, 5]),
    ("get", [5, 35]),
    ("list", [3, 25]),
    ("write", [1, 10]),
    ("refresh", [3, 10]),
];
const MIXES: [&str; 2] = ["product", "console"];

/// What is called with.
struct Stock {
    gateway: SocketAddr,
    /// Of all kinds but the last, whose calls follow from each other. The writes are used once.
    made: [Arc<[Call]>; 6],
    written: AtomicUsize,
    sessions: Vec<Session>,
    times: Mutex<[Times; KINDS.len()]>,
}

pub async fn measure(house: &House, ground: &Ground, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("everything at once: filling");
    let (gateway, plan) = (house.access().gateway, run.plan);
    let people = People::make(house, run, SEED).await?;
    let mut sessions = tokens::sessions(house, SESSIONS).await?;
    for (at, mix) in MIXES.into_iter().enumerate() {
        run.progress.say(&format!("everything at once: {mix}"));
        // The token is short-lived.
        let token = house.token().await?;
        let made = [
            ground.checks(gateway, &token, &Requirement::MinimizeLatency(true))?,
            ground.batches(gateway, &token)?,
            [tokens::minting(house, gateway)?].into(),
            people.gets(gateway, &token)?,
            [people.page(gateway, &token)?].into(),
            writes(ground, gateway, &token, mix)?,
        ];
        let stock = Stock { gateway, made, written: AtomicUsize::new(0), sessions, times: Mutex::default() };
        let shares = KINDS.map(|(_, shares)| shares[at]);
        let seen = block_in_place(|| {
            plan.closed(&house.cores.all, CALLERS).run(async |range| workers(&stock, shares, range).await)
        })?;
        run.report.one(format!("mix_{mix}_per_s"), seen.per_s);
        *stock.times.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        let open = Open {
            cores: house.cores.all.clone(),
            workers: CALLERS,
            per_s: seen.per_s * HALF,
            warm_up: plan.warm_up,
            lasting: plan.lasting,
        };
        block_in_place(|| open.run(async |range| workers(&stock, shares, range).await))?;
        let times = stock.times.into_inner().unwrap_or_else(PoisonError::into_inner);
        for ((kind, _), times) in KINDS.into_iter().zip(times) {
            run.report.one(format!("mix_{mix}_{kind}_p50_us"), times.us(0.5));
            run.report.one(format!("mix_{mix}_{kind}_p99_us"), times.us(0.99));
        }
        sessions = stock.sessions;
    }
    Ok(())
}

/// Each makes a group of its own.
fn writes(ground: &Ground, at: SocketAddr, token: &str, mix: &str) -> Result<Arc<[Call]>, Failure> {
    let organization_id = ground.organization.to_string();
    let write = |number| {
        let group = Some(Group { display_name: format!("{mix} {number}"), ..Group::default() });
        let request =
            CreateGroupRequest { organization_id: organization_id.clone(), group, ..CreateGroupRequest::default() };
        Call::grpc(at, CREATE_GROUP, Some(token), &request)
    };
    (0..WRITES).map(write).collect()
}

async fn workers<'s>(
    stock: &'s Stock,
    shares: [u32; KINDS.len()],
    range: Range<usize>,
) -> Result<Vec<impl AsyncFnMut() -> Result<(), Failure> + use<'s>>, Failure> {
    let mut workers = Vec::with_capacity(range.len());
    let mut connection = Connection::open(stock.gateway).await?;
    for number in range {
        if number.is_multiple_of(CALLS_A_CONNECTION) {
            connection = Connection::open(stock.gateway).await?;
        }
        let (connection, mut rng) = (connection.clone(), StdRng::seed_from_u64(number as u64));
        workers.push(async move || {
            let kind = picked(shares, rng.random_range(0..shares.iter().sum()));
            let begun = Instant::now();
            match stock.made.get(kind) {
                Some(calls) if KINDS[kind].0 == "write" => {
                    let next = stock.written.fetch_add(1, Ordering::Relaxed);
                    let call = calls.get(next).ok_or_else(|| Failure::Unmeasurable("all writes are used up".into()))?;
                    connection.call(call).await?;
                }
                Some(calls) => drop(connection.call(&calls[rng.random_range(0..calls.len())]).await?),
                None => stock.sessions[rng.random_range(0..SESSIONS)].refresh(&connection, stock.gateway).await?,
            }
            stock.times.lock().unwrap_or_else(PoisonError::into_inner)[kind].record(begun.elapsed());
            Ok(())
        });
    }
    Ok(workers)
}

/// The kind that a number below the sum of all shares falls to.
fn picked(shares: [u32; KINDS.len()], mut number: u32) -> usize {
    for (kind, share) in shares.into_iter().enumerate() {
        if number < share {
            return kind;
        }
        number -= share;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_called_as_often_as_its_share() {
        for at in 0..MIXES.len() {
            let shares = KINDS.map(|(_, shares)| shares[at]);
            assert_eq!(shares.iter().sum::<u32>(), 100);
            let mut often = [0; KINDS.len()];
            (0..100).for_each(|number| often[picked(shares, number)] += 1);
            assert_eq!(often, shares);
        }
    }
}
