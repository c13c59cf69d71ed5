//! A backup by pg_dump, taken while everything runs, and restored into a new PostgreSQL server.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use local_postgres::{Installation, Options, Passwords, ServiceUrls};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use testkit::{Cluster, binaries, caller::text, http};
use tokio::time::sleep;
use tonic::Code;

const CHECK: &str = "AuthorizationService/Check";
/// More than a new server counts by all that a restore and a start do.
const TRANSACTIONS: i32 = 20_000;

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Some time goes by in the old server.
async fn age(url: &str) {
    let mut database = PgConnection::connect(url).await.unwrap();
    let block =
        format!("do $$ begin for n in 1..{TRANSACTIONS} loop perform pg_current_xact_id(); commit; end loop; end $$");
    sqlx::raw_sql(sqlx::AssertSqlSafe(block)).execute(&mut database).await.unwrap();
}

/// What an operator does: roles and schemas by provision.sql, the dump, and word to each service that it was restored.
async fn restore(directory: &Path, dump: &Path) {
    let data = directory.join("postgres");
    std::fs::remove_dir_all(&data).unwrap();
    let server = local_postgres::Cluster::start(Options::persistent(&data)).await.unwrap();
    let superuser = server.superuser_url();
    let passwords = Passwords::for_server(&superuser, &directory.join("role-key")).unwrap();
    let ServiceUrls { org, member, authz } =
        local_postgres::provision(&superuser, "guildhall", &passwords).await.unwrap();
    let tool = Installation::find().unwrap().program("pg_restore");
    let database = format!("{}/guildhall", superuser.rsplit_once('/').unwrap().0);
    run(Command::new(tool)
        .args(["--clean", "--if-exists", "--exit-on-error", "--single-transaction", "--dbname", &database])
        .arg(dump));
    for (service, url) in [("org-service", org), ("member-service", member), ("authz-service", authz)] {
        run(Command::new(binaries::built().join(service))
            .args(["migrate", "--restored"])
            .env("GUILDHALL_DATABASE_URL", &url.owner));
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_backed_up_serves_in_another_server_and_old_revisions_are_of_another_history() {
    let cluster = Cluster::start_with(&[("DATABASE_URL", "")]).await;
    age(&cluster.access().database_url).await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["admin"]).await;
    let question = json!({"organization_id": acme.id, "subject": {"member_id": ada.id},
        "permission": "guildhall.member:read", "consistency": {"fully_consistent": true}});
    let answer = project.account.call(CHECK, question.clone()).await;
    assert_eq!(answer["allowed"], json!(true));
    let revision = text(&answer, "revision");

    let backup = tempfile::tempdir().unwrap();
    let dump = backup.path().join("guildhall.dump");
    run(Command::new(Installation::find().unwrap().program("pg_dump"))
        .args(["--format", "custom", "--schema", "org", "--schema", "member", "--schema", "authz", "--file"])
        .arg(&dump)
        .args(["--dbname", &cluster.access().database_url]));
    // After the backup, so it is lost.
    let eve = acme.join("eve", &["member"]).await;
    let (organization, slug, project_id) = (acme.id.clone(), acme.slug.clone(), project.id.clone());
    let owner = acme.owner().clone();

    let down = cluster.down();
    restore(&down.directory(), &dump).await;
    let cluster = down.up(&[("DATABASE_URL", "")]).await;

    let anyone = cluster.anyone().with("guildhall-project-id", &project_id);
    let sign_in = |email: &str, password: &str| {
        let request = json!({"email_address": email, "password": password, "organization_slug": slug});
        anyone.try_call("AuthenticationService/SignInWithPassword", request)
    };
    sign_in(&eve.email, &eve.password).await.unwrap_err();
    let session = sign_in(&ada.email, &ada.password).await.unwrap();
    let as_ada = cluster.bearer(&text(&session, "access_token"));
    let refreshed =
        anyone.call("AuthenticationService/RefreshSession", json!({"refresh_token": ada.tokens.refresh})).await;
    assert_eq!(
        refreshed["member_session"]["member_id"],
        json!(ada.id),
        "a session outlives the server that it began in"
    );

    assert_eq!(as_ada.call(CHECK, question.clone()).await["allowed"], json!(true));
    let mut old = question.clone();
    old["consistency"] = json!({"at_least_as_fresh": revision});
    as_ada.refused(CHECK, old, Code::FailedPrecondition, "REVISION_OF_ANOTHER_HISTORY").await;
    let chain = as_ada.call("EventService/VerifyChain", json!({"organization_id": organization})).await;
    assert_eq!(chain["valid"], json!(true), "{chain}");

    // The feeds go on: what is revoked now is out of force at the gateway within a moment, as it reads in member-service's.
    let owner = cluster.bearer(&text(&sign_in(&owner.email, &owner.password).await.unwrap(), "access_token"));
    owner.call("MemberService/RemoveMember", json!({"organization_id": organization, "member_id": ada.id})).await;
    let begun = Instant::now();
    while as_ada.try_call("AuthenticationService/WhoAmI", json!({})).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(5), "a removed member is still let in");
        sleep(Duration::from_millis(20)).await;
    }

    // Had nobody said that it was restored, no service would have served.
    let mut database = PgConnection::connect(&cluster.access().database_url).await.unwrap();
    sqlx::query("update org.history set transactions_before = 0").execute(&mut database).await.unwrap();
    let begun = Instant::now();
    loop {
        let ask = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (status, _, body) = http::send(cluster.access().org_admin, ask).await;
        if status == 503 && body.contains("restored from a dump") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "org-service says {status}: {body}");
        sleep(Duration::from_millis(100)).await;
    }
}
