use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::Failure;

/// Who listens, in the order of a row of ports that begins with a given one.
pub const LISTENERS: [&str; 8] = [
    "gateway",
    "gateway's admin port",
    "org-service",
    "member-service",
    "authz-service",
    "org-service's admin port",
    "member-service's admin port",
    "authz-service's admin port",
];

const DOCUMENTED: [u16; 8] = [8080, 8081, 7101, 7102, 7103, 7201, 7202, 7203];

/// Which ports to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Documented,
    Auto,
    From(u16),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "documented" => Ok(Self::Documented),
            "auto" => Ok(Self::Auto),
            number => match number.parse() {
                Ok(first @ 1024..=65528) => Ok(Self::From(first)),
                _ => Err("not `documented`, `auto`, or a port from 1024 to 65528".to_owned()),
            },
        }
    }
}

/// Where everybody listens: on the loopback address, since nothing of a developer's is for the network.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub gateway: SocketAddr,
    pub gateway_admin: SocketAddr,
    pub org: SocketAddr,
    pub member: SocketAddr,
    pub authz: SocketAddr,
    pub org_admin: SocketAddr,
    pub member_admin: SocketAddr,
    pub authz_admin: SocketAddr,
}

impl Ports {
    /// Ports that are free now, and stay so for as long as the listeners are held that come with them. `patience` is for those that the last
    /// run's children still hold, if it was killed.
    pub async fn take(choice: Choice, patience: Duration) -> Result<(Self, Vec<TcpListener>), Failure> {
        let begun = Instant::now();
        loop {
            match Self::free(choice) {
                Err(Failure::PortInUse { .. }) if begun.elapsed() < patience => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                other => return other,
            }
        }
    }

    fn free(choice: Choice) -> Result<(Self, Vec<TcpListener>), Failure> {
        let numbers = match choice {
            Choice::Documented => DOCUMENTED,
            Choice::From(first) => std::array::from_fn(|at| first + at as u16),
            Choice::Auto => {
                let mut numbers = BTreeSet::new();
                while numbers.len() < 8 {
                    numbers.insert(local_postgres::free_port(Ipv4Addr::LOCALHOST.into())?.port());
                }
                let mut numbers = numbers.into_iter();
                std::array::from_fn(|_| numbers.next().unwrap_or_default())
            }
        };
        let bind = |(port, what)| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|_| Failure::PortInUse { port, what })
        };
        let kept = numbers.into_iter().zip(LISTENERS).map(bind).collect::<Result<_, _>>()?;
        let [gateway, gateway_admin, org, member, authz, org_admin, member_admin, authz_admin] =
            numbers.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok((Self { gateway, gateway_admin, org, member, authz, org_admin, member_admin, authz_admin }, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_purpose_and_the_flag() {
        let (ports, kept) = Ports::take(Choice::Auto, Duration::ZERO).await.unwrap();
        assert!(TcpListener::bind(ports.member_admin).is_err(), "somebody else may have it");
        drop(kept);
        let first = ports.gateway.port();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 2)).unwrap();
        let refused = Ports::take(Choice::From(first), Duration::ZERO).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("port {}", first + 2)) && refused.contains("--ports"), "{refused}");
    }

    #[test]
    fn a_choice_is_a_word_or_the_first_of_a_row() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("9000".parse(), Ok(Choice::From(9000)));
        assert!(
            "80".parse::<Choice>().is_err() && "65530".parse::<Choice>().is_err() && "x".parse::<Choice>().is_err()
        );
    }
}
