//! JSON over HTTP, by `google.api.http`: another form of the same calls, and no second door.
//!
//! 1. Outside of all layers (`Routes::find`) verb and path become the method's gRPC path, so that every layer, metric and limit sees
//!    the method that is called.
//! 2. At the edge, once the call is admitted, its JSON becomes the request message ([`Call::read`]): who may not call learns nothing of
//!    what is wrong with their request, and costs no reading of it.
//! 3. Outside of all layers again the gRPC answer becomes JSON (`answer`), whoever gave it: a service, the edge or a layer.

mod answer;
mod call;
pub mod fields;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod lines;
mod message;
#[cfg(test)]
mod properties;
mod query;
mod routes;
mod template;
mod tree;
#[cfg(any(test, fuzzing))]
mod written;

pub use call::{Call, MAX_BYTES_OF_ANYONE, Unroutable, route};
pub use routes::{Binding, Body as BodyRule, Routes};
