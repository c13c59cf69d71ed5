//! The second factor: given to the sign-in that waits for it, which then enters the organization that asked.

use api::member::v1::{ExchangeSessionRequest, UseRecoveryCodeRequest, VerifyTotpRequest};
use tenancy::ProjectId;
use tonic::Status;

use super::{
    sessions::Visitor,
    sign_in::{Progress, SignIn},
};
use crate::remote::MYSELF;

/// What somebody gives as their second factor.
pub enum SecondFactor {
    Totp(String),
    RecoveryCode(String),
}

/// How far it brought them.
#[derive(Debug)]
pub struct Completed {
    pub progress: Progress,
    /// Of an authenticator app that was enrolled by it.
    pub recovery_codes: Vec<String>,
}

impl SignIn {
    pub async fn complete_mfa(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        intermediate_session_token: String,
        factor: SecondFactor,
    ) -> Result<Completed, Status> {
        let project = self.place(visitor, project).await?.project;
        self.check_project(&visitor.call, project).await?;
        let (project_id, token) = (project.to_string(), intermediate_session_token.clone());
        let (organization_id, recovery_codes) = match factor {
            SecondFactor::Totp(code) => {
                let request = VerifyTotpRequest { project_id, intermediate_session_token: token, code };
                let given = self.remote.verify_totp(&visitor.call, request).await?;
                (given.organization_id, given.recovery_codes)
            }
            SecondFactor::RecoveryCode(code) => {
                let request = UseRecoveryCodeRequest { project_id, intermediate_session_token: token, code };
                (self.remote.use_recovery_code(&visitor.call, request).await?.organization_id, Vec::new())
            }
        };
        runtime::kill_point("complete-mfa/given");
        let request = ExchangeSessionRequest {
            organization_id,
            project_id: project.to_string(),
            intermediate_session_token,
            ..ExchangeSessionRequest::default()
        };
        let progress = self.sessions.exchange(visitor, &MYSELF, request).await?;
        Ok(Completed { progress, recovery_codes })
    }
}
