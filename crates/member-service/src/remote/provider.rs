//! What org-service asks identity providers.

use access::Service;
use api::org::v1::{AuthorizeSignInRequest, RedeemCodeRequest, authorize_sign_in_request::Provider as Named};
use futures::FutureExt as _;
use tenancy::{ConnectionId, OrganizationId, ProjectId};

use super::{Asker, Remote, RemoteError};
use crate::model::{EmailAddress, ExternalId, Name, SsoSignIn, Vouching};

/// Where somebody wants to sign in.
#[derive(Debug, Clone, Copy)]
pub enum Provider {
    Organization(OrganizationId),
    Connection(ConnectionId),
}

/// What an authorization request is made of.
#[derive(Debug)]
pub struct Authorized {
    pub authorization_uri: String,
    pub connection: ConnectionId,
    /// Whose connection it is. None: the project's.
    pub organization: Option<OrganizationId>,
    pub issuer: String,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
}

/// What came back with the browser, and what only we know of the sign-in.
#[derive(Debug)]
pub struct Returned {
    pub code: String,
    pub code_verifier: String,
    pub nonce: String,
    /// No `iss` came back.
    pub without_issuer: bool,
}

impl Remote {
    pub async fn authorize_sign_in(
        &self,
        asker: Asker<'_>,
        project: ProjectId,
        provider: Provider,
        redirect_uri: &str,
        state: &str,
        (nonce, code_challenge): (&str, &str),
    ) -> Result<Authorized, RemoteError> {
        let message = AuthorizeSignInRequest {
            project_id: project.to_string(),
            provider: Some(match provider {
                Provider::Organization(id) => Named::OrganizationId(id.to_string()),
                Provider::Connection(id) => Named::ConnectionId(id.to_string()),
            }),
            redirect_uri: redirect_uri.to_owned(),
            state: state.to_owned(),
            nonce: nonce.to_owned(),
            code_challenge: code_challenge.to_owned(),
        };
        let request = self.to(asker, Service::Org, message)?;
        let answer = self.providers.clone().authorize_sign_in(request).boxed().await?.into_inner();
        let connection = answer.connection_id.parse();
        let organization = match answer.organization_id.as_str() {
            "" => Ok(None),
            id => id.parse().map(Some),
        };
        match (connection, organization) {
            (Ok(connection), Ok(organization)) => Ok(Authorized {
                authorization_uri: answer.authorization_uri,
                connection,
                organization,
                issuer: answer.issuer,
                // A replica from before answers without: there it is the one that was asked for.
                redirect_uri: match answer.redirect_uri {
                    uri if uri.is_empty() => redirect_uri.to_owned(),
                    uri => uri,
                },
            }),
            _ => Err(RemoteError::inconsistent("org-service named no connection")),
        }
    }

    pub async fn redeem_code(
        &self,
        asker: Asker<'_>,
        project: ProjectId,
        sign_in: &SsoSignIn,
        returned: Returned,
    ) -> Result<Vouching, RemoteError> {
        let message = RedeemCodeRequest {
            organization_id: sign_in.organization.map(|id| id.to_string()).unwrap_or_default(),
            project_id: project.to_string(),
            connection_id: sign_in.connection.to_string(),
            issuer: sign_in.issuer.clone(),
            redirect_uri: sign_in.redirect_uri.clone(),
            code: returned.code,
            code_verifier: returned.code_verifier,
            nonce: returned.nonce,
            without_issuer: returned.without_issuer,
        };
        let request = self.to(asker, Service::Org, message)?;
        let answer = self.providers.clone().redeem_code(request).boxed().await?.into_inner();
        Ok(Vouching {
            connection: sign_in.connection,
            issuer: sign_in.issuer.clone(),
            subject: answer.subject,
            email_address: EmailAddress::parse(&answer.email_address).ok(),
            email_verified: answer.email_verified,
            display_name: Name::parse(answer.display_name.trim()).unwrap_or_default(),
            external_id: ExternalId::parse(&answer.external_id).ok(),
            role_ids: answer.role_ids,
        })
    }
}
