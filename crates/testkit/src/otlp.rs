//! A collector of our own: takes traces and metrics by OTLP over gRPC, as any would, and shows what came.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::time::sleep;
use tonic::{Request, Response, Status, async_trait};

const WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A span as it was received.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    /// In hexadecimal, as `traceparent` has it.
    pub trace: String,
    pub id: String,
    /// Empty: it begins its trace.
    pub parent: String,
    pub name: String,
    /// `server`, `client` or `internal`.
    pub kind: &'static str,
    /// Whether its status is ERROR.
    pub failed: bool,
    pub begun: u64,
    pub ended: u64,
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A series as it was last received. A histogram's value is its count.
#[derive(Clone, Debug)]
pub struct Point {
    pub service: String,
    pub name: String,
    pub unit: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

#[derive(Debug, Default)]
struct Received {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
}

/// Listens on a thread of its own until the process ends, whichever test began it.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

#[async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.locked(|received| received.traces.push(request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.locked(|received| received.metrics.push(request.into_inner()));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let receiver = Self { address, received: Arc::default() };
        let served = receiver.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap_or_else(|error| panic!("{error}"));
                let listener = tokio::net::TcpListener::from_std(listener).unwrap_or_else(|error| panic!("{error}"));
                let server = tonic::transport::Server::builder()
                    .add_service(TraceServiceServer::new(served.clone()))
                    .add_service(MetricsServiceServer::new(served))
                    .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
                server.await.unwrap_or_else(|error| panic!("the receiver failed: {error}"));
            });
        });
        receiver
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn locked<R>(&self, look: impl FnOnce(&mut Received) -> R) -> R {
        look(&mut self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that came, in whatever field, as text to search.
    pub fn text(&self) -> String {
        self.locked(|received| format!("{received:?}"))
    }

    /// The spans of a trace so far.
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace == trace);
        spans
    }

    /// Waits until the spans of the trace are as they should be.
    #[track_caller]
    pub fn awaited(&self, trace: &str, fit: impl Fn(&[Span]) -> bool) -> impl Future<Output = Vec<Span>> {
        let (place, begun) = (std::panic::Location::caller(), Instant::now());
        async move {
            loop {
                let spans = self.trace(trace);
                if fit(&spans) {
                    return spans;
                }
                assert!(begun.elapsed() < WITHIN, "{place}: the trace stays as it is: {spans:#?}");
                sleep(POLL).await;
            }
        }
    }

    pub fn spans(&self) -> Vec<Span> {
        self.locked(|received| {
            let resources = received.traces.iter().flat_map(|request| &request.resource_spans);
            let spans = resources.flat_map(|of| {
                let service = service(of.resource.as_ref());
                let spans = of.scope_spans.iter().flat_map(|scope| &scope.spans);
                spans.map(move |span| Span {
                    service: service.clone(),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name.clone(),
                    kind: match span.kind {
                        2 => "server",
                        3 => "client",
                        _ => "internal",
                    },
                    failed: span.status.as_ref().is_some_and(|status| status.code == 2),
                    begun: span.start_time_unix_nano,
                    ended: span.end_time_unix_nano,
                    attributes: labels(&span.attributes),
                })
            });
            spans.collect()
        })
    }

    /// Every series of every process, as it was last told.
    pub fn points(&self) -> Vec<Point> {
        let mut last: BTreeMap<(String, String, BTreeMap<String, String>), Point> = BTreeMap::new();
        self.locked(|received| {
            for of in received.metrics.iter().flat_map(|request| &request.resource_metrics) {
                let service = service(of.resource.as_ref());
                for metric in of.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                    for (labels, value) in metric.data.iter().flat_map(values) {
                        let (name, unit) = (metric.name.clone(), metric.unit.clone());
                        let key = (service.clone(), name.clone(), labels.clone());
                        last.insert(key, Point { service: service.clone(), name, unit, labels, value });
                    }
                }
            }
        });
        last.into_values().collect()
    }
}

fn values(data: &Data) -> Vec<(BTreeMap<String, String>, f64)> {
    let numbers = match data {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        Data::Histogram(histogram) => {
            #[expect(clippy::cast_precision_loss, reason = "no test counts so far")]
            return histogram.data_points.iter().map(|point| (labels(&point.attributes), point.count as f64)).collect();
        }
        _ => return Vec::new(),
    };
    let value = |value: Option<number_data_point::Value>| match value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        #[expect(clippy::cast_precision_loss, reason = "no test counts so far")]
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => f64::NAN,
    };
    numbers.iter().map(|point| (labels(&point.attributes), value(point.value))).collect()
}

fn service(resource: Option<&Resource>) -> String {
    resource.map(|resource| labels(&resource.attributes)).unwrap_or_default().remove("service.name").unwrap_or_default()
}

fn labels(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<_>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|one| (one.key.clone(), text(&one.value.as_ref().and_then(|any| any.value.clone()))))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
