//! What anything built of the same parts costs at least, on this machine and in this run.

pub mod empty;
pub mod hashing;
pub mod proxy;
pub mod signing;
pub mod sink;
pub mod transaction;

use std::net::SocketAddr;
use std::process::Command;

use crate::process::Process;
use crate::{Failure, house};

/// Starts this program again as one of the servers below.
pub fn serve(arguments: &[&str], cores: &[usize]) -> Result<(Process, SocketAddr), Failure> {
    let program = std::env::current_exe().map_err(Failure::system("cannot tell where this program is"))?;
    Process::listening(Command::new(program).args(arguments), cores)
}

/// Listens on a free port and says where.
#[expect(clippy::print_stdout, reason = "the load client reads it")]
pub(crate) async fn listen() -> Result<tokio::net::TcpListener, Failure> {
    let listener = tokio::net::TcpListener::bind(house::LOOPBACK)
        .await
        .map_err(Failure::system("cannot listen on a free port"))?;
    let address = listener.local_addr().map_err(Failure::system("cannot tell the port"))?;
    println!("listening {address}");
    Ok(listener)
}
