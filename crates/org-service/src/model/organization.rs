//! An organization: a tenant of a project.

use tenancy::{OrganizationId, OrganizationState, ProjectId};
use time::OffsetDateTime;

use super::{
    Branding, BrandingInForce, DisplayName, ExternalId, LimitValues, LimitsInForce, Metadata, Plan, Settings,
    SettingsInForce, Slug,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Personal,
    #[default]
    Team,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Organization {
    pub organization_id: OrganizationId,
    pub project_id: ProjectId,
    pub slug: Slug,
    pub display_name: DisplayName,
    pub external_id: Option<ExternalId>,
    pub kind: Kind,
    pub state: OrganizationState,
    pub trusted_metadata: Metadata,
    pub untrusted_metadata: Metadata,
    pub settings: Settings,
    pub branding: Branding,
    /// Its own values only; what it inherits stands in its view.
    pub limits: LimitValues,
    pub plan: Option<Plan>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub purge_time: Option<OffsetDateTime>,
    /// The state that an undeletion brings back. Some of a deleted one only, as is `purge_time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_from: Option<OrganizationState>,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// An organization as it is answered: with the limits that hold for it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct OrganizationView {
    pub organization: Organization,
    pub limits: LimitsInForce,
}

/// All that holds for an organization, its own or inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub settings: SettingsInForce,
    pub branding: BrandingInForce,
    pub limits: LimitsInForce,
}

/// The payload of an organization's events.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct OrganizationChange {
    pub before: Option<Organization>,
    pub after: Option<Organization>,
    /// As the caller gave it; empty where none was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a caller writes: all of a new organization, or of one that is there the fields that the caller names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// None: the organization's id.
    pub slug: Option<Slug>,
    /// None only in an update that does not name it.
    pub display_name: Option<DisplayName>,
    pub external_id: Option<ExternalId>,
    pub kind: Kind,
    pub trusted_metadata: Metadata,
    pub untrusted_metadata: Metadata,
    pub settings: Settings,
    pub branding: Branding,
    pub limits: LimitValues,
    pub plan: Option<Plan>,
}

impl Organization {
    /// This organization with the named fields of `draft`, named by their paths in the contract.
    pub fn with(&self, draft: Draft, named: impl Fn(&str) -> bool) -> Self {
        let mut new = self.clone();
        if named("slug") {
            new.slug = draft.slug.unwrap_or_else(|| Slug::of(self.organization_id));
        }
        if let Some(display_name) = draft.display_name.filter(|_| named("display_name")) {
            new.display_name = display_name;
        }
        if named("external_id") {
            new.external_id = draft.external_id;
        }
        if named("kind") {
            new.kind = draft.kind;
        }
        if named("trusted_metadata") {
            new.trusted_metadata = draft.trusted_metadata;
        }
        if named("untrusted_metadata") {
            new.untrusted_metadata = draft.untrusted_metadata;
        }
        if named("plan") {
            new.plan = draft.plan;
        }
        let within = |parent: &'static str| {
            let named = &named;
            move |field: &str| named(parent) || named(&format!("{parent}.{field}"))
        };
        new.settings.take(draft.settings, within("settings"));
        new.branding.take(draft.branding, within("branding"));
        new.limits.take(draft.limits, within("limits"));
        new
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Color, MfaPolicy};

    fn acme() -> Organization {
        let organization_id = OrganizationId::new();
        let time = tenancy::event::now();
        Organization {
            organization_id,
            project_id: ProjectId::new(),
            slug: Slug::parse("acme").unwrap(),
            display_name: DisplayName::parse("Acme").unwrap(),
            external_id: Some(ExternalId::parse("cus_1").unwrap()),
            kind: Kind::Personal,
            state: OrganizationState::Active,
            trusted_metadata: serde_json::from_value(json!({"a": [1, 2.5, null]})).unwrap(),
            untrusted_metadata: Metadata::default(),
            settings: Settings { mfa_policy: Some(MfaPolicy::Optional), ..Settings::default() },
            branding: Branding { primary_color: Some(Color::parse("#000000").unwrap()), ..Branding::default() },
            limits: LimitValues { max_members: Some(5), ..LimitValues::default() },
            plan: None,
            purge_time: None,
            deleted_from: None,
            revision: 1,
            create_time: time,
            update_time: time,
        }
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let change = OrganizationChange { before: None, after: Some(acme()), reason: "fraud".to_owned() };
        let json = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<OrganizationChange>(&json).unwrap(), change);
    }

    #[test]
    fn an_update_changes_what_it_names() {
        let before = acme();
        let draft = Draft { kind: Kind::Team, ..Draft::default() };
        let after = before.with(draft.clone(), |path| matches!(path, "kind" | "external_id" | "limits.max_members"));
        assert_eq!((after.kind, &after.external_id, after.limits.max_members), (Kind::Team, &None, None));
        assert_eq!(
            (&after.slug, &after.display_name, &after.settings),
            (&before.slug, &before.display_name, &before.settings)
        );
        assert_eq!(before.with(draft, |_| false), before);
    }

    #[test]
    fn a_cleared_slug_is_the_id_and_a_named_parent_names_its_fields() {
        let before = acme();
        let after = before.with(Draft::default(), |path| matches!(path, "slug" | "settings" | "branding"));
        assert_eq!(after.slug.as_str(), before.organization_id.to_string());
        assert_eq!((after.settings, after.branding), (Settings::default(), Branding::default()));
        assert_eq!(after.limits, before.limits);
    }
}
