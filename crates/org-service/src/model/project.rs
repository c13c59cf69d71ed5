//! A project: one product built on Guildhall.

use tenancy::ProjectId;
use time::OffsetDateTime;

use super::{Branding, CustomClaim, DisplayName, Fault, ProjectLimits, RedirectUri, Settings, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserPool {
    #[default]
    Shared,
    Isolated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProjectState {
    Active,
    Archived,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SigningAlgorithm {
    #[default]
    Eddsa,
    Es256,
    Rs256,
}

text! {
    /// The `aud` of access tokens: 1 to 255 printable ASCII characters.
    Audience;
}

impl Audience {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault("must be 1 to 255 printable ASCII characters"))
        }
    }
}

/// As many audiences as a project may declare beside the first.
pub const MAX_AUDIENCES: usize = 10;

/// What is None takes the installation's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TokenSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifetime_seconds: Option<i64>,
    pub algorithm: SigningAlgorithm,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Audience>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub custom_claims: Vec<CustomClaim>,
}

/// What the operator writes: all of a new project, or of one that is there the fields that the operator names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectDraft {
    /// None only in an update that does not name it.
    pub display_name: Option<DisplayName>,
    /// Of a new project only.
    pub user_pool: UserPool,
    pub auto_create_organization: bool,
    pub organization_defaults: Settings,
    pub token_settings: TokenSettings,
    pub branding: Branding,
    pub limits: ProjectLimits,
    pub redirect_uris: Vec<RedirectUri>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Project {
    pub project_id: ProjectId,
    pub display_name: DisplayName,
    pub user_pool: UserPool,
    pub auto_create_organization: bool,
    pub organization_defaults: Settings,
    pub token_settings: TokenSettings,
    pub branding: Branding,
    pub limits: ProjectLimits,
    #[serde(default)]
    pub redirect_uris: Vec<RedirectUri>,
    pub state: ProjectState,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// The payload of a project's events.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProjectChange {
    pub before: Option<Project>,
    pub after: Option<Project>,
    /// As the caller gave it; empty where none was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Project {
    /// This project with the named fields of `draft`, named by their paths in the contract.
    pub fn with(&self, draft: ProjectDraft, named: impl Fn(&str) -> bool) -> Self {
        let mut new = self.clone();
        if let Some(display_name) = draft.display_name.filter(|_| named("display_name")) {
            new.display_name = display_name;
        }
        if named("auto_create_organization") {
            new.auto_create_organization = draft.auto_create_organization;
        }
        let within = |parent: &'static str| {
            let named = &named;
            move |field: &str| named(parent) || named(&format!("{parent}.{field}"))
        };
        new.organization_defaults.take(draft.organization_defaults, within("organization_defaults"));
        new.token_settings.take(draft.token_settings, within("token_settings"));
        new.branding.take(draft.branding, within("branding"));
        new.limits.take(draft.limits, within("limits"));
        if named("redirect_uris") {
            new.redirect_uris = draft.redirect_uris;
        }
        new
    }
}

impl TokenSettings {
    /// Takes over those fields of `from` that are named.
    fn take(&mut self, from: Self, named: impl Fn(&str) -> bool) {
        let Self {
            access_token_lifetime_seconds,
            refresh_token_lifetime_seconds,
            algorithm,
            audience,
            audiences,
            custom_claims,
        } = from;
        if named("access_token_lifetime") {
            self.access_token_lifetime_seconds = access_token_lifetime_seconds;
        }
        if named("refresh_token_lifetime") {
            self.refresh_token_lifetime_seconds = refresh_token_lifetime_seconds;
        }
        if named("algorithm") {
            self.algorithm = algorithm;
        }
        if named("audience") {
            self.audience = audience;
        }
        if named("audiences") {
            self.audiences = audiences;
        }
        if named("custom_claims") {
            self.custom_claims = custom_claims;
        }
    }
}
