use api::org::v1 as proto;
use runtime::Violations;
use tenancy::{ProjectId, mask::Mask};
use tonic::Status;

use super::{
    Reading, all_of, branding,
    choices::{Choice, number},
    limits, required, settings,
    time::{duration, read_seconds, timestamp},
};
use crate::{
    model::{
        Audience, CustomClaim, DisplayName, Fault, MAX_AUDIENCES, MAX_CUSTOM_CLAIMS, Project, ProjectDraft,
        ProjectState, Reason, RedirectUri, TokenSettings,
    },
    ops::project::{Archive, Update},
};

/// What an update mask may name, besides the fields of the defaults.
const FIELDS: &[&str] = &[
    "display_name",
    "auto_create_organization",
    "token_settings",
    "token_settings.access_token_lifetime",
    "token_settings.refresh_token_lifetime",
    "token_settings.algorithm",
    "token_settings.audience",
    "token_settings.issuer_host",
    "token_settings.audiences",
    "token_settings.custom_claims",
    "branding",
    "branding.logo_uri",
    "branding.primary_color",
    "branding.sender_name",
    "limits",
    "limits.max_organizations",
    "limits.organization",
    "limits.organization.max_members",
    "limits.organization.max_pending_invitations",
    "limits.organization.max_custom_roles",
    "limits.organization.max_service_accounts",
    "limits.plans",
    "redirect_uris",
];
const DEFAULTS: [&str; 13] = settings::fields!("organization_defaults");
/// Chosen at creation, for good.
const USER_POOL: &str = "user_pool";
/// The field that may be too long only beside another.
pub const DEFAULT_IDLE_TIMEOUT: &str = "project.organization_defaults.session_idle_timeout";

fn fields() -> Vec<&'static str> {
    FIELDS.iter().chain(&DEFAULTS).copied().collect()
}

const REDIRECT_URIS: usize = 50;
const ACCESS_TOKEN: std::ops::RangeInclusive<i64> = 60..=15 * 60;
const REFRESH_TOKEN: std::ops::RangeInclusive<i64> = 5 * 60..=365 * 24 * 60 * 60;

pub fn project(project: &Project) -> proto::Project {
    proto::Project {
        project_id: project.project_id.to_string(),
        display_name: project.display_name.as_str().to_owned(),
        user_pool: project.user_pool.number(),
        auto_create_organization: project.auto_create_organization,
        organization_defaults: settings::settings(&project.organization_defaults),
        token_settings: Some(token_settings(&project.token_settings)),
        branding: branding::branding(&project.branding),
        limits: limits::of_project(&project.limits),
        state: project.state.number(),
        create_time: Some(timestamp(project.create_time)),
        update_time: Some(timestamp(project.update_time)),
        etag: tenancy::mask::etag(project.revision),
        redirect_uris: project.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect(),
    }
}

pub fn project_entry(project: &Project) -> proto::ProjectEntry {
    proto::ProjectEntry {
        project_id: project.project_id.to_string(),
        state: project.state.number(),
        user_pool: project.user_pool.number(),
        display_name: project.display_name.as_str().to_owned(),
        token_settings: Some(token_settings(&project.token_settings)),
    }
}

fn token_settings(settings: &TokenSettings) -> proto::TokenSettings {
    proto::TokenSettings {
        access_token_lifetime: settings.access_token_lifetime_seconds.map(duration),
        refresh_token_lifetime: settings.refresh_token_lifetime_seconds.map(duration),
        algorithm: number(Some(settings.algorithm)),
        audience: settings.audience.clone().map(String::from).unwrap_or_default(),
        issuer_host: String::new(),
        audiences: settings.audiences.iter().cloned().map(String::from).collect(),
        custom_claims: settings.custom_claims.iter().map(custom_claim).collect(),
    }
}

fn custom_claim(claim: &CustomClaim) -> proto::CustomClaim {
    proto::CustomClaim { name: claim.name.clone(), source: claim.source.clone() }
}

/// The fields that are named.
fn draft(reading: &mut Reading<'_>, from: proto::Project) -> ProjectDraft {
    ProjectDraft {
        display_name: reading.read("display_name", || DisplayName::parse(&from.display_name)),
        user_pool: reading.read(USER_POOL, || Choice::read(from.user_pool)).flatten().unwrap_or_default(),
        auto_create_organization: from.auto_create_organization,
        organization_defaults: settings::read(reading, "organization_defaults", from.organization_defaults),
        token_settings: read_token_settings(reading, from.token_settings.unwrap_or_default()),
        branding: branding::read(reading, from.branding),
        limits: limits::read_of_project(reading, from.limits),
        redirect_uris: reading
            .list("redirect_uris", &from.redirect_uris, REDIRECT_URIS, |text: &String| RedirectUri::parse(text)),
    }
}

pub fn read_create(request: proto::CreateProjectRequest) -> Result<(DisplayName, ProjectDraft), Status> {
    let mask = all_of(&[fields(), vec![USER_POOL]].concat());
    let mut reading = Reading::new("project", &mask);
    let draft = draft(&mut reading, required("project", request.project)?);
    let mut violations = reading.violations;
    let fits = draft.organization_defaults.idle_timeout_fits();
    violations.require(fits, DEFAULT_IDLE_TIMEOUT, "must not be longer than session_lifetime");
    let (display_name,) = violations.all((draft.display_name.clone(),))?;
    Ok((display_name, draft))
}

pub fn read_update(request: proto::UpdateProjectRequest) -> Result<(ProjectId, Update), Status> {
    let mut violations = Violations::default();
    let id = violations.check("project_id", request.project_id.parse::<ProjectId>());
    let paths = request.update_mask.unwrap_or_default().paths;
    let mask = violations.check("update_mask", Mask::parse(&paths, &fields()));
    violations.require(request.project.is_some(), "project", "is required");
    let (id, mask, from) = violations.all((id, mask, request.project))?;
    let mut reading = Reading::new("project", &mask);
    let same = from.project_id.is_empty() || from.project_id == id.to_string();
    reading.violations.require(same, "project.project_id", "must be empty or the same as project_id");
    let etag = from.etag.clone();
    let draft = draft(&mut reading, from);
    reading.violations.finish()?;
    Ok((id, Update { draft, mask, etag }))
}

pub fn read_archive(request: proto::ArchiveProjectRequest) -> Result<Archive, Status> {
    let mut violations = Violations::default();
    let project = violations.check("project_id", request.project_id.parse());
    let reason = violations.check("reason", Reason::parse(&request.reason));
    let (project, reason) = violations.all((project, reason))?;
    Ok(Archive { project, etag: request.etag.unwrap_or_default(), reason })
}

fn read_token_settings(reading: &mut Reading<'_>, from: proto::TokenSettings) -> TokenSettings {
    reading.text("token_settings.issuer_host", &from.issuer_host, |_| {
        Err::<(), _>(Fault("must be empty: this version has one issuer for all projects"))
    });
    TokenSettings {
        access_token_lifetime_seconds: from.access_token_lifetime.and_then(|lifetime| {
            let fault = "must be 60 seconds to 15 minutes in whole seconds";
            reading.read("token_settings.access_token_lifetime", || read_seconds(lifetime, ACCESS_TOKEN, fault))
        }),
        refresh_token_lifetime_seconds: from.refresh_token_lifetime.and_then(|lifetime| {
            let fault = "must be 5 minutes to 365 days in whole seconds";
            reading.read("token_settings.refresh_token_lifetime", || read_seconds(lifetime, REFRESH_TOKEN, fault))
        }),
        algorithm: reading
            .read("token_settings.algorithm", || Choice::read(from.algorithm))
            .flatten()
            .unwrap_or_default(),
        audience: reading.text("token_settings.audience", &from.audience, Audience::parse),
        audiences: reading
            .list("token_settings.audiences", &from.audiences, MAX_AUDIENCES, |text| Audience::parse(text)),
        custom_claims: read_custom_claims(reading, &from.custom_claims),
    }
}

fn read_custom_claims(reading: &mut Reading<'_>, from: &[proto::CustomClaim]) -> Vec<CustomClaim> {
    let path = "token_settings.custom_claims";
    let parse = |claim: &proto::CustomClaim| CustomClaim::parse(&claim.name, &claim.source);
    let claims = reading.list(path, from, MAX_CUSTOM_CLAIMS, parse);
    for (at, claim) in claims.iter().enumerate() {
        let twice = claims[..at].iter().any(|other| other.name.eq_ignore_ascii_case(&claim.name));
        reading.violations.require(!twice, format!("project.{path}"), "must not name a claim twice");
    }
    claims
}

/// None: in any state.
pub fn state_filter(state: i32, violations: &mut Violations) -> Option<ProjectState> {
    violations.check("state", Choice::read(state)).flatten()
}

#[cfg(test)]
mod tests {
    use prost_types::FieldMask;
    use tonic_types::StatusExt;

    use super::*;

    fn update(paths: &[&str], project: proto::Project) -> Result<(ProjectId, Update), Status> {
        read_update(proto::UpdateProjectRequest {
            project_id: ProjectId::new().to_string(),
            project: Some(project),
            update_mask: Some(FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }),
            request_id: String::new(),
        })
    }

    #[test]
    fn every_field_but_the_user_pool_may_be_updated_by_itself() {
        for field in fields() {
            let project = proto::Project { display_name: "Product".to_owned(), ..proto::Project::default() };
            assert!(update(&[field], project).is_ok(), "{field}");
        }
        let refused = update(&[USER_POOL], proto::Project::default()).expect_err("it is chosen for good");
        assert_eq!(
            refused.get_error_details().bad_request().map(|b| b.field_violations[0].field.clone()).as_deref(),
            Some("update_mask")
        );
    }

    #[test]
    fn only_named_fields_are_checked() {
        let bad = proto::Project {
            limits: Some(proto::ProjectLimits { max_organizations: Some(-1), ..proto::ProjectLimits::default() }),
            ..proto::Project::default()
        };
        assert!(update(&["branding"], bad.clone()).is_ok());
        for named in ["limits", "limits.max_organizations", "display_name"] {
            assert!(update(&[named], bad.clone()).is_err(), "{named}");
        }
    }
}
