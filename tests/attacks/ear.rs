//! What the services hear of calls that came by the gateway: an ear before each of them, which passes everything on.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{HeaderMap, Request, Response, StatusCode, uri::Authority};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::service_fn;

/// What a service may hear of a call, whoever made it.
const KNOWN: [&str; 13] = [
    "authorization",
    "content-length",
    "content-type",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "te",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-forwarded-for",
    "x-internal-prompt",
    "x-request-id",
];

#[derive(Clone, Debug)]
pub struct Ear {
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
    faults: Arc<Mutex<BTreeSet<String>>>,
}

impl Ear {
    /// Before the service at `service`. Nothing that it hears may have one of `smuggled` in it, or bear a name that is not known.
    pub async fn before(service: SocketAddr, smuggled: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ear = Self { address: listener.local_addr().unwrap(), calls: Arc::default(), faults: Arc::default() };
        let authority: Authority = service.to_string().parse().unwrap();
        let smuggled: Arc<[String]> = smuggled.into();
        let heard = ear.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
                let (heard, authority, smuggled) = (heard.clone(), authority.clone(), smuggled.clone());
                let passed_on = service_fn(move |request: Request<hyper::body::Incoming>| {
                    heard.hear(request.headers(), &smuggled);
                    let (mut parts, body) = request.into_parts();
                    let mut uri = parts.uri.into_parts();
                    uri.authority = Some(authority.clone());
                    uri.scheme = Some(http::uri::Scheme::HTTP);
                    parts.uri = uri.try_into().unwrap();
                    let answer = client.request(Request::from_parts(parts, Body::new(body)));
                    async move {
                        let gone = |_| {
                            let mut response = Response::new(Body::empty());
                            *response.status_mut() = StatusCode::BAD_GATEWAY;
                            response
                        };
                        Ok::<_, std::convert::Infallible>(
                            answer.await.map_or_else(gone, |response| response.map(Body::new)),
                        )
                    }
                });
                tokio::spawn(async move {
                    let connection = Builder::new(TokioExecutor::new());
                    let _ = connection
                        .http2_only()
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(passed_on))
                        .await;
                });
            }
        });
        ear
    }

    fn hear(&self, headers: &HeaderMap, smuggled: &[String]) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let fault = |what: String| {
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
        };
        for name in headers.keys() {
            if !KNOWN.contains(&name.as_str()) {
                fault(format!("{name} was heard"));
            }
            if name == "x-internal-prompt" && headers[name] != "1" {
                fault(format!("{name} is not the gateway's own"));
            }
            if headers.get_all(name).iter().count() > 1 {
                fault(format!("{name} was heard twice"));
            }
        }
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            if smuggled.iter().any(|smuggled| value.contains(smuggled.as_str())) {
                fault(format!("{name} says what was smuggled: {value:.60}"));
            }
        }
    }

    /// How many calls went by.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
