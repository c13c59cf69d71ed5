//! The first question about an organization that a replica has not in memory, beside the first about one of hardly anything.

use std::time::Instant;

use api::authz::v1::{CheckRequest, CheckResponse, Subject, subject};
use tenancy::{MemberId, OrganizationId};

use super::Run;
use super::check::fill;
use crate::Failure;
use crate::data::world::{Size, TYPES, VERBS};
use crate::house::{House, Replica};
use crate::measure::Series;
use crate::wire::{Call, Connection};

const CHECK: &str = "guildhall.authz.v1.AuthorizationService/Check";
const SEED: u64 = 0x400;
/// What comes before each: connections, statements and the project's catalog are not what is measured.
const LITTLE: Size = Size { members: 10, groups: 1, roles: 2, resources: 5, bindings: 5 };

pub async fn measure(house: &House, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("filling organizations to load");
    let seed = run.seed ^ SEED;
    let (first, _) = fill(house, seed, LITTLE).await?;
    let (little, _) = fill(house, seed ^ 1, LITTLE).await?;
    let (budget, _) = fill(house, seed ^ 2, run.plan.budget).await?;
    let (wide, _) = fill(house, seed ^ 3, run.plan.wide).await?;
    let token = house.token().await?;
    let sizes = [("_little", little), ("", budget), ("_wide", wide)];
    let mut took = sizes.map(|_| Series::default());
    for _ in 0..run.plan.rounds {
        run.progress.say("loading snapshots");
        let replica = house.replica("authz-service", &house.cores.all, &[]).await?;
        let connection = Connection::open(replica.address).await?;
        connection.ask::<CheckResponse>(&question(&replica, first, &token)?).await?;
        for ((_, organization), took) in sizes.iter().zip(&mut took) {
            let call = question(&replica, *organization, &token)?;
            let sent = Instant::now();
            connection.ask::<CheckResponse>(&call).await?;
            took.0.push(sent.elapsed().as_secs_f64() * 1e3);
        }
    }
    for ((size, _), took) in sizes.iter().zip(took) {
        run.report.series(format!("snapshot_load{size}_ms"), took);
    }
    Ok(())
}

fn question(replica: &Replica, organization: OrganizationId, token: &str) -> Result<Call, Failure> {
    let nobody = MemberId::from_uuid(uuid::Uuid::nil()).to_string();
    let request = CheckRequest {
        organization_id: organization.to_string(),
        subject: Some(Subject { subject: Some(subject::Subject::MemberId(nobody)) }),
        permission: format!("{}:{}", TYPES[0], VERBS[0]),
        ..CheckRequest::default()
    };
    Call::grpc(replica.address, CHECK, Some(token), &request)
}
