use std::io;
use std::path::PathBuf;

/// Why there is no PostgreSQL. Each message is one line that says what to do, or is followed by the server's own last words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "PostgreSQL {oldest} or newer is not on this machine: install it (Debian: apt-get install postgresql, macOS: brew install \
         postgresql@17) or set DATABASE_URL to a superuser's URL",
        oldest = crate::OLDEST_MAJOR
    )]
    NotInstalled,
    #[error("{command} failed: {reason}; install PostgreSQL {oldest} or newer yourself, or set DATABASE_URL", oldest = crate::OLDEST_MAJOR)]
    InstallFailed { command: String, reason: String },
    #[error(
        "the data in {data} was made by PostgreSQL {major}, which is not on this machine: install it, or start anew with --reset"
    )]
    MajorNotInstalled { data: PathBuf, major: u32 },
    #[error("the data in {data} belongs to another user (uid {uid}): run as that user, or use another directory")]
    ForeignData { data: PathBuf, uid: u32 },
    #[error(
        "running as root, and neither the account postgres nor nobody exists to run PostgreSQL as: create one of them"
    )]
    NoAccount,
    #[error("initdb failed: {0}")]
    Initdb(String),
    #[error("PostgreSQL did not start: {0}")]
    NotStarted(String),
    #[error("PostgreSQL did not answer within {seconds} seconds; its log is {log}")]
    NotReady { seconds: u64, log: PathBuf },
    #[error("another PostgreSQL (pid {pid}) still runs on {data} and does not stop: stop it with `kill -INT {pid}`")]
    StillRunning { data: PathBuf, pid: i32 },
    #[error("no free port between {first} and {last}")]
    NoFreePort { first: u16, last: u16 },
    #[error("{what} {path}")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot run {program}")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("not a PostgreSQL URL (postgres://user:password@host:port/database): {0}")]
    Url(String),
    #[error("not a name for a database of ours (a-z, 0-9 and _, at most 63): {0}")]
    DatabaseName(String),
    #[error("{what}")]
    Database {
        what: &'static str,
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    pub(crate) fn run(program: impl AsRef<std::path::Path>) -> impl FnOnce(io::Error) -> Self {
        let program = program.as_ref().display().to_string();
        move |source| Self::Run { program, source }
    }

    pub(crate) fn database(what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { what, source }
    }
}
