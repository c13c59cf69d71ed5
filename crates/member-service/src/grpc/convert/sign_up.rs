//! Signing up.

use api::{member::v1::SignUpRequest, org::v1::OrganizationKind};
use runtime::Violations;
use tenancy::{
    Once,
    secret::{self, SecretKind},
};
use tonic::Status;

use super::session::read_arrival;
use crate::{
    grpc::refusal,
    model::{FoundedKind, FoundingPlan, Name, NewPassword},
    ops::sign_up::{Application, SignUpError},
};

/// Of the texts that org-service has rules for, no more than this is passed on.
const TEXT_BYTES: usize = 4096;

/// `once` is the claim of its `request_id`.
pub fn read_application(request: SignUpRequest, once: Option<Once>) -> Result<Application, Status> {
    let kind = request.organization_kind();
    let mut violations = Violations::default();
    let project = violations.check("project_id", request.project_id.parse());
    let display_name = violations.check("display_name", Name::parse(&request.display_name));
    let texts = [
        ("organization_display_name", &request.organization_display_name),
        ("organization_slug", &request.organization_slug),
    ];
    for (field, text) in texts {
        violations.require(
            text.len() <= TEXT_BYTES && !text.contains('\0'),
            field,
            "must be at most 4,096 bytes, without U+0000",
        );
    }
    let known = OrganizationKind::try_from(request.organization_kind).is_ok();
    violations.require(known, "organization_kind", "must be a kind of organization");
    let arrival = read_arrival(&request.user_agent, &request.ip_address, &mut violations);
    let (project, display_name, arrival) = violations.all((project, display_name, arrival))?;
    let secret = secret::parse(SecretKind::IntermediateSession, &request.intermediate_session_token);
    let password = match request.password {
        text if text.is_empty() => None,
        text => Some(NewPassword::parse(&text).map_err(|weak| refusal::sign_up(SignUpError::Weak(weak)))?),
    };
    Ok(Application {
        project,
        secret: secret.map_err(|_| refusal::sign_in_failed())?,
        plan: FoundingPlan {
            display_name: request.organization_display_name,
            slug: request.organization_slug,
            kind: match kind {
                OrganizationKind::Unspecified => None,
                OrganizationKind::Personal => Some(FoundedKind::Personal),
                OrganizationKind::Team => Some(FoundedKind::Team),
            },
        },
        display_name,
        password,
        once,
        arrival,
    })
}
