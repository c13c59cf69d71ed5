use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Why a run ends without a table. A measurement that met a single refusal is none: it would count cheap answers as work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{what}")]
    System {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the connection to {address} failed")]
    Connection {
        address: std::net::SocketAddr,
        #[source]
        source: h2::Error,
    },
    #[error("a call of {path} was refused: {why}")]
    Refused {
        path: String,
        why: String,
        /// When to come again, if that was said: by whoever has too much to do.
        retry_after: Option<Duration>,
    },
    #[error("an answer of {path} cannot be read: {why}")]
    Answer { path: String, why: String },
    #[error("the database failed while {doing}")]
    Database {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("{name} was not ready within {seconds} s")]
    NotReady { name: String, seconds: u64 },
    #[error("{0}")]
    Unmeasurable(String),
    #[error("cannot write {path}")]
    Unwritable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Failure {
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }

    pub fn database(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    pub fn refused(path: impl Into<String>, why: String) -> Self {
        Self::Refused { path: path.into(), why, retry_after: None }
    }

    /// The failure and all that led to it.
    pub fn told(&self) -> String {
        let mut told = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            told = format!("{told}: {error}");
            cause = error.source();
        }
        told
    }
}
