//! Check and BatchCheck over gRPC, at authz-service's own door.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::authz::v1::{
    BatchCheckRequest, BatchCheckResponse, CheckQuestion, CheckRequest, CheckResponse, Consistency, Resource, Subject,
    consistency::Requirement, subject,
};
use engine::{OrganizationData, Snapshot, SubjectId};
use futures::future::try_join_all;
use serde_json::json;
use tenancy::{MemberId, OrganizationId, ProjectId};
use time::OffsetDateTime;
use tokio::task::block_in_place;
use uuid::Uuid;

use super::{CALLERS, CALLS_A_CONNECTION, Plan, Run, callers, saturate};
use crate::Failure;
use crate::data::world::{Question, World, types};
use crate::data::{crowd, store};
use crate::floor::{self, empty};
use crate::house::{House, Replica};
use crate::measure::{Open, rounds};
use crate::place::Apart;
use crate::process::Process;
use crate::wire::{Call, Connection};

const CHECK: &str = "guildhall.authz.v1.AuthorizationService/Check";
const BATCH_CHECK: &str = "guildhall.authz.v1.AuthorizationService/BatchCheck";
pub const QUESTIONS: usize = 4_096;
const BATCH: usize = 100;
const BATCHES: usize = 256;
/// The shares of the greatest rate at which callers who do not wait for each other are timed.
const RATES: [(f64, &str); 4] = [(0.25, "25"), (0.5, "50"), (0.75, "75"), (0.9, "90")];

/// What the paths around Check are measured on: an organization, a replica of authz-service on the servers' cores that has it in
/// memory, and beside it the floor.
pub struct Ground {
    pub authz: Replica,
    pub empty: (Process, std::net::SocketAddr),
    pub questions: Vec<Question>,
    pub organization: OrganizationId,
    _sink: Process,
}

impl Ground {
    pub async fn lay(house: &House, run: &Run<'_>) -> Result<Self, Failure> {
        run.progress.say("filling an organization");
        let (organization, mut world) = fill(house, run.seed, run.plan.budget).await?;
        let snapshot = Snapshot::build(&world.data);
        let questions = world.questions(&snapshot, QUESTIONS, OffsetDateTime::now_utc())?;
        Self::of(house, organization, questions).await
    }

    /// The same of an organization that is there.
    pub async fn of(house: &House, organization: OrganizationId, questions: Vec<Question>) -> Result<Self, Failure> {
        // Traced as in production, by the default share of calls, to a collector that costs nothing here.
        let (sink, collector) = floor::serve(&["serve-sink"], &house.cores.client)?;
        let told = [("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))];
        let authz = house.replica("authz-service", &house.cores.server, &told).await?;
        let empty = floor::serve(&["serve-empty"], &house.cores.server)?;
        Ok(Self { authz, empty, questions, organization, _sink: sink })
    }

    /// The questions as calls, at this address.
    pub fn checks(
        &self,
        at: std::net::SocketAddr,
        token: &str,
        requirement: &Requirement,
    ) -> Result<Arc<[Call]>, Failure> {
        self.questions
            .iter()
            .map(|question| {
                let Question { permission, resource, .. } = question;
                let request = CheckRequest {
                    organization_id: self.organization.to_string(),
                    subject: Some(subject_of(question)),
                    permission: permission.to_string(),
                    resource: Some(Resource { r#type: resource.type_name().to_owned(), id: resource.id().to_owned() }),
                    consistency: Some(Consistency { requirement: Some(requirement.clone()) }),
                    ..Default::default()
                };
                Call::grpc(at, CHECK, Some(token), &request)
            })
            .collect()
    }

    pub fn batches(&self, at: std::net::SocketAddr, token: &str) -> Result<Arc<[Call]>, Failure> {
        let batch = |number: usize| {
            let from = number * 37;
            let asked = (from..from + BATCH).map(|at| {
                let question = &self.questions[at % self.questions.len()];
                let Question { permission, resource, .. } = question;
                CheckQuestion {
                    subject: Some(subject_of(question)),
                    permission: permission.to_string(),
                    resource: Some(Resource { r#type: resource.type_name().to_owned(), id: resource.id().to_owned() }),
                    ..Default::default()
                }
            });
            let request = BatchCheckRequest {
                organization_id: self.organization.to_string(),
                checks: asked.collect(),
                consistency: Some(Consistency { requirement: Some(Requirement::MinimizeLatency(true)) }),
                ..Default::default()
            };
            Call::grpc(at, BATCH_CHECK, Some(token), &request)
        };
        (0..BATCHES).map(batch).collect()
    }

    pub fn empty_call(&self) -> Result<Arc<[Call]>, Failure> {
        Ok([Call::grpc(self.empty.1, empty::METHOD, None, &())?].into())
    }
}

/// Whom a question is about: members all of them.
pub fn member_of(question: &Question) -> MemberId {
    match question.subject {
        SubjectId::Member(id) => MemberId::from_uuid(id),
        _ => MemberId::from_uuid(Uuid::nil()),
    }
}

fn subject_of(question: &Question) -> Subject {
    Subject { subject: Some(subject::Subject::MemberId(member_of(question).to_string())) }
}

/// An organization of the demo project with a world in authz-service, and the world.
pub async fn fill(
    house: &House,
    seed: u64,
    size: crate::data::world::Size,
) -> Result<(OrganizationId, World), Failure> {
    let world = World::make(seed, size)?;
    Ok((settled(house, seed, &world.data).await?, world))
}

/// An organization of the demo project in which this is so.
pub async fn settled(house: &House, seed: u64, data: &OrganizationData) -> Result<OrganizationId, Failure> {
    catalog(house).await?;
    let project = project(house)?;
    let mut database = house.database().await?;
    let organization = crowd::organizations(&mut database, project, seed, 1).await?.remove(0);
    store::write(&mut database, project, organization, data).await?;
    crowd::settle(&mut database).await?;
    Ok(OrganizationId::from_uuid(organization))
}

/// Has the demo project know the types that are asked about.
pub async fn catalog(house: &House) -> Result<(), Failure> {
    let types: Vec<_> = types()
        .into_iter()
        .map(|of| json!({"name": of.name, "parent_types": of.parent_types, "verbs": of.verbs}))
        .collect();
    house
        .cluster
        .bearer(&house.token().await?)
        .try_call("CatalogService/UpdateCatalog", json!({"catalog": {"resource_types": types}}))
        .await
        .map_err(|refused| Failure::refused("CatalogService/UpdateCatalog", format!("{refused:?}")))
        .map(drop)
}

pub fn project(house: &House) -> Result<Uuid, Failure> {
    let project: Result<ProjectId, _> = house.access().project_id.parse();
    project.map(ProjectId::uuid).map_err(|error| Failure::Unmeasurable(format!("the demo project's id: {error}")))
}

pub async fn measure(house: &House, ground: &Ground, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("Check over gRPC");
    let (plan, cores) = (run.plan, &house.cores);
    let token = house.token().await?;
    let at = ground.authz.address;
    let latency = ground.checks(at, &token, &Requirement::MinimizeLatency(true))?;
    let consistent = ground.checks(at, &token, &Requirement::FullyConsistent(true))?;
    let (batches, empty) = (ground.batches(at, &token)?, ground.empty_call()?);
    verify(ground, &latency[0], &batches[0]).await?;

    // With more the core would have a queue of many milliseconds standing before it, and shed them.
    let few = Plan { callers: CALLS_A_CONNECTION, ..plan };
    let authz = [ground.authz.process.pid()];
    let [floor, warm, full, batch] = rounds::<4, 3>(plan.rounds, |thing| match thing {
        0 => saturate(&plan, cores, ground.empty.1, &empty, &[ground.empty.0.pid()]),
        1 => saturate(&plan, cores, at, &latency, &authz),
        2 => saturate(&plan, cores, at, &consistent, &authz),
        _ => saturate(&few, cores, at, &batches, &authz),
    })?;
    for (what, [.., busy]) in [("an empty RPC", &floor), ("Check", &warm)] {
        run.not_the_client(what, busy.median());
    }
    run.report.series("check_grpc_of_floor", warm[0].over(&floor[0]));
    run.report.series("check_grpc_fully_consistent_of_floor", full[0].over(&floor[0]));
    // The same by the servers' own time, which other work on the machine disturbs less.
    run.report.series("check_grpc_of_floor_by_cpu", floor[1].over(&warm[1]));
    run.report.series("batch_check_speedup", batch[0].map(|calls| calls * BATCH as f64).over(&warm[0]));
    for (key, [per_s, us, busy]) in [
        ("empty_rpc", floor),
        ("check_grpc", warm.clone()),
        ("check_grpc_fully_consistent", full),
        ("batch_check_100", batch),
    ] {
        run.report.series(format!("{key}_per_s"), per_s);
        run.report.series(format!("{key}_server_us"), us);
        run.report.series(format!("{key}_client_busy"), busy);
    }
    let [sent, received] = bytes(at, &latency[..1_000.min(latency.len())]).await?;
    run.report.one("check_grpc_sent_bytes", sent);
    run.report.one("check_grpc_received_bytes", received);
    let _apart =
        Apart::from(cores, &[ground.empty.0.pid(), authz[0]]).map_err(Failure::system("cannot keep others apart"))?;
    for (share, name) in RATES {
        let open = Open {
            cores: cores.client.clone(),
            workers: CALLERS * 4,
            per_s: warm[0].median() * share,
            warm_up: plan.warm_up,
            lasting: plan.lasting,
        };
        // The floor at the same rate: what it waits for is the machine's and the client's doing.
        let seen = block_in_place(|| open.run(async |range| callers(ground.empty.1, &empty, range).await))?;
        run.latency(&format!("empty_rpc_at_{name}_percent"), &seen);
        let seen = block_in_place(|| open.run(async |range| callers(at, &latency, range).await))?;
        run.report.one(format!("check_grpc_at_{name}_percent_per_s"), seen.per_s);
        run.latency(&format!("check_grpc_at_{name}_percent"), &seen);
    }
    Ok(())
}

/// What a Check takes on the wire, in bytes there and back: many on one connection, as those of one process are.
async fn bytes(at: std::net::SocketAddr, calls: &[Call]) -> Result<[f64; 2], Failure> {
    let (connection, counts) = Connection::open_counted(at).await?;
    let count = || [&counts.sent, &counts.received].map(|bytes| bytes.load(Ordering::Relaxed) as f64);
    // The first of a connection say more than those behind it.
    connection.call(&calls[0]).await?;
    let before = count();
    for calls in calls.chunks(CALLS_A_CONNECTION) {
        try_join_all(calls.iter().map(|call| connection.call(call))).await?;
    }
    let after = count();
    Ok([0, 1].map(|way| (after[way] - before[way]) / calls.len() as f64))
}

/// What is measured answers, and loads what it will answer from.
async fn verify(ground: &Ground, check: &Call, batch: &Call) -> Result<(), Failure> {
    let connection = Connection::open(ground.authz.address).await?;
    let _: CheckResponse = connection.ask(check).await?;
    let answered: BatchCheckResponse = connection.ask(batch).await?;
    let allowed = answered.results.iter().filter(|result| result.allowed).count();
    tokio::time::sleep(Duration::from_millis(100)).await;
    if answered.results.len() == BATCH && allowed > 0 && allowed < BATCH {
        Ok(())
    } else {
        Err(Failure::Unmeasurable(format!(
            "of {} answers {allowed} allow: not the organization that was filled",
            answered.results.len()
        )))
    }
}
