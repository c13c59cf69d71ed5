//! `guildhall.member.v1.CredentialService`.

use api::member::v1::{
    ConfirmTotpRequest, ConfirmTotpResponse, EnrollTotpRequest, EnrollTotpResponse, RegenerateRecoveryCodesRequest,
    RegenerateRecoveryCodesResponse, SetPasswordRequest, StartEmailChallengeRequest, StartEmailChallengeResponse,
    UseRecoveryCodeRequest, UseRecoveryCodeResponse, VerifyEmailChallengeRequest, VerifyEmailChallengeResponse,
    VerifyPasswordRequest, VerifyPasswordResponse, VerifyTotpRequest, VerifyTotpResponse,
    credential_service_server::CredentialService,
};
use runtime::Violations;
use tenancy::{
    ChallengeId, MemberId, OrganizationId, ProjectId,
    secret::{self, SecretKind},
};
use tonic::{Request, Response, Status};

use super::{Door, convert, refusal};
use crate::{
    model::{EmailAddress, NewPassword},
    ops::credential::{self, Entrance, SetPasswordError},
};

impl Door {
    /// Where somebody wants in, with what is known of it here.
    async fn entrance(&self, project: &str, organization: &str, sign_up: bool) -> Result<Entrance, Status> {
        let mut violations = Violations::default();
        let project = violations.check("project_id", project.parse::<ProjectId>());
        let organization = match organization {
            "" => Some(None),
            text => violations.check("organization_id", text.parse::<OrganizationId>()).map(Some),
        };
        violations.require(!sign_up || organization == Some(None), "sign_up", "is for no organization");
        let (project, organization) = violations.all((project, organization))?;
        let organization = match organization {
            None => None,
            // Asked for here alone: whoever has members here is known here, and an organization that nobody has costs no more than
            // another.
            Some(id) => Some((id, self.context.database.head(id).await.map_err(access::store)?)),
        };
        Ok(Entrance { project, organization, sign_up })
    }
}

#[tonic::async_trait]
impl CredentialService for Door {
    async fn set_password(&self, request: Request<SetPasswordRequest>) -> Result<Response<()>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let member: MemberId = request.member_id.parse().map_err(|error| access::invalid_field("member_id", error))?;
        let password = NewPassword::parse(&request.password)
            .map_err(|weak| refusal::set_password(SetPasswordError::Weak(weak)))?;
        credential::set_password(&self.context, &granted, once.as_ref(), member, password)
            .await
            .map_err(refusal::set_password)?;
        Ok(Response::new(()))
    }

    async fn verify_password(
        &self,
        request: Request<VerifyPasswordRequest>,
    ) -> Result<Response<VerifyPasswordResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let entrance = self.entrance(&request.project_id, &request.organization_id, false).await?;
        let address = EmailAddress::parse(&request.email_address).ok();
        let proven = credential::verify_password(&self.context, &granted, entrance, address, request.password)
            .await
            .map_err(refusal::sign_in)?;
        Ok(Response::new(VerifyPasswordResponse {
            identity_id: proven.identity.map(|id| id.to_string()).unwrap_or_default(),
            member_id: proven.member.map(|id| id.to_string()).unwrap_or_default(),
            organization_id: proven.organization.map(|id| id.to_string()).unwrap_or_default(),
            auth_factor: Some(convert::auth_factor(&proven.factor)),
            intermediate_session: proven.intermediate.as_ref().map(convert::intermediate),
        }))
    }

    async fn start_email_challenge(
        &self,
        request: Request<StartEmailChallengeRequest>,
    ) -> Result<Response<StartEmailChallengeResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let entrance = self.entrance(&request.project_id, &request.organization_id, request.sign_up).await?;
        let address = EmailAddress::parse(&request.email_address).ok();
        let started = credential::start_email_challenge(&self.context, &granted, entrance, address)
            .await
            .map_err(refusal::sign_in)?;
        Ok(Response::new(StartEmailChallengeResponse {
            challenge_id: started.challenge.to_string(),
            expire_time: Some(convert::timestamp(started.expire_time)),
        }))
    }

    async fn verify_email_challenge(
        &self,
        request: Request<VerifyEmailChallengeRequest>,
    ) -> Result<Response<VerifyEmailChallengeResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        let by_link = !request.token.is_empty();
        violations.require(!by_link || request.code.is_empty(), "token", "is given instead of a code");
        let challenge = match by_link {
            true => Some(None),
            false => violations.check("challenge_id", request.challenge_id.parse::<ChallengeId>()).map(Some),
        };
        let (project, challenge) = violations.all((project, challenge))?;
        let proven = match challenge {
            Some(challenge) => {
                credential::verify_email_challenge(&self.context, &granted, project, challenge, &request.code).await
            }
            None => {
                let presented =
                    secret::parse(SecretKind::EmailLink, &request.token).map_err(|_| refusal::sign_in_failed())?;
                credential::verify_email_link(&self.context, &granted, project, &presented).await
            }
        };
        let proven = proven.map_err(refusal::sign_in)?;
        Ok(Response::new(VerifyEmailChallengeResponse {
            identity_id: proven.identity.map(|id| id.to_string()).unwrap_or_default(),
            member_id: proven.member.map(|id| id.to_string()).unwrap_or_default(),
            organization_id: proven.organization.map(|id| id.to_string()).unwrap_or_default(),
            auth_factor: Some(convert::auth_factor(&proven.factor)),
            intermediate_session: proven.intermediate.as_ref().map(convert::intermediate),
        }))
    }

    async fn enroll_totp(&self, request: Request<EnrollTotpRequest>) -> Result<Response<EnrollTotpResponse>, Status> {
        self.enroll(request).await
    }

    async fn confirm_totp(
        &self,
        request: Request<ConfirmTotpRequest>,
    ) -> Result<Response<ConfirmTotpResponse>, Status> {
        self.confirm(request).await
    }

    async fn regenerate_recovery_codes(
        &self,
        request: Request<RegenerateRecoveryCodesRequest>,
    ) -> Result<Response<RegenerateRecoveryCodesResponse>, Status> {
        self.regenerate(request).await
    }

    async fn verify_totp(&self, request: Request<VerifyTotpRequest>) -> Result<Response<VerifyTotpResponse>, Status> {
        self.verify(request).await
    }

    async fn use_recovery_code(
        &self,
        request: Request<UseRecoveryCodeRequest>,
    ) -> Result<Response<UseRecoveryCodeResponse>, Status> {
        self.recover(request).await
    }
}
