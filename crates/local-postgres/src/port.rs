use std::net::{Ipv4Addr, TcpListener};

use rand::Rng as _;

use crate::Error;

/// Below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing connections: a port found here is not
/// taken by somebody's outgoing connection while its server restarts. Above the ports that people give to their own servers.
const FIRST: u16 = 18_000;
const LAST: u16 = 31_999;

/// A port on 127.0.0.1 that nothing listens on now. Picked at random, so that processes looking at the same moment seldom meet.
pub fn free_port() -> Result<u16, Error> {
    let mut random = rand::rng();
    for _ in 0..2_000 {
        let port = random.random_range(FIRST..=LAST);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::NoFreePort { first: FIRST, last: LAST })
}
