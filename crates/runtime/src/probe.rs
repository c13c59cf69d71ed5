//! Asking a process on this machine whether it is ready, for container runtimes whose images have no other program to ask with.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::command::Error;

const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) async fn ready(admin: SocketAddr) -> Result<(), Error> {
    let channel = Endpoint::from_shared(format!("http://{}", reached(admin)))?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .connect()
        .await
        .map_err(|error| format!("nothing answers at {admin}: {error}"))?;
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        status => Err(format!("{}; GET /readyz at {admin} says why", status.as_str_name()).into()),
    }
}

/// Who listens on every address is reached on the loopback one.
fn reached(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
