//! Choosing an organization.

use api::{
    gateway::v1::{
        ListOrganizationsRequest, ListOrganizationsResponse, OrganizationAccess, OrganizationChoice,
        SelectOrganizationRequest, SignUpRequest, SwitchOrganizationRequest, select_organization_request,
        switch_organization_request,
    },
    member::v1::{self as member, EntranceRight},
};
use runtime::Violations;
use tenancy::ProjectId;
use tonic::{Status, metadata::MetadataMap};

use super::{Named, intermediate_token, project, required_entrance};
use crate::ops::{
    choice::{Choice, Choices},
    sign_in::Entrance,
};

impl From<select_organization_request::Organization> for Named {
    fn from(named: select_organization_request::Organization) -> Self {
        match named {
            select_organization_request::Organization::OrganizationId(id) => Self::Id(id),
            select_organization_request::Organization::OrganizationSlug(slug) => Self::Slug(slug),
        }
    }
}

impl From<switch_organization_request::Organization> for Named {
    fn from(named: switch_organization_request::Organization) -> Self {
        match named {
            switch_organization_request::Organization::OrganizationId(id) => Self::Id(id),
            switch_organization_request::Organization::OrganizationSlug(slug) => Self::Slug(slug),
        }
    }
}

pub fn page_of_choices(
    metadata: &MetadataMap,
    message: ListOrganizationsRequest,
) -> Result<(Option<ProjectId>, member::ListEntrancesRequest), Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let intermediate_session_token = intermediate_token(message.intermediate_session_token, &mut violations);
    violations.finish()?;
    let request = member::ListEntrancesRequest {
        project_id: String::new(),
        intermediate_session_token,
        page_size: message.page_size,
        page_token: message.page_token,
    };
    Ok((project, request))
}

pub fn choices(choices: Choices) -> ListOrganizationsResponse {
    ListOrganizationsResponse {
        organizations: choices.choices.into_iter().map(choice).collect(),
        next_page_token: choices.next_page_token,
    }
}

fn choice(Choice { entrance, organization }: Choice) -> OrganizationChoice {
    let access = match entrance.right() {
        EntranceRight::Unspecified => OrganizationAccess::Unspecified,
        EntranceRight::Member => OrganizationAccess::Member,
        EntranceRight::Invited => OrganizationAccess::Invited,
        EntranceRight::Joinable => OrganizationAccess::Joinable,
    };
    OrganizationChoice {
        organization_id: organization.organization_id,
        slug: organization.slug,
        display_name: organization.display_name,
        kind: organization.kind,
        branding: organization.branding,
        access: access.into(),
        member_id: entrance.member_id,
        invitation_id: entrance.invitation_id,
    }
}

/// The project, the organization to enter, and the intermediate session's secret.
pub fn selection(
    metadata: &MetadataMap,
    message: SelectOrganizationRequest,
) -> Result<(Option<ProjectId>, Entrance, String), Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let entrance = required_entrance(message.organization.map(Named::from), &mut violations);
    let token = intermediate_token(message.intermediate_session_token, &mut violations);
    let (entrance,) = violations.all((entrance,))?;
    Ok((project, entrance, token))
}

pub fn switch(message: SwitchOrganizationRequest) -> Result<Entrance, Status> {
    let mut violations = Violations::default();
    let entrance = required_entrance(message.organization.map(Named::from), &mut violations);
    let (entrance,) = violations.all((entrance,))?;
    Ok(entrance)
}

/// What stands in it is for the services to check.
pub fn sign_up(
    metadata: &MetadataMap,
    message: SignUpRequest,
) -> Result<(Option<ProjectId>, member::SignUpRequest), Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let intermediate_session_token = intermediate_token(message.intermediate_session_token, &mut violations);
    violations.finish()?;
    let organization = message.organization.unwrap_or_default();
    let request = member::SignUpRequest {
        intermediate_session_token,
        organization_display_name: organization.display_name,
        organization_slug: organization.slug,
        organization_kind: organization.kind,
        display_name: message.display_name,
        password: message.password,
        request_id: message.request_id,
        ..member::SignUpRequest::default()
    };
    Ok((project, request))
}
