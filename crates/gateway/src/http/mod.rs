//! What the gateway serves to callers who speak no gRPC.

mod form;
pub mod mailbox;
pub mod metadata;
mod oauth_error;
mod standing;
pub mod token;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use runtime::{Refusal, Wire, answer};

use crate::{openapi, ops::tokens::Tokens};

#[derive(Debug, Clone)]
pub struct State {
    pub tokens: Arc<Tokens>,
    pub documents: Arc<metadata::Documents>,
    pub openapi: Arc<openapi::Document>,
}

pub fn routes(state: State) -> Router {
    Router::new()
        .route("/oauth2/token", post(token::token).fallback(token::wrong_verb))
        .route("/oauth2/introspect", post(standing::introspect).fallback(token::wrong_verb))
        .route("/oauth2/revoke", post(standing::revoke).fallback(token::wrong_verb))
        .with_state(state.tokens)
        .merge(
            Router::new()
                .route("/.well-known/jwks.json", get(metadata::jwks))
                .route("/.well-known/oauth-authorization-server", get(metadata::authorization_server))
                .route("/.well-known/openid-configuration", get(metadata::openid_configuration))
                .with_state(state.documents),
        )
        .merge(Router::new().route("/openapi.json", get(openapi::openapi)).with_state(state.openapi))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_verb)
}

async fn nothing_here(headers: HeaderMap) -> Response {
    let response = answer(Refusal::not_found("path").into(), Wire::of(&headers));
    response.map(axum::body::Body::new)
}

async fn wrong_verb() -> Response {
    let body = runtime::status_json(&Refusal::not_found("path").into()).to_string();
    (StatusCode::METHOD_NOT_ALLOWED, JSON, body).into_response()
}

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
