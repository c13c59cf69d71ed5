//! Calls to a service that runs as several replicas: one mechanism for the gateway's forwarding, for the services' calls to each other,
//! and for the `client` crate.
//!
//! - `address` reads what names the replicas: a host name whose every A and AAAA record is one, or a list;
//! - `names` looks them up, and `follow` does so again and again;
//! - `connect` keeps one HTTP/2 connection to each, made anew when it is lost;
//! - `fleet` picks the replica for a call: of two at random, the one with fewer calls open, passing over those that `health` has found
//!   failing;
//! - `call` sends it, and sends it again where that is safe.
//!
//! It knows no contract: whoever calls says whether a call may be repeated.
//!
//! What is bounded: the calls open at once, the time to connect, the time that a connection may be silent, the part of a request that is
//! kept for repeating it, how often one is repeated, and what repeating adds to the load.

mod address;
mod answer;
mod call;
mod connect;
mod cork;
mod fleet;
mod follow;
mod gather;
mod health;
mod names;
pub mod timeout;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tower::retry::budget::TpsBudget;

use fleet::Fleet;

pub use address::AddressError;
pub use call::{Asked, Failure};
pub use cork::Corked;
pub use gather::gathered;

/// "Do not ask again": set on an UNAVAILABLE answer by whoever has asked again in vain, so that nobody above does so once more and
/// retries stay in one layer. As gRPC's retry design has it (gRFC A6): a negative value forbids.
pub const PUSHBACK: http::HeaderName = http::HeaderName::from_static("grpc-retry-pushback-ms");
/// "I have not looked at it": set on an UNAVAILABLE answer by a replica that knows too little yet to take any call. Another may be asked,
/// whatever the call does.
pub const NOT_BEGUN: &str = "guildhall-not-begun";

/// How a channel behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// For one address: TCP, TLS, and the first word of its server.
    pub connect_timeout: Duration,
    /// A connection on which nothing was heard for this long is asked for a sign of life.
    pub keepalive_interval: Duration,
    /// And has this long to give it. A half-open connection is found within the sum of both.
    pub keepalive_timeout: Duration,
    /// How often names are looked up. They also are when a connection fails, at most twice a second.
    pub look_up_interval: Duration,
    /// Asked for names instead of the machine's own resolver.
    pub name_server: Option<SocketAddr>,
    /// By which certificates `https://` is dialled; `http://` is then refused. Without it the machine's authorities are believed.
    pub mutual_tls: Option<tls::Mutual>,
    /// Calls open at once, of which at most half may be streams. The next is refused.
    pub max_calls: usize,
    /// What a stream's reader is told when the connection is lost under it.
    pub lost: fn() -> Status,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(2),
            look_up_interval: Duration::from_secs(5),
            name_server: None,
            mutual_tls: None,
            max_calls: 4096,
            lost: || Status::unavailable("the connection was lost"),
        }
    }
}

/// Connections to the replicas of one service. Cheap to clone; all clones are one, and with the last of them the connections end once
/// their calls have.
#[derive(Clone, Debug)]
pub struct Channel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fleet: Arc<Fleet>,
    /// Beside the calls of the last ten seconds a fifth may be repetitions, or ten a second where there are few: when a service is down
    /// its callers do not multiply the load.
    budget: TpsBudget,
    places: Arc<Semaphore>,
    /// A stream may stay open for an hour: all of them together leave room for calls that end.
    streams: Arc<Semaphore>,
    lost: fn() -> Status,
    _alive: DropGuard,
}

impl Channel {
    /// `address` is `http://host:port` or `https://host:port`, or several of them with commas in between: each a replica, or a name with
    /// the addresses of several. Connects when the first call is made. Must be called inside the tokio runtime.
    pub fn open(address: &str, options: Options) -> Result<Self, AddressError> {
        let targets = address::parse(address)?;
        let names = names::Names::new(options.name_server).map_err(|_| AddressError::Resolver)?;
        let alive = CancellationToken::new();
        let fleet = Arc::new(Fleet::new());
        let dial = connect::Dial::new(&targets, &options)?;
        let follow =
            follow::Follow::new(targets, names, options.look_up_interval, Arc::clone(&fleet), dial, alive.clone());
        tokio::spawn(alive.clone().run_until_cancelled_owned(follow.run()));
        Ok(Self(Arc::new(Inner {
            fleet,
            budget: TpsBudget::new(Duration::from_secs(10), 10, 0.2),
            places: Arc::new(Semaphore::new(options.max_calls.min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(options.max_calls.div_ceil(2).min(Semaphore::MAX_PERMITS))),
            lost: options.lost,
            _alive: alive.drop_guard(),
        })))
    }
}

/// Whether `Channel::open` would take the text, with mutual TLS or without.
pub fn check(address: &str, mutual_tls: bool) -> Result<(), AddressError> {
    let targets = address::parse(address)?;
    let plaintext = targets.iter().any(|target| target.origin.scheme == http::uri::Scheme::HTTP);
    if mutual_tls && plaintext { Err(AddressError::Plaintext) } else { Ok(()) }
}
