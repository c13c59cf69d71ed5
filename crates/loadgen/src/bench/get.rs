//! A member by its id, beside the transaction that it stands on.

use std::net::SocketAddr;
use std::sync::Arc;

use api::member::v1::{GetMemberRequest, ListMembersRequest, Member};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tenancy::{MemberId, OrganizationId};
use tokio::task::block_in_place;
use uuid::Uuid;

use super::{Run, callers, check::project};
use crate::Failure;
use crate::data::{crowd, id};
use crate::floor::transaction::Floor;
use crate::house::House;
use crate::measure::rounds;
use crate::wire::{Call, Connection};

const GET: &str = "guildhall.member.v1.MemberService/GetMember";
const LIST: &str = "guildhall.member.v1.MemberService/ListMembers";
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

/// An organization with its members.
pub struct People {
    organization: OrganizationId,
    members: Vec<Uuid>,
}

impl People {
    /// The seed is for no other data.
    pub async fn make(house: &House, run: &Run<'_>, seed: u64) -> Result<Self, Failure> {
        let (project, seed) = (project(house)?, run.seed ^ seed);
        let mut database = house.database().await?;
        let organization = crowd::organizations(&mut database, project, seed, 1).await?.remove(0);
        let mut rng = StdRng::seed_from_u64(seed);
        let members: Vec<_> = (0..MEMBERS.min(run.plan.many)).map(|n| id::nth(&mut rng, n)).collect();
        crowd::members(&mut database, project, organization, seed, &members).await?;
        crowd::settle(&mut database).await?;
        Ok(Self { organization: OrganizationId::from_uuid(organization), members })
    }

    /// Some of them by their ids.
    pub fn gets(&self, at: SocketAddr, token: &str) -> Result<Arc<[Call]>, Failure> {
        let call = |member: &Uuid| {
            let member_id = MemberId::from_uuid(*member).to_string();
            let request = GetMemberRequest { organization_id: self.organization.to_string(), member_id };
            Call::grpc(at, GET, Some(token), &request)
        };
        self.members.iter().step_by(7).map(call).collect()
    }

    /// The first page of all.
    pub fn page(&self, at: SocketAddr, token: &str) -> Result<Call, Failure> {
        let request = ListMembersRequest { organization_id: self.organization.to_string(), ..Default::default() };
        Call::grpc(at, LIST, Some(token), &request)
    }
}

pub async fn measure(house: &House, floor: &Floor, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("get by id");
    let (plan, cores) = (run.plan, &house.cores);
    let calls = People::make(house, run, SEED).await?.gets(house.access().member, &house.token().await?)?;
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
