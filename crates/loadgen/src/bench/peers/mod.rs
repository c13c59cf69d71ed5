//! Check beside systems of another make, whose programs the caller has: the same organization and the same questions, each as such
//! a system would be told of them, by the same client, each server on the servers' cores and all on one PostgreSQL.

mod openfga;
mod spicedb;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::authz::v1::{CheckResponse, consistency::Requirement};
use bytes::Bytes;
use engine::{Permission, SubjectId};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use prost::{DecodeError, Message as _};
use sqlx::{Connection as _, PgConnection};
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::check::{self, Ground, QUESTIONS};
use super::{CALLERS, CALLS_A_CONNECTION, Plan, Run, callers, saturate};
use crate::Failure;
use crate::data::shelf::{Asked, DOCUMENT, Place, Shelf, VERB};
use crate::data::world::Question;
use crate::house::House;
use crate::measure::{Open, each_in_turn};
use crate::place::Apart;
use crate::process::Process;
use crate::wire::{Call, Connection};

const DATABASES: [&str; 2] = ["peer_spicedb", "peer_openfga"];
const READY_WITHIN: Duration = Duration::from_secs(60);
/// For those that answer as of some seconds ago.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Asked again and again: what a system that keeps answers is best at.
const FEW: usize = 64;
/// Longer than elsewhere: answers are kept for seconds, and each question's turn has to come again.
const LONG: u32 = 2;
/// Of what the slowest can answer: times are those at a rate that each can keep up with.
const SHARE: f64 = 0.5;

/// Where the programs are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Programs {
    /// The program of SpiceDB, for `peers`.
    #[arg(long, value_name = "FILE")]
    pub spicedb: Option<PathBuf>,
    /// The program of OpenFGA, for `peers`.
    #[arg(long, value_name = "FILE")]
    pub openfga: Option<PathBuf>,
}

/// One that decides, and the same questions in its words.
struct Peer {
    name: &'static str,
    pid: u32,
    at: SocketAddr,
    /// As fresh as it likes, and as of now.
    calls: [Arc<[Call]>; 2],
    is_allowed: fn(&[u8]) -> Result<bool, DecodeError>,
    /// If nobody else holds it.
    _server: Option<Process>,
}

pub async fn measure(house: &House, run: &mut Run<'_>, programs: &Programs) -> Result<(), Failure> {
    // On the server that we use too.
    let server = &house.access().database_url;
    let impossible = |error: local_postgres::Error| Failure::Unmeasurable(error.to_string());
    for name in DATABASES {
        local_postgres::drop_database(server, name).await.map_err(impossible)?;
        local_postgres::create_database(server, name).await.map_err(impossible)?;
    }
    let [spicedb, openfga] = DATABASES.map(|name| local_postgres::url_for(server, None, name));
    let databases = [spicedb.map_err(impossible)?, openfga.map_err(impossible)?];
    let compared = compare(house, run, programs, &databases).await;
    for name in DATABASES {
        local_postgres::drop_database(server, name).await.map_err(impossible)?;
    }
    compared
}

async fn compare(
    house: &House,
    run: &mut Run<'_>,
    programs: &Programs,
    databases: &[String; 2],
) -> Result<(), Failure> {
    run.progress.say("filling an organization that others can be told of");
    let mut shelf = Shelf::make(run.seed, run.plan.budget);
    let asked = shelf.questions(QUESTIONS);
    let organization = check::settled(house, run.seed ^ 0x900, &shelf.data()?).await?;
    let questions = asked.iter().map(|asked| question(&shelf, asked)).collect::<Result<_, _>>()?;
    let ground = Ground::of(house, organization, questions).await?;
    let mut peers = vec![ours(house, &ground).await?];
    let [for_spicedb, for_openfga] = databases;
    if let Some(program) = &programs.spicedb {
        run.progress.say("filling SpiceDB");
        peers.push(spicedb::start(program, house, for_spicedb, &shelf, &asked).await?);
    }
    if let Some(program) = &programs.openfga {
        run.progress.say("filling OpenFGA");
        peers.push(openfga::start(program, house, for_openfga, &shelf, &asked).await?);
    }
    for database in databases {
        settle(database).await?;
    }
    for peer in &peers {
        run.progress.say(&format!("whether {} answers as it should", peer.name));
        for calls in &peer.calls {
            peer.verify(calls, &asked).await?;
        }
    }

    // A fresh token: it has to last.
    peers[0] = ours(house, &ground).await?;
    let few: Vec<Arc<[Call]>> = peers.iter().map(|peer| peer.calls[0].iter().take(FEW).cloned().collect()).collect();
    let mut things = Vec::new();
    for (peer, few) in peers.iter().zip(&few) {
        things.extend([("in_turn", peer, &peer.calls[0]), ("as_of_now", peer, &peer.calls[1]), ("again", peer, few)]);
    }
    let plan = Plan { warm_up: run.plan.warm_up * LONG, lasting: run.plan.lasting * LONG, ..run.plan };
    let empty = ground.empty_call()?;
    run.progress.say("Check beside others");
    let seen = each_in_turn::<3>(plan.rounds, things.len() + 1, |thing| match things.get(thing) {
        Some((_, peer, calls)) => saturate(&plan, &house.cores, peer.at, calls, &[peer.pid]),
        None => saturate(&plan, &house.cores, ground.empty.1, &empty, &[ground.empty.0.pid()]),
    })?;
    let keys = things.iter().map(|(kind, peer, _)| format!("{}_{kind}", peer.name)).chain(["empty_rpc".to_owned()]);
    let mut slowest = f64::INFINITY;
    for (key, [per_s, us, busy]) in keys.zip(seen) {
        slowest = slowest.min(per_s.median());
        run.not_the_client(&key, busy.median());
        run.report.series(format!("peers_{key}_per_s"), per_s);
        run.report.series(format!("peers_{key}_server_us"), us);
    }

    let pids: Vec<u32> = peers.iter().map(|peer| peer.pid).collect();
    let _apart = Apart::from(&house.cores, &pids).map_err(Failure::system("cannot keep others apart"))?;
    let open = Open {
        cores: house.cores.client.clone(),
        workers: CALLERS,
        per_s: slowest * SHARE,
        warm_up: plan.warm_up,
        lasting: plan.lasting,
    };
    run.report.one("peers_at_one_rate_per_s", open.per_s);
    for peer in &peers {
        run.progress.say(&format!("how long {} takes", peer.name));
        let seen = block_in_place(|| open.run(async |range| callers(peer.at, &peer.calls[0], range).await))?;
        run.latency(&format!("peers_{}_at_one_rate", peer.name), &seen);
    }
    Ok(())
}

fn question(shelf: &Shelf, asked: &Asked) -> Result<Question, Failure> {
    let permission = Permission::new(DOCUMENT, VERB);
    Ok(Question {
        subject: SubjectId::Member(shelf.people[asked.person]),
        permission: permission.map_err(|error| Failure::Unmeasurable(format!("the question: {error}")))?,
        resource: Place::Document(asked.document).resource()?,
    })
}

async fn ours(house: &House, ground: &Ground) -> Result<Peer, Failure> {
    let (token, at) = (house.token().await?, ground.authz.address);
    let calls = [
        ground.checks(at, &token, &Requirement::MinimizeLatency(true))?,
        ground.checks(at, &token, &Requirement::FullyConsistent(true))?,
    ];
    let is_allowed = |answer: &[u8]| CheckResponse::decode(answer).map(|answer| answer.allowed);
    Ok(Peer { name: "guildhall", pid: ground.authz.process.pid(), at, calls, is_allowed, _server: None })
}

impl Peer {
    /// Every question is answered as the grants say: at once, or as soon as the answers are of the present.
    async fn verify(&self, calls: &[Call], asked: &[Asked]) -> Result<(), Failure> {
        let connection = Connection::open(self.at).await?;
        let begun = Instant::now();
        loop {
            let answers: Vec<bool> = stream::iter(calls)
                .map(|call| async {
                    let answer = connection.call(call).await?;
                    (self.is_allowed)(&answer)
                        .map_err(|error| Failure::Answer { path: call.path().to_owned(), why: error.to_string() })
                })
                .buffered(CALLS_A_CONNECTION)
                .try_collect()
                .await?;
            let wrong = asked.iter().zip(answers).filter(|(asked, answer)| asked.allowed != *answer);
            let Some((first, _)) = wrong.clone().next() else { return Ok(()) };
            if begun.elapsed() > SETTLED_WITHIN {
                let (name, wrong, all) = (self.name, wrong.count(), asked.len());
                return Err(Failure::Unmeasurable(format!(
                    "{name}: {wrong} of {all} answers are wrong, first {first:?}"
                )));
            }
            sleep(POLL).await;
        }
    }
}

/// Has a program do something that ends, before it serves.
fn prepare(command: &mut Command) -> Result<(), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = block_in_place(|| command.stdin(Stdio::null()).output())
        .map_err(Failure::system(format!("cannot run {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Unmeasurable(format!("{program} ended with {}: {}", output.status, said.trim())))
}

/// A connection to a server that has just been started, and the answer to its first call.
async fn ready(name: &str, at: SocketAddr, call: &Call) -> Result<(Connection, Bytes), Failure> {
    let begun = Instant::now();
    loop {
        let answered = async {
            let connection = Connection::open(at).await?;
            connection.call(call).await.map(|answer| (connection, answer))
        };
        match answered.await {
            Ok(answered) => return Ok(answered),
            Err(failure) if begun.elapsed() > READY_WITHIN => {
                return Err(Failure::Unmeasurable(format!("{name} is not ready: {}", failure.told())));
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

fn as_calls(asked: &[Asked], call: impl FnMut(&Asked) -> Result<Call, Failure>) -> Result<Arc<[Call]>, Failure> {
    asked.iter().map(call).collect()
}

/// Has the planner know what is there.
async fn settle(database: &str) -> Result<(), Failure> {
    let mut database = PgConnection::connect(database).await.map_err(Failure::database("connecting"))?;
    let settled = sqlx::raw_sql("vacuum (analyze)").execute(&mut database).await;
    settled.map(drop).map_err(Failure::database("gathering statistics"))
}
