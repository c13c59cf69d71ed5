//! Second factors.

use api::{
    gateway::v1::{
        CompleteMfaRequest, MfaRequired, SignInResult, TotpEnrollment, complete_mfa_request::Factor,
        sign_in_result::Outcome,
    },
    member::v1::{AuthFactorMethod, SecondFactorRequired},
    org::v1::MfaMethod,
};
use runtime::Violations;
use tenancy::ProjectId;
use tonic::{Status, metadata::MetadataMap};

use super::{intermediate_token, progress, project};
use crate::ops::mfa::{Completed, SecondFactor};

/// Longer than any code with its blanks.
const MAX_CODE: usize = 64;

/// The project, the intermediate session's secret, and what is given.
pub fn second_factor(
    metadata: &MetadataMap,
    message: CompleteMfaRequest,
) -> Result<(Option<ProjectId>, String, SecondFactor), Status> {
    let mut violations = Violations::default();
    let project = project(metadata, &mut violations);
    let token = intermediate_token(message.intermediate_session_token, &mut violations);
    let mut fits = |field: &str, code: &str| {
        violations.require((1..=MAX_CODE).contains(&code.len()), field, "must be 1 to 64 bytes");
    };
    let factor = match message.factor {
        Some(Factor::TotpCode(code)) => {
            fits("totp_code", &code);
            Some(SecondFactor::Totp(code))
        }
        Some(Factor::RecoveryCode(code)) => {
            fits("recovery_code", &code);
            Some(SecondFactor::RecoveryCode(code))
        }
        None => {
            violations.add("factor", "must be given: totp_code or recovery_code");
            None
        }
    };
    let (factor,) = violations.all((factor,))?;
    Ok((project, token, factor))
}

pub fn completed(completed: Completed) -> SignInResult {
    SignInResult { recovery_codes: completed.recovery_codes, ..progress(completed.progress) }
}

pub fn required(missing: SecondFactorRequired) -> SignInResult {
    let methods = missing.enrolled_methods().map(|method| match method {
        AuthFactorMethod::Totp => MfaMethod::Totp,
        AuthFactorMethod::Passkey => MfaMethod::Passkey,
        _ => MfaMethod::Unspecified,
    });
    let enrolled_methods = methods.filter(|method| *method != MfaMethod::Unspecified).map(i32::from).collect();
    let session = missing.intermediate_session.unwrap_or_default();
    SignInResult {
        outcome: Some(Outcome::MfaRequired(MfaRequired {
            intermediate_session_token: session.token,
            expire_time: session.expire_time,
            organization_id: missing.organization_id,
            organization_slug: missing.organization_slug,
            enrolled_methods,
            totp_enrollment: missing
                .totp_enrollment
                .map(|shown| TotpEnrollment { secret: shown.secret, uri: shown.provisioning_uri }),
        })),
        ..SignInResult::default()
    }
}
