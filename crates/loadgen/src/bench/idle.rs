//! What a service costs that does nothing, and how soon it is ready to do something.

use std::time::Duration;

use tokio::time::sleep;

use super::Run;
use crate::Failure;
use crate::house::House;
use crate::measure::Series;
use crate::process::resident;

const SERVICES: [&str; 4] = ["org-service", "member-service", "authz-service", "gateway"];
/// After its start a service reads feeds and fills pools.
const SETTLED: Duration = Duration::from_secs(2);

pub async fn measure(house: &House, run: &mut Run<'_>) -> Result<(), Failure> {
    let (mut slowest, mut largest): (Option<Series>, Option<Series>) = (None, None);
    for service in SERVICES {
        run.progress.say(&format!("starting {service}"));
        let (mut ready, mut memory) = (Series::default(), Series::default());
        for _ in 0..run.plan.rounds {
            let replica = house.replica(service, &house.cores.all, &[]).await?;
            ready.0.push(replica.ready_after.as_secs_f64() * 1e3);
            sleep(SETTLED).await;
            memory.0.push(resident(replica.process.pid())? as f64 / 1e6);
        }
        let name = service.replace('-', "_");
        run.report.series(format!("{name}_ready_ms"), ready.clone());
        run.report.series(format!("{name}_idle_rss_mb"), memory.clone());
        worst(&mut slowest, ready);
        worst(&mut largest, memory);
    }
    run.report.series("ready_ms", slowest.unwrap_or_default());
    run.report.series("idle_rss_mb", largest.unwrap_or_default());
    Ok(())
}

/// The budget is each one's: the worst counts.
fn worst(so_far: &mut Option<Series>, other: Series) {
    if so_far.as_ref().is_none_or(|series| other.median() > series.median()) {
        *so_far = Some(other);
    }
}
