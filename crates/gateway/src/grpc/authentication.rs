//! `guildhall.gateway.v1.AuthenticationService`: the methods that this version serves. The edge has answered the others.

use std::sync::Arc;

use api::gateway::v1::{
    CompleteEmailSignInRequest, CompleteSsoSignInRequest, ListOrganizationsRequest, ListOrganizationsResponse,
    RefreshSessionRequest, SelectOrganizationRequest, SignInResult, SignInWithPasswordRequest, SignOutRequest,
    SignUpRequest, StartEmailSignInRequest, StartEmailSignInResponse, StartSsoSignInRequest, StartSsoSignInResponse,
    SwitchOrganizationRequest, WhoAmIRequest, WhoAmIResponse, authentication_service_server::AuthenticationService,
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
        let mut violations = Violations::default();
        let project = convert::project(&metadata, &mut violations);
        violations.require(message.token.is_empty(), "token", "signing in by link is not served by this version");
        let challenge = violations.check("challenge_id", message.challenge_id.parse());
        let code: String = message.code.split_whitespace().collect();
        violations.require((1..=64).contains(&code.len()), "code", "must be 1 to 64 characters");
        let (challenge, code) = violations.all((challenge, Some(code)))?;
        let progress = self.sign_in.complete_email(&visitor, project, challenge, code).await?;
        Ok(Response::new(convert::progress(progress)))
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
        let choices = self.sign_in.choices(&visitor.call, project, asked).await?;
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
        let signed = self.sign_in.select(&visitor, project, entrance, token).await?;
        Ok(Response::new(convert::signed(signed)))
    }

    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<SignInResult>, Status> {
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let (metadata, _, message) = request.into_parts();
        let (project, asked) = convert::sign_up(&metadata, message)?;
        let signed = self.sign_in.sign_up(&visitor, project, asked).await?;
        Ok(Response::new(convert::signed(signed)))
    }

    async fn switch_organization(
        &self,
        request: Request<SwitchOrganizationRequest>,
    ) -> Result<Response<SignInResult>, Status> {
        let verified = Presented::required(&request)?;
        let visitor = convert::visitor(&request);
        self.limits.sign_in_from(visitor.address)?;
        let entrance = convert::switch(request.into_inner())?;
        let signed = self.sign_in.switch(&visitor, &verified.caller, entrance).await?;
        Ok(Response::new(convert::signed(signed)))
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
