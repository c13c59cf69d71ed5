//! `guildhall.gateway.v1.AuthenticationService`: the methods that this version serves. The edge has answered the others.

use std::sync::Arc;

use api::gateway::v1::{
    CompleteEmailSignInRequest, CompleteMfaRequest, CompleteSsoSignInRequest, ListOrganizationsRequest,
    ListOrganizationsResponse, RefreshSessionRequest, SelectOrganizationRequest, SignInResult,
    SignInWithPasswordRequest, SignOutRequest, SignUpRequest, StartEmailSignInRequest, StartEmailSignInResponse,
    StartSsoSignInRequest, StartSsoSignInResponse, SwitchOrganizationRequest, WhoAmIRequest, WhoAmIResponse,
    authentication_service_server::AuthenticationService,
};
use runtime::{CallContext, Violations};
use tonic::{Request, Response, Status};

use super::convert;
use crate::{
    edge::Presented,
    limits::Limits,
    ops::{sessions::Sessions, sign_in::SignIn},
};

/// Longer than any refresh token of ours.
const MAX_REFRESH_TOKEN: usize = 512;

#[derive(Debug)]
pub struct Authentication {
    pub sign_in: SignIn,
    pub sessions: Arc<Sessions>,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl AuthenticationService for Authentication {
    async fn sign_in_with_password(
        &self,
        request: Request<SignInWithPasswordRequest>,
    ) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let convert::PasswordSignIn { project, entrance, email_address, password } =
            convert::password_sign_in(&metadata, message)?;
        let progress = self.sign_in.with_password(&visitor, project, entrance, email_address, &password).await?;
        Ok(Response::new(convert::progress(progress)))
    }

    async fn start_email_sign_in(
        &self,
        request: Request<StartEmailSignInRequest>,
    ) -> Result<Response<StartEmailSignInResponse>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let convert::EmailSignIn { project, entrance, email_address, sign_up } =
            convert::email_sign_in(&metadata, message)?;
        let challenge = self.sign_in.start_email(&visitor, project, entrance, email_address, sign_up).await?;
        Ok(Response::new(StartEmailSignInResponse {
            challenge_id: challenge.challenge_id,
            expire_time: challenge.expire_time,
        }))
    }

    async fn complete_email_sign_in(
        &self,
        request: Request<CompleteEmailSignInRequest>,
    ) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let (project, answer) = convert::email_answer(&metadata, message)?;
        let progress = self.sign_in.complete_email(&visitor, project, answer).await?;
        Ok(Response::new(convert::progress(progress)))
    }

    async fn complete_mfa(&self, request: Request<CompleteMfaRequest>) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let (project, token, factor) = convert::second_factor(&metadata, message)?;
        let completed = self.sign_in.complete_mfa(&visitor, project, token, factor).await?;
        Ok(Response::new(convert::completed(completed)))
    }

    async fn start_sso_sign_in(
        &self,
        request: Request<StartSsoSignInRequest>,
    ) -> Result<Response<StartSsoSignInResponse>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let convert::SsoStart { project, at, redirect_uri, code_challenge } = convert::sso_start(&metadata, message)?;
        let started = self.sign_in.start_sso(&visitor, project, at, redirect_uri, code_challenge).await?;
        Ok(Response::new(StartSsoSignInResponse {
            authorization_uri: started.authorization_uri,
            state: started.state,
            expire_time: started.expire_time,
        }))
    }

    async fn complete_sso_sign_in(
        &self,
        request: Request<CompleteSsoSignInRequest>,
    ) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let (project, completion) = convert::sso_completion(&metadata, message)?;
        let progress = self.sign_in.complete_sso(&visitor, project, completion).await?;
        Ok(Response::new(convert::progress(progress)))
    }

    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> Result<Response<ListOrganizationsResponse>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let (project, asked) = convert::page_of_choices(&metadata, message)?;
        let choices = self.sign_in.choices(&visitor, project, asked).await?;
        Ok(Response::new(convert::choices(choices)))
    }

    async fn select_organization(
        &self,
        request: Request<SelectOrganizationRequest>,
    ) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let (project, entrance, token) = convert::selection(&metadata, message)?;
        let progress = self.sign_in.select(&visitor, project, entrance, token).await?;
        Ok(Response::new(convert::progress(progress)))
    }

    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let (project, asked) = convert::sign_up(&metadata, message)?;
        let progress = self.sign_in.sign_up(&visitor, project, asked).await?;
        Ok(Response::new(convert::progress(progress)))
    }

    async fn switch_organization(
        &self,
        request: Request<SwitchOrganizationRequest>,
    ) -> Result<Response<SignInResult>, Status> {
        let verified = Presented::required(&request)?;
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let entrance = convert::switch(request.into_inner())?;
        let progress = self.sign_in.switch(&visitor, &verified.caller, entrance).await?;
        Ok(Response::new(convert::progress(progress)))
    }

    async fn refresh_session(&self, request: Request<RefreshSessionRequest>) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.token_from(visitor.address)?;
        let refresh_token = request.into_inner().refresh_token;
        let mut violations = Violations::default();
        let fits = (1..=MAX_REFRESH_TOKEN).contains(&refresh_token.len());
        violations.require(fits, "refresh_token", "must be 1 to 512 bytes");
        violations.finish()?;
        let signed = self.sessions.refresh(&visitor.call, refresh_token).await?;
        Ok(Response::new(convert::signed(signed)))
    }

    async fn sign_out(&self, request: Request<SignOutRequest>) -> Result<Response<()>, Status> {
        let verified = Presented::required(&request)?;
        self.sessions.end(&CallContext::of(&request), &verified.caller).await?;
        Ok(Response::new(()))
    }

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        let verified = Presented::required(&request)?;
        Ok(Response::new(convert::who_am_i(&verified)))
    }
}
