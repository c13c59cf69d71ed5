//! How a process starts, says that it is ready, and ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use runtime::{Process, ProcessOptions, Shutdown};
use support::*;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

fn asked(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn readiness_follows_its_conditions_everywhere() {
    let process =
        Process::start("test", ProcessOptions::ephemeral(), Shutdown::manual(), false).await.expect("free ports");
    let schema = process.readiness().condition("schema");
    let (api, admin) = (process.api_address().unwrap(), process.admin_address().unwrap());
    let (readiness, shutdown) = (process.readiness(), process.shutdown());
    let serving = tokio::spawn(
        process.serve(runtime::Api::new(contract()).service(Thing::default()), tower::layer::util::Identity::new()),
    );
    let server = Server { api, admin, readiness, shutdown, serving };

    assert_eq!(server.admin_get("/livez").await.0, 200);
    assert_eq!(server.admin_get("/readyz").await, (503, "schema: not yet checked\n".to_owned()));
    schema.unmet("2 migrations behind");
    assert_eq!(server.admin_get("/readyz").await, (503, "schema: 2 migrations behind\n".to_owned()));

    let mut on_admin =
        HealthClient::new(tonic::transport::Endpoint::try_from(format!("http://{admin}")).unwrap().connect_lazy());
    let mut on_api = HealthClient::new(server.bare());
    let mut changes = on_api.watch(asked("test.v1.Thing")).await.expect("a watch").into_inner();
    let mut next = async || changes.next().await.expect("a state").expect("no error").status();
    assert_eq!(next().await, ServingStatus::NotServing);
    schema.met();
    assert_eq!(next().await, ServingStatus::Serving);
    assert_eq!(server.admin_get("/readyz").await.0, 200);
    for service in ["", "test.v1.Thing"] {
        assert_eq!(
            on_admin.check(asked(service)).await.expect("it answers").get_ref().status(),
            ServingStatus::Serving
        );
    }
    assert_eq!(on_admin.check(asked("nobody")).await.expect_err("unknown").code(), Code::NotFound);
    schema.unmet("the database went back in time");
    assert_eq!(next().await, ServingStatus::NotServing);
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_ends_streams() {
    let thing = Thing::default();
    let server = serve(thing.clone()).await;
    let mut watched = stream(server.bare(), "/test.v1.Thing/Watch").await;
    assert_eq!(watched.message().await.expect("no error"), Some(()));
    let held = tokio::spawn(unary(server.bare(), "/test.v1.Thing/Hold", tonic::Request::new(())));
    thing.entered.notified().await;

    server.shutdown.begin();
    // The stream ends only once the drain has begun, so the call still in flight is in flight across it.
    assert_refused(&watched.message().await.expect_err("the server drains"), Code::Unavailable, "UNAVAILABLE");
    assert!(!server.readiness.is_ready());
    assert_eq!(server.admin_get("/readyz").await, (503, "draining: the process is shutting down\n".to_owned()));
    assert!(!server.serving.is_finished());

    thing.release.notify_one();
    held.await.expect("no panic").expect("the call is finished, not cut");
    tokio::time::timeout(PATIENCE, server.serving).await.expect("it ends").expect("no panic").expect("no error");
    assert!(tokio::net::TcpStream::connect(server.api).await.is_err());
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_when_the_drain_has_lasted_long_enough() {
    let thing = Thing::default();
    let options = ProcessOptions { max_deadline: std::time::Duration::from_millis(200), ..ProcessOptions::ephemeral() };
    let server = serve_with(thing.clone(), options, false).await;
    let held = tokio::spawn(unary(server.bare(), "/test.v1.Thing/Hold", tonic::Request::new(())));
    thing.entered.notified().await;
    server.shutdown.begin();
    assert!(held.await.expect("no panic").is_err());
    tokio::time::timeout(PATIENCE, server.serving).await.expect("it ends").expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_port_in_use_is_one_readable_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let options = ProcessOptions { listen: address, ..ProcessOptions::ephemeral() };
    let Err(error) = Process::start("test", options, Shutdown::manual(), false).await else {
        panic!("the port is taken")
    };
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {address} (--listen): the port is in use by another process")
    );
}

#[tokio::test]
async fn reflection_is_offered_only_when_asked_for() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    async fn list(server: &Server) -> Result<Option<ServerReflectionResponse>, tonic::Status> {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let request = ServerReflectionRequest { host: String::new(), message_request };
        let requests = tokio_stream::once(request);
        ServerReflectionClient::new(server.bare()).server_reflection_info(requests).await?.into_inner().message().await
    }
    let closed = serve(Thing::default()).await;
    assert_eq!(list(&closed).await.expect_err("not asked for").code(), Code::Unimplemented);
    let open =
        serve_with(Thing::default(), ProcessOptions { reflection: true, ..ProcessOptions::ephemeral() }, false).await;
    let response = list(&open).await.expect("it answers").expect("one answer");
    let Some(MessageResponse::ListServicesResponse(listed)) = response.message_response else { panic!("a list") };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert!(
        names.contains(&"test.v1.Thing".to_owned()) && names.contains(&"grpc.health.v1.Health".to_owned()),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_shutdown_waits_for_a_call_whose_caller_has_gone() {
    let thing = Thing::default();
    let server = serve(thing.clone()).await;
    abandon_a_call(&server, &thing).await;
    server.shutdown.begin();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!server.serving.is_finished(), "the process would end with the call half way");
    thing.release.notify_one();
    thing.finished.notified().await;
    tokio::time::timeout(PATIENCE, server.serving).await.expect("it ends").expect("no panic").expect("no error");
}
