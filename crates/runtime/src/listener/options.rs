//! What one caller may do to a listener.

use std::time::Duration;

use clap::Args;

use crate::options::seconds;

/// What a connection to the API listener may do. Whatever it does beyond ends it alone: others do not notice. A gateway, which strangers
/// connect to, allows one connection fewer streams and resets than a service, whose callers each speak for many.
#[derive(Args, Clone, Copy, Debug)]
pub struct ListenerOptions {
    /// Connections that may be open at once. The next one takes the place of one that is idle, or is refused. At most what the process may
    /// open as files, less 256.
    #[arg(long, env = "GUILDHALL_MAX_CONNECTIONS", value_name = "CONNECTIONS", default_value_t = 10_000)]
    pub max_connections: usize,
    /// Concurrent HTTP/2 streams that one connection may open. A service's callers have one connection to each of its replicas, for as many
    /// calls as their `--max-onward-calls` allows: with fewer here, those beyond would wait for others' to end instead of being refused.
    #[arg(long, env = "GUILDHALL_MAX_STREAMS", value_name = "STREAMS", default_value_t = 4096)]
    pub max_streams: u32,
    /// Calls a second that one connection may give up (RST_STREAM). As many as two for each stream that it may open can come at once.
    #[arg(long, env = "GUILDHALL_MAX_RESETS", value_name = "RESETS", default_value_t = 1000)]
    pub max_resets: u32,
    /// HTTP/2 frames a second that one connection may send beside calls: PING, SETTINGS, PRIORITY, CONTINUATION, empty DATA. Twice as many
    /// can come at once. Measuring a fast network takes a few thousand pings a second.
    #[arg(long, env = "GUILDHALL_MAX_CONTROL_FRAMES", value_name = "FRAMES", default_value_t = 10_000)]
    pub max_control_frames: u32,
    /// Bytes of a request's headers, names and values, unpacked.
    #[arg(long, env = "GUILDHALL_MAX_HEADER_BYTES", value_name = "BYTES", default_value_t = 32 * 1024)]
    pub max_header_bytes: u32,
    /// Seconds for the beginning of a connection, and for each block of headers, from its first byte to its last.
    #[arg(long, env = "GUILDHALL_HEADER_TIMEOUT", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub header_timeout: Duration,
    /// Seconds for a request that is one message to come whole, or its first 64 KiB. Until then it takes none of the places that
    /// `--max-in-flight` counts. For the gateway, whose onward requests have come before they are sent.
    #[arg(long, env = "GUILDHALL_BODY_TIMEOUT", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub body_timeout: Duration,
    /// Seconds that a reader may leave an answer, that is ready to go on, without reading. Then its connection is cut.
    #[arg(long, env = "GUILDHALL_READ_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub read_timeout: Duration,
    /// Seconds without a call after which a connection is asked to end. One whose peer is gone is found sooner, by pings.
    #[arg(long, env = "GUILDHALL_IDLE_TIMEOUT", value_name = "SECONDS", default_value = "900", value_parser = seconds)]
    pub idle_timeout: Duration,
    /// Seconds after which a connection is asked to end (GOAWAY), give or take a tenth, so that new replicas get their share of old callers.
    #[arg(long, env = "GUILDHALL_CONNECTION_AGE", value_name = "SECONDS", default_value = "1800", value_parser = seconds)]
    pub connection_age: Duration,
    /// Seconds that its calls may go on after that. Then it is cut: a stream that is still open is opened anew by its reader.
    #[arg(long, env = "GUILDHALL_CONNECTION_GRACE", value_name = "SECONDS", default_value = "1800", value_parser = seconds)]
    pub connection_grace: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_streams: 4096,
            max_resets: 1000,
            max_control_frames: 10_000,
            max_header_bytes: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(900),
            connection_age: Duration::from_secs(1800),
            connection_grace: Duration::from_secs(1800),
        }
    }
}

impl ListenerOptions {
    pub(crate) fn faults(&self) -> Vec<String> {
        let times = [
            ("--header-timeout (GUILDHALL_HEADER_TIMEOUT)", self.header_timeout),
            ("--body-timeout (GUILDHALL_BODY_TIMEOUT)", self.body_timeout),
            ("--read-timeout (GUILDHALL_READ_TIMEOUT)", self.read_timeout),
            ("--idle-timeout (GUILDHALL_IDLE_TIMEOUT)", self.idle_timeout),
            ("--connection-age (GUILDHALL_CONNECTION_AGE)", self.connection_age),
            ("--connection-grace (GUILDHALL_CONNECTION_GRACE)", self.connection_grace),
        ];
        let counts = [
            ("--max-connections (GUILDHALL_MAX_CONNECTIONS)", self.max_connections > 0),
            ("--max-streams (GUILDHALL_MAX_STREAMS)", self.max_streams > 0),
            ("--max-resets (GUILDHALL_MAX_RESETS)", self.max_resets > 0),
            ("--max-control-frames (GUILDHALL_MAX_CONTROL_FRAMES)", self.max_control_frames > 0),
        ];
        let times = times.into_iter().map(|(option, time)| (option, !time.is_zero()));
        let wrong = times.chain(counts).filter(|(_, holds)| !holds);
        let mut faults: Vec<_> = wrong.map(|(option, _)| format!("{option}: must be more than 0")).collect();
        // A token of 4 KiB, and what else belongs to a call.
        if self.max_header_bytes < 8 * 1024 {
            faults.push("--max-header-bytes (GUILDHALL_MAX_HEADER_BYTES): must be at least 8192".to_owned());
        }
        faults
    }
}
