//! The second factors of `guildhall.member.v1.CredentialService`.

use access::Granted;
use api::member::v1::{
    ConfirmTotpRequest, ConfirmTotpResponse, EnrollTotpRequest, EnrollTotpResponse, RegenerateRecoveryCodesRequest,
    RegenerateRecoveryCodesResponse, UseRecoveryCodeRequest, UseRecoveryCodeResponse, VerifyTotpRequest,
    VerifyTotpResponse,
};
use runtime::Violations;
use secrecy::ExposeSecret;
use tenancy::{
    ClusterScope, OrganizationScope, ProjectId,
    secret::{self, SecretKind},
};
use tonic::{Request, Response, Status};

use super::{Door, convert, refusal};
use crate::{
    model::RecoveryCodes,
    ops::{
        credential::{self, Oneself},
        entry::{self, Opened},
    },
};

/// Longer than any code with its blanks.
const MAX_CODE: usize = 64;

fn code(text: &str, violations: &mut Violations) {
    violations.require((1..=MAX_CODE).contains(&text.len()), "code", "must be 1 to 64 bytes");
}

impl Door {
    async fn oneself<T>(&self, request: &Request<T>) -> Result<(Granted<OrganizationScope>, Oneself), Status> {
        let (granted, member, session) = self.access.oneself(request).await?;
        Ok((granted, Oneself { member, session }))
    }

    /// The sign-in that waits for a code.
    async fn waiting(
        &self,
        granted: &Granted<ClusterScope>,
        project: &str,
        token: &str,
        given: &str,
    ) -> Result<Opened, Status> {
        let mut violations = Violations::default();
        let project = violations.check("project_id", project.parse::<ProjectId>());
        code(given, &mut violations);
        let (project,) = violations.all((project,))?;
        let secret = secret::parse(SecretKind::IntermediateSession, token).map_err(|_| refusal::sign_in_failed())?;
        let opened = entry::open(&self.context, granted, project, &secret).await.map_err(refusal::look)?;
        opened.ok_or_else(refusal::sign_in_failed)
    }

    pub(super) async fn enroll(
        &self,
        request: Request<EnrollTotpRequest>,
    ) -> Result<Response<EnrollTotpResponse>, Status> {
        let (granted, oneself) = self.oneself(&request).await?;
        let shown = credential::enroll_totp(&self.context, &granted, oneself).await.map_err(refusal::enroll)?;
        Ok(Response::new(EnrollTotpResponse {
            provisioning_uri: shown.provisioning_uri.expose_secret().to_owned(),
            secret: shown.secret.expose_secret().to_owned(),
        }))
    }

    pub(super) async fn confirm(
        &self,
        request: Request<ConfirmTotpRequest>,
    ) -> Result<Response<ConfirmTotpResponse>, Status> {
        let (granted, oneself) = self.oneself(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        code(&request.code, &mut violations);
        violations.finish()?;
        let codes =
            credential::confirm_totp(&self.context, &granted, oneself, &request.code).await.map_err(refusal::enroll)?;
        Ok(Response::new(ConfirmTotpResponse { recovery_codes: codes.texts() }))
    }

    pub(super) async fn regenerate(
        &self,
        request: Request<RegenerateRecoveryCodesRequest>,
    ) -> Result<Response<RegenerateRecoveryCodesResponse>, Status> {
        let (granted, oneself) = self.oneself(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        code(&request.code, &mut violations);
        violations.finish()?;
        let once = granted.once(&request.request_id, &request)?;
        let codes =
            credential::regenerate_recovery_codes(&self.context, &granted, once.as_ref(), oneself, &request.code)
                .await
                .map_err(refusal::enroll)?;
        Ok(Response::new(RegenerateRecoveryCodesResponse { recovery_codes: codes.texts() }))
    }

    pub(super) async fn verify(
        &self,
        request: Request<VerifyTotpRequest>,
    ) -> Result<Response<VerifyTotpResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let VerifyTotpRequest { project_id, intermediate_session_token, code } = request.into_inner();
        let opened = self.waiting(&granted, &project_id, &intermediate_session_token, &code).await?;
        let given = credential::verify_totp(&self.context, &granted, &opened, &code).await.map_err(refusal::sign_in)?;
        Ok(Response::new(VerifyTotpResponse {
            auth_factor: Some(convert::auth_factor(&given.factor)),
            organization_id: given.organization.to_string(),
            recovery_codes: given.new_codes.as_ref().map(RecoveryCodes::texts).unwrap_or_default(),
        }))
    }

    pub(super) async fn recover(
        &self,
        request: Request<UseRecoveryCodeRequest>,
    ) -> Result<Response<UseRecoveryCodeResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let UseRecoveryCodeRequest { project_id, intermediate_session_token, code } = request.into_inner();
        let opened = self.waiting(&granted, &project_id, &intermediate_session_token, &code).await?;
        let given =
            credential::use_recovery_code(&self.context, &granted, &opened, &code).await.map_err(refusal::sign_in)?;
        Ok(Response::new(UseRecoveryCodeResponse {
            auth_factor: Some(convert::auth_factor(&given.factor)),
            organization_id: given.organization.to_string(),
            remaining_count: i32::try_from(given.left).unwrap_or(i32::MAX),
        }))
    }
}
