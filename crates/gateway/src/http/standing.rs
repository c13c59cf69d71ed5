//! `POST /oauth2/introspect` (RFC 7662) and `POST /oauth2/revoke` (RFC 7009).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{
    oauth_error::OauthError,
    token::{Asked, NO_STORE, account, asked},
};
use crate::{
    mint::OWN_CLIENT,
    ops::{
        standing::{Active, Ender, Whose},
        tokens::Tokens,
    },
};

/// A service account of the project asks, which is what a resource server of it authenticates as.
pub async fn introspect(State(tokens): State<Arc<Tokens>>, request: Request) -> Result<Response, OauthError> {
    let Asked { visitor, mut form, client } = asked(&tokens, request).await?;
    let asker = account(&tokens, &visitor.call, client).await?.ok_or_else(OauthError::invalid_client)?;
    if asker.organization.is_some() {
        return Err(OauthError::unauthorized_client());
    }
    // A hint of what it is (section 2.1) is not needed: it is seen.
    let token = form.required("token")?;
    let active = tokens.standing.of(&visitor.call, asker.project, &token).await?;
    let project_id = asker.project.to_string();
    Ok((NO_STORE, super::JSON, described(active, &project_id).to_string()).into_response())
}

fn described(active: Option<Active>, project_id: &str) -> Value {
    match active {
        None => json!({"active": false}),
        // What the token says, the project's own claims among it.
        Some(Active::Access { mut payload, .. }) => {
            if let Some(Value::Array(permissions)) = payload.remove("permissions") {
                let permissions: Vec<&str> = permissions.iter().filter_map(Value::as_str).collect();
                payload.insert("scope".to_owned(), permissions.join(" ").into());
            }
            payload.insert("active".to_owned(), true.into());
            payload.insert("token_type".to_owned(), "Bearer".into());
            Value::Object(payload)
        }
        Some(Active::Refresh(found)) => {
            let session = found.session.unwrap_or_default();
            let seconds = |time: Option<Timestamp>| time.map(|time| time.seconds);
            json!({
                "active": true,
                "token_type": "refresh_token",
                "sub": session.member_id,
                "sid": session.session_id,
                "client_id": OWN_CLIENT,
                "project_id": found.project_id,
                "org_id": session.organization_id,
                "org_slug": found.organization_slug,
                "iat": seconds(session.create_time),
                "exp": seconds(session.expire_time),
            })
        }
        Some(Active::ApiKey { account, organization }) => {
            let mut answer = json!({
                "active": true,
                "token_type": "api_key",
                "sub": account,
                "client_id": account,
                "project_id": project_id,
            });
            if !organization.is_empty() {
                answer["org_id"] = organization.into();
            }
            answer
        }
    }
}

/// Answered alike whether there was such a token, whether it was good, and whose it was (section 2.2).
pub async fn revoke(State(tokens): State<Arc<Tokens>>, request: Request) -> Result<Response, OauthError> {
    let Asked { visitor, mut form, client } = asked(&tokens, request).await?;
    let ender = match account(&tokens, &visitor.call, client).await? {
        None => Ender::Anyone,
        Some(account) => Ender::Caller(Whose::of(&account.caller())),
    };
    let token = form.required("token")?;
    tokens.standing.end(&visitor.call, ender, token).await?;
    Ok((NO_STORE, "").into_response())
}
