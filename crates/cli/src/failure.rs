use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why the command gives up. Each message is one line that says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(
        "another `guildhall dev` (pid {pid}) uses {directory}: stop it with Ctrl-C or `kill {pid}`, or take another directory with --directory"
    )]
    Locked { directory: PathBuf, pid: String },
    #[error(
        "{directory} was not made by `guildhall dev`, and may hold what cannot be had again: nothing was removed; take another directory with --directory"
    )]
    NotOurs { directory: PathBuf },
    #[error(
        "port {port} of 127.0.0.1, meant for {what}, is in use: stop what listens there, or choose others with --ports (such as --ports auto)"
    )]
    PortInUse { port: u16, what: &'static str },
    #[error(
        "{path} is missing: build it with `cargo build --workspace --release` (make up does), or say where it is with --bin-dir"
    )]
    BinaryMissing { path: PathBuf },
    #[error("`{service} migrate` failed ({status}); its lines above say why")]
    Migration { service: &'static str, status: ExitStatus },
    #[error("{service} does not stay up ({status}); its lines above say why")]
    DoesNotStayUp { service: &'static str, status: ExitStatus },
    #[error("{service} is not ready after {seconds} s: {reason}")]
    NotReady { service: &'static str, seconds: u64, reason: String },
    #[error(
        "{directory} was seeded in another database ({seeded}): go back to that one, start anew with --reset, or take another --directory"
    )]
    SeededElsewhere { directory: PathBuf, seeded: String },
    #[error("the gateway gave the operator no token: {0}")]
    NoToken(String),
    #[error("the gateway cannot give the operator a token now: {0}")]
    GatewayBusy(String),
    #[error("seeding the demo project failed at {step}: {status}")]
    Seed { step: &'static str, status: Box<tonic::Status> },
    #[error("cannot reach the gateway")]
    Gateway(#[source] tonic::transport::Error),
    #[error("{path} is not what this version writes: remove it, or start anew with --reset")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} holds no private keys in PKCS#8 PEM ({fault}): restore it, or move it away to get new ones")]
    NotAKey { path: PathBuf, fault: String },
    #[error("{path} is no set of public keys: restore it, or move it away to have it made again from the private ones")]
    NotAKeySet { path: PathBuf },
    #[error("somebody else is rotating the keys of {directory}: try again when they are done")]
    RotationUnderWay { directory: PathBuf },
    #[error("a key of {signer} was published at {published}, and this machine says it is {now}: set its clock first")]
    ClockBehind { signer: String, published: String, now: String },
    #[error("the machine's random source or cryptography failed")]
    Cryptography,
    #[error("{what} {path}")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{what}")]
    System {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// What was typed cannot be meant.
    #[error("{0}")]
    Usage(String),
    #[error("{path}:{line}: {fault}")]
    Contexts { path: PathBuf, line: usize, fault: String },
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    /// The server's answer to a call.
    #[error("{0}")]
    Refused(Box<tonic::Status>),
    #[error("{refused} of {total} rows were refused; mend them and run the same import again")]
    RowsRefused { refused: usize, total: usize },
    #[error("{failed} of {total} assertions do not hold")]
    AssertionsFailed { failed: usize, total: usize },
    #[error(transparent)]
    Postgres(#[from] local_postgres::Error),
}

impl Failure {
    /// Whether the same may succeed in a moment.
    pub fn may_pass(&self) -> bool {
        use tonic::Code::{Aborted, Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable};
        match self {
            Self::Seed { status, .. } => {
                matches!(status.code(), Unavailable | ResourceExhausted | DeadlineExceeded | Cancelled | Aborted)
            }
            Self::GatewayBusy(_) | Self::Gateway(_) => true,
            _ => false,
        }
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<tokens::CryptographyFailed> for Failure {
    fn from(_: tokens::CryptographyFailed) -> Self {
        Self::Cryptography
    }
}

impl Failure {
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    pub fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
