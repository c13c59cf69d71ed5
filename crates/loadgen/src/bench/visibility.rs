//! From a binding's write at one authz-service to its being seen at another.

use std::time::{Duration, Instant};

use api::authz::v1::{
    Binding, BindingEffect, CheckRequest, CheckResponse, Consistency, CreateBindingRequest, Resource, Subject,
    consistency::Requirement, subject,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tenancy::MemberId;
use tokio::time::sleep;

use super::Run;
use super::check::{fill, project};
use crate::Failure;
use crate::data::world::{TYPES, VERBS};
use crate::data::{crowd, id};
use crate::house::House;
use crate::measure::Times;
use crate::wire::{Call, Connection};

const CREATE: &str = "guildhall.authz.v1.BindingService/CreateBinding";
const CHECK: &str = "guildhall.authz.v1.AuthorizationService/Check";
/// No write is waited for longer: a replica that has not seen it by then does not see it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where each write takes long, fewer must do.
const IN_ALL: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_micros(500);

pub async fn measure(house: &House, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("filling an organization of many bindings");
    let seed = run.seed ^ 0x300;
    let (organization, world) = fill(house, seed, run.plan.wide).await?;
    // People of whom nothing is bound yet, so that each binding is seen by what it alone allows.
    let mut rng = StdRng::seed_from_u64(seed ^ 1);
    let people: Vec<_> = (0..run.plan.writes).map(|n| id::nth(&mut rng, n)).collect();
    crowd::known(&mut house.database().await?, project(house)?, organization.uuid(), &people).await?;
    let role = &world.data.roles[0];
    let granted = TYPES.iter().flat_map(|of| VERBS.iter().map(move |verb| (*of, *verb))).find(|(of, verb)| {
        engine::Permission::new(of, verb)
            .is_ok_and(|permission| role.permissions.iter().any(|pattern| pattern.matches(&permission)))
    });
    let (of, verb) = granted.ok_or_else(|| Failure::Unmeasurable("the first role grants nothing".to_owned()))?;

    let replica = house.replica("authz-service", &house.cores.all, &[]).await?;
    let (writer, reader) = (Connection::open(house.access().authz).await?, Connection::open(replica.address).await?);
    let token = house.token().await?;
    let (mut seen_after, mut acknowledged, mut written) = (Times::default(), Times::default(), Times::default());
    run.progress.say("writes seen at another replica");
    let begun = Instant::now();
    for person in people {
        if begun.elapsed() > IN_ALL {
            break;
        }
        let subject = Subject { subject: Some(subject::Subject::MemberId(MemberId::from_uuid(person).to_string())) };
        let check = CheckRequest {
            organization_id: organization.to_string(),
            subject: Some(subject.clone()),
            permission: format!("{of}:{verb}"),
            resource: Some(Resource { r#type: of.to_owned(), id: "never-registered".to_owned() }),
            consistency: Some(Consistency { requirement: Some(Requirement::MinimizeLatency(true)) }),
            ..Default::default()
        };
        let check = Call::grpc(replica.address, CHECK, Some(&token), &check)?;
        let binding = CreateBindingRequest {
            organization_id: organization.to_string(),
            binding: Some(Binding {
                subject: Some(subject),
                role_id: tenancy::RoleId::from_uuid(role.id.0).to_string(),
                effect: BindingEffect::Allow.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let binding = Call::grpc(house.access().authz, CREATE, Some(&token), &binding)?;
        if reader.ask::<CheckResponse>(&check).await?.allowed {
            return Err(Failure::Unmeasurable("somebody is allowed what nobody gave them".to_owned()));
        }
        let sent = Instant::now();
        writer.ask::<Binding>(&binding).await?;
        let done = Instant::now();
        written.record(done - sent);
        while !reader.ask::<CheckResponse>(&check).await?.allowed {
            if done.elapsed() > PATIENCE {
                return Err(Failure::Unmeasurable("a replica does not see a binding".to_owned()));
            }
            sleep(POLL).await;
        }
        seen_after.record(sent.elapsed());
        acknowledged.record(done.elapsed());
    }
    for (key, times) in
        [("visibility", &seen_after), ("visibility_after_answer", &acknowledged), ("binding_write", &written)]
    {
        run.report.one(format!("{key}_p50_ms"), times.ms(0.5));
        run.report.one(format!("{key}_p99_ms"), times.ms(0.99));
    }
    run.report.one("visibility_writes", seen_after.count() as f64);
    Ok(())
}
