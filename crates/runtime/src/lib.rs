//! The process that every service is: command line and configuration, telemetry, the layers around each call, listeners,
//! readiness, an orderly end, and calls to other services. It knows no business word.
//!
//! A `main` is a table of contents:
//!
//! ```ignore
//! fn main() -> ExitCode {
//!     runtime::main(runtime::Service {
//!         name: "org-service",
//!         version: env!("CARGO_PKG_VERSION"),
//!         ports: runtime::Ports { api: 7101, admin: 7201 },
//!         public: false,
//!         serve: org_service::serve,
//!         migrate: Some(org_service::migrate),
//!     })
//! }
//!
//! async fn serve(config: Config, process: runtime::Process) -> Result<(), runtime::Error> {
//!     let schema = process.readiness().condition("schema");
//!     process.background().spawn(watch_schema(store.clone(), schema));
//!     let api = runtime::Api::new(contract).service(OrganizationServiceServer::new(service));
//!     Ok(process.serve(api, access.layer()).await?)
//! }
//! ```

/// Of every process: a call takes and gives back some dozens of pieces of memory, from a few bytes to the 8 KiB of a message's buffer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod admin;
mod answer;
mod call;
mod channel;
mod command;
mod contract;
mod current;
mod inlet;
mod kill_point;
mod layers;
mod listener;
mod log_format;
mod options;
mod probe;
mod readiness;
mod recorder;
mod refusal;
mod server;
mod services;
mod shutdown;
mod statements;
mod telemetry;

pub use ::channel::NOT_BEGUN;
pub use answer::{Wire, answer, http_status, status_json};
pub use call::{CallContext, RequestId, TraceContext};
pub use channel::{Channel, ChannelError, ChannelOptions, connect};
pub use command::{Config, Error, MigrateConfig, NoMigration, Ports, Service, main, no_migration};
pub use contract::{Contract, ContractError, Method};
pub use current::spawn_in_call;
pub use inlet::Inlet;
pub use kill_point::kill_point;
pub use layers::{Layered, Layers, assemble};
pub use listener::{BindError, ListenerOptions};
pub use options::{LogFormat, ProcessOptions, TelemetryOptions, seconds};
pub use readiness::{Condition, Readiness};
pub use refusal::{Chain, Checked, ERROR_DOMAIN, Refusal, Violations, internal};
pub use server::{Api, Process, ServeError, StartError};
pub use services::Services;
pub use shutdown::{Background, Shutdown};
pub use telemetry::{Telemetry, TelemetryError, prometheus};
pub use tls::Peer;
