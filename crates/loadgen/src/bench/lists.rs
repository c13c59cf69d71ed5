//! Whether a page of a long list costs what the same page of a short one does.

use std::net::SocketAddr;
use std::sync::Arc;

use api::member::v1::{ListMembersRequest, ListMembersResponse};
use api::org::v1::{ListOrganizationsRequest, ListOrganizationsResponse};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tenancy::{OrganizationId, ProjectId};
use tokio::task::block_in_place;
use uuid::Uuid;

use super::{Run, callers, check::project};
use crate::Failure;
use crate::data::{crowd, id};
use crate::house::House;
use crate::measure::{Series, rounds};
use crate::wire::{Call, Connection};

const LIST_MEMBERS: &str = "guildhall.member.v1.MemberService/ListMembers";
const LIST_ORGANIZATIONS: &str = "guildhall.org.v1.OrganizationService/ListOrganizations";
/// The contract's own default.
const PAGE: usize = 50;
/// The most that a page may hold: to walk to the middle.
const STRIDE: usize = 500;

/// One page, of the short list and of the long one.
struct Pair {
    key: &'static str,
    at: SocketAddr,
    pages: [Call; 2],
}

pub async fn measure(house: &House, run: &mut Run<'_>) -> Result<(), Failure> {
    let plan = run.plan;
    run.progress.say("filling lists");
    let mut pairs = members(house, run).await?;
    pairs.extend(organizations(house, run).await?);

    run.progress.say("lists");
    let mut growth: Option<Series> = None;
    for Pair { key, at, pages } in pairs {
        let pages: [Arc<[Call]>; 2] = pages.map(|page| [page].into());
        // One caller: it is the time of a page that is asked for, and not how many there can be.
        let [few, many] = rounds::<2, 1>(plan.rounds, |thing| {
            let closed = plan.closed(&house.cores.client[..1], 1);
            let closed = crate::measure::Closed { lasting: plan.lasting / 4, ..closed };
            let seen = block_in_place(|| closed.run(async |range| callers(at, &pages[thing], range).await))?;
            Ok([seen.times.us(0.5)])
        })?;
        let ([few], [many]) = (few, many);
        let ratio = many.over(&few);
        run.report.series(format!("{key}_growth"), ratio.clone());
        run.report.series(format!("{key}_few_us"), few);
        run.report.series(format!("{key}_many_us"), many);
        if growth.as_ref().is_none_or(|worst| ratio.median() > worst.median()) {
            growth = Some(ratio);
        }
    }
    run.report.series("list_growth", growth.unwrap_or_default());
    Ok(())
}

/// The first page, the one in the middle, and that of a prefix that fills one page.
async fn members(house: &House, run: &Run<'_>) -> Result<Vec<Pair>, Failure> {
    let (at, token, project) = (house.access().member, house.token().await?, project(house)?);
    let mut database = house.database().await?;
    let (mut first, mut middle, mut prefixed) = (Vec::new(), Vec::new(), Vec::new());
    for (number, count) in [run.plan.few, run.plan.many].into_iter().enumerate() {
        let seed = run.seed ^ (0x100 + number as u64);
        let organization = crowd::organizations(&mut database, project, seed, 1).await?.remove(0);
        let mut rng = StdRng::seed_from_u64(seed);
        let ids: Vec<Uuid> = (0..count).map(|n| id::nth(&mut rng, n)).collect();
        crowd::members(&mut database, project, organization, seed, &ids).await?;
        let organization_id = OrganizationId::from_uuid(organization).to_string();
        let request = |size: usize, page_token: &str, prefix: &str| {
            let request = ListMembersRequest {
                organization_id: organization_id.clone(),
                page_size: size as i32,
                page_token: page_token.to_owned(),
                email_address_prefix: prefix.to_owned(),
                ..Default::default()
            };
            Call::grpc(at, LIST_MEMBERS, Some(&token), &request)
        };
        let connection = Connection::open(at).await?;
        let mut page_token = String::new();
        for _ in 0..(count / 2).div_ceil(STRIDE) {
            let page: ListMembersResponse = connection.ask(&request(STRIDE.min(count / 2), &page_token, "")?).await?;
            page_token = page.next_page_token;
        }
        // Ninety and more have it, at the end of either list.
        let prefix = format!("person-{:05}", (count - 1) / 100);
        first.push(request(PAGE, "", "")?);
        middle.push(request(PAGE, &page_token, "")?);
        prefixed.push(request(PAGE, "", &prefix)?);
        for call in [&first, &middle, &prefixed].map(|calls| &calls[number]) {
            let page: ListMembersResponse = connection.ask(call).await?;
            full("members", page.members.len())?;
        }
    }
    crowd::settle(&mut database).await?;
    [("list_members_first", first), ("list_members_middle", middle), ("list_members_by_prefix", prefixed)]
        .into_iter()
        .map(|(key, pages)| pair(key, at, pages))
        .collect()
}

async fn organizations(house: &House, run: &Run<'_>) -> Result<Vec<Pair>, Failure> {
    let at = house.access().org;
    let mut database = house.database().await?;
    let other = house.cluster.project().await;
    let few: ProjectId =
        other.id.parse().map_err(|error| Failure::Unmeasurable(format!("the new project's id: {error}")))?;
    let (mut first, mut middle, mut prefixed) = (Vec::new(), Vec::new(), Vec::new());
    let of = [(few.uuid(), other.token.clone(), run.plan.few), (project(house)?, house.token().await?, run.plan.many)];
    for (number, (project, token, count)) in of.into_iter().enumerate() {
        crowd::organizations(&mut database, project, run.seed ^ (0x200 + number as u64), count).await?;
        let request = |size: usize, page_token: &str, prefix: &str| {
            let request = ListOrganizationsRequest {
                page_size: size as i32,
                page_token: page_token.to_owned(),
                display_name_prefix: prefix.to_owned(),
                ..Default::default()
            };
            Call::grpc(at, LIST_ORGANIZATIONS, Some(&token), &request)
        };
        let connection = Connection::open(at).await?;
        let mut page_token = String::new();
        for _ in 0..(count / 2).div_ceil(STRIDE) {
            let page: ListOrganizationsResponse =
                connection.ask(&request(STRIDE.min(count / 2), &page_token, "")?).await?;
            page_token = page.next_page_token;
        }
        let prefix = format!("Load {:05}", (count - 1) / 100);
        first.push(request(PAGE, "", "")?);
        middle.push(request(PAGE, &page_token, "")?);
        prefixed.push(request(PAGE, "", &prefix)?);
        for call in [&first, &middle, &prefixed].map(|calls| &calls[number]) {
            let page: ListOrganizationsResponse = connection.ask(call).await?;
            full("organizations", page.organizations.len())?;
        }
    }
    crowd::settle(&mut database).await?;
    let keys = ["list_organizations_first", "list_organizations_middle", "list_organizations_by_prefix"];
    keys.into_iter().zip([first, middle, prefixed]).map(|(key, pages)| pair(key, at, pages)).collect()
}

fn pair(key: &'static str, at: SocketAddr, pages: Vec<Call>) -> Result<Pair, Failure> {
    let pages =
        <[Call; 2]>::try_from(pages).map_err(|_| Failure::Unmeasurable(format!("{key}: there are two lists")))?;
    Ok(Pair { key, at, pages })
}

/// Pages of different lengths could not be held against each other.
fn full(of: &str, rows: usize) -> Result<(), Failure> {
    if rows == PAGE {
        Ok(())
    } else {
        Err(Failure::Unmeasurable(format!("a page of {of} holds {rows}, and not {PAGE}")))
    }
}
