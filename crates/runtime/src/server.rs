//! A serving process: two listeners, readiness, background work, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::channel::{self, Channel, ChannelError};
use crate::contract::Contract;
use crate::layers::{Layered, Layers, Queue, assemble};
use crate::listener::{self, BindError, Limits, ListenerOptions};
use crate::options::ProcessOptions;
use crate::readiness::Readiness;
use crate::services::Services;
use crate::shutdown::{Background, Shutdown};
use crate::{admin, telemetry};

/// How long background tasks and admin requests may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What is served: services with their names, so that health and reflection name exactly what is there.
pub struct Api {
    contract: Contract,
    names: Vec<String>,
    services: Services,
    admin: axum::Router,
    http1: bool,
    detach: bool,
    door: bool,
    tls: Option<tls::Public>,
}

impl Api {
    pub fn new(contract: Contract) -> Self {
        let services = Services::new(&contract);
        Self {
            contract,
            names: Vec::new(),
            services,
            admin: axum::Router::new(),
            http1: false,
            detach: true,
            door: false,
            tls: None,
        }
    }

    /// Serves one gRPC service.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<
                Request<Body>,
                Response = Response<Body>,
                Error = Infallible,
                Future = BoxFuture<'static, Result<Response<Body>, Infallible>>,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.names.push(S::NAME.to_owned());
        self.services.add(&self.contract, service);
        self
    }

    /// Stands before other processes: the layer inside those of the runtime answers for more than the services here, `names` among
    /// them. HTTP/1.1 is then accepted too, and a call ends with its caller's leaving: a door that forwards has no work of its own to
    /// finish. Whoever comes shows no certificate; with `tls`, the door does.
    #[must_use]
    pub fn door(mut self, names: impl IntoIterator<Item = String>, tls: Option<tls::Public>) -> Self {
        self.names.extend(names);
        self.http1 = true;
        self.detach = false;
        self.door = true;
        self.tls = tls;
        self
    }

    /// Adds paths to the admin port.
    #[must_use]
    pub fn admin_routes(mut self, router: axum::Router) -> Self {
        self.admin = self.admin.merge(router);
        self
    }
}

/// A process with its ports bound, before it serves.
pub struct Process {
    options: ProcessOptions,
    mutual_tls: Option<tls::Mutual>,
    exporting: bool,
    shutdown: Shutdown,
    readiness: Readiness,
    background: Background,
    draining: CancellationToken,
    api: TcpListener,
    admin: TcpListener,
}

/// A process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the certificates of --mutual-tls (GUILDHALL_MUTUAL_TLS) cannot be used")]
    Certificates(#[from] tls::FilesError),
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the descriptor set cannot be offered by reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl Process {
    /// Binds both ports. `name`: which process of the installation it is, as its certificate says. `exporting`: whether telemetry goes to a
    /// collector (`Telemetry::exporting`).
    pub async fn start(
        name: &str,
        options: ProcessOptions,
        shutdown: Shutdown,
        exporting: bool,
    ) -> Result<Self, StartError> {
        let mutual_tls = options.mutual_tls(name)?;
        let api = listener::bind(options.listen, "--listen").await?;
        let admin = listener::bind(options.admin_listen, "--admin-listen").await?;
        // Before any metric is recorded: a handle made earlier would record nowhere.
        telemetry::prometheus();
        let background = Background::default();
        background.spawn(telemetry::upkeep());
        if let Some(mutual) = &mutual_tls {
            background.spawn(mutual.clone().follow());
        }
        let (readiness, draining) = (Readiness::default(), CancellationToken::new());
        Ok(Self { options, mutual_tls, exporting, shutdown, readiness, background, draining, api, admin })
    }

    pub fn api_address(&self) -> io::Result<SocketAddr> {
        self.api.local_addr()
    }

    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Add conditions before `serve`, or the process is ready at once.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    pub fn background(&self) -> Background {
        self.background.clone()
    }

    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    pub fn options(&self) -> &ProcessOptions {
        &self.options
    }

    /// A channel to another service, as the options say.
    pub fn connect(&self, url: &str, contract: Contract) -> Result<Channel, ChannelError> {
        channel::connect(url, contract, &self.options.channels, self.mutual_tls.as_ref())
    }

    /// Serves until the shutdown begins, then ends in order: NOT_SERVING; the drain delay, for endpoints to notice; no more
    /// connections, GOAWAY, streams ended, calls in flight finished; background work ended; the admin port last, so that
    /// the end can be watched.
    ///
    /// `authentication` is the innermost layer, around the API's services but not around health and reflection.
    pub async fn serve<A>(self, api: Api, authentication: A) -> Result<(), ServeError>
    where
        A: Layer<Services>,
        A::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        <A::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        self.serve_faced(api, authentication, Identity::new()).await
    }

    /// The same with a layer outside of all others, which turns other forms of calls into gRPC before anything looks at them, and the
    /// answers back.
    pub async fn serve_faced<A, F, B>(self, api: Api, authentication: A, face: F) -> Result<(), ServeError>
    where
        A: Layer<Services>,
        A::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        <A::Service as Service<Request<Body>>>::Future: Send + 'static,
        F: Layer<Layered<A::Service>>,
        F::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        <F::Service as Service<Request<Body>>>::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { options, mutual_tls, exporting, shutdown, readiness, background, draining, api: listener, admin } =
            self;
        let health = readiness.health_service(api.names.iter().cloned());
        let mut open = Routes::new(health.clone());
        if options.reflection {
            open = with_reflection(open, &api)?;
        }
        let cores = tokio::runtime::Handle::current().metrics().num_workers();
        let queue = Queue::new(options.max_in_flight, cores, api.door);
        let layers = Layers {
            contract: api.contract,
            max_deadline: options.max_deadline,
            max_in_flight: options.max_in_flight,
            queue: Arc::clone(&queue),
            draining: draining.clone(),
            detach: api.detach,
            body_timeout: api.http1.then_some(options.listener.body_timeout),
            exporting,
            trace_ratio: options.telemetry.trace_ratio,
        };
        let service = face.layer(assemble(&layers, authentication, open, api.services));
        let admin_service = Routes::from(admin::routes(readiness.clone(), health, api.admin)).prepare();

        let limits = Limits { connection: options.listener, http1: api.http1, drain: options.max_deadline };
        // Probes and scrapers, and whoever watches health.
        let few = ListenerOptions { max_connections: 256, max_streams: 100, ..ListenerOptions::default() };
        let admin_limits = Limits { connection: few, http1: true, drain: END_LIMIT };
        let admin_draining = CancellationToken::new();
        // Kubelets and scrapers have no certificate, so the admin port asks for none.
        let admin_server =
            tokio::spawn(listener::serve(admin, None, admin_service, None, admin_limits, admin_draining.clone()));
        let acceptor = match (api.door, &api.tls) {
            (true, None) => None,
            (true, Some(public)) => {
                background.spawn(public.clone().follow());
                Some(public.acceptor())
            }
            (false, _) => mutual_tls.as_ref().map(tls::Mutual::acceptor),
        };
        let server = listener::serve(listener, acceptor, service, Some(queue), limits, draining.clone());

        let end = async {
            shutdown.begun().await;
            readiness.drain();
            tokio::time::sleep(options.drain_delay).await;
            draining.cancel();
        };
        let (ended, ()) = tokio::join!(server, end);
        if !ended {
            tracing::warn!(limit_seconds = options.max_deadline.as_secs_f64(), "calls still in flight were cut");
        }
        let left = async { tokio::join!(crate::current::nothing_is_left(), background.end()) };
        if tokio::time::timeout(END_LIMIT, left).await.is_err() {
            tracing::warn!("background tasks, or calls that nobody waits for, did not end in time and were left");
        }
        admin_draining.cancel();
        if let Err(error) = admin_server.await {
            tracing::warn!(%error, "the admin server failed");
        }
        Ok(())
    }
}

/// Both versions: grpcurl and older tools still ask for v1alpha. The bytes are offered as they are, so options survive.
fn with_reflection(open: Routes, api: &Api) -> Result<Routes, tonic_reflection::server::Error> {
    let builder = || {
        let names = api.names.iter().map(String::as_str).chain(["grpc.health.v1.Health"]);
        // The error details too, so that a tool prints them as what they are.
        let sets = [
            api.contract.descriptor_set(),
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_types::pb::FILE_DESCRIPTOR_SET,
        ];
        let builder = tonic_reflection::server::Builder::configure();
        let builder = sets.into_iter().fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set));
        names.fold(builder, |builder, name| builder.with_service_name(name))
    };
    Ok(open.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}
