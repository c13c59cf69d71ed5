//! How people come into an organization and sign in to it: the project's defaults and the organization's own choices.

use std::collections::BTreeMap;

use super::{EmailDomain, RoleReference};

macro_rules! choice {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident),* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name { $($variant),* }
    )*};
}

choice! {
    AuthMethod { Password, EmailCode, MagicLink, Sso, Social, Passkey }
    AuthMethodsPolicy { AllAllowed, Restricted }
    MfaMethod { Totp, Passkey }
    MfaPolicy { Optional, RequiredForAll }
    EmailInvitesPolicy { AllAllowed, Restricted, NotAllowed }
    EmailJitPolicy { Restricted, NotAllowed }
    SsoJitPolicy { AllAllowed, Restricted, NotAllowed }
}

/// What is None or empty is inherited: by an organization from its project, by a project from the installation's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_methods: Option<AuthMethodsPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_auth_methods: Vec<AuthMethod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_policy: Option<MfaPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_mfa_methods: Vec<MfaMethod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_invites: Option<EmailInvitesPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_jit_provisioning: Option<EmailJitPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sso_jit_provisioning: Option<SsoJitPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_email_domains: Vec<EmailDomain>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jit_role_ids: Vec<RoleReference>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub domain_role_ids: BTreeMap<EmailDomain, Vec<RoleReference>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_lifetime_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_idle_timeout_seconds: Option<i64>,
}

impl Settings {
    /// Takes over those fields of `from` that are named, by their names in the contract.
    pub fn take(&mut self, from: Self, named: impl Fn(&str) -> bool) {
        macro_rules! take {
            ($($field:ident = $name:literal),* $(,)?) => {{
                let Self { $($field),* } = from;
                $(if named($name) { self.$field = $field; })*
            }};
        }
        take! {
            auth_methods = "auth_methods",
            allowed_auth_methods = "allowed_auth_methods",
            mfa_policy = "mfa_policy",
            allowed_mfa_methods = "allowed_mfa_methods",
            email_invites = "email_invites",
            email_jit_provisioning = "email_jit_provisioning",
            sso_jit_provisioning = "sso_jit_provisioning",
            allowed_email_domains = "allowed_email_domains",
            jit_role_ids = "jit_role_ids",
            domain_role_ids = "domain_role_ids",
            session_lifetime_seconds = "session_lifetime",
            session_idle_timeout_seconds = "session_idle_timeout",
        }
    }

    /// Whether the idle timeout fits into the lifetime, where both are set here. One that is inherited may change at any time, and is
    /// cut to the lifetime when a session begins.
    pub fn idle_timeout_fits(&self) -> bool {
        match (self.session_idle_timeout_seconds, self.session_lifetime_seconds) {
            (Some(idle), Some(lifetime)) => idle <= lifetime,
            _ => true,
        }
    }
}

/// Where a value in force comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody chose it.
    Installation,
    Project,
    Organization,
}

/// The settings as they hold for one organization, and where each field comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsInForce {
    pub settings: Settings,
    /// By the field's name in the contract; every field has one.
    pub sources: BTreeMap<&'static str, Source>,
}

/// Whether something was chosen, or is left to be inherited.
trait Choosable {
    fn is_chosen(&self) -> bool;
}

impl<T> Choosable for Option<T> {
    fn is_chosen(&self) -> bool {
        self.is_some()
    }
}

impl<T> Choosable for Vec<T> {
    fn is_chosen(&self) -> bool {
        !self.is_empty()
    }
}

impl<K, V> Choosable for BTreeMap<K, V> {
    fn is_chosen(&self) -> bool {
        !self.is_empty()
    }
}

const DAY: i64 = 24 * 60 * 60;
/// Of a project that says nothing.
const REFRESH_TOKEN_LIFETIME: i64 = 30 * DAY;

impl SettingsInForce {
    /// Each field by itself: the organization's own, its project's, the installation's. An idle timeout that is longer than the
    /// lifetime in force, as one that is inherited may become at any time, is cut to it; and to the life of the project's refresh tokens,
    /// without which a session does not go on.
    pub fn of(own: &Settings, project: &Settings, refresh_token_lifetime_seconds: Option<i64>) -> Self {
        let installation = Self::installation();
        let mut sources = BTreeMap::new();
        macro_rules! nearest {
            ($($field:ident = $name:literal),* $(,)?) => {
                Settings { $($field: {
                    let (from, source) = if own.$field.is_chosen() {
                        (own, Source::Organization)
                    } else if project.$field.is_chosen() {
                        (project, Source::Project)
                    } else {
                        (&installation, Source::Installation)
                    };
                    sources.insert($name, source);
                    from.$field.clone()
                },)* }
            };
        }
        let mut settings = nearest! {
            auth_methods = "auth_methods",
            allowed_auth_methods = "allowed_auth_methods",
            mfa_policy = "mfa_policy",
            allowed_mfa_methods = "allowed_mfa_methods",
            email_invites = "email_invites",
            email_jit_provisioning = "email_jit_provisioning",
            sso_jit_provisioning = "sso_jit_provisioning",
            allowed_email_domains = "allowed_email_domains",
            jit_role_ids = "jit_role_ids",
            domain_role_ids = "domain_role_ids",
            session_lifetime_seconds = "session_lifetime",
            session_idle_timeout_seconds = "session_idle_timeout",
        };
        let longest = refresh_token_lifetime_seconds.unwrap_or(REFRESH_TOKEN_LIFETIME);
        settings.session_idle_timeout_seconds =
            settings.session_idle_timeout_seconds.min(settings.session_lifetime_seconds).min(Some(longest));
        Self { settings, sources }
    }

    /// What holds where nobody chose, as the contract says.
    fn installation() -> Settings {
        Settings {
            auth_methods: Some(AuthMethodsPolicy::AllAllowed),
            mfa_policy: Some(MfaPolicy::Optional),
            email_invites: Some(EmailInvitesPolicy::AllAllowed),
            email_jit_provisioning: Some(EmailJitPolicy::NotAllowed),
            sso_jit_provisioning: Some(SsoJitPolicy::NotAllowed),
            jit_role_ids: vec![RoleReference::stored("member".to_owned())],
            session_lifetime_seconds: Some(30 * DAY),
            session_idle_timeout_seconds: Some(7 * DAY),
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_taken() {
        let mut settings = Settings {
            mfa_policy: Some(MfaPolicy::Optional),
            session_lifetime_seconds: Some(600),
            ..Settings::default()
        };
        settings.take(Settings { mfa_policy: Some(MfaPolicy::RequiredForAll), ..Settings::default() }, |field| {
            field == "mfa_policy"
        });
        assert_eq!(settings.mfa_policy, Some(MfaPolicy::RequiredForAll));
        assert_eq!(settings.session_lifetime_seconds, Some(600));
        settings.take(Settings::default(), |field| field == "session_lifetime");
        assert_eq!(settings.session_lifetime_seconds, None, "a named field that is empty is cleared");
    }

    #[test]
    fn the_stored_form_holds_what_was_chosen_and_no_more() {
        let settings = Settings { auth_methods: Some(AuthMethodsPolicy::AllAllowed), ..Settings::default() };
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(json, r#"{"auth_methods":"ALL_ALLOWED"}"#);
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
    }

    #[test]
    fn an_idle_timeout_does_not_outlast_the_session() {
        let settings = |lifetime, idle| Settings {
            session_lifetime_seconds: lifetime,
            session_idle_timeout_seconds: idle,
            ..Settings::default()
        };
        assert!(settings(Some(600), Some(600)).idle_timeout_fits());
        assert!(!settings(Some(600), Some(601)).idle_timeout_fits());
        assert!(settings(None, Some(601)).idle_timeout_fits());
    }

    #[test]
    fn each_field_in_force_is_the_nearest_that_was_chosen() {
        let project = Settings {
            mfa_policy: Some(MfaPolicy::RequiredForAll),
            email_invites: Some(EmailInvitesPolicy::NotAllowed),
            allowed_auth_methods: vec![AuthMethod::Sso],
            ..Settings::default()
        };
        let own = Settings { email_invites: Some(EmailInvitesPolicy::Restricted), ..Settings::default() };
        let SettingsInForce { settings, sources } = SettingsInForce::of(&own, &project, None);
        assert_eq!(settings.email_invites, Some(EmailInvitesPolicy::Restricted));
        assert_eq!(settings.mfa_policy, Some(MfaPolicy::RequiredForAll));
        assert_eq!(settings.allowed_auth_methods, [AuthMethod::Sso]);
        assert_eq!(settings.auth_methods, Some(AuthMethodsPolicy::AllAllowed));
        assert_eq!(settings.session_lifetime_seconds, Some(30 * DAY));
        let told = |field| sources[field];
        assert_eq!(
            ["email_invites", "mfa_policy", "allowed_auth_methods", "auth_methods"].map(told),
            [Source::Organization, Source::Project, Source::Project, Source::Installation]
        );
        assert_eq!(sources.len(), 12, "every field says where it comes from");
    }

    #[test]
    fn an_inherited_idle_timeout_is_cut_to_the_lifetime() {
        let own = Settings { session_lifetime_seconds: Some(3600), ..Settings::default() };
        for idle in [None, Some(7200), Some(3600)] {
            let project = Settings { session_idle_timeout_seconds: idle, ..Settings::default() };
            assert_eq!(SettingsInForce::of(&own, &project, None).settings.session_idle_timeout_seconds, Some(3600));
            // And to the life of a refresh token.
            let cut = SettingsInForce::of(&own, &project, Some(900));
            assert_eq!(cut.settings.session_idle_timeout_seconds, Some(900));
        }
    }
}
