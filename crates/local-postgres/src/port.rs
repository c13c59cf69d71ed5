use std::net::{IpAddr, SocketAddr, TcpListener};

use rand::Rng as _;

use crate::Error;

/// Below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing connections: a port found here is not
/// taken by somebody's outgoing connection while its server restarts. Above the ports that people give to their own servers.
const FIRST: u16 = 18_000;
const LAST: u16 = 31_999;

/// A port of this address, a loopback one, that nothing listens on now. Picked at random, so that processes looking at the same moment
/// seldom meet.
pub fn free_port(ip: IpAddr) -> Result<SocketAddr, Error> {
    let mut random = rand::rng();
    for _ in 0..2_000 {
        let address = SocketAddr::new(ip, random.random_range(FIRST..=LAST));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::NoFreePort { first: FIRST, last: LAST })
}
