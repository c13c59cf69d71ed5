//! What the same costs as a platform grows: a thousand organizations, and ten times as many until there are as many as were asked for. Each
//! has ten members and thirty bindings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::authz::v1::{
    Binding, BindingEffect, CheckRequest, CheckResponse, Consistency, CreateBindingRequest, Resource, Subject,
    consistency::Requirement, subject,
};
use api::member::v1::{GetMemberRequest, Member};
use api::org::v1::{ListOrganizationsRequest, ListOrganizationsResponse};
use tenancy::{MemberId, OrganizationId, RoleId};
use tokio::time::sleep;

use super::check::project;
use super::{Run, saturate};
use crate::Failure;
use crate::data::town::{self, House as Small, MEMBERS};
use crate::data::{crowd, world};
use crate::house::{House, Replica};
use crate::measure::Times;
use crate::process::{cpu_time, descendants, resident};
use crate::wire::{Call, Connection};

const CHECK: &str = "guildhall.authz.v1.AuthorizationService/Check";
const GET: &str = "guildhall.member.v1.MemberService/GetMember";
const LIST: &str = "guildhall.org.v1.OrganizationService/ListOrganizations";
const BIND: &str = "guildhall.authz.v1.BindingService/CreateBinding";
const FIRST: usize = 1_000;
const GROWS: usize = 10;
const SEED: u64 = 0x5_ca1e;
/// Asked about one after the other, so that it is the time of one that is seen.
const LOADED: usize = 500;
const GOT: usize = 300;
const WRITTEN: usize = 100;
/// For work in the background to show.
const IDLE: Duration = Duration::from_secs(5);

pub async fn measure(house: &House, run: &mut Run<'_>, most: usize) -> Result<(), Failure> {
    let project_id = project(house)?;
    super::check::catalog(house).await?;
    let mut database = house.database().await?;
    let (mut built, mut size, mut step) = (0, FIRST.min(most), 0);
    loop {
        let progress = run.progress;
        let seed = run.seed ^ SEED ^ step;
        let houses = town::build(&mut database, project_id, seed, size - built, |so_far| {
            progress.say(&format!("{} of {size} organizations", built + so_far));
        })
        .await?;
        progress.say("statistics");
        crowd::settle(&mut database).await?;
        progress.say(&format!("{size} organizations"));
        of_size(house, run, &houses, size).await?;
        let bytes: i64 = sqlx::query_scalar("select pg_database_size(current_database())")
            .fetch_one(&mut database)
            .await
            .map_err(Failure::database("asking for the database's size"))?;
        run.report.one(format!("scale_{size}_database_mb"), bytes as f64 / 1e6);
        if size == most {
            return Ok(());
        }
        (built, size, step) = (size, (size * GROWS).min(most), step + 1);
    }
}

async fn of_size(house: &House, run: &mut Run<'_>, houses: &[Small], size: usize) -> Result<(), Failure> {
    let replica = house.replica("authz-service", &house.cores.server, &[]).await?;
    run.report.one(format!("scale_{size}_ready_ms"), replica.ready_after.as_secs_f64() * 1e3);
    sleep(IDLE).await;
    let before = spent()?;
    sleep(IDLE).await;
    run.report.one(
        format!("scale_{size}_idle_cpu_ms_per_s"),
        spent()?.saturating_sub(before).as_secs_f64() * 1e3 / IDLE.as_secs_f64(),
    );

    let token = house.token().await?;
    let some = town::pick(houses, LOADED);
    let at = replica.address;
    let checks = some.iter().map(|one| check(&replica, one, &token)).collect::<Result<Vec<_>, _>>()?;
    let loads = each::<CheckResponse>(at, &checks, |answer| answer.allowed).await?;
    told(run, &format!("scale_{size}_first_check"), &loads);
    let checks: Arc<[Call]> = checks.into();
    let rate = saturate(&run.plan, &house.cores, at, &checks, &[replica.process.pid()])?;
    run.report.one(format!("scale_{size}_check_per_s"), rate[0]);
    run.report.one(format!("scale_{size}_authz_rss_mb"), resident(replica.process.pid())? as f64 / 1e6);

    let gets = some.iter().take(GOT).map(|one| get(house, one, &token)).collect::<Result<Vec<_>, _>>()?;
    let gets = each::<Member>(house.access().member, &gets, |member| !member.member_id.is_empty()).await?;
    told(run, &format!("scale_{size}_get"), &gets);
    let list = Call::grpc(house.access().org, LIST, Some(&token), &ListOrganizationsRequest::default())?;
    let lists = vec![list; GOT];
    let lists =
        each::<ListOrganizationsResponse>(house.access().org, &lists, |page| !page.organizations.is_empty()).await?;
    told(run, &format!("scale_{size}_list"), &lists);
    let binds = some.iter().take(WRITTEN).map(|one| bind(house, one, &token)).collect::<Result<Vec<_>, _>>()?;
    let binds = each::<Binding>(house.access().authz, &binds, |binding| !binding.binding_id.is_empty()).await?;
    told(run, &format!("scale_{size}_write"), &binds);
    Ok(())
}

/// The CPU time of the whole installation, PostgreSQL too.
fn spent() -> Result<Duration, Failure> {
    let pids = descendants().map_err(Failure::system("cannot read /proc"))?;
    Ok(pids.iter().filter_map(|pid| cpu_time(&[*pid]).ok()).sum())
}

fn told(run: &mut Run<'_>, key: &str, times: &Times) {
    run.report.one(format!("{key}_p50_ms"), times.ms(0.5));
    run.report.one(format!("{key}_p99_ms"), times.ms(0.99));
}

/// One after the other. Each must be answered as it should be.
async fn each<A: prost::Message + Default>(
    at: std::net::SocketAddr,
    calls: &[Call],
    is_right: impl Fn(&A) -> bool,
) -> Result<Times, Failure> {
    let connection = Connection::open(at).await?;
    let mut times = Times::default();
    for call in calls {
        let sent = Instant::now();
        let answer: A = connection.ask(call).await?;
        times.record(sent.elapsed());
        if !is_right(&answer) {
            return Err(Failure::Unmeasurable("not what was filled in was found".to_owned()));
        }
    }
    Ok(times)
}

fn member(one: &Small) -> Subject {
    let id = MemberId::from_uuid(one.member(MEMBERS / 2)).to_string();
    Subject { subject: Some(subject::Subject::MemberId(id)) }
}

fn organization(one: &Small) -> String {
    OrganizationId::from_uuid(one.organization).to_string()
}

fn check(replica: &Replica, one: &Small, token: &str) -> Result<Call, Failure> {
    let request = CheckRequest {
        organization_id: organization(one),
        subject: Some(member(one)),
        permission: format!("{}:{}", town::TYPE, world::VERBS[0]),
        resource: Some(Resource { r#type: town::TYPE.to_owned(), id: Small::document(MEMBERS / 2, 0) }),
        consistency: Some(Consistency { requirement: Some(Requirement::MinimizeLatency(true)) }),
        ..Default::default()
    };
    Call::grpc(replica.address, CHECK, Some(token), &request)
}

fn get(house: &House, one: &Small, token: &str) -> Result<Call, Failure> {
    let member_id = MemberId::from_uuid(one.member(0)).to_string();
    let request = GetMemberRequest { organization_id: organization(one), member_id };
    Call::grpc(house.access().member, GET, Some(token), &request)
}

fn bind(house: &House, one: &Small, token: &str) -> Result<Call, Failure> {
    let request = CreateBindingRequest {
        organization_id: organization(one),
        binding: Some(Binding {
            subject: Some(member(one)),
            role_id: RoleId::from_uuid(one.role()).to_string(),
            effect: BindingEffect::Allow.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    Call::grpc(house.access().authz, BIND, Some(token), &request)
}
