//! `guildhall.gateway.v1.TokenService`: what stands at `/oauth2/` for callers who speak gRPC.

use std::sync::Arc;

use access::Caller;
use api::gateway::v1::{
    ClientCredentialsGrant, ExchangeTokenRequest, ExchangeTokenResponse, IntrospectTokenRequest,
    IntrospectTokenResponse, RevokeTokenRequest, TokenExchangeGrant, WatchInvalidationsRequest,
    WatchInvalidationsResponse, exchange_token_request::Grant, introspect_token_response::Subject as About,
    token_service_server::TokenService,
};
use prost_types::Timestamp;
use runtime::{CallContext, Violations};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::convert;
use crate::{
    edge::Presented as Credential,
    mint::OWN_CLIENT,
    ops::{
        clients::{Account, Presented},
        exchange::{ActorToken, Exchange, Subject},
        grants::Wish,
        invalidations::Watches,
        standing::{Active, Ender, Whose},
        tokens::Tokens,
    },
};

/// Longer than any token of ours.
const MAX_TOKEN: usize = 8 * 1024;

#[derive(Debug)]
pub struct TokenDoor {
    pub tokens: Arc<Tokens>,
    pub watches: Watches,
}

fn token_fits(text: &str, field: &'static str, violations: &mut Violations) {
    violations.require((1..=MAX_TOKEN).contains(&text.len()), field, "must be 1 to 8192 bytes");
}

fn presented(grant: ClientCredentialsGrant, violations: &mut Violations) -> Presented {
    let ClientCredentialsGrant { client_id, client_secret: secret, client_assertion: assertion } = grant;
    let one = secret.is_empty() != assertion.is_empty();
    violations.require(one, "client_credentials.client_secret", "must be given, or client_assertion, and not both");
    let named = !client_id.is_empty() || secret.is_empty();
    violations.require(named, "client_credentials.client_id", "is required with client_secret");
    let fit = [&client_id, &secret, &assertion].iter().all(|text| text.len() <= MAX_TOKEN);
    violations.require(fit, "client_credentials", "must hold nothing longer than 8192 bytes");
    if assertion.is_empty() {
        Presented::Secret { client_id, secret }
    } else {
        Presented::Assertion { client_id, assertion }
    }
}

fn exchange(grant: TokenExchangeGrant, wish: Wish, violations: &mut Violations) -> Option<Exchange> {
    let TokenExchangeGrant { subject_token, actor_token, organization_id, subject_member_id } = grant;
    let one = subject_token.is_empty() != subject_member_id.is_empty();
    violations.require(one, "token_exchange.subject_token", "must be given, or subject_member_id, and not both");
    let acts = subject_member_id.is_empty() || !actor_token.is_empty();
    violations.require(acts, "token_exchange.actor_token", "is required with subject_member_id");
    let fit = subject_token.len() <= MAX_TOKEN && actor_token.len() <= MAX_TOKEN;
    violations.require(fit, "token_exchange", "must hold nothing longer than 8192 bytes");
    let subject = match subject_member_id.as_str() {
        "" => Some(Subject::Token(subject_token)),
        text => violations.check("token_exchange.subject_member_id", text.parse()).map(Subject::Member),
    };
    let organization = match organization_id.as_str() {
        "" => Some(None),
        text => violations.check("token_exchange.organization_id", text.parse()).map(Some),
    };
    let actor_token = (!actor_token.is_empty()).then_some(ActorToken(actor_token));
    Some(Exchange { subject: subject?, actor_token, organization: organization?, wish })
}

/// The service account whose credential came with the call.
fn client(caller: Option<&Caller>) -> Option<Account> {
    match caller {
        Some(Caller::ServiceAccount { project, organization, id, key }) => {
            Some(Account { project: *project, organization: *organization, id: *id, key: *key })
        }
        _ => None,
    }
}

#[tonic::async_trait]
impl TokenService for TokenDoor {
    async fn exchange_token(
        &self,
        request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        let visitor = convert::visitor(&request);
        self.tokens.limits.token_from(visitor.address)?;
        let credential = request.extensions().get::<Credential>().and_then(|credential| credential.0.clone());
        let ExchangeTokenRequest { grant, audience, permissions } = request.into_inner();
        let wish = Wish { audience, permissions };
        let mut violations = Violations::default();
        wish.check(&mut violations);
        let call = &visitor.call;
        let given = match grant {
            None => {
                violations.add("grant", "must be one of client_credentials, refresh_token and token_exchange");
                return Err(violations.finish().err().unwrap_or_else(access::unauthenticated));
            }
            Some(Grant::ClientCredentials(grant)) => {
                let presented = presented(grant, &mut violations);
                violations.finish()?;
                self.tokens.clients.token(call, presented, wish).await
            }
            Some(Grant::RefreshToken(grant)) => {
                token_fits(&grant.refresh_token, "refresh_token.refresh_token", &mut violations);
                violations.finish()?;
                self.tokens.sessions.refreshed(call, grant.refresh_token, wish).await
            }
            Some(Grant::TokenExchange(grant)) => {
                let asked = exchange(grant, wish, &mut violations);
                let (asked,) = violations.all((asked,))?;
                let client = client(credential.as_ref().map(|verified| &verified.caller));
                self.tokens.exchanges.exchange(&visitor, client, asked).await
            }
        };
        let given = given.map_err(|refused| {
            meters::REFUSED.count_of("reason", refused.code.word());
            refused.status
        })?;
        Ok(Response::new(ExchangeTokenResponse {
            access_token: given.access.token,
            expires_in: given.access.expires_in,
            refresh_token: given.refresh_token,
            permissions: given.permissions,
        }))
    }

    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let asker = Credential::required(&request)?;
        let visitor = convert::visitor(&request);
        self.tokens.limits.token_from(visitor.address)?;
        let Caller::ServiceAccount { project, id, .. } = asker.caller else { return Err(access::unauthenticated()) };
        self.tokens.limits.token_for(&id.to_string())?;
        let mut violations = Violations::default();
        token_fits(&request.get_ref().token, "token", &mut violations);
        violations.finish()?;
        let active = self.tokens.standing.of(&visitor.call, project, &request.get_ref().token).await?;
        Ok(Response::new(active.map(described).unwrap_or_default()))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Result<Response<()>, Status> {
        let visitor = convert::visitor(&request);
        self.tokens.limits.token_from(visitor.address)?;
        let credential = request.extensions().get::<Credential>().and_then(|credential| credential.0.clone());
        let ender = credential.map_or(Ender::Anyone, |verified| Ender::Caller(Whose::of(&verified.caller)));
        let mut violations = Violations::default();
        token_fits(&request.get_ref().token, "token", &mut violations);
        violations.finish()?;
        let call = CallContext::of(&request);
        self.tokens.standing.end(&call, ender, request.into_inner().token).await?;
        Ok(Response::new(()))
    }

    async fn watch_invalidations(
        &self,
        request: Request<WatchInvalidationsRequest>,
    ) -> Result<Response<BoxStream<WatchInvalidationsResponse>>, Status> {
        let credential = Credential::required(&request)?;
        // The edge has admitted nobody else.
        let Caller::ServiceAccount { project, organization: None, .. } = credential.caller else {
            return Err(access::unauthenticated());
        };
        let told = self.watches.open(project, credential, &request.get_ref().cursor)?;
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }
}

fn described(active: Active) -> IntrospectTokenResponse {
    let answer = IntrospectTokenResponse { active: true, ..IntrospectTokenResponse::default() };
    match active {
        Active::Access { verified, .. } => {
            let claims = verified.claims.unwrap_or_else(|| unreachable!("an access token has claims"));
            let seconds = |time: u64| Some(Timestamp { seconds: time.try_into().unwrap_or(i64::MAX), nanos: 0 });
            let is_member = matches!(verified.caller, Caller::Member { .. });
            IntrospectTokenResponse {
                subject: Some(if is_member {
                    About::MemberId(claims.sub)
                } else {
                    About::ServiceAccountId(claims.sub)
                }),
                organization_id: claims.org_id.unwrap_or_default(),
                organization_slug: claims.org_slug.unwrap_or_default(),
                roles: claims.roles,
                session_id: claims.sid.filter(|_| is_member).unwrap_or_default(),
                client_id: claims.client_id,
                audience: claims.aud,
                permissions: claims.permissions,
                issue_time: seconds(claims.iat),
                expire_time: seconds(claims.exp),
                actor_id: claims.act.map(|act| act.sub).unwrap_or_default(),
                ..answer
            }
        }
        Active::Refresh(found) => {
            let session = found.session.unwrap_or_default();
            IntrospectTokenResponse {
                subject: Some(About::MemberId(session.member_id)),
                organization_id: session.organization_id,
                organization_slug: found.organization_slug,
                session_id: session.session_id,
                client_id: OWN_CLIENT.to_owned(),
                issue_time: session.create_time,
                expire_time: session.expire_time,
                ..answer
            }
        }
        Active::ApiKey { account, organization } => IntrospectTokenResponse {
            client_id: account.clone(),
            subject: Some(About::ServiceAccountId(account)),
            organization_id: organization,
            ..answer
        },
    }
}
