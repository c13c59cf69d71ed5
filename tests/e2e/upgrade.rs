//! One version is followed by the next, as docs/kubernetes.md says: the schema first, while servers of before serve on, then one process
//! after the other, so that both versions answer for a while. No call fails.
//!
//! GUILDHALL_PREVIOUS names the folder of the other version's programs; `make upgrade` builds them. Without it this version's own play
//! their part: what is proven then is that the order of things does no harm, and that this test works.

use std::{env, net::Ipv4Addr, path::PathBuf, process::Command};

use testkit::{Cluster, binaries, free_port};

use crate::rolling_restart::{LAG, Load, SERVICES, VARIABLES};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_one_version_follows_another() {
    let previous = match env::var_os("GUILDHALL_PREVIOUS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            eprintln!("GUILDHALL_PREVIOUS is not set: this version follows itself");
            binaries::built()
        }
    };
    let cluster = Cluster::start_of(&previous, &[LAG]).await;
    let access = cluster.access();
    let old = format!("http://{}", access.gateway);
    let load = Load::begin(&cluster, &old).await;
    load.goes_on().await;

    // The schema goes first. Servers of the version before serve on it.
    for service in SERVICES {
        let urls = &access.service_database_urls[service.trim_end_matches("-service")];
        let mut migrate = Command::new(binaries::built().join(service));
        let migrate = migrate.arg("migrate").env("GUILDHALL_DATABASE_URL", &urls.owner);
        let done = tokio::task::block_in_place(|| migrate.output()).unwrap();
        assert!(done.status.success(), "{service}: {}", String::from_utf8_lossy(&done.stderr));
        load.goes_on().await;
    }

    // Then the services, each beside one of before; and a gateway that calls both.
    let before = [access.member, access.org, access.authz];
    let mut lists = Vec::new();
    let mut replicas = Vec::new();
    for (service, before) in SERVICES.into_iter().zip(before) {
        let replica = cluster.replica(service, free_port(Ipv4Addr::LOCALHOST.into()), &[LAG]).await;
        lists.push(format!("http://{before},http://{}", replica.address));
        replicas.push(replica);
        load.goes_on().await;
    }
    let told: Vec<_> = VARIABLES.into_iter().zip(lists.iter().map(String::as_str)).chain([LAG]).collect();
    let gateway = cluster.replica("gateway", free_port(Ipv4Addr::LOCALHOST.into()), &told).await;
    let both = Load::begin(&cluster, &format!("{old},http://{}", gateway.address)).await;
    both.goes_on().await;
    both.end().await;
    load.end().await;

    // At last the new ones are alone, and everything is there that those of before wrote and were told.
    let lists: Vec<_> = replicas.iter().map(|replica| format!("http://{}", replica.address)).collect();
    let told: Vec<_> = VARIABLES.into_iter().zip(lists.iter().map(String::as_str)).chain([LAG]).collect();
    let gateway = cluster.replica("gateway", free_port(Ipv4Addr::LOCALHOST.into()), &told).await;
    let alone = Load::begin(&cluster, &format!("http://{}", gateway.address)).await;
    alone.goes_on().await;
    alone.end().await;
}
