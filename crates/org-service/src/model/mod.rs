//! What a project and an organization are, and the rules that their fields obey. No RPC and no SQL: these types are also the
//! payloads of events and the kept answers, so a stored form outlives the code that wrote it.

mod branding;
mod connection;
mod custom_claim;
mod domain;
mod email_domain;
mod limits;
mod metadata;
mod names;
mod organization;
mod project;
mod redirect_uri;
mod role_reference;
mod settings;
mod slug;
mod web_uri;

pub use branding::{Branding, BrandingInForce, Color, LogoUri, SenderName};
pub use connection::{
    AttributeMapping, AttributeName, Certificate, ClientId, ClientSecret, Connection, ConnectionChange,
    ConnectionDraft, ConnectionKind, ConnectionName, ConnectionState, GroupName, Issuer, SamlSettings, SignInUri,
    mapped_roles,
};
pub use custom_claim::{CustomClaim, MAX_CUSTOM_CLAIMS};
pub use domain::{
    AskedName, Domain, DomainName, DomainPurpose, DomainState, HostBase, Look, RecordValue, Schedule, Watched,
};
pub use email_domain::EmailDomain;
pub use limits::{LimitInForce, LimitSource, LimitValues, LimitsInForce, ProjectLimits, Usage};
pub use metadata::Metadata;
pub use names::{DisplayName, ExternalId, Plan, Reason, fold};
pub use organization::{Draft, InForce, Kind, Organization, OrganizationChange, OrganizationView};
pub use project::{
    Audience, MAX_AUDIENCES, Project, ProjectChange, ProjectDraft, ProjectState, SigningAlgorithm, TokenSettings,
    UserPool,
};
pub use redirect_uri::RedirectUri;
pub use role_reference::RoleReference;
pub use settings::{
    AuthMethod, AuthMethodsPolicy, EmailInvitesPolicy, EmailJitPolicy, MfaMethod, MfaPolicy, Settings, SettingsInForce,
    Source, SsoJitPolicy,
};
pub use slug::Slug;

/// What is wrong with a value, in words for its sender. Never repeats the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

/// A text that was checked when it came in, and is taken as it is when it comes out of the store.
macro_rules! text {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A value that was parsed before it was stored.
            #[allow(dead_code, reason = "not every text has a column of its own")]
            pub(crate) fn stored(text: String) -> Self {
                Self(text)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    )*};
}
pub(crate) use text;
