//! `POST /oauth2/token` (RFC 6749, 8693): client_credentials for programs, refresh_token for sessions, a token for a token.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use runtime::{CallContext, Violations};
use serde_json::json;
use tenancy::{MemberId, OrganizationId};

use super::{form::Form, oauth_error::OauthError};
use crate::{
    edge::ClientAddress,
    ops::{
        clients::{Account, Client, Presented},
        exchange::{ActorToken, Exchange, Subject},
        grants::{Given, Wish},
        refused::{OauthCode, Refused},
        sessions::Visitor,
        tokens::Tokens,
    },
    refusal,
};

pub const NO_STORE: [(HeaderName, &str); 2] = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
const MAX_USER_AGENT: usize = 512;
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Ours: a member's id, of whom there is no token.
const MEMBER: &str = "urn:guildhall:params:oauth:token-type:member";
/// Ours: an API key.
const API_KEY: &str = "urn:guildhall:params:oauth:token-type:api_key";

/// A request to one of the endpoints, as far as they have it in common.
pub struct Asked {
    pub visitor: Visitor,
    pub form: Form,
    /// The client that proves itself, if one does.
    pub client: Option<Presented>,
}

/// Reads a request, and counts it.
pub async fn asked(tokens: &Tokens, request: Request) -> Result<Asked, OauthError> {
    let (parts, body): (_, Body) = request.into_parts();
    let call = CallContext::from_extensions(&parts.extensions);
    // The edge leaves it with every request.
    let address = parts.extensions.get::<ClientAddress>().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.0);
    tokens.limits.token_from(address)?;
    let mut form = Form::read(&parts.headers, body).await?;
    let client = form.client(&parts.headers)?;
    // No host name: who signs in nowhere here comes to no organization by one.
    let visitor = Visitor { call, address, user_agent: user_agent(&parts.headers), host: None };
    Ok(Asked { visitor, form, client })
}

/// The service account that a client is, if one proves itself.
pub async fn account(
    tokens: &Tokens,
    call: &CallContext,
    client: Option<Presented>,
) -> Result<Option<Account>, OauthError> {
    match client {
        None => Ok(None),
        Some(presented) => match tokens.clients.authenticate(call, presented).await? {
            Client::Account(account) => Ok(Some(account)),
            Client::Operator(_) => Err(OauthError::unauthorized_client()),
        },
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    let text = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.chars().take(MAX_USER_AGENT).collect()
}

pub async fn wrong_verb() -> OauthError {
    OauthError::wrong_verb()
}

pub async fn token(State(tokens): State<Arc<Tokens>>, request: Request) -> Result<Response, OauthError> {
    let given = give(&tokens, request).await;
    given.inspect_err(|refused| meters::REFUSED.count_of("reason", refused.word()))
}

async fn give(tokens: &Tokens, request: Request) -> Result<Response, OauthError> {
    let Asked { visitor, mut form, client } = asked(tokens, request).await?;
    let grant_type = form.required("grant_type")?;
    let wish = wish(&mut form)?;
    let asked_some = !wish.permissions.is_empty();
    let (given, exchanged) = match grant_type.as_str() {
        "client_credentials" => {
            let client = client.ok_or_else(OauthError::invalid_client)?;
            (tokens.clients.token(&visitor.call, client, wish).await?, false)
        }
        "refresh_token" => {
            // Sessions belong to no client that could authenticate.
            if account(tokens, &visitor.call, client).await?.is_some() {
                return Err(OauthError::unauthorized_client());
            }
            let refresh_token = form.required("refresh_token")?;
            (tokens.sessions.refreshed(&visitor.call, refresh_token, wish).boxed().await?, false)
        }
        TOKEN_EXCHANGE => {
            let client = account(tokens, &visitor.call, client).await?;
            let asked = exchange(&mut form, wish)?;
            (tokens.exchanges.exchange(&visitor, client, asked).boxed().await?, true)
        }
        _ => return Err(OauthError::unsupported_grant_type()),
    };
    let Given { access, refresh_token, permissions } = given;
    let mut answer = json!({"access_token": access.token, "token_type": "Bearer", "expires_in": access.expires_in});
    if !refresh_token.is_empty() {
        answer["refresh_token"] = refresh_token.into();
    }
    // Said where it is not what was asked for (section 5.1), and always where something was.
    if asked_some || !permissions.is_empty() {
        answer["scope"] = permissions.join(" ").into();
    }
    if exchanged {
        answer["issued_token_type"] = ACCESS_TOKEN.into();
    }
    Ok((NO_STORE, super::JSON, answer.to_string()).into_response())
}

/// `scope` names permissions. One audience: by its name or, as RFC 8707 has it, as a `resource`.
fn wish(form: &mut Form) -> Result<Wish, OauthError> {
    let permissions = match form.take("scope") {
        None => Vec::new(),
        Some(scope) => scope.split(' ').map(str::to_owned).collect(),
    };
    let audience = match (form.take("audience"), form.take("resource")) {
        (Some(_), Some(_)) => {
            return Err(Refused::new(OauthCode::InvalidTarget, refusal::audience_not_allowed()).into());
        }
        (audience, resource) => audience.or(resource).unwrap_or_default(),
    };
    let wish = Wish { audience, permissions };
    let mut violations = Violations::default();
    wish.check(&mut violations);
    violations.finish().map_err(|status| {
        let code = if wish.audience.len() > 255 { OauthCode::InvalidTarget } else { OauthCode::InvalidScope };
        Refused::new(code, status)
    })?;
    Ok(wish)
}

/// RFC 8693, section 2.1.
fn exchange(form: &mut Form, wish: Wish) -> Result<Exchange, OauthError> {
    if form.take("requested_token_type").is_some_and(|kind| kind != ACCESS_TOKEN && kind != JWT) {
        return Err(OauthError::invalid_request("requested_token_type: only access tokens are given"));
    }
    let token = form.required("subject_token")?;
    let subject = match form.required("subject_token_type")?.as_str() {
        ACCESS_TOKEN | JWT => {
            if !token.contains('.') {
                return Err(OauthError::invalid_request("subject_token is no access token"));
            }
            Subject::Token(token)
        }
        API_KEY if !token.contains('.') => Subject::Token(token),
        MEMBER => match token.parse::<MemberId>() {
            Ok(member) => Subject::Member(member),
            Err(_) => return Err(OauthError::invalid_request("subject_token is no member's id")),
        },
        _ => return Err(OauthError::invalid_request("subject_token_type does not fit or is not known here")),
    };
    let actor_token = match (form.take("actor_token"), form.take("actor_token_type").as_deref()) {
        (None, None) => None,
        (Some(token), Some(ACCESS_TOKEN | JWT)) => Some(ActorToken(token)),
        _ => return Err(OauthError::invalid_request("actor_token and actor_token_type do not fit together")),
    };
    let organization = match form.take("organization_id").map(|text| text.parse::<OrganizationId>()) {
        None => None,
        Some(Ok(organization)) => Some(organization),
        Some(Err(_)) => return Err(OauthError::invalid_request("organization_id is no organization's id")),
    };
    Ok(Exchange { subject, actor_token, organization, wish })
}
