//! Logs to standard error, traces and metrics to an OpenTelemetry collector, metrics as Prometheus text.

use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meters::Kind;
use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::{Directive, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::layers::CALL_TARGET;
use crate::log_format::NoSpanFields;
use crate::options::{LogFormat, TelemetryOptions};
use crate::recorder::{self, Recorder};
use crate::statements::{self, Statements};

/// Upper bounds in seconds, from a warm check to the longest deadline.
pub(crate) const SECONDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
const UPKEEP: Duration = Duration::from_secs(5);
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// What carries the export itself: traced, each export would make the next.
const EXPORT_TARGETS: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "opentelemetry"];

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the log filter is malformed")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("the OpenTelemetry exporter cannot be made")]
    Exporter(#[from] ExporterBuildError),
    #[error("telemetry was started before in this process")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// The running telemetry. `shutdown` sends what is still held; dropping it does not.
#[must_use = "spans still held are lost without a shutdown"]
pub struct Telemetry {
    exporters: Option<(SdkTracerProvider, SdkMeterProvider)>,
}

impl Telemetry {
    /// Starts telemetry for the process; must run inside the tokio runtime, which must outlive `shutdown`.
    pub fn start(name: &str, version: &'static str, options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        // The span of a call that is traced is on whatever is logged.
        let always: Directive = format!("{CALL_TARGET}=info").parse()?;
        // Chatty dependencies, unless asked for by name: a later directive in the option overrules these.
        let filter = || -> Result<EnvFilter, TelemetryError> {
            let usual = "h2=warn,opentelemetry=warn,sqlx::postgres::notice=off";
            Ok(EnvFilter::try_new(format!("{usual},{}", options.log))?.add_directive(always.clone()))
        };
        let colourless = options.log_format == LogFormat::Json || !std::io::stderr().is_terminal();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(!colourless)
            .fmt_fields(NoSpanFields)
            .event_format(options.log_format);
        let exporters = options.endpoint().map(|endpoint| exporters(name, version, endpoint));
        let exporters = exporters.transpose()?;
        let spans = exporters.as_ref().map(|(tracers, _)| {
            tracing_opentelemetry::layer()
                .with_tracer(tracers.tracer("runtime"))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(filter_fn(|metadata| is_told(metadata.target())))
        });
        let whole = statements::Whole::default();
        let (mut outer, mut of_lines, mut statements) = (filter()?, None, None);
        if let Some((tracers, _)) = &exporters {
            // Statements are told of for the sake of spans alone: a line is written only where the option asks for it.
            (outer, of_lines) =
                (outer.add_directive(format!("{}=debug", statements::TARGET).parse()?), Some(filter()?));
            let layer = Statements::new(tracers.tracer("runtime"), Arc::clone(&whole));
            statements = Some(layer.with_filter(statements::inside_calls()));
        }
        tracing_subscriber::registry()
            .with(spans)
            .with(statements)
            .with(lines.with_filter(of_lines))
            // Outermost: what it never lets through is then found out once for each place in the code, and not with each call.
            .with(outer)
            .try_init()?;
        if let Some((_, meters)) = &exporters {
            opentelemetry::global::set_meter_provider(meters.clone());
            recorder::export();
            let _ = whole.set(tracing::dispatcher::get_default(tracing::Dispatch::downgrade));
        }
        log_panics();
        meters::BUILD.gauge(&[("name", name.to_owned()), ("version", version.to_owned())]).set(1.0);
        Ok(Self { exporters })
    }

    /// Whether anything is sent to a collector.
    pub fn exporting(&self) -> bool {
        self.exporters.is_some()
    }

    /// Sends what is still held, for at most five seconds.
    pub async fn shutdown(self) {
        let Some((tracers, meters)) = self.exporters else { return };
        // Both block on threads of their own, which need this runtime to go on.
        let flush = tokio::task::spawn_blocking(move || {
            (tracers.shutdown_with_timeout(FLUSH_LIMIT), meters.shutdown_with_timeout(FLUSH_LIMIT))
        });
        match tokio::time::timeout(FLUSH_LIMIT, flush).await {
            Ok(Ok((Ok(()), Ok(())))) => {}
            outcome => tracing::warn!(?outcome, "the last telemetry may be lost"),
        }
    }
}

/// What becomes a span, or is noted in one. Statements have spans of their own.
fn is_told(target: &str) -> bool {
    target != statements::TARGET && !carries_export(target)
}

fn carries_export(target: &str) -> bool {
    EXPORT_TARGETS
        .iter()
        .any(|name| target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_', '-'])))
}

fn exporters(
    name: &str,
    version: &'static str,
    endpoint: &str,
) -> Result<(SdkTracerProvider, SdkMeterProvider), ExporterBuildError> {
    let attributes = [KeyValue::new("service.version", version)];
    let resource = Resource::builder().with_service_name(name.to_owned()).with_attributes(attributes).build();
    let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        // Whether a call is recorded was decided before it got a span (`layers::trace`).
        .with_sampler(Sampler::AlwaysOn)
        .with_batch_exporter(spans)
        .build();
    let metrics = MetricExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let meters = SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(metrics).build();
    Ok((tracers, meters))
}

/// A panic is a log line like any other, in whatever task it happens.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = message, place, "a panic: a fault of ours");
    }));
}

/// The process's metrics, as every `metrics::counter!` and its like record them. Rendered on the admin port.
pub fn prometheus() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        // Every histogram is of seconds. Fails for an empty list of bounds only.
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.with_recommended_naming(true).build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(Recorder(recorder)).is_err() {
            tracing::warn!("another metrics recorder is installed: the admin port shows no metrics");
        }
        for meter in meters::ALL {
            match (meter.kind, meter.in_name()) {
                (Kind::Counter, _) => metrics::describe_counter!(meter.name, meter.what),
                (Kind::Gauge, Some(unit)) => metrics::describe_gauge!(meter.name, unit, meter.what),
                (Kind::Gauge, None) => metrics::describe_gauge!(meter.name, meter.what),
                (Kind::Histogram, _) => metrics::describe_histogram!(meter.name, Unit::Seconds, meter.what),
            }
        }
        let memory = meters::MEMORY.gauge(meters::NO_LABELS);
        meters::observe(move || {
            if let Some(bytes) = resident_bytes() {
                memory.set(bytes);
            }
        });
        handle
    })
}

/// Physical memory of this process, as the kernel counts it. None where there is no such kernel.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map(|kilobytes: f64| kilobytes * 1024.0)
}

/// Looks at what is only looked at, and folds recorded samples into their buckets, which otherwise happens only when somebody looks: unobserved they pile up.
pub(crate) async fn upkeep() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        meters::refresh();
        prometheus().run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_export_does_not_trace_itself() {
        for target in ["h2::codec", "hyper", "hyper_util::client", "opentelemetry_sdk::trace", "tonic::transport"] {
            assert!(carries_export(target), "{target}");
        }
        for target in [CALL_TARGET, "tonically", "org_service::ops"] {
            assert!(!carries_export(target), "{target}");
        }
    }
}
