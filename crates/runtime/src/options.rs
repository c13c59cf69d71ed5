//! The settings that every process has. A service flattens them into its own and adds what only it needs.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::channel::{ChannelError, ChannelOptions};
use crate::listener::ListenerOptions;
use crate::refusal::Chain;
use clap::{ArgAction, Args, ValueEnum, builder::BoolishValueParser};

const MUTUAL_TLS: &str = "--mutual-tls (GUILDHALL_MUTUAL_TLS)";

/// Of a process that serves. Defaults of the two addresses come from the service (`Service::ports`).
#[derive(Args, Clone, Debug)]
pub struct ProcessOptions {
    /// Address of the API listener.
    #[arg(long, env = "GUILDHALL_LISTEN", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address of the plaintext admin listener: health, metrics.
    #[arg(long, env = "GUILDHALL_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Seconds between NOT_SERVING and the end of listening, for load balancers to notice.
    #[arg(long, env = "GUILDHALL_DRAIN_DELAY", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub drain_delay: Duration,
    /// The longest a unary call may take, in seconds, whatever its caller allows. Draining waits as long for calls in flight.
    #[arg(long, env = "GUILDHALL_MAX_DEADLINE", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub max_deadline: Duration,
    /// Calls in flight beyond which the next is refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "GUILDHALL_MAX_IN_FLIGHT", value_name = "CALLS", default_value_t = 1024)]
    pub max_in_flight: usize,
    #[command(flatten)]
    pub listener: ListenerOptions,
    /// Offer gRPC server reflection on the API listener.
    #[arg(long, env = "GUILDHALL_REFLECTION", value_name = "BOOL", default_value = "false", num_args = 0..=1,
        default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub reflection: bool,
    /// End when the process that started this one ends (Linux only; elsewhere it has no effect).
    #[arg(long, env = "GUILDHALL_EXIT_WITH_PARENT", value_name = "BOOL", default_value = "false", num_args = 0..=1,
        default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub exit_with_parent: bool,
    /// Mutual TLS with the other processes: a directory of `tls.crt`, `tls.key` and `ca.crt`, as cert-manager mounts it. The API listener of a
    /// service then takes nobody without a certificate that one of these authorities gave to a process of the installation, and the
    /// URLs of services must be `https://`. Read again every 2 seconds. The gateway's own listener is `--tls`.
    #[arg(long, env = "GUILDHALL_MUTUAL_TLS", value_name = "DIRECTORY")]
    pub mutual_tls: Option<PathBuf>,
    #[command(flatten)]
    pub channels: ChannelOptions,
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
}

impl ProcessOptions {
    /// For a server inside a test: free ports on the loopback address, no drain delay, nothing exported.
    pub fn ephemeral() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: loopback,
            admin_listen: loopback,
            drain_delay: Duration::ZERO,
            max_deadline: Duration::from_secs(30),
            max_in_flight: 1024,
            listener: ListenerOptions::default(),
            reflection: false,
            exit_with_parent: false,
            mutual_tls: None,
            channels: ChannelOptions::default(),
            telemetry: TelemetryOptions::default(),
        }
    }

    /// The certificates of the process `name`, if it has any.
    pub(crate) fn mutual_tls(&self, name: &str) -> Result<Option<tls::Mutual>, tls::FilesError> {
        let processes: BTreeSet<_> = api::METHODS.iter().flat_map(|method| method.workloads).copied().collect();
        let names = tls::Names::new(name, processes);
        self.mutual_tls.as_deref().map(|directory| tls::Mutual::open(directory, names)).transpose()
    }

    /// What is wrong with the URL of a service, for `Config::validate`.
    pub fn service_url_fault(&self, option: &str, url: &str) -> Option<String> {
        match channel::check(url, self.mutual_tls.is_some()) {
            Ok(()) => None,
            Err(error @ ChannelError::Plaintext) => Some(format!("{option}: {error}, which {MUTUAL_TLS} asks for")),
            Err(error) => Some(format!("{option}: {error}")),
        }
    }

    /// What is wrong with the values as a whole, one line a fault, for the process `name`.
    pub(crate) fn faults(&self, name: &str) -> Vec<String> {
        let mut faults = self.telemetry.faults();
        if let Err(error) = self.mutual_tls(name) {
            faults.push(format!("{MUTUAL_TLS}: {}", Chain(&error)));
        }
        faults.extend(self.channels.faults());
        faults.extend(self.listener.faults());
        let mut require = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let port_shared = self.listen.port() != 0 && self.listen.port() == self.admin_listen.port();
        require(!port_shared, "--listen and --admin-listen: must not name the same port");
        require(!self.max_deadline.is_zero(), "--max-deadline (GUILDHALL_MAX_DEADLINE): must be more than 0");
        require(self.max_in_flight > 0, "--max-in-flight (GUILDHALL_MAX_IN_FLIGHT): must be at least 1");
        faults
    }
}

/// What the process tells about itself. A command that does not serve, such as `migrate`, has these alone.
#[derive(Args, Clone, Debug)]
pub struct TelemetryOptions {
    /// Which log lines are written, as `level` or `target=level,..`.
    #[arg(long, env = "GUILDHALL_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "GUILDHALL_LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    /// OpenTelemetry collector (OTLP over gRPC). Without it nothing is exported.
    #[arg(long = "otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of new traces that are sampled, 0 to 1. A caller's decision overrules it.
    #[arg(long = "trace-ratio", env = "OTEL_TRACES_SAMPLER_ARG", value_name = "RATIO", default_value_t = 0.01)]
    pub trace_ratio: f64,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self { log: "info".to_owned(), log_format: LogFormat::Json, otlp_endpoint: None, trace_ratio: 0.01 }
    }
}

impl TelemetryOptions {
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            faults.push(format!("--log (GUILDHALL_LOG): {error}"));
        }
        let http_url = |text: &String| url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if self.endpoint().is_some_and(|endpoint| !http_url(endpoint)) {
            faults.push("--otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): must be an http or https URL".to_owned());
        }
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            faults.push("--trace-ratio (OTEL_TRACES_SAMPLER_ARG): must be from 0 to 1".to_owned());
        }
        faults
    }

    /// An empty variable means none, as OpenTelemetry asks.
    pub(crate) fn endpoint(&self) -> Option<&String> {
        self.otlp_endpoint.as_ref().filter(|endpoint| !endpoint.is_empty())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Whole or decimal seconds, up to a day.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    if (0.0..=86_400.0).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err("must be from 0 to 86400 seconds".to_owned())
    }
}
