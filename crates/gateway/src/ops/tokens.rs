//! What the OAuth endpoints do, whichever way they are asked: over HTTP or gRPC.

use std::sync::Arc;

use super::{clients::Clients, exchange::Exchanges, sessions::Sessions, standing::Standing};
use crate::limits::Limits;

#[derive(Debug)]
pub struct Tokens {
    pub clients: Arc<Clients>,
    pub sessions: Arc<Sessions>,
    pub exchanges: Exchanges,
    pub standing: Standing,
    pub limits: Arc<Limits>,
}
