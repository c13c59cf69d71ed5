//! "May they?" in one line, for members that were verified here: by an engine in memory for each organization that is asked about, or by
//! the server.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::{
    Client,
    embedded::{Consistency, EmbeddedEngine, EngineOptions, Permission, Place, ResourceRef, Subject, Unanswered},
    offline::Member,
};

/// Engines that are held at once. One costs a stream and the organization's bindings in memory.
const ENGINES: usize = 256;

/// Answers for any number of organizations. What they may do is decided at every call, never by what a token says; a token that was
/// narrowed to some permissions allows no others.
#[derive(Debug)]
pub struct Checks {
    client: Client,
    options: EngineOptions,
    engines: Mutex<HashMap<String, (EmbeddedEngine, Instant)>>,
}

impl Client {
    /// See [`Checks`]. The client's credential needs `guildhall.authorization:check` in the organizations: a service account of the
    /// project has it.
    pub fn checks(&self, options: EngineOptions) -> Checks {
        Checks { client: self.clone(), options, engines: Mutex::default() }
    }
}

impl Checks {
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
        let answer = self.engine(&member.organization_id).check(&question, &Consistency::MinimizeLatency).await;
        match answer {
            // It will not come back to life: whoever asks next gets another.
            Err(Unanswered::Ended(status)) => {
                self.engines.lock().unwrap_or_else(PoisonError::into_inner).remove(&member.organization_id);
                Err(Unanswered::Ended(status))
            }
            Err(error) => Err(error),
            Ok(answer) => Ok(answer.decision == crate::embedded::Decision::Allowed),
        }
    }

    fn engine(&self, organization: &str) -> EmbeddedEngine {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((engine, used)) = engines.get_mut(organization) {
            *used = Instant::now();
            return engine.clone();
        }
        if engines.len() >= ENGINES {
            let oldest = engines.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone());
            oldest.and_then(|name| engines.remove(&name));
        }
        let engine = self.client.embedded_engine(organization, self.options.clone());
        engines.insert(organization.to_owned(), (engine.clone(), Instant::now()));
        engine
    }
}
