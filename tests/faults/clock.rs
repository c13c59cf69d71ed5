//! The calendar jumps, forwards and back. What ends by it ends then, what only takes its time takes no other, and nobody's clock makes a
//! token good for longer than the others' say. The clock is put in below the processes: see clock.c.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use testkit::{
    Cluster,
    caller::{Caller, Refused, text, unique},
    free_port,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::sleep;
use tonic::Code;

use crate::stall::Stalls;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// After a jump what is known of revocations is old, until the feeds' next words; and a busy machine takes its time.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

struct Clock {
    _folder: TempDir,
    library: PathBuf,
    off: PathBuf,
}

impl Clock {
    /// None where there is no C compiler, or where no library can be put before the C library.
    #[expect(clippy::print_stderr, reason = "a test that is not run says so")]
    fn make() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        // PostgreSQL's account has to pass when the tests run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (library, off) = (folder.path().join("clock.so"), folder.path().join("off"));
        fs::write(&off, 0_i64.to_ne_bytes()).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/clock.c");
        let made =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]).status();
        if !cfg!(target_os = "linux") || !made.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: a clock of a test's own needs Linux and a C compiler called cc");
            return None;
        }
        Some(Self { _folder: folder, library, off })
    }

    fn told(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", self.library.to_str().unwrap()), ("GUILDHALL_TEST_CLOCK", self.off.to_str().unwrap())]
    }

    /// All who are told by this clock are off by so many seconds now.
    fn set(&self, seconds: i64) {
        let file = fs::File::options().write(true).open(&self.off).unwrap();
        file.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 0).unwrap();
    }
}

/// So many seconds after the test's own time.
fn at(seconds: i64) -> String {
    (OffsetDateTime::now_utc() + time::Duration::seconds(seconds)).format(&Rfc3339).unwrap()
}

/// The answer or refusal, once it is known what was revoked.
async fn told(caller: &Caller, method: &str, request: &Value) -> Result<Value, Refused> {
    let begun = Instant::now();
    loop {
        match caller.try_call(method, request.clone()).await {
            Err(refused) if refused.code == Code::Unavailable && begun.elapsed() < SETTLED_WITHIN => {
                sleep(Duration::from_millis(50)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn who(caller: &Caller) -> Result<Value, Refused> {
    told(caller, "AuthenticationService/WhoAmI", &json!({})).await
}

#[track_caller]
fn refused(outcome: Result<Value, Refused>, reason: &str) {
    let place = std::panic::Location::caller();
    match outcome {
        Ok(answer) => panic!("{place}: {reason} was expected: {answer}"),
        Err(refused) => assert_eq!(refused.reason, reason, "{place}: {refused:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_by_the_calendar_ends_when_it_says_so() {
    let Some(clock) = Clock::make() else { return };
    let cluster = Cluster::start_with(&clock.told()).await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["admin"]).await;
    let bind = async |role: &str, more: Value| {
        let mut binding = json!({"subject": {"member_id": ada.id}, "role_id": role});
        binding.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = json!({"organization_id": acme.id, "binding": binding});
        project.account.call("BindingService/CreateBinding", request).await;
    };
    let catalog = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read", "write"]}]}});
    project.account.call("CatalogService/UpdateCatalog", catalog).await;
    for (key, permission) in [("reader", "document:read"), ("writer", "document:write")] {
        let role = json!({"role": {"key": key, "display_name": key, "permissions": [permission]}});
        project.account.call("RoleService/CreateRole", role).await;
    }
    bind("reader", json!({"expire_time": at(HOUR)})).await;
    bind("writer", json!({"not_before": at(HOUR)})).await;
    let invite = async |email: &str| {
        let request = json!({"organization_id": acme.id, "invitation": {"email_address": email}, "return_token": true});
        let made = project.account.call("InvitationService/CreateInvitation", request).await;
        json!({"token": made["token"]})
    };
    let (early, late) = (invite("early@acme.test").await, invite("late@acme.test").await);
    let secret = async || {
        let request = json!({"email_address": ada.email, "password": ada.password, "organization_id": acme.id});
        let signed = told(&project.anyone(), "AuthenticationService/SignInWithPassword", &request).await.unwrap();
        cluster.bearer(&text(&signed, "access_token"))
    };
    // Through her own, which is as good as the clock says.
    let may = async |caller: &Caller, permission: &str| {
        let request = json!({"organization_id": acme.id, "subject": {"member_id": ada.id}, "permission": permission,
            "consistency": {"fully_consistent": true}});
        told(caller, "AuthorizationService/Check", &request).await.unwrap()["allowed"] == true
    };
    let chain = async |caller: &Caller| {
        let request = json!({"organization_id": acme.id});
        assert_eq!(told(caller, "EventService/VerifyChain", &request).await.unwrap()["valid"], true);
    };
    assert!(may(&ada.caller, "document:read").await && !may(&ada.caller, "document:write").await);

    // Half an hour on: the access token is over, the session is not, and neither is the window.
    clock.set(30 * MINUTE);
    refused(who(&ada.caller).await, "UNAUTHENTICATED");
    let refresh = json!({"refresh_token": ada.tokens.refresh});
    let refreshed = told(&project.anyone(), "AuthenticationService/RefreshSession", &refresh).await.unwrap();
    let now = cluster.bearer(&text(&refreshed, "access_token"));
    assert!(may(&now, "document:read").await && !may(&now, "document:write").await);

    // Two hours on: one window has closed, the other is open.
    clock.set(2 * HOUR);
    let now = secret().await;
    assert!(!may(&now, "document:read").await && may(&now, "document:write").await);
    told(&project.anyone(), "InvitationService/AcceptInvitation", &early).await.unwrap();

    // And back: what was refused as over is good again for as long as it had, and a token of the time to come is none.
    clock.set(0);
    refused(who(&now).await, "UNAUTHENTICATED");
    who(&ada.caller).await.unwrap();
    let young = secret().await;
    assert!(may(&young, "document:read").await && !may(&young, "document:write").await);
    chain(&young).await;

    // Forty days on, invitation and session are over, and whoever proves herself anew is let in.
    clock.set(40 * DAY);
    refused(told(&project.anyone(), "InvitationService/AcceptInvitation", &late).await, "INVITATION_NOT_PENDING");
    let refresh = json!({"refresh_token": refreshed["refresh_token"]});
    refused(told(&project.anyone(), "AuthenticationService/RefreshSession", &refresh).await, "REFRESH_TOKEN_REFUSED");
    let old = secret().await;
    chain(&old).await;

    // A day before its keys begin to sign nobody is given a token.
    clock.set(-DAY);
    let request = json!({"email_address": ada.email, "password": ada.password, "organization_id": acme.id});
    refused(told(&project.anyone(), "AuthenticationService/SignInWithPassword", &request).await, "INTERNAL");

    // From there, and from forty days on, back to the first hour: writes go on in their order, revocations take hold.
    clock.set(10 * MINUTE);
    let past = secret().await;
    assert!(may(&past, "document:read").await, "its window is open again");
    let member = json!({"organization_id": acme.id, "member": {"email_address": unique("bob") + "@acme.test"}, "roles": ["member"]});
    told(&past, "MemberService/CreateMember", &member).await.unwrap();
    let leave = json!({"organization_id": acme.id, "member_id": ada.id});
    let owner =
        json!({"email_address": acme.owner().email, "password": acme.owner().password, "organization_id": acme.id});
    let owner = told(&project.anyone(), "AuthenticationService/SignInWithPassword", &owner).await.unwrap();
    let owner = cluster.bearer(&text(&owner, "access_token"));
    told(&owner, "MemberService/RemoveMember", &leave).await.unwrap();
    let begun = Instant::now();
    while who(&past).await.is_ok() {
        assert!(begun.elapsed() < SETTLED_WITHIN, "whoever is removed is still let in");
        sleep(Duration::from_millis(20)).await;
    }
    chain(&owner).await;
    // Whoever was removed before stays so, whatever the calendar says.
    for seconds in [0, 30 * MINUTE, -2 * DAY] {
        clock.set(seconds);
        for caller in [&past, &young, &ada.caller] {
            assert!(who(caller).await.is_err(), "at {seconds} s");
        }
    }
}

/// Of a call that is under way when the calendar jumps.
async fn deadlines(cluster: &Cluster, clock: &Clock) {
    let access = cluster.access();
    let token = cluster.client_credentials(&access.client_id, &access.client_secret).await.unwrap();
    let made = json!({"organization": {"display_name": "Acme"}});
    let made = cluster.bearer(&token).call("OrganizationService/CreateOrganization", made).await;
    let path = format!("/v1/organizations/{}", text(&made, "organization_id"));
    let stalls = Stalls::watch();
    let mut database = PgConnection::connect(&access.database_url).await.unwrap();
    let deadline = Duration::from_millis(800);
    for jump in [HOUR, -HOUR] {
        // The jump before this one may have made the news of revocations old.
        let about = json!({"organization_id": made["organization_id"]});
        told(&cluster.bearer(&token), "OrganizationService/GetOrganization", &about).await.unwrap();
        let mut lock = database.begin().await.unwrap();
        sqlx::raw_sql("lock table org.organization in access exclusive mode").execute(&mut *lock).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\ngrpc-timeout: {1}m\r\n\r\n",
            access.gateway,
            deadline.as_millis()
        );
        let jumps = async {
            sleep(deadline / 4).await;
            clock.set(jump);
        };
        let sent = Instant::now();
        let ((status, _, body), ()) = tokio::join!(testkit::http::send(access.gateway, &request), jumps);
        let (took, stall) = (sent.elapsed(), 2 * stalls.worst(sent, Instant::now()));
        assert_eq!(status, 504, "{body}");
        let late = deadline + Duration::from_millis(50) + stall;
        assert!(
            took >= deadline - Duration::from_millis(50) && took <= late,
            "{took:?} of {deadline:?}, {stall:?} stalled"
        );
        lock.rollback().await.unwrap();
        clock.set(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_clock_makes_a_deadline_or_a_token_longer() {
    let (Some(clock), Some(wrong)) = (Clock::make(), Clock::make()) else { return };
    let cluster = Cluster::start_with(&clock.told()).await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    deadlines(&cluster, &clock).await;
    let slow = cluster.replica("gateway", free_port(Ipv4Addr::LOCALHOST.into()), &wrong.told()).await;
    let about = json!({"organization_id": acme.id});
    let by_slow = cluster.bearer_at(slow.address, Some(&owner.tokens.access));
    told(&by_slow, "OrganizationService/GetOrganization", &about).await.unwrap();
    // To all but this gateway it is ten minutes later, and the token over.
    clock.set(10 * MINUTE);
    for caller in [&by_slow, &owner.caller] {
        let outcome = told(caller, "OrganizationService/GetOrganization", &about).await;
        assert!(outcome.is_err(), "a token that is over: {outcome:?}");
    }
    // One of a gateway whose clock is ahead is not believed before its time.
    clock.set(0);
    wrong.set(10 * MINUTE);
    let ahead = json!({"email_address": owner.email, "password": owner.password, "organization_id": acme.id});
    let anyone = cluster.bearer_at(slow.address, None).with("guildhall-project-id", &project.id);
    if let Ok(signed) = told(&anyone, "AuthenticationService/SignInWithPassword", &ahead).await {
        let early = cluster.bearer(&text(&signed, "access_token"));
        refused(who(&early).await, "UNAUTHENTICATED");
    }
    who(&owner.caller).await.unwrap();
}
