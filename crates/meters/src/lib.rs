//! Everything that Guildhall's processes measure, in one list: what dashboards, alerts and the documentation may name is what stands here,
//! and the code records nothing else.
//!
//! Names, units and labels are those of the semantic conventions of OpenTelemetry where they have one. Over OTLP a metric goes by its name as it
//! stands here; as Prometheus text by [`Meter::prometheus`]. No label tells one tenant, person or call from another: each takes its values from
//! a list that the code or the contract ends.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, IntoLabels, Unit};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
pub struct Meter {
    pub name: &'static str,
    pub kind: Kind,
    /// In UCUM, as OpenTelemetry has it: `s`, `By`, or what is counted in braces.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    /// Which processes record it.
    pub by: &'static [&'static str],
    pub what: &'static str,
}

/// For a metric that has none.
pub const NO_LABELS: &[(&str, &str)] = &[];

const ALL_PROCESSES: &[&str] = &["gateway", "org-service", "member-service", "authz-service"];
const SERVICES: &[&str] = &["org-service", "member-service", "authz-service"];

macro_rules! meters {
    ($($id:ident: $kind:ident $name:literal $unit:literal $labels:tt $by:expr, $what:literal;)*) => {
        $(pub static $id: Meter = Meter {
            name: $name, kind: Kind::$kind, unit: $unit, labels: &$labels, by: $by, what: $what,
        };)*
        /// In the order of the documentation.
        pub static ALL: &[&Meter] = &[$(&$id),*];
    };
}

meters! {
    CALLS: Histogram "rpc.server.call.duration" "s" ["rpc.system.name", "rpc.method", "rpc.response.status_code"] ALL_PROCESSES,
        "From a call's headers to the end of its response. Its count by method and code is the rate and the errors.";
    IN_FLIGHT: Gauge "rpc.server.calls_in_flight" "{call}" [] ALL_PROCESSES,
        "Calls that have begun and not ended, streams included.";
    SHED: Counter "rpc.server.shed" "{call}" [] ALL_PROCESSES,
        "Calls refused because as many as may be were in flight, or waited for a core.";
    PANICS: Counter "rpc.server.panics" "{panic}" [] ALL_PROCESSES,
        "Panics in a call. Its caller got INTERNAL.";
    LATE_REQUESTS: Counter "rpc.server.late_requests" "{call}" [] ALL_PROCESSES,
        "Calls whose request did not come in time.";
    RETRIES: Counter "rpc.client.retries" "{call}" [] ALL_PROCESSES,
        "Onward calls that were sent again.";
    EJECTIONS: Counter "rpc.client.ejections" "{replica}" [] ALL_PROCESSES,
        "Replicas of other services that were left out for a while, since they failed again and again.";
    CONNECTIONS_CUT: Counter "http.server.connections_cut" "{connection}" ["reason"] ALL_PROCESSES,
        "Connections cut for what came over them, by what it was.";
    CONNECTIONS_REFUSED: Counter "http.server.connections_refused" "{connection}" [] ALL_PROCESSES,
        "Connections not taken because as many as may be were open.";
    HANDSHAKES_FAILED: Counter "guildhall.tls.handshakes.failed" "{connection}" ["reason"] ALL_PROCESSES,
        "Connections without a certificate that is believed, or without TLS at all, where TLS is asked for.";
    CERTIFICATE_ENDS: Gauge "guildhall.tls.certificate.end_time" "s" ["use"] ALL_PROCESSES,
        "When the certificate ends that is shown now, in seconds since 1970: the `mutual` one or that of the gateway's `public` door.";
    FILES_UNUSABLE: Gauge "guildhall.tls.files.unusable" "1" ["use"] ALL_PROCESSES,
        "1 while the TLS files cannot be used that came to take the place of those in use.";
    MEMORY: Gauge "process.memory.usage" "By" [] ALL_PROCESSES,
        "Physical memory that the process holds. Linux only.";
    BUILD: Gauge "build.info" "1" ["name", "version"] ALL_PROCESSES,
        "1, with the version that runs.";
    CONNECTIONS: Gauge "db.client.connection.count" "{connection}" ["db.client.connection.pool.name", "db.client.connection.state"] SERVICES,
        "Connections to the database, `idle` or `used`.";
    CONNECTIONS_MAX: Gauge "db.client.connection.max" "{connection}" ["db.client.connection.pool.name"] SERVICES,
        "How many there may be.";
    CONNECTIONS_PENDING: Gauge "db.client.connection.pending_requests" "{request}" ["db.client.connection.pool.name"] SERVICES,
        "Who waits for a connection now.";
    CONNECTION_WAIT: Histogram "db.client.connection.wait_time" "s" ["db.client.connection.pool.name"] SERVICES,
        "How long those waited for a connection who found none idle.";
    CONNECTION_TIMEOUTS: Counter "db.client.connection.timeouts" "{timeout}" ["db.client.connection.pool.name"] SERVICES,
        "Waits that ended without a connection: the call was refused.";
    FEED_LAG: Gauge "guildhall.feed.lag" "s" ["source"] ALL_PROCESSES,
        "Age of the time up to which all events of another service have been heard. A second between heartbeats is usual.";
    OUTBOX: Gauge "guildhall.mail.outbox.size" "{mail}" [] &["member-service"],
        "Mails that wait to be sent, those tried before included.";
    OUTBOX_AGE: Gauge "guildhall.mail.outbox.age" "s" [] &["member-service"],
        "How long the mail has waited that has waited longest.";
    MAILS: Counter "guildhall.mail.tries" "{mail}" ["outcome"] &["member-service"],
        "Mails handed to the mail server: `sent`, `later`, or `refused` for good.";
    SNAPSHOT_LOOKUPS: Counter "guildhall.snapshots.lookups" "{lookup}" ["outcome"] &["authz-service"],
        "Looks into the snapshots in memory: a `hit` was fresh enough, `unproven` was there and had to be proven or brought forward, a `miss` was not there.";
    SNAPSHOT_LOADS: Counter "guildhall.snapshots.loads" "{load}" [] &["authz-service"],
        "Organizations read from the database as a whole.";
    SNAPSHOT_COUNT: Gauge "guildhall.snapshots.count" "{organization}" [] &["authz-service"],
        "Organizations in memory.";
    SNAPSHOT_BYTES: Gauge "guildhall.snapshots.size" "By" [] &["authz-service"],
        "About what they take.";
    SNAPSHOT_STALENESS: Gauge "guildhall.snapshots.staleness" "s" [] &["authz-service"],
        "Age of the oldest proof among the snapshots that are asked about, as the sweep finds it. Beyond the bound they prove themselves before they answer.";
    MINTED: Counter "guildhall.tokens.minted" "{token}" ["kind"] &["gateway"],
        "Access tokens signed, by whom they are for: `member`, `service_account`, `exchanged` or `operator`.";
    REFUSED: Counter "guildhall.tokens.refused" "{request}" ["reason"] &["gateway"],
        "Requests for a token by a client's, refresh or other token that were refused, by the error code of OAuth 2.";
}

impl Meter {
    pub fn counter(&self, labels: impl IntoLabels) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        metrics::counter!(self.name, labels)
    }

    pub fn gauge(&self, labels: impl IntoLabels) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        metrics::gauge!(self.name, labels)
    }

    pub fn histogram(&self, labels: impl IntoLabels) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        metrics::histogram!(self.name, labels)
    }

    /// One more, where there are no labels.
    pub fn count(&self) {
        self.counter(NO_LABELS).increment(1);
    }

    /// One more of a kind.
    pub fn count_of(&self, label: &'static str, value: &'static str) {
        debug_assert!(self.labels.contains(&label), "{}", self.name);
        self.counter(&[(label, value)]).increment(1);
    }

    /// The unit, where Prometheus puts it into the name.
    pub fn in_name(&self) -> Option<Unit> {
        match self.unit {
            "s" => Some(Unit::Seconds),
            "By" => Some(Unit::Bytes),
            _ => None,
        }
    }

    /// Its name as Prometheus text has it: `rpc.server.call.duration` becomes `rpc_server_call_duration_seconds`, and what counts ends
    /// in `_total`. A histogram's series have `_bucket`, `_sum` and `_count` behind it.
    pub fn prometheus(&self) -> String {
        let mut name = self.name.replace('.', "_");
        match self.in_name() {
            Some(Unit::Seconds) => name.push_str("_seconds"),
            Some(Unit::Bytes) => name.push_str("_bytes"),
            _ => {}
        }
        if self.kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }
}

type Observer = Box<dyn Fn() + Send>;

static OBSERVERS: Mutex<Vec<Observer>> = Mutex::new(Vec::new());

/// Has `observer` set gauges whenever somebody is about to read them: for what is a look away, and not worth a note with each change. It
/// must not wait.
pub fn observe(observer: impl Fn() + Send + 'static) {
    OBSERVERS.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(observer));
}

/// Looks at everything that is only looked at.
pub fn refresh() {
    OBSERVERS.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|observer| observer());
}

/// The list as a table in Markdown.
pub fn table() -> String {
    let mut table =
        "| metric | as Prometheus text | kind | unit | labels | of | what |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for meter in ALL {
        let labels: Vec<String> = meter.labels.iter().map(|label| format!("`{label}`")).collect();
        let by = if meter.by.len() == ALL_PROCESSES.len() { "all".to_owned() } else { meter.by.join(", ") };
        let kind = match meter.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let (name, text, unit, what) = (meter.name, meter.prometheus(), meter.unit, meter.what);
        let labels = labels.join(", ");
        let _ = writeln!(table, "| `{name}` | `{text}` | {kind} | `{unit}` | {labels} | {by} | {what} |");
    }
    table
}
