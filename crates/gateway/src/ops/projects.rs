//! What the gateway must know of a project to make its tokens.

use std::time::{Duration, Instant};

use api::org::v1::{SigningAlgorithm, TokenSettings};
use runtime::{CallContext, Refusal};
use tenancy::ProjectId;
use tokens::Algorithm;
use tonic::{Code, Status};

use crate::remote::Remote;

/// A changed setting holds for new tokens after this time.
const FRESH: Duration = Duration::from_secs(10);
const KEPT: u64 = 10_000;

/// How a project's tokens are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Making {
    pub algorithm: Algorithm,
}

/// The projects' settings, asked of org-service and kept for some seconds, so that not every token waits for a call.
#[derive(Debug)]
pub struct Projects {
    remote: Remote,
    known: moka::sync::Cache<ProjectId, (Instant, Making)>,
}

impl Projects {
    pub fn new(remote: Remote) -> Self {
        Self { remote, known: moka::sync::Cache::new(KEPT) }
    }

    /// While org-service does not answer, what it said before goes on to hold: a session must not end because a setting cannot be
    /// looked up.
    pub async fn making(&self, call: &CallContext, project: ProjectId) -> Result<Making, Status> {
        let known = self.known.get(&project);
        if let Some((_, making)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(*making);
        }
        let asked = Instant::now();
        match self.remote.project(call, project).await {
            Ok(Some(entry)) => {
                let settings = entry.token_settings.unwrap_or_default();
                let making = Making { algorithm: algorithm(&settings) };
                self.known.insert(project, (asked, making));
                Ok(making)
            }
            Ok(None) => Err(Refusal::not_found("project").into()),
            Err(status) => match known {
                Some((_, making)) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => Ok(making),
                _ => Err(status),
            },
        }
    }
}

fn algorithm(settings: &TokenSettings) -> Algorithm {
    match settings.algorithm() {
        SigningAlgorithm::Unspecified | SigningAlgorithm::Eddsa => Algorithm::EdDsa,
        SigningAlgorithm::Es256 => Algorithm::Es256,
        SigningAlgorithm::Rs256 => Algorithm::Rs256,
    }
}
