use std::collections::HashSet;

use access::Caller;
use api::{
    access::v1::ErrorReason,
    org::v1::{self as proto, lookup_organization_request::Key as NamedKey},
};
use runtime::{Refusal, Violations};
use tenancy::{OrganizationId, OrganizationState, mask::Mask};
use tonic::{Code, Status};

use super::{
    Reading, all_of, branding, choices::Choice, domain, limits, metadata, names, required, settings, time::timestamp,
};
use crate::{
    model::{
        DisplayName, Draft, ExternalId, InForce, Organization, OrganizationView, Plan, Reason, Slug, Source, Usage,
    },
    ops::organization::{Key, StateChange, Target, Update},
    store::{directory::Entry, organization::Filter},
};

/// What an update mask may name, besides the fields of the settings.
const FIELDS: &[&str] = &[
    "slug",
    "display_name",
    "external_id",
    "kind",
    "trusted_metadata",
    "untrusted_metadata",
    "branding",
    "branding.logo_uri",
    "branding.primary_color",
    "branding.sender_name",
    "limits",
    "limits.max_members",
    "limits.max_pending_invitations",
    "limits.max_custom_roles",
    "limits.max_service_accounts",
    "plan",
];
const SETTINGS: [&str; 13] = settings::fields!("settings");

/// What the product decides, and nobody inside the organization: see the contract's `Organization`.
const OF_THE_PROJECT: &[&str] = &[
    "external_id",
    "trusted_metadata",
    "limits.max_members",
    "limits.max_pending_invitations",
    "limits.max_custom_roles",
    "limits.max_service_accounts",
    "plan",
    "settings.jit_role_ids",
    "settings.domain_role_ids",
];

fn fields() -> Vec<&'static str> {
    FIELDS.iter().chain(&SETTINGS).copied().collect()
}

pub fn organization(view: &OrganizationView) -> proto::Organization {
    proto::Organization { limits: Some(limits::in_force(&view.limits)), ..organization_alone(&view.organization) }
}

/// With how much of its limits it uses.
pub fn organization_in_use(view: &OrganizationView, usage: Usage) -> proto::Organization {
    proto::Organization {
        limits: Some(limits::in_force_and_use(&view.limits, usage)),
        ..organization_alone(&view.organization)
    }
}

/// Without what it inherits: for events.
pub fn organization_alone(organization: &Organization) -> proto::Organization {
    proto::Organization {
        organization_id: organization.organization_id.to_string(),
        project_id: organization.project_id.to_string(),
        slug: organization.slug.as_str().to_owned(),
        display_name: organization.display_name.as_str().to_owned(),
        external_id: organization.external_id.clone().map(String::from).unwrap_or_default(),
        kind: organization.kind.number(),
        state: organization.state.number(),
        trusted_metadata: metadata::metadata(&organization.trusted_metadata),
        untrusted_metadata: metadata::metadata(&organization.untrusted_metadata),
        settings: settings::settings(&organization.settings),
        branding: branding::branding(&organization.branding),
        limits: Some(limits::own(&organization.limits)),
        plan: organization.plan.clone().map(String::from).unwrap_or_default(),
        purge_time: organization.purge_time.map(timestamp),
        create_time: Some(timestamp(organization.create_time)),
        update_time: Some(timestamp(organization.update_time)),
        etag: tenancy::mask::etag(organization.revision),
    }
}

pub fn entry(entry: &Entry) -> proto::OrganizationEntry {
    proto::OrganizationEntry {
        organization_id: entry.organization_id.to_string(),
        project_id: entry.project_id.to_string(),
        slug: entry.slug.clone(),
        state: entry.state.number(),
        kind: entry.kind.number(),
        user_pool: entry.user_pool.number(),
        display_name: entry.display_name.clone(),
        revision: entry.state_revision,
        settings: settings::settings(&entry.in_force.settings.settings),
        limits: Some(limits::values(&entry.in_force.limits.into())),
        branding: Some(branding::branding(&entry.in_force.branding.branding).unwrap_or_default()),
        trusted_metadata: None,
    }
}

/// With what is too much for a list.
pub fn entry_with_metadata(entry: &Entry) -> proto::OrganizationEntry {
    proto::OrganizationEntry { trusted_metadata: metadata::metadata(&entry.trusted_metadata), ..self::entry(entry) }
}

pub fn effective(entry: &Entry) -> proto::EffectiveSettings {
    let source = |source: Source| match source {
        Source::Installation => proto::SettingSource::Installation,
        Source::Project => proto::SettingSource::Project,
        Source::Organization => proto::SettingSource::Organization,
    };
    let InForce { settings, branding, .. } = &entry.in_force;
    proto::EffectiveSettings {
        organization_id: entry.organization_id.to_string(),
        settings: settings::settings(&settings.settings),
        branding: Some(branding::branding(&branding.branding).unwrap_or_default()),
        settings_sources: settings
            .sources
            .iter()
            .map(|(field, from)| ((*field).to_owned(), source(*from).into()))
            .collect(),
        branding_sources: branding
            .sources
            .iter()
            .map(|(field, from)| ((*field).to_owned(), source(*from).into()))
            .collect(),
    }
}

/// The fields that are named. `organization` is the one that is there already, if any: its own id is its slug again.
fn draft(reading: &mut Reading<'_>, organization: Option<OrganizationId>, from: proto::Organization) -> Draft {
    let slug = Some(from.slug.as_str()).filter(|slug| organization.is_none_or(|id| *slug != id.to_string()));
    Draft {
        slug: reading.text("slug", slug.unwrap_or_default(), Slug::parse),
        display_name: reading.read("display_name", || DisplayName::parse(&from.display_name)),
        external_id: reading.text("external_id", &from.external_id, ExternalId::parse),
        kind: reading.read("kind", || Choice::read(from.kind)).flatten().unwrap_or_default(),
        trusted_metadata: reading
            .read("trusted_metadata", || metadata::read(from.trusted_metadata))
            .unwrap_or_default(),
        untrusted_metadata: reading
            .read("untrusted_metadata", || metadata::read(from.untrusted_metadata))
            .unwrap_or_default(),
        settings: settings::read(reading, "settings", from.settings),
        branding: branding::read(reading, from.branding),
        limits: limits::read(reading, from.limits),
        plan: reading.text("plan", &from.plan, Plan::parse),
    }
}

pub fn read_create(request: proto::CreateOrganizationRequest) -> Result<(DisplayName, Draft), Status> {
    let mask = all_of(&fields());
    let mut reading = Reading::new("organization", &mask);
    let draft = draft(&mut reading, None, required("organization", request.organization)?);
    let mut violations = reading.violations;
    let fits = draft.settings.idle_timeout_fits();
    violations.require(fits, IDLE_TIMEOUT, "must not be longer than session_lifetime");
    let (display_name,) = violations.all((draft.display_name.clone(),))?;
    Ok((display_name, draft))
}

/// The field that may be too long only beside another.
pub const IDLE_TIMEOUT: &str = "organization.settings.session_idle_timeout";

/// `id` is the organization that the caller was let in to.
pub fn read_update(
    caller: &Caller,
    id: OrganizationId,
    request: proto::UpdateOrganizationRequest,
) -> Result<Update, Status> {
    let mut violations = Violations::default();
    let paths = request.update_mask.unwrap_or_default().paths;
    let mask = violations.check("update_mask", Mask::parse(&paths, &fields()));
    violations.require(request.organization.is_some(), "organization", "is required");
    let (mask, from) = violations.all((mask, request.organization))?;
    if !caller.is_project() {
        refuse_fields_of_the_project(&mask)?;
    }
    let mut reading = Reading::new("organization", &mask);
    let same = from.organization_id.is_empty() || from.organization_id == id.to_string();
    reading.violations.require(same, "organization.organization_id", "must be empty or the same as organization_id");
    let etag = from.etag.clone();
    let draft = draft(&mut reading, Some(id), from);
    reading.violations.finish()?;
    Ok(Update { draft, mask, etag })
}

fn refuse_fields_of_the_project(mask: &Mask) -> Result<(), Status> {
    let named: Vec<&str> = OF_THE_PROJECT.iter().copied().filter(|path| names(mask, path)).collect();
    if named.is_empty() {
        return Ok(());
    }
    let named = named.join(", ");
    Err(Refusal::new(Code::PermissionDenied, ErrorReason::WrongAudience, format!("only the project may write {named}"))
        .metadata("audience", "PROJECT")
        .metadata("fields", named)
        .into())
}

pub fn read_state_change(target: Target, etag: Option<String>, reason: &str) -> Result<StateChange, Status> {
    let mut violations = Violations::default();
    let reason = violations.check("reason", Reason::parse(reason));
    let (reason,) = violations.all((reason,))?;
    Ok(StateChange { target, etag: etag.unwrap_or_default(), reason })
}

pub fn read_batch(request: &proto::BatchGetOrganizationsRequest) -> Result<Vec<OrganizationId>, Status> {
    let mut violations = Violations::default();
    let given = &request.organization_ids;
    violations.require((1..=BATCH).contains(&given.len()), "organization_ids", "must be 1 to 500");
    let mut ids = Vec::with_capacity(given.len().min(BATCH));
    let mut seen = HashSet::new();
    for (at, id) in given.iter().take(BATCH).enumerate() {
        let field = format!("organization_ids[{at}]");
        if let Some(id) = violations.check(field.as_str(), id.parse::<OrganizationId>()) {
            violations.require(seen.insert(id), field, "is there twice");
            ids.push(id);
        }
    }
    violations.finish()?;
    Ok(ids)
}

const BATCH: usize = 500;

pub fn key(request: proto::LookupOrganizationRequest) -> Result<Key, Status> {
    match required("key", request.key)? {
        NamedKey::Slug(slug) => Ok(Key::Slug(slug)),
        NamedKey::ExternalId(id) => Ok(Key::ExternalId(id)),
        NamedKey::Host(host) => domain::one_name("host", &host).map(Key::Host),
        NamedKey::EmailDomain(name) => domain::one_name("email_domain", &name).map(Key::EmailDomain),
    }
}

pub fn filter(request: &proto::ListOrganizationsRequest, violations: &mut Violations) -> Option<Filter> {
    let state: Option<Option<OrganizationState>> = violations.check("state", Choice::read(request.state));
    let kind = violations.check("kind", Choice::read(request.kind));
    let plan = match request.plan.as_deref() {
        None => Some(None),
        Some("") => Some(Some(None)),
        Some(plan) => violations.check("plan", Plan::parse(plan)).map(|plan| Some(Some(plan))),
    };
    let prefix = &request.display_name_prefix;
    let fits = prefix.chars().take(PREFIX + 1).count() <= PREFIX && !prefix.contains('\0');
    violations.require(fits, "display_name_prefix", "must be at most 200 characters, without U+0000");
    Some(Filter {
        states: state?.map_or(vec![OrganizationState::Active, OrganizationState::Suspended], |state| vec![state]),
        kind: kind?,
        plan: plan?,
        display_name_prefix: Some(prefix.clone()).filter(|prefix| fits && !prefix.is_empty()),
    })
}

const PREFIX: usize = 200;

#[cfg(test)]
mod tests {
    use api::event::v1::event::Payload;
    use prost_types::FieldMask;
    use tenancy::{MemberId, ProjectId, ServiceAccountId, SessionId};
    use tonic_types::StatusExt;

    use super::*;
    use crate::grpc::payload;

    fn update(caller: &Caller, id: OrganizationId, paths: &[&str]) -> Result<Update, Status> {
        let organization =
            Some(proto::Organization { display_name: "Acme".to_owned(), ..proto::Organization::default() });
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        let request = proto::UpdateOrganizationRequest {
            organization_id: id.to_string(),
            organization,
            update_mask: Some(FieldMask { paths }),
            request_id: String::new(),
        };
        read_update(caller, id, request)
    }

    fn member(project: ProjectId, organization: OrganizationId) -> Caller {
        Caller::Member { project, organization, member: MemberId::new(), session: SessionId::new(), impersonator: None }
    }

    #[test]
    fn a_member_writes_what_is_not_the_projects() {
        let (project, id) = (ProjectId::new(), OrganizationId::new());
        let account = Caller::ServiceAccount {
            project,
            organization: None,
            id: ServiceAccountId::new(),
            key: tenancy::ApiKeyId::new(),
        };
        for field in fields() {
            assert!(update(&account, id, &[field]).is_ok(), "the project may write {field}");
            let parents = ["limits", "settings"].contains(&field);
            let outcome = update(&member(project, id), id, &[field]);
            assert_eq!(outcome.is_err(), parents || OF_THE_PROJECT.contains(&field), "{field}");
        }
        assert!(OF_THE_PROJECT.iter().all(|path| fields().contains(path)));
    }

    #[test]
    fn the_refusal_names_the_fields() {
        let (project, id) = (ProjectId::new(), OrganizationId::new());
        let refused = update(&member(project, id), id, &["display_name", "plan", "settings"])
            .expect_err("two fields of the project");
        let details = refused.get_error_details();
        let info = details.error_info().expect("ErrorInfo");
        assert_eq!((refused.code(), info.reason.as_str()), (Code::PermissionDenied, "WRONG_AUDIENCE"));
        assert_eq!(info.metadata["fields"], "plan, settings.jit_role_ids, settings.domain_role_ids");
    }

    #[test]
    fn only_named_fields_are_checked() {
        let (project, id) = (ProjectId::new(), OrganizationId::new());
        let request = |paths: &[&str]| proto::UpdateOrganizationRequest {
            organization: Some(proto::Organization {
                slug: "www".to_owned(),
                kind: 99,
                ..proto::Organization::default()
            }),
            update_mask: Some(FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }),
            ..proto::UpdateOrganizationRequest::default()
        };
        assert!(read_update(&member(project, id), id, request(&["branding"])).is_ok());
        let refused = read_update(&member(project, id), id, request(&["slug", "kind"])).expect_err("both are bad");
        let details = refused.get_error_details();
        let fields: Vec<_> =
            details.bad_request().expect("BadRequest").field_violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["organization.slug", "organization.kind"]);
    }

    #[test]
    fn an_event_shows_the_organization_without_what_it_inherits() {
        let request = proto::CreateOrganizationRequest {
            organization: Some(proto::Organization {
                display_name: "Acme".to_owned(),
                ..proto::Organization::default()
            }),
            request_id: String::new(),
        };
        let (display_name, draft) = read_create(request).expect("a name is enough");
        assert_eq!((display_name.as_str(), draft.slug), ("Acme", None));
        let json = r#"{"before":null,"after":null,"reason":"fraud"}"#;
        let Some(Payload::Organization(change)) = payload("organization.suspended", json) else {
            panic!("an organization's event has an organization's payload")
        };
        assert_eq!((change.before, change.after, change.reason.as_str()), (None, None, "fraud"));
        assert_eq!(payload("organization.suspended", "{"), None);
        assert_eq!(payload("member.created", json), None);
    }
}
