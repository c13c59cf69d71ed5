//! What a project says of its tokens: what they are signed with, which audiences they may be for, and which claims of its own its
//! members' tokens have.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    member::v1::SessionGrant,
    org::v1::{ProjectState, SigningAlgorithm, TokenSettings},
};
use moka::sync::Cache;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use runtime::CallContext;
use serde_json::{Map, Number, Value};
use tenancy::{OrganizationId, ProjectId};
use tokens::Algorithm;
use tonic::{Code, Status};

use crate::{
    mint::{LIFETIME, MAX_TOKEN, Terms},
    refusal,
    remote::Remote,
};

/// A change of a project's settings is in force after this long at the latest.
const FRESH: Duration = Duration::from_secs(2);
const PROJECTS: u64 = 10_000;
/// Of one claim, as JSON.
const MAX_VALUE: usize = 512;
/// The largest whole number that a double holds with all smaller ones.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[derive(Debug)]
pub struct Projects {
    remote: Remote,
    known: Cache<ProjectId, (Instant, Arc<TokenSettings>)>,
}

impl Projects {
    pub fn new(remote: Remote) -> Self {
        Self { remote, known: Cache::new(PROJECTS) }
    }

    /// As of two seconds ago at the earliest. While org-service does not answer, what it said before goes on to hold: a session must not
    /// end because a setting cannot be looked up.
    async fn settings(&self, call: &CallContext, project: ProjectId) -> Result<Arc<TokenSettings>, Status> {
        let known = self.known.get(&project);
        if let Some((_, settings)) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(settings.clone());
        }
        let asked = Instant::now();
        match self.remote.project(call, project).await {
            Ok(entry) => {
                let entry = entry.filter(|entry| entry.state() != ProjectState::Archived);
                let entry = entry.ok_or_else(access::project_archived)?;
                let settings = Arc::new(entry.token_settings.unwrap_or_default());
                self.known.insert(project, (asked, settings.clone()));
                Ok(settings)
            }
            Err(status) => match known {
                Some((_, settings)) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                    Ok(settings)
                }
                _ => Err(status),
            },
        }
    }

    /// What the project's tokens are signed with, and how long they live.
    pub async fn terms(&self, call: &CallContext, project: ProjectId) -> Result<Terms, Status> {
        let settings = self.settings(call, project).await?;
        let algorithm = match settings.algorithm() {
            SigningAlgorithm::Unspecified | SigningAlgorithm::Eddsa => Algorithm::EdDsa,
            SigningAlgorithm::Es256 => Algorithm::Es256,
            SigningAlgorithm::Rs256 => Algorithm::Rs256,
        };
        let lifetime = settings.access_token_lifetime.and_then(|lifetime| lifetime.try_into().ok());
        Ok(Terms::of(algorithm, lifetime.unwrap_or(LIFETIME)))
    }

    /// The audience that was asked for, if the project declares it; None for the installation's.
    pub async fn audience(
        &self,
        call: &CallContext,
        project: ProjectId,
        asked: String,
        ours: &str,
    ) -> Result<Option<String>, Status> {
        if asked.is_empty() || asked == ours {
            return Ok(None);
        }
        let settings = self.settings(call, project).await?;
        let declared = asked == settings.audience || settings.audiences.contains(&asked);
        if declared { Ok(Some(asked)) } else { Err(refusal::audience_not_allowed()) }
    }

    /// The project's own claims in a token for this session.
    pub async fn claims(&self, call: &CallContext, grant: &SessionGrant) -> Result<Vec<(String, Value)>, Status> {
        let project = grant.project_id.parse().map_err(|_| refusal::incomplete("a session's grant"))?;
        let settings = self.settings(call, project).await?;
        if settings.custom_claims.is_empty() {
            return Ok(Vec::new());
        }
        let of_organization = |claim: &api::org::v1::CustomClaim| claim.source.starts_with("organization.");
        let organization = match settings.custom_claims.iter().any(of_organization) {
            false => None,
            true => {
                let id = grant.session.as_ref().map(|session| session.organization_id.parse::<OrganizationId>());
                let id = id.and_then(Result::ok).ok_or_else(|| refusal::incomplete("a session's grant"))?;
                self.remote.organization(call, id).await?.and_then(|entry| entry.trusted_metadata)
            }
        };
        let member = grant.member.as_ref().and_then(|member| member.trusted_metadata.as_ref());
        let claim = |claim: &api::org::v1::CustomClaim| {
            let (root, path) = claim.source.split_once(".trusted_metadata.")?;
            let value = find(if root == "member" { member } else { organization.as_ref() }, path)?;
            (value.to_string().len() <= MAX_VALUE).then(|| (claim.name.clone(), value))
        };
        Ok(settings.custom_claims.iter().filter_map(claim).collect())
    }

    /// The project's own claims that a verified token has.
    pub async fn claims_of(
        &self,
        call: &CallContext,
        project: ProjectId,
        payload: &Map<String, Value>,
    ) -> Result<Vec<(String, Value)>, Status> {
        let settings = self.settings(call, project).await?;
        let claim = |claim: &api::org::v1::CustomClaim| {
            payload.get(&claim.name).map(|value| (claim.name.clone(), value.clone()))
        };
        Ok(settings.custom_claims.iter().filter_map(claim).collect())
    }
}

/// What a token that was verified says, word for word.
pub fn payload(token: &str) -> Map<String, Value> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let decode = || {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    debug_assert!(token.len() <= 2 * MAX_TOKEN, "a verified token is one of ours");
    decode().unwrap_or_default()
}

/// What stands at a path of keys. Nothing there, and null, are the same: there is no claim.
fn find(root: Option<&Struct>, path: &str) -> Option<Value> {
    let mut at = root?;
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        let value = at.fields.get(key)?;
        if keys.peek().is_none() {
            return Some(json(value)?).filter(|value| !value.is_null());
        }
        let Some(Kind::StructValue(next)) = &value.kind else { return None };
        at = next;
    }
    None
}

fn json(value: &ProtoValue) -> Option<Value> {
    Some(match value.kind.as_ref()? {
        Kind::NullValue(_) => Value::Null,
        Kind::BoolValue(value) => Value::Bool(*value),
        Kind::NumberValue(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
            Value::Number(Number::from(*number as i64))
        }
        Kind::NumberValue(number) => Value::Number(Number::from_f64(*number)?),
        Kind::StringValue(text) => Value::String(text.clone()),
        Kind::ListValue(list) => Value::Array(list.values.iter().map(json).collect::<Option<_>>()?),
        Kind::StructValue(object) => Value::Object(
            object.fields.iter().map(|(key, value)| Some((key.clone(), json(value)?))).collect::<Option<_>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> ProtoValue {
        ProtoValue { kind: Some(kind) }
    }

    #[test]
    fn a_path_leads_to_what_is_there_and_to_nothing_else() {
        let inner = Struct { fields: [("tier".to_owned(), value(Kind::NumberValue(3.0)))].into() };
        let root = Struct {
            fields: [
                ("plan".to_owned(), value(Kind::StructValue(inner))),
                ("nothing".to_owned(), value(Kind::NullValue(0))),
            ]
            .into(),
        };
        assert_eq!(find(Some(&root), "plan.tier"), Some(Value::from(3)));
        assert_eq!(find(Some(&root), "plan"), Some(serde_json::json!({"tier": 3})));
        for nowhere in ["tier", "plan.tier.x", "plan.x", "nothing", ""] {
            assert_eq!(find(Some(&root), nowhere), None, "{nowhere}");
        }
        assert_eq!(find(None, "plan"), None);
    }
}
