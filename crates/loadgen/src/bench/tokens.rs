//! Tokens at the gateway: by client_credentials, and by refreshing a session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::block_in_place;

use super::check::Ground;
use super::{CALLERS, Run, callers, saturate};
use crate::Failure;
use crate::floor::signing;
use crate::floor::transaction::Floor;
use crate::house::House;
use crate::measure::rounds;
use crate::process::cpu_time;
use crate::wire::{Call, Connection};

const ENDPOINT: &str = "oauth2/token";
/// As many as the transactions that refreshing is held against.
const SESSIONS: usize = 8;
const SIGNING: Duration = Duration::from_millis(300);

pub async fn mint(house: &House, ground: &Ground, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("tokens by client_credentials");
    let (plan, cores) = (run.plan, &house.cores);
    let gateway = house.replica("gateway", &cores.server, &[]).await?;
    let call: Arc<[Call]> = [minting(house, gateway.address)?].into();
    let empty = ground.empty_call()?;
    let pids = [gateway.process.pid(), house.pid("member-service")?];
    let [minted, floor, signed] = rounds::<3, 1>(plan.rounds, |thing| {
        Ok([match thing {
            0 => {
                let before = cpu_time(&pids)?;
                let seen = block_in_place(|| {
                    plan.closed(&cores.client, CALLERS).run(async |range| callers(gateway.address, &call, range).await)
                })?;
                let spent = (cpu_time(&pids)? - before).as_secs_f64() * 1e6 / seen.calls.max(1) as f64;
                run.progress.say(&format!("tokens by client_credentials: {spent:.0} us of servers' CPU each"));
                seen.per_s
            }
            1 => saturate(&plan, cores, ground.empty.1, &empty, &[ground.empty.0.pid()])?[0],
            _ => signing::seconds(SIGNING)?,
        }])
    })?;
    let ([minted], [floor], [signed]) = (minted, floor, signed);
    let floor = floor.with(&signed, |empty_per_s, seconds| 1.0 / (1.0 / empty_per_s + seconds));
    run.report.series("mint_of_floor", minted.over(&floor));
    run.report.series("mint_per_s", minted);
    run.report.series("mint_floor_per_s", floor);
    run.report.series("signature_us", signed.map(|seconds| seconds * 1e6));
    Ok(())
}

pub fn minting(house: &House, gateway: SocketAddr) -> Result<Call, Failure> {
    let access = house.access();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", access.client_id.as_str()),
        ("client_secret", access.client_secret.as_str()),
    ];
    Call::form(gateway, ENDPOINT, &fields)
}

/// A session by its last refresh token: a token is good once, and gives the next.
#[derive(Debug)]
pub struct Session(Mutex<String>);

/// So many of one person.
pub async fn sessions(house: &House, count: usize) -> Result<Vec<Session>, Failure> {
    let organization = house.cluster.project().await.organization("load").await;
    let owner = organization.owner();
    let mut sessions = vec![Session(Mutex::new(owner.tokens.refresh.clone()))];
    for _ in 1..count {
        let signed_in = organization.sign_in(&owner.email, &owner.password).await;
        let tokens = signed_in.map_err(|refused| Failure::refused("SignInWithPassword", format!("{refused:?}")))?;
        sessions.push(Session(Mutex::new(tokens.refresh)));
    }
    Ok(sessions)
}

impl Session {
    pub async fn refresh(&self, connection: &Connection, gateway: SocketAddr) -> Result<(), Failure> {
        let mut token = self.0.lock().await;
        let call = Call::form(gateway, ENDPOINT, &[("grant_type", "refresh_token"), ("refresh_token", &token)])?;
        let answer: Value = serde_json::from_slice(&connection.call(&call).await?).unwrap_or_default();
        let next = answer["refresh_token"].as_str().map(str::to_owned);
        *token = next.ok_or_else(|| Failure::Answer {
            path: ENDPOINT.to_owned(),
            why: "it holds no refresh token".to_owned(),
        })?;
        Ok(())
    }
}

pub async fn refresh(house: &House, floor: &Floor, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("signing in, to refresh");
    let (plan, cores) = (run.plan, &house.cores);
    let sessions = sessions(house, SESSIONS).await?;
    run.progress.say("refreshing sessions");
    let gateway = house.access().gateway;
    let [refreshed, written] = rounds::<2, 1>(plan.rounds, |thing| {
        let closed = plan.closed(&cores.all, SESSIONS);
        let seen = block_in_place(|| match thing {
            0 => closed.run(async |range| {
                let connection = Connection::open(gateway).await?;
                Ok(sessions[range]
                    .iter()
                    .map(|session| {
                        let connection = connection.clone();
                        async move || session.refresh(&connection, gateway).await
                    })
                    .collect())
            }),
            _ => closed.run(async |range| {
                let mut workers = Vec::new();
                for number in range {
                    let mut client = floor.connect(number).await?;
                    workers.push(async move || client.write().await);
                }
                Ok(workers)
            }),
        })?;
        Ok([seen.per_s])
    })?;
    let ([refreshed], [written]) = (refreshed, written);
    run.report.series("refresh_of_transaction", refreshed.over(&written));
    run.report.series("refresh_per_s", refreshed);
    run.report.series("write_transaction_per_s", written);
    Ok(())
}
