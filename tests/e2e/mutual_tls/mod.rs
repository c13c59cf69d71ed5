//! Mutual TLS between the processes: who is let in, who is believed, and that all of it is replaced under everybody's hands.

mod house;
mod impostor;
pub mod papers;

use std::{fs, time::Duration};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Refused, text},
    dynamic,
};
use tonic::Code;

use house::{House, PROCESSES, caller, channel, until};
use impostor::Impostor;
use papers::{Authority, Flaw, Paper, mount};

use crate::rolling_restart::Load;

/// What a service lets some other process do, and the request: it finds something, or nothing.
fn question(service: &str) -> (&'static str, &'static str, Value) {
    let uuid = "00000000000000000000000000";
    match service {
        "org-service" => ("gateway", "DirectoryService/ResolveProject", json!({"project_id": format!("proj_{uuid}")})),
        "member-service" => ("gateway", "CredentialService/VerifyPassword", json!({})),
        _ => ("gateway", "AuthorizationService/BatchCheck", json!({})),
    }
}

/// Whether the service itself has said anything: what fails before has no reason.
fn answered(outcome: &Result<Value, Refused>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(refused) => !refused.reason.is_empty(),
    }
}

/// Whether a good credential was seen in it, whatever became of the request.
fn let_in(outcome: &Result<Value, Refused>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(refused) => !refused.reason.is_empty() && refused.code != Code::Unauthenticated,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_takes_its_callers_by_certificate_and_token_and_nobody_else() {
    let cluster = Cluster::start().await;
    let (authority, stranger) = (Authority::new("inside"), Authority::new("inside"));
    let mut house = House::new(&cluster, &authority, &[]).await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;

    // All of it works: a sign-in goes to three services, and one of them calls another.
    let outside = Caller::by(dynamic::channel(house.place("gateway")), None).with("guildhall-project-id", &project.id);
    let owner = acme.owner();
    let sign_in = json!({"email_address": owner.email, "password": owner.password, "organization_slug": acme.slug});
    let tokens = outside.call("AuthenticationService/SignInWithPassword", sign_in.clone()).await;
    let access = text(&tokens, "access_token");
    let member = Caller::by(dynamic::channel(house.place("gateway")), Some(&access));
    let found = member.call("OrganizationService/GetOrganization", json!({"organization_id": acme.id})).await;
    assert_eq!(text(&found, "slug"), acme.slug);
    let robin = json!({"email_address": "robin@acme.test"});
    let robin = json!({"organization_id": acme.id, "member": robin, "roles": ["member"]});
    member.call("MemberService/CreateMember", robin).await;

    nobody_else_connects(&cluster, &house, &authority, &stranger).await;
    certificate_and_token_go_together(&cluster, &house, &authority, &access, &acme.id).await;
    the_gateway_talks_to_no_impostor(&mut house, &authority, &stranger, &outside, &sign_in).await;
}

async fn nobody_else_connects(cluster: &Cluster, house: &House, authority: &Authority, stranger: &Authority) {
    let own = ["gateway", "127.0.0.1"];
    let cases: [(&str, Option<Paper>); 9] = [
        ("no certificate", None),
        ("another authority of the same name", Some(stranger.paper("gateway"))),
        ("expired", Some(authority.gives(&own, Flaw::Expired))),
        ("not yet valid", Some(authority.gives(&own, Flaw::NotYetValid))),
        ("for servers only", Some(authority.gives(&own, Flaw::ServersOnly))),
        ("a name that is none of ours", Some(authority.gives(&["billing", "127.0.0.1"], Flaw::None))),
        ("a name below one of ours", Some(authority.gives(&["x.gateway"], Flaw::None))),
        ("an address alone", Some(authority.gives(&["127.0.0.1"], Flaw::None))),
        ("two of our names", Some(authority.gives(&["gateway", "org-service"], Flaw::None))),
    ];
    for service in &PROCESSES[..3] {
        let (process, method, request) = question(service);
        let token = cluster.workload_token(process, service);
        let ask = async |shown: Option<&Paper>| {
            caller(house.place(service), &authority.pem, shown, Some(&token)).try_call(method, request.clone()).await
        };
        let good = ask(Some(&authority.paper(process))).await;
        assert!(let_in(&good), "{service}: a good one was refused: {good:?}");
        for (what, paper) in &cases {
            let outcome = ask(paper.as_ref()).await;
            assert!(!answered(&outcome), "{service}: {what}: {outcome:?}");
        }
        let plain = Caller::by(dynamic::channel(house.place(service)), Some(&token));
        let outcome = plain.try_call(method, request).await;
        assert!(!answered(&outcome), "{service}: plaintext: {outcome:?}");
    }
}

async fn certificate_and_token_go_together(
    cluster: &Cluster,
    house: &House,
    authority: &Authority,
    access: &str,
    organization: &str,
) {
    let papers = PROCESSES.map(|process| (process, authority.paper(process)));
    for service in &PROCESSES[..3] {
        let (process, method, request) = question(service);
        let token = cluster.workload_token(process, service);
        for (shown, paper) in &papers {
            let by = |token: Option<&str>| caller(house.place(service), &authority.pem, Some(paper), token);
            let outcome = by(Some(&token)).try_call(method, request.clone()).await;
            assert_eq!(let_in(&outcome), *shown == process, "{service}, {process}'s token, {shown}'s certificate");
            assert!(answered(&outcome), "{service}, {shown}: {outcome:?}");
            // The certificate alone.
            by(None).refused(method, request.clone(), Code::Unauthenticated, "UNAUTHENTICATED").await;
        }
    }
    // A person's token is passed on by the gateway, and by nobody else.
    let request = json!({"organization_id": organization});
    for (shown, paper) in &papers {
        let direct = caller(house.place("org-service"), &authority.pem, Some(paper), Some(access));
        let outcome = direct.try_call("OrganizationService/GetOrganization", request.clone()).await;
        match *shown {
            "gateway" => assert!(outcome.is_ok(), "{outcome:?}"),
            _ => assert_eq!(outcome.unwrap_err().code, Code::Unauthenticated, "{shown}"),
        }
    }
    // What needs no credential at the gateway comes through the gateway.
    let accept = json!({"token": "guildhall_inv_x"});
    for (shown, paper) in &papers {
        let direct = caller(house.place("member-service"), &authority.pem, Some(paper), None);
        let outcome = direct.try_call("InvitationService/AcceptInvitation", accept.clone()).await;
        assert_eq!(let_in(&outcome), *shown == "gateway", "{shown}: {outcome:?}");
    }
}

async fn the_gateway_talks_to_no_impostor(
    house: &mut House,
    authority: &Authority,
    stranger: &Authority,
    outside: &Caller,
    sign_in: &Value,
) {
    let place = house.place("member-service");
    assert!(house.replicas[1].end().await.success(), "{}", house.replicas[1].log());
    let own = ["member-service", "127.0.0.1"];
    let cases = [
        ("another authority", Some(stranger.paper("member-service"))),
        ("another name", Some(authority.gives(&["member-service"], Flaw::None))),
        ("another address", Some(authority.gives(&["member-service", "127.0.0.2"], Flaw::None))),
        ("expired", Some(authority.gives(&own, Flaw::Expired))),
        ("plaintext", None),
    ];
    for (what, paper) in cases {
        let impostor = Impostor::start(place, paper.as_ref()).await;
        outside
            .refused("AuthenticationService/SignInWithPassword", sign_in.clone(), Code::Unavailable, "UNAVAILABLE")
            .await;
        impostor.was_met().await;
        assert_eq!(impostor.heard(), 0, "{what}: it was told something");
    }
    // One with good papers would have been.
    let impostor = Impostor::start(place, Some(&authority.paper("member-service"))).await;
    let _ = outside.try_call("AuthenticationService/SignInWithPassword", sign_in.clone()).await;
    impostor.was_met().await;
    assert!(impostor.heard() > 0, "the test cannot tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_authorities_are_replaced_under_load_and_no_call_fails() {
    let cluster = Cluster::start().await;
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    // Connections are made anew all the time, each by the certificates of its moment. A busy machine's feeds and
    // databases may be late meanwhile.
    let told =
        [("GUILDHALL_CONNECTION_AGE", "0.5"), ("GUILDHALL_REVOCATION_LAG", "30"), ("GUILDHALL_DATABASE_WAIT", "10")];
    let house = House::new(&cluster, &old, &told).await;
    let load = Load::begin(&cluster, &format!("http://{}", house.place("gateway"))).await;
    let both = format!("{}{}", old.pem, new.pem);
    load.goes_on().await;
    house.mount(&old, &both).await;
    load.goes_on().await;
    house.mount(&new, &both).await;
    load.goes_on().await;
    house.mount(&new, &new.pem).await;
    load.goes_on().await;

    // What cannot be used changes nothing, and is complained of once.
    let (directory, org) = (house.directory("org-service"), &house.replicas[0]);
    let mut torn = new.paper("org-service");
    torn.key = old.paper("org-service").key;
    mount(&directory, &torn, &old.pem);
    until(org, |log| log.contains("the certificates stay as they were")).await;
    load.goes_on().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(org.log().matches("the certificates stay as they were").count(), 1, "{}", org.log());
    load.end().await;

    let ask = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", org.admin);
    let (_, _, metrics) = testkit::http::send(org.admin, &ask).await;
    assert!(metrics.contains("guildhall_tls_files_unusable{use=\"mutual\"} 1"), "{metrics}");
    assert!(metrics.contains("guildhall_tls_certificate_end_time_seconds{use=\"mutual\"} "), "{metrics}");

    for service in &PROCESSES[..3] {
        let (process, method, request) = question(service);
        let token = cluster.workload_token(process, service);
        let ask = async |shown: &Paper| {
            caller(house.place(service), &both, Some(shown), Some(&token)).try_call(method, request.clone()).await
        };
        let outcome = ask(&new.paper(process)).await;
        assert!(let_in(&outcome), "{service}: {outcome:?}");
        let outcome = ask(&old.paper(process)).await;
        assert!(!answered(&outcome), "{service}: the old authority still opens it: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_own_door_can_speak_tls() {
    let cluster = Cluster::shared().await;
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("public");
    mount(&directory, &first.gives(&["127.0.0.1"], Flaw::ServersOnly), "");
    fs::remove_file(directory.join("ca.crt")).unwrap();
    let told = [("GUILDHALL_TLS", directory.to_str().unwrap())];
    let place = testkit::free_port(std::net::Ipv4Addr::LOCALHOST.into());
    let gateway = cluster.replica("gateway", place, &told).await;
    let acme = cluster.project().await.organization("acme").await;
    let (token, request) = (acme.owner().tokens.access.as_str(), json!({"organization_id": acme.id}));
    let by = |believed: &str| Caller::by(channel(place, believed, None), Some(token));

    let open = by(&first.pem);
    open.call("OrganizationService/GetOrganization", request.clone()).await;
    let plain = Caller::by(dynamic::channel(place), Some(token));
    assert!(!answered(&plain.try_call("OrganizationService/GetOrganization", request.clone()).await));
    assert_eq!(impostor::http1(place, &first.pem, "/.well-known/oauth-authorization-server").await, 200);

    mount(&directory, &second.gives(&["127.0.0.1"], Flaw::ServersOnly), "");
    until(&gateway, |log| log.contains("the certificates have changed")).await;
    by(&second.pem).call("OrganizationService/GetOrganization", request.clone()).await;
    assert!(!answered(&by(&first.pem).try_call("OrganizationService/GetOrganization", request.clone()).await));
    // A connection of before goes on.
    open.call("OrganizationService/GetOrganization", request).await;
}
