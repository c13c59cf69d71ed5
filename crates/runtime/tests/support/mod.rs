//! A real server on a free port with one small service, and callers of it.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, MethodOptions, ServiceDescriptorProto,
};
use runtime::{
    Api, CallContext, Channel, ChannelOptions, Contract, Process, ProcessOptions, Readiness, Refusal, ServeError,
    Shutdown,
};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;
use tower::Service;
use tower::layer::util::Identity;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// The contract of `test.v1.Thing`. `Read` and `Watch` have no side effects.
pub fn contract() -> Contract {
    let method = |name: &str, read: bool, streaming: bool| MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(".test.v1.Empty".into()),
        output_type: Some(".test.v1.Empty".into()),
        server_streaming: Some(streaming),
        options: read.then(|| {
            let mut options = MethodOptions::default();
            options.set_idempotency_level(IdempotencyLevel::NoSideEffects);
            options
        }),
        ..Default::default()
    };
    let unary = ["Echo", "Never", "Panic", "Hold", "Onward", "Write"].map(|name| method(name, false, false));
    let file = FileDescriptorProto {
        name: Some("test/v1/thing.proto".into()),
        package: Some("test.v1".into()),
        message_type: vec![prost_types::DescriptorProto { name: Some("Empty".into()), ..Default::default() }],
        service: vec![ServiceDescriptorProto {
            name: Some("Thing".into()),
            method: unary
                .into_iter()
                .chain([method("Read", true, false), method("Watch", true, true), method("PanicLate", true, true)])
                .collect(),
            ..Default::default()
        }],
        syntax: Some("proto3".into()),
        ..Default::default()
    };
    let bytes = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    Contract::from_descriptor_set(Vec::leak(bytes)).expect("the set decodes")
}

#[derive(Clone, Default)]
pub struct Thing {
    pub entered: Arc<Notify>,
    pub release: Arc<Notify>,
    /// Told when `Hold` has run to its end.
    pub finished: Arc<Notify>,
    pub onward: Option<Channel>,
    /// How many of the next `Read` and `Write` calls answer UNAVAILABLE.
    pub failures: Arc<AtomicUsize>,
    pub attempts: Arc<AtomicUsize>,
}

impl NamedService for Thing {
    const NAME: &'static str = "test.v1.Thing";
}

impl Thing {
    async fn handle(self, method: String, request: tonic::Request<()>) -> Result<tonic::Response<()>, Status> {
        match method.as_str() {
            "Echo" => Ok(echo(&request)),
            "Never" => std::future::pending().await,
            "Panic" => panic!("a panic that the test asked for"),
            "Hold" => {
                self.entered.notify_one();
                self.release.notified().await;
                self.finished.notify_one();
                Ok(tonic::Response::new(()))
            }
            "Onward" => {
                let call = CallContext::of(&request);
                let channel = self.onward.expect("a channel to call onward");
                // Spawned: what belongs to the call must come along.
                tokio::spawn(async move { unary(channel, "/test.v1.Thing/Echo", call.request(())).await })
                    .await
                    .expect("no panic")
            }
            _ => {
                self.attempts.fetch_add(1, Ordering::SeqCst);
                let fails = |left: usize| left.checked_sub(1);
                match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails) {
                    Ok(_) => Err(Refusal::unavailable("the test").into()),
                    Err(_) => Ok(tonic::Response::new(())),
                }
            }
        }
    }
}

/// Tells the caller what came with the request and what the layers made of it.
fn echo(request: &tonic::Request<()>) -> tonic::Response<()> {
    let call = CallContext::of(request);
    let mut response = tonic::Response::new(());
    for name in ["traceparent", "x-request-id", "grpc-timeout"] {
        if let Some(value) = request.metadata().get(name) {
            response
                .metadata_mut()
                .insert(format!("seen-{name}").parse::<tonic::metadata::AsciiMetadataKey>().unwrap(), value.clone());
        }
    }
    let mut own = HeaderMap::new();
    call.trace().write(&mut own);
    response.metadata_mut().insert("own-traceparent", own["traceparent"].to_str().unwrap().parse().unwrap());
    response.metadata_mut().insert("method", call.method().expect("a method").name().parse().unwrap());
    response
}

impl Service<Request<Body>> for Thing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let thing = self.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<(), ()>::default());
            if method == "Watch" || method == "PanicLate" {
                let service = tower::service_fn(move |_: tonic::Request<()>| {
                    let panics = method == "PanicLate";
                    let later = futures::stream::poll_fn(move |_| match panics {
                        true => panic!("a late panic that the test asked for"),
                        false => Poll::<Option<Result<(), Status>>>::Pending,
                    });
                    let stream = futures::stream::once(std::future::ready(Ok(()))).chain(later);
                    std::future::ready(Ok::<_, Status>(tonic::Response::new(stream)))
                });
                return Ok(grpc.server_streaming(service, request).await);
            }
            let service =
                tower::service_fn(move |request: tonic::Request<()>| thing.clone().handle(method.clone(), request));
            Ok(grpc.unary(service, request).await)
        })
    }
}

pub struct Server {
    pub api: SocketAddr,
    pub admin: SocketAddr,
    pub readiness: Readiness,
    pub shutdown: Shutdown,
    pub serving: JoinHandle<Result<(), ServeError>>,
}

pub async fn serve(thing: Thing) -> Server {
    serve_with(thing, ProcessOptions::ephemeral(), false).await
}

pub async fn serve_with(thing: Thing, options: ProcessOptions, exporting: bool) -> Server {
    let shutdown = Shutdown::manual();
    let process = Process::start("test", options, shutdown.clone(), exporting).await.expect("the ports are free");
    let (api, admin) = (process.api_address().unwrap(), process.admin_address().unwrap());
    let readiness = process.readiness();
    let serving = tokio::spawn(process.serve(Api::new(contract()).service(thing), Identity::new()));
    Server { api, admin, readiness, shutdown, serving }
}

impl Server {
    pub fn channel(&self) -> Channel {
        runtime::connect(&format!("http://{}", self.api), contract(), &ChannelOptions::default(), None)
            .expect("a good URL")
    }

    /// A channel of tonic's own, which adds nothing.
    pub fn bare(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::try_from(format!("http://{}", self.api)).unwrap().connect_lazy()
    }

    /// GET on the admin port: status and body.
    pub async fn admin_get(&self, path: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.admin).await.expect("the admin port is open");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "admin").body(Full::<Bytes>::default()).unwrap();
        let response = sender.send_request(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }
}

/// A call whose headers are exactly these, without a client that keeps time itself. Gives the head of the answer.
pub async fn raw(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> HeaderMap {
    raw_of(address, path, headers, &[0; 5]).await
}

/// The head of the answer to a body as it stands, with the length and flag of its one message.
pub async fn raw_of(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &'static [u8],
) -> HeaderMap {
    let stream = TcpStream::connect(address).await.expect("the port is open");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from_static(body))).unwrap();
    tokio::time::timeout(PATIENCE, sender.send_request(request))
        .await
        .expect("in time")
        .expect("an answer")
        .headers()
        .clone()
}

pub async fn unary<T>(
    channel: T,
    path: &'static str,
    request: tonic::Request<()>,
) -> Result<tonic::Response<()>, Status>
where
    T: GrpcService<Body>,
    T::Error: std::error::Error + Send + Sync + 'static,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let call = client.unary(request, PathAndQuery::from_static(path), ProstCodec::<(), ()>::default());
    tokio::time::timeout(PATIENCE, call).await.expect("an answer in time")
}

pub async fn stream(channel: tonic::transport::Channel, path: &'static str) -> tonic::Streaming<()> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("a connection");
    let path = PathAndQuery::from_static(path);
    let call = client.server_streaming(tonic::Request::new(()), path, ProstCodec::<(), ()>::default());
    tokio::time::timeout(PATIENCE, call).await.expect("in time").expect("a stream").into_inner()
}

#[track_caller]
pub fn assert_refused(status: &Status, code: Code, reason: &str) {
    let details = status.get_error_details();
    let found = details.error_info().map(|info| info.reason.as_str());
    assert_eq!((status.code(), found), (code, Some(reason)), "{status:?}");
}

/// A call that has begun, and whose caller has gone.
pub async fn abandon_a_call(server: &Server, thing: &Thing) {
    let held = tokio::spawn(unary(server.bare(), "/test.v1.Thing/Hold", tonic::Request::new(())));
    thing.entered.notified().await;
    held.abort();
    held.await.expect_err("the caller is gone");
    // Another call on the same server shows that the abandoned one's connection has been dealt with.
    unary(server.bare(), "/test.v1.Thing/Echo", tonic::Request::new(())).await.expect("it answers");
}
