//! What a verifier reads of a token's claims, once they are verified.

use std::collections::BTreeMap;

use outdated::{Bearer, Subject};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::caller::{Caller, Member, ServiceAccount};
use crate::embedded::uuid;

#[derive(Debug, Deserialize)]
pub struct Claims {
    sub: String,
    exp: u64,
    iat: u64,
    jti: String,
    sid: String,
    pub project_id: String,
    org_id: Option<String>,
    org_slug: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    amr: Vec<String>,
    acr: Option<String>,
    #[serde(default)]
    epoch: i64,
    #[serde(default)]
    project_epoch: i64,
    act: Option<Act>,
    /// Those that a project declares itself, and those of every token.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Who acts as the subject, and by which credential of their own.
#[derive(Debug, Deserialize)]
struct Act {
    sub: String,
    sid: String,
}

/// Claims of every token that say nothing of who it is.
const OF_EVERY_TOKEN: [&str; 4] = ["iss", "aud", "nbf", "client_id"];

impl Claims {
    /// None where an id is malformed: it is no token of ours.
    pub fn bearer(&self) -> Option<Bearer> {
        let (project, organization) = (uuid("proj", &self.project_id).ok()?, self.organization()?);
        let project_epoch = (organization.is_some() && !self.permissions.is_empty()).then_some(self.project_epoch);
        let bearer = match holder(&self.sub)? {
            Subject::Member(member) => {
                let session = uuid("session", &self.sid).ok()?;
                Bearer::member(project, organization?, member, session, self.iat, self.epoch)
            }
            Subject::ServiceAccount(id) => {
                let key = uuid("key", &self.sid).ok()?;
                let epoch = project_epoch.map(|_| self.epoch);
                Bearer { epoch, ..Bearer::service_account(project, organization, id, key, self.iat) }
            }
            _ => return None,
        };
        let acting = match &self.act {
            Some(act) => Some((holder(&act.sub)?, credential(&act.sid)?)),
            None => None,
        };
        Some(Bearer { token: Some(self.jti.parse().ok()?), acting, project_epoch, ..bearer })
    }

    /// None where the id is there and malformed.
    fn organization(&self) -> Option<Option<Uuid>> {
        self.org_id.as_deref().map(|id| uuid("org", id).ok()).map_or(Some(None), |id| id.map(Some))
    }

    pub fn caller(self) -> Option<Caller> {
        let acting = self.act.map(|act| act.sub);
        if self.sub.starts_with("sa_") {
            return Some(Caller::ServiceAccount(ServiceAccount {
                service_account_id: self.sub,
                api_key_id: self.sid,
                project_id: self.project_id,
                organization_id: self.org_id,
                permissions: self.permissions,
                expires_at: self.exp,
            }));
        }
        let mut custom_claims = self.others;
        custom_claims.retain(|name, _| !OF_EVERY_TOKEN.contains(&name.as_str()));
        Some(Caller::Member(Member {
            member_id: self.sub,
            session_id: self.sid,
            project_id: self.project_id,
            organization_id: self.org_id?,
            organization_slug: self.org_slug.unwrap_or_default(),
            roles: self.roles,
            permissions: self.permissions,
            amr: self.amr,
            acr: self.acr,
            acting,
            custom_claims,
            expires_at: self.exp,
        }))
    }
}

fn holder(id: &str) -> Option<Subject> {
    match id.split_once('_')?.0 {
        "member" => uuid("member", id).ok().map(Subject::Member),
        "sa" => uuid("sa", id).ok().map(Subject::ServiceAccount),
        _ => None,
    }
}

fn credential(id: &str) -> Option<Subject> {
    match id.split_once('_')?.0 {
        "session" => uuid("session", id).ok().map(Subject::Session),
        "key" => uuid("key", id).ok().map(Subject::ApiKey),
        _ => None,
    }
}
