//! Events over the wire: the `EventService` that each of the three services implements for its own schema, and the reading of
//! another service's feed.

mod consumer;
mod convert;
mod invalidations;
mod server;

pub use consumer::{Applied, Consumer, MAX_EVENT_BYTES, News, Source, consume, follow};
pub use convert::{actor_from_proto, actor_to_proto};
pub use invalidations::{Own, attend, depend_on, learn_from, learn_from_own};
pub use server::{EventServer, Payload};
