//! PostgreSQL has no room left. Writes are refused and say why, reads go on, what was acknowledged is there, and all is well again once
//! there is room. Needs root, for a file system of a known size.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use local_postgres::Options;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    Cluster,
    caller::{Caller, text},
};
use tokio::{sync::Mutex, time::sleep};
use tonic::Code;

const SIZE: &str = "size=320m,mode=0711";
/// A page or a segment of the log that was begun has room for some time.
const FULL_WITHIN: Duration = Duration::from_secs(60);
const RECOVERED_WITHIN: Duration = Duration::from_secs(40);

/// A file system in memory, gone when dropped.
struct Disk(TempDir);

impl Disk {
    #[expect(clippy::print_stderr, reason = "a test that is not run says so")]
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                eprintln!("SKIPPED: a disk of a known size is a mount, which needs root");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// To the last byte.
    fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.path().join("ballast")).unwrap();
        for size in [1 << 20, 4096] {
            let block = vec![0xa5; size];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Large enough that pages are soon full.
fn organization(n: usize) -> Value {
    let metadata = json!({"text": "x".repeat(12_000)});
    json!({"organization": {"display_name": format!("full-{n}"), "trusted_metadata": metadata}, "request_id": format!("r{n}")})
}

async fn listed(account: &Caller) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = json!({"page_size": 500, "page_token": token});
        let page = account.call("OrganizationService/ListOrganizations", request).await;
        all.extend(page["organizations"].as_array().unwrap().iter().map(|one| text(one, "organization_id")));
        token = text(&page, "next_page_token");
        if token.is_empty() {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_passes() {
    let Some(disk) = Disk::mount() else { return };
    let server = local_postgres::Cluster::start(Options::persistent(disk.path().join("postgres"))).await;
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    let url = server.superuser_url();
    // As whoever runs it in earnest: it is started again when it ends, as it does where not even its log has room.
    let server = Arc::new(Mutex::new(server));
    let keeper = tokio::spawn({
        let server = server.clone();
        async move {
            loop {
                let mut server = server.lock().await;
                if server.ended().is_some() {
                    let _ = server.restart().await;
                }
                drop(server);
                sleep(Duration::from_millis(200)).await;
            }
        }
    });
    let cluster = Cluster::start_with(&[("DATABASE_URL", &url)]).await;
    let project = cluster.project().await;
    let account = &project.account;
    let create = "OrganizationService/CreateOrganization";
    let mut acknowledged = Vec::new();
    for n in 0..5 {
        acknowledged.push(text(&account.call(create, organization(n)).await, "organization_id"));
    }

    disk.fill();
    let (begun, mut told, mut read, mut n) = (Instant::now(), 0, 0, 5);
    let mut said = std::collections::BTreeMap::<String, usize>::new();
    while told < 5 {
        assert!(begun.elapsed() < FULL_WITHIN, "{} more were written to a full disk: {said:?}", n - 5);
        match account.try_call(create, organization(n)).await {
            Ok(made) => acknowledged.push(text(&made, "organization_id")),
            Err(refused) => {
                // It is ours to mend and not the caller's, it passes, and they may ask again.
                assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UNAVAILABLE"), "{refused:?}");
                *said.entry(refused.message.clone()).or_default() += 1;
                told += usize::from(refused.message.contains("no room"));
                let about = json!({"organization_id": acknowledged[0]});
                read += usize::from(account.try_call("OrganizationService/GetOrganization", about).await.is_ok());
            }
        }
        n += 1;
    }
    assert!(read > 0, "not even what is there can be read: {said:?}");
    println!("{} written in all, {said:?}, {read} read meanwhile", acknowledged.len());

    disk.empty();
    let begun = Instant::now();
    // What went unanswered is asked for again, and is there once.
    for again in 5..n {
        loop {
            match account.try_call(create, organization(again)).await {
                Ok(made) => break acknowledged.push(text(&made, "organization_id")),
                Err(refused) => assert!(begun.elapsed() < RECOVERED_WITHIN, "it does not recover: {refused:?}"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    acknowledged.sort_unstable();
    acknowledged.dedup();
    let mut listed = listed(account).await;
    listed.sort_unstable();
    assert_eq!(listed, acknowledged);
    for id in &listed {
        let chain = account.call("EventService/VerifyChain", json!({"organization_id": id})).await;
        assert_eq!(chain["valid"], true, "{chain}");
    }
    keeper.abort();
    drop(cluster);
    let _ = keeper.await;
    if let Ok(server) = Arc::try_unwrap(server) {
        let _ = server.into_inner().stop().await;
    }
}
