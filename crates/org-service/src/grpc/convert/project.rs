use api::org::v1 as proto;
use runtime::Violations;
use tonic::Status;

use super::{
    Reading, all_of, branding,
    choices::{Choice, number},
    limits, required, settings,
    time::{duration, read_seconds, timestamp},
};
use crate::{
    model::{Audience, DisplayName, HostName, Project, ProjectState, TokenSettings},
    ops,
};

const FIELDS: &[&str] = &[
    "display_name",
    "user_pool",
    "auto_create_organization",
    "organization_defaults",
    "token_settings",
    "branding",
    "limits",
];
const ACCESS_TOKEN: std::ops::RangeInclusive<i64> = 60..=60 * 60;
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
    }
}

pub fn project_entry(project: &Project) -> proto::ProjectEntry {
    proto::ProjectEntry {
        project_id: project.project_id.to_string(),
        state: project.state.number(),
        user_pool: project.user_pool.number(),
        display_name: project.display_name.as_str().to_owned(),
    }
}

fn token_settings(settings: &TokenSettings) -> proto::TokenSettings {
    proto::TokenSettings {
        access_token_lifetime: settings.access_token_lifetime_seconds.map(duration),
        refresh_token_lifetime: settings.refresh_token_lifetime_seconds.map(duration),
        algorithm: number(Some(settings.algorithm)),
        audience: settings.audience.clone().map(String::from).unwrap_or_default(),
        issuer_host: settings.issuer_host.clone().map(String::from).unwrap_or_default(),
    }
}

pub fn read_create(request: proto::CreateProjectRequest) -> Result<ops::project::Draft, Status> {
    let mask = all_of(FIELDS);
    let mut reading = Reading::new("project", &mask);
    let from = required("project", request.project)?;
    let display_name = reading.read("display_name", || DisplayName::parse(&from.display_name));
    let user_pool = reading.read("user_pool", || Choice::read(from.user_pool)).flatten().unwrap_or_default();
    let organization_defaults = settings::read(&mut reading, "organization_defaults", from.organization_defaults);
    let fits = organization_defaults.idle_timeout_fits();
    let token_settings = read_token_settings(&mut reading, from.token_settings.unwrap_or_default());
    let branding = branding::read(&mut reading, from.branding);
    let limits = limits::read_of_project(&mut reading, from.limits);
    let mut violations = reading.violations;
    violations.require(
        fits,
        "project.organization_defaults.session_idle_timeout",
        "must not be longer than session_lifetime",
    );
    let (display_name,) = violations.all((display_name,))?;
    Ok(ops::project::Draft {
        display_name,
        user_pool,
        auto_create_organization: from.auto_create_organization,
        organization_defaults,
        token_settings,
        branding,
        limits,
    })
}

fn read_token_settings(reading: &mut Reading<'_>, from: proto::TokenSettings) -> TokenSettings {
    TokenSettings {
        access_token_lifetime_seconds: from.access_token_lifetime.and_then(|lifetime| {
            let fault = "must be 60 seconds to 1 hour in whole seconds";
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
        issuer_host: reading.text("token_settings.issuer_host", &from.issuer_host, HostName::parse),
    }
}

/// None: in any state.
pub fn state_filter(state: i32, violations: &mut Violations) -> Option<ProjectState> {
    violations.check("state", Choice::read(state)).flatten()
}
