//! "May they?" in one line, for members that were verified here: by an engine in memory for each organization that is asked about, or by
//! the server.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Client,
    embedded::{
        self, Consistency, Decision, EmbeddedEngine, EngineOptions, Otherwise, Permission, Place, ResourceRef, Subject,
        Unanswered,
    },
    offline::Member,
};

/// Engines that are held at once, unless told. One costs a stream and the organization's bindings in memory.
const ENGINES: usize = 256;
/// One that was asked within this gives way to no other: with more organizations than engines, each question would begin a stream.
const IN_USE: Duration = Duration::from_secs(60);

/// Answers for any number of organizations. What they may do is decided at every call, never by what a token says; a token that was
/// narrowed to some permissions allows no others.
#[derive(Debug)]
pub struct Checks {
    client: Client,
    options: EngineOptions,
    most: usize,
    engines: Mutex<HashMap<String, (EmbeddedEngine, Instant)>>,
}

impl Client {
    /// See [`Checks`]. The client's credential needs `guildhall.authorization:check` in the organizations: a service account of the
    /// project has it.
    pub fn checks(&self, options: EngineOptions) -> Checks {
        Checks { client: self.clone(), options, most: ENGINES, engines: Mutex::default() }
    }
}

impl Checks {
    /// Holds engines for as many organizations at once; 256 unless told. Of more that are in use, the server is asked.
    #[must_use]
    pub fn with_engines(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Whether the member may, at the organization or at a resource of it. What depends on inputs that were not given is not allowed.
    pub async fn allows(
        &self,
        member: &Member,
        permission: &Permission,
        resource: Option<ResourceRef>,
    ) -> Result<bool, Unanswered> {
        let narrowed = !member.permissions.is_empty();
        if narrowed && !member.permissions.contains(&permission.to_string()) {
            return Ok(false);
        }
        let Ok(subject) = member.member_id.parse::<Subject>() else { return Ok(false) };
        let place = Place { resource, ..Place::new(subject) };
        let question = place.asks(permission.clone());
        let consistency = Consistency::MinimizeLatency;
        let answer = match (self.engine(&member.organization_id), self.options.otherwise) {
            (Some(engine), _) => engine.check(&question, &consistency).await,
            (None, Otherwise::AskServer) => {
                embedded::ask(&self.client.authorization(), &member.organization_id, &question, &consistency).await
            }
            (None, Otherwise::Refuse { .. }) => Err(Unanswered::Stale),
        };
        match answer {
            // It will not come back to life: whoever asks next gets another.
            Err(Unanswered::Ended(status)) => {
                self.engines.lock().unwrap_or_else(PoisonError::into_inner).remove(&member.organization_id);
                Err(Unanswered::Ended(status))
            }
            Err(error) => Err(error),
            Ok(answer) => Ok(answer.decision == Decision::Allowed),
        }
    }

    /// None while as many as may be are in use.
    fn engine(&self, organization: &str) -> Option<EmbeddedEngine> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((engine, used)) = engines.get_mut(organization) {
            *used = Instant::now();
            return Some(engine.clone());
        }
        if engines.len() >= self.most {
            let oldest = engines.iter().min_by_key(|(_, (_, used))| *used);
            let idle = oldest.filter(|(_, (_, used))| used.elapsed() > IN_USE).map(|(name, _)| name.clone())?;
            engines.remove(&idle);
        }
        let engine = self.client.embedded_engine(organization, self.options.clone());
        engines.insert(organization.to_owned(), (engine.clone(), Instant::now()));
        Some(engine)
    }
}
