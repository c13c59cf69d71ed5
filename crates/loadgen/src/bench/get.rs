//! A member by its id, beside the transaction that it stands on.

use std::sync::Arc;

use api::member::v1::{GetMemberRequest, Member};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tenancy::{MemberId, OrganizationId};
use tokio::task::block_in_place;

use super::{Run, callers, check::project};
use crate::Failure;
use crate::data::{crowd, id};
use crate::floor::transaction::Floor;
use crate::house::House;
use crate::measure::rounds;
use crate::wire::{Call, Connection};

const GET: &str = "guildhall.member.v1.MemberService/GetMember";
const CLIENTS: usize = 32;
const MEMBERS: usize = 10_000;
/// No other data stands on it.
const SEED: u64 = 3;

pub async fn floor(house: &House) -> Result<Floor, Failure> {
    let urls = &house.access().service_database_urls;
    let urls = urls
        .get("member")
        .ok_or_else(|| Failure::Unmeasurable("dev.json names no database of member-service".into()))?;
    Floor::make(&mut house.database().await?, &urls.runtime).await
}

pub async fn measure(house: &House, floor: &Floor, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("get by id");
    let (plan, cores) = (run.plan, &house.cores);
    let project = project(house)?;
    let mut database = house.database().await?;
    let organization = crowd::organizations(&mut database, project, run.seed ^ SEED, 1).await?.remove(0);
    let mut rng = StdRng::seed_from_u64(run.seed ^ SEED);
    let members: Vec<_> = (0..MEMBERS.min(plan.many)).map(|n| id::nth(&mut rng, n)).collect();
    crowd::members(&mut database, project, organization, run.seed ^ SEED, &members).await?;
    crowd::settle(&mut database).await?;

    let token = house.token().await?;
    let organization = OrganizationId::from_uuid(organization).to_string();
    let call = |member: &uuid::Uuid| {
        let member_id = MemberId::from_uuid(*member).to_string();
        let request = GetMemberRequest { organization_id: organization.clone(), member_id };
        Call::grpc(house.access().member, GET, Some(&token), &request)
    };
    let calls: Arc<[Call]> = members.iter().step_by(7).map(call).collect::<Result<_, _>>()?;
    let _: Member = Connection::open(house.access().member).await?.ask(&calls[0]).await?;

    // The database is the limit: both have all cores.
    let [get, select] = rounds::<2, 1>(plan.rounds, |thing| {
        let closed = plan.closed(&cores.all, CLIENTS);
        let seen = block_in_place(|| match thing {
            0 => closed.run(async |range| callers(house.access().member, &calls, range).await),
            _ => closed.run(async |range| {
                let mut workers = Vec::new();
                for number in range {
                    let mut client = floor.connect(number).await?;
                    workers.push(async move || client.read().await);
                }
                Ok(workers)
            }),
        })?;
        Ok([seen.per_s])
    })?;
    let ([get], [select]) = (get, select);
    run.report.series("get_of_select", get.over(&select));
    run.report.series("get_per_s", get);
    run.report.series("read_transaction_per_s", select);
    Ok(())
}
