//! A project: one product built on Guildhall.

use tenancy::ProjectId;
use time::OffsetDateTime;

use super::{Branding, DisplayName, Fault, ProjectLimits, Settings, email_domain::host_name, text};

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
    /// A host name in ASCII form.
    HostName;
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

impl HostName {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        host_name(text).map(Self).ok_or(Fault("must be a host name such as id.acme.test"))
    }
}

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_host: Option<HostName>,
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
    pub state: ProjectState,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}
