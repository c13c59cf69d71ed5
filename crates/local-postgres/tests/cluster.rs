//! Real servers, started, stopped, killed and found again.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use local_postgres::{
    Cluster, Held, Leash, Options, Passwords, create_database_from_template, drop_database, provision,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection as _, PgConnection};

async fn run(url: &str, sql: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await
}

async fn one<T>(url: &str, sql: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    let value = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    value
}

fn alive(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match state.rsplit_once(") ") {
        Some((_, rest)) => !rest.starts_with('Z'),
        None => !Path::new("/proc/self").exists() && kill(Pid::from_raw(pid as i32), None).is_ok(),
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_second_start_finds_the_data_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = Cluster::start(Options::persistent(folder.path())).await.unwrap();
    run(&first.socket_url(), "create table kept as select 42 as answer").await.unwrap();
    first.stop().await.unwrap();

    let second = Cluster::start(Options::persistent(folder.path())).await.unwrap();
    assert_eq!(one::<i32>(&second.superuser_url(), "select answer from kept").await, 42);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn only_the_password_opens_the_port() {
    let cluster = Cluster::start(Options::throw_away()).await.unwrap();
    assert_eq!(one::<i32>(&cluster.superuser_url(), "select 1").await, 1);
    let guess = format!("postgres://postgres:guess@127.0.0.1:{}/postgres", cluster.port());
    let refused = PgConnection::connect(&guess).await.unwrap_err();
    assert_eq!(
        refused.as_database_error().and_then(|error| error.code().map(|code| code.into_owned())).as_deref(),
        Some("28P01")
    );
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Options::persistent(folder.path())).await.unwrap();
    run(&cluster.socket_url(), "create table kept as select 7 as answer").await.unwrap();
    kill(Pid::from_raw(cluster.pid() as i32), Signal::SIGKILL).unwrap();
    while cluster.ended().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let url = cluster.socket_url();
    cluster.restart().await.unwrap();
    assert_eq!(one::<i32>(&url, "select answer from kept").await, 7);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_an_earlier_run_left_behind_is_stopped_first() {
    let folder = tempfile::tempdir().unwrap();
    let left = Cluster::start(Options::persistent(folder.path())).await.unwrap();
    let pid = left.pid();
    let again = Cluster::start(Options::persistent(folder.path())).await.unwrap();
    assert_ne!(again.pid(), pid);
    drop(left);
    assert_eq!(one::<i32>(&again.socket_url(), "select 1").await, 1);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_whose_pid_is_now_somebody_elses_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    Cluster::start(Options::persistent(folder.path())).await.unwrap().stop().await.unwrap();
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(folder.path().join("data/postmaster.pid"), format!("{}\n", bystander.id())).unwrap();

    let cluster = Cluster::start(Options::persistent(folder.path())).await.unwrap();
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_initdb_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("data.new/base")).unwrap();
    let cluster = Cluster::start(Options::persistent(folder.path())).await.unwrap();
    cluster.stop().await.unwrap();
    assert!(!folder.path().join("data.new").exists());
}

#[tokio::test]
async fn a_folder_with_a_long_name_and_a_blank_still_has_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join(format!("{} , {}", "x".repeat(80), "y".repeat(20)));
    let cluster = Cluster::start(Options::persistent(&long)).await.unwrap();
    assert_eq!(one::<i32>(&cluster.socket_url(), "select 1").await, 1);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_a_throw_away_cluster_leaves_neither_process_nor_folder() {
    let cluster = Cluster::start(Options::throw_away()).await.unwrap();
    let pid = cluster.pid();
    let data: String = one(&cluster.socket_url(), "show data_directory").await;
    drop(cluster);
    assert!(!alive(pid));
    assert!(!Path::new(&data).exists());
}

#[test]
fn a_leash_ends_what_it_holds_and_removes_its_folder() {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut held = Command::new("sleep").arg("60").spawn().unwrap();
    let mut let_go = Command::new("sleep").arg("60").spawn().unwrap();
    let leash = Leash::new(Some(&folder)).unwrap();
    leash.hold(&[Held { pid: let_go.id(), signal: Signal::SIGTERM }]).unwrap();
    leash.hold(&[Held { pid: held.id(), signal: Signal::SIGTERM }]).unwrap();
    drop(leash);
    assert_eq!(held.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
    wait_until("the folder is removed", || !folder.exists());
    assert!(let_go.try_wait().unwrap().is_none());
    let_go.kill().unwrap();
    let_go.wait().unwrap();
}

/// Not a test by itself: the next one runs it as a process of its own, which is killed.
#[tokio::test]
#[ignore = "run by a_process_that_is_killed_takes_its_cluster_with_it"]
async fn hold_a_cluster_until_killed() {
    let cluster = Cluster::start(Options::throw_away()).await.unwrap();
    let data: String = one(&cluster.socket_url(), "show data_directory").await;
    let report = std::env::var("REPORT").unwrap();
    std::fs::write(format!("{report}.new"), format!("{} {data}", cluster.pid())).unwrap();
    std::fs::rename(format!("{report}.new"), report).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[test]
fn a_process_that_is_killed_takes_its_cluster_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "hold_a_cluster_until_killed"])
        .env("REPORT", &report)
        .spawn()
        .unwrap();
    wait_until("the cluster stands", || report.exists());
    let text = std::fs::read_to_string(&report).unwrap();
    let (pid, data) = text.split_once(' ').unwrap();
    let pid = pid.parse().unwrap();
    assert!(alive(pid));
    process.kill().unwrap();
    process.wait().unwrap();
    wait_until("the server ends", || !alive(pid));
    wait_until("its folder is removed", || !Path::new(data).exists());
}

#[tokio::test]
async fn provisioning_gives_each_service_its_schema_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(Options::throw_away()).await.unwrap();
    let superuser = cluster.superuser_url();
    let passwords = Passwords::for_server(&superuser, &folder.path().join("key")).unwrap();
    let (urls, _, _) = tokio::try_join!(
        provision(&superuser, "guildhall", &passwords),
        provision(&superuser, "guildhall", &passwords),
        provision(&superuser, "guildhall", &passwords),
    )
    .unwrap();

    run(&urls.org.owner, "create table thing as select 1 as id; grant select on thing to guildhall_org").await.unwrap();
    assert_eq!(one::<i32>(&urls.org.runtime, "select id from thing").await, 1);
    assert_eq!(one::<String>(&urls.org.runtime, "show search_path").await, "org");
    assert_eq!(one::<String>(&urls.org.runtime, "show idle_in_transaction_session_timeout").await, "1min");
    let denied = |error: sqlx::Error| error.as_database_error().unwrap().code().unwrap().into_owned();
    assert_eq!(denied(run(&urls.org.runtime, "create table mine (id int)").await.unwrap_err()), "42501");
    assert_eq!(denied(run(&urls.member.runtime, "select from org.thing").await.unwrap_err()), "42501");
    assert_eq!(denied(run(&urls.member.owner, "create table org.mine (id int)").await.unwrap_err()), "42501");
    assert_eq!(denied(run(&urls.authz.owner, "create temporary table mine (id int)").await.unwrap_err()), "42501");

    // A copy has the same walls, and a stranger still has no door.
    create_database_from_template(&cluster.socket_url(), "copy", "guildhall").await.unwrap();
    run(&cluster.socket_url(), "create role stranger login password 'x'").await.unwrap();
    let inside_copy =
        urls.org.runtime.replace(&format!("{}/guildhall", cluster.port()), &format!("{}/copy", cluster.port()));
    assert_eq!(one::<i32>(&inside_copy, "select id from thing").await, 1);
    for database in ["guildhall", "copy"] {
        let stranger = format!("postgres://stranger:x@127.0.0.1:{}/{database}", cluster.port());
        assert_eq!(denied(PgConnection::connect(&stranger).await.unwrap_err()), "42501");
    }
    drop_database(&cluster.socket_url(), "copy").await.unwrap();
}

#[tokio::test]
async fn provisioning_again_takes_back_what_a_role_was_given_since() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(Options::throw_away()).await.unwrap();
    let passwords = Passwords::for_server(&cluster.socket_url(), &folder.path().join("key")).unwrap();
    provision(&cluster.socket_url(), "guildhall", &passwords).await.unwrap();
    run(&cluster.socket_url(), "alter role guildhall_org superuser bypassrls").await.unwrap();
    provision(&cluster.socket_url(), "guildhall", &passwords).await.unwrap();
    let mighty: i64 = one(
        &cluster.socket_url(),
        "select count(*) from pg_roles where rolname like 'guildhall%' and (rolsuper or rolbypassrls or rolcreaterole)",
    )
    .await;
    assert_eq!(mighty, 0);
}
