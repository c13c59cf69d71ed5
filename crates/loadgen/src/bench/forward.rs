//! Check through the gateway, beside the same calls sent directly and through a proxy with nothing in it; all servers on one core.

use api::authz::v1::consistency::Requirement;

use super::check::Ground;
use super::{Run, saturate};
use crate::Failure;
use crate::floor;
use crate::house::House;
use crate::measure::rounds;

pub async fn measure(house: &House, ground: &Ground, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("forwarding by the gateway");
    let (plan, cores) = (run.plan, &house.cores);
    let told = [("GUILDHALL_AUTHZ_URL", format!("http://{}", ground.authz.address))];
    let gateway = house.replica("gateway", &cores.server, &told).await?;
    let (proxy, proxy_at) = floor::serve(&["serve-proxy", &ground.authz.address.to_string()], &cores.server)?;
    let token = house.token().await?;
    let requirement = Requirement::MinimizeLatency(true);
    let direct = ground.checks(ground.authz.address, &token, &requirement)?;
    let through = ground.checks(gateway.address, &token, &requirement)?;
    let proxied = ground.checks(proxy_at, &token, &requirement)?;

    let authz = ground.authz.process.pid();
    let [direct, through, proxied] = rounds::<3, 3>(plan.rounds, |thing| match thing {
        0 => saturate(&plan, cores, ground.authz.address, &direct, &[authz]),
        1 => saturate(&plan, cores, gateway.address, &through, &[authz, gateway.process.pid()]),
        _ => saturate(&plan, cores, proxy_at, &proxied, &[authz, proxy.pid()]),
    })?;
    run.not_the_client("forwarding, direct", direct[2].median());
    run.report.series("forward_of_direct", through[0].over(&direct[0]));
    run.report.series("bare_proxy_of_direct", proxied[0].over(&direct[0]));
    run.report.series("forward_of_bare_proxy", through[0].over(&proxied[0]));
    for (key, [per_s, us, _]) in
        [("forward_direct", direct), ("forward_gateway", through), ("forward_bare_proxy", proxied)]
    {
        run.report.series(format!("{key}_per_s"), per_s);
        run.report.series(format!("{key}_server_us"), us);
    }
    Ok(())
}
