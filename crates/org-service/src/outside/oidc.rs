//! OpenID Connect, as one who relies on it: where to send a browser, and what the provider says of the person who came back.
//!
//! Everything goes through [`Fetcher`]. What a provider says of itself, and its keys, are remembered for a while; a token that none of the
//! remembered keys has signed has them read anew, for providers change them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use moka::future::Cache;
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AdditionalProviderMetadata, AsyncHttpClient, AuthType, AuthorizationCode,
    ClaimsVerificationError, Client, CsrfToken, DiscoveryError, EmptyExtraTokenFields, HttpRequest, HttpResponse,
    IdTokenFields, IssuerUrl, JsonWebKeySetUrl, Nonce, OAuth2TokenResponse as _, PkceCodeVerifier, ProviderMetadata,
    RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse, StandardTokenResponse,
    TokenResponse as _, UserInfoClaims, UserInfoError,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
        CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJsonWebKeySet,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode,
        CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse, CoreSubjectIdentifierType,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::{FetchError, Fetcher};
use crate::model::{ClientId, ClientSecret, Issuer, RedirectUri};

/// What a provider says of itself is believed so long.
const REMEMBERED: Duration = Duration::from_secs(600);
const PROVIDERS: u64 = 1000;
/// Keys are read anew because of an unknown one no more often.
const KEYS_AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// How far its clock may be off, and how long a token may have been on its way.
const SKEW: Duration = Duration::from_secs(60);
const OLDEST: Duration = Duration::from_secs(600);
/// None of the shared secrets, and not `none`: a signature proves the provider, not somebody who knows our secret.
const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// It may do better another time.
    #[error("the provider's {what} {error}")]
    Unreachable { what: &'static str, error: FetchError },
    /// What it says of itself cannot be used.
    #[error("the provider's {what} cannot be used: {why}")]
    Unusable { what: &'static str, why: String },
    /// It refuses the code, or what it says of the person does not hold. For the log: the person is told nothing of it.
    #[error("{0}")]
    Refused(String),
}

/// Who relies on which provider, and where it sends the browser back to.
#[derive(Debug)]
pub struct Party<'a> {
    pub issuer: &'a Issuer,
    pub client_id: &'a ClientId,
    pub client_secret: Option<ClientSecret>,
    pub redirect_uri: &'a RedirectUri,
    /// Whether the person's groups are asked for.
    pub groups: bool,
}

/// What came back with the browser, and what it is checked against.
#[derive(Debug)]
pub struct Redemption {
    pub code: String,
    pub code_verifier: String,
    pub nonce: String,
    /// No `iss` came back (RFC 9207).
    pub without_issuer: bool,
    /// Claims that the userinfo is asked for where the ID token leaves them out.
    pub wanted: BTreeSet<String>,
}

/// What the provider says of a person.
#[derive(Debug)]
pub struct Claims {
    pub subject: String,
    /// Of the ID token.
    token: Map<String, Value>,
    userinfo: Map<String, Value>,
}

impl Claims {
    /// A claim of the ID token or, where that has none, of the userinfo.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.token.get(name).or_else(|| self.userinfo.get(name))
    }

    /// A claim together with another that speaks of it: both by the same document.
    pub fn get_with(&self, name: &str, about: &str) -> (Option<&Value>, Option<&Value>) {
        let from = if self.token.contains_key(name) { &self.token } else { &self.userinfo };
        (from.get(name), from.get(about))
    }
}

/// Every claim that is no standard one.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Others(Map<String, Value>);
impl AdditionalClaims for Others {}

type Fields = IdTokenFields<
    Others,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Relying = Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    openidconnect::EndpointSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointMaybeSet,
    openidconnect::EndpointMaybeSet,
>;

/// What RFC 9207 adds to what a provider says of itself.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
struct Answers {
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}
impl AdditionalProviderMetadata for Answers {}

type Metadata = ProviderMetadata<
    Answers,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// A provider as it described itself.
#[derive(Debug, Clone)]
struct Provider {
    metadata: Arc<Metadata>,
    keys_read: Instant,
}

impl<'c> AsyncHttpClient<'c> for Fetcher {
    type Error = FetchError;
    type Future = BoxFuture<'c, Result<HttpResponse, FetchError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        self.send(request).boxed()
    }
}

#[derive(Debug, Clone)]
pub struct Oidc {
    fetcher: Fetcher,
    providers: Cache<Issuer, Provider>,
}

impl Oidc {
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, providers: Cache::builder().max_capacity(PROVIDERS).time_to_live(REMEMBERED).build() }
    }

    /// Where to send the browser.
    pub async fn authorization(
        &self,
        party: &Party<'_>,
        state: String,
        nonce: String,
        code_challenge: String,
    ) -> Result<Url, OidcError> {
        let provider = self.provider(party.issuer).await?;
        let endpoint = provider.metadata.authorization_endpoint().url();
        let may_go = self.fetcher.may_call(endpoint).await;
        may_go.map_err(|error| OidcError::Unreachable { what: "authorization_endpoint", error })?;
        let relying = relying(&provider, party)?;
        let code_flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request = relying
            .authorize_url(code_flow, || CsrfToken::new(state), || Nonce::new(nonce))
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .add_extra_param("code_challenge", code_challenge)
            .add_extra_param("code_challenge_method", "S256");
        let knows =
            |scope: &str| provider.metadata.scopes_supported().is_some_and(|all| all.iter().any(|s| **s == *scope));
        // No standard scope: those who do not know it may refuse the request.
        if party.groups && knows("groups") {
            request = request.add_scope(Scope::new("groups".to_owned()));
        }
        Ok(request.url().0)
    }

    /// What the provider says of the person whose code came back.
    pub async fn redeem(&self, party: &Party<'_>, redemption: Redemption) -> Result<Claims, OidcError> {
        let provider = self.provider(party.issuer).await?;
        let Redemption { code, code_verifier, nonce, without_issuer, wanted } = redemption;
        // Somebody else's code, then: the provider that it is of would have to be told it to find out.
        if without_issuer && provider.metadata.additional_metadata().authorization_response_iss_parameter_supported {
            return Err(refused("the provider says with each answer who it is, and this one did not"));
        }
        let client = relying(&provider, party)?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| unusable("discovery document", "it has no token_endpoint"))?
            .set_pkce_verifier(PkceCodeVerifier::new(code_verifier))
            .request_async(&self.fetcher)
            .await
            .map_err(token_refused)?;
        let id_token = answer.id_token().ok_or_else(|| refused("the provider gave no ID token"))?;
        let nonce = Nonce::new(nonce);
        let mut client = client;
        let mut verified = verify(&client, id_token, &nonce);
        if matches!(
            verified,
            Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey))
        ) && let Some(renewed) = self.with_new_keys(party.issuer, &provider).await?
        {
            client = relying(&renewed, party)?;
            verified = verify(&client, id_token, &nonce);
        }
        let claims = verified.map_err(|error| refused(format!("the ID token does not hold: {error}")))?;
        if claims.authorized_party().is_some_and(|party_named| party_named.as_str() != party.client_id.as_str()) {
            return Err(refused("the ID token is for another client (azp)"));
        }
        if let Some(expected) = claims.access_token_hash() {
            let verifier = client.id_token_verifier();
            let key = id_token.signing_key(&verifier);
            let hash =
                id_token.signing_alg().ok().zip(key.ok()).and_then(|(algorithm, key)| {
                    AccessTokenHash::from_token(answer.access_token(), algorithm, key).ok()
                });
            if hash.as_ref() != Some(expected) {
                return Err(refused("the access token is not the one that the ID token was given with (at_hash)"));
            }
        }
        let subject = claims.subject().to_string();
        let token = object(claims);
        let mut userinfo = Map::new();
        if wanted.iter().any(|claim| !token.contains_key(claim)) && provider.metadata.userinfo_endpoint().is_some() {
            let asked = client.user_info(answer.access_token().clone(), Some(claims.subject().clone()));
            let asked = asked.map_err(|_| unusable("discovery document", "it has no userinfo_endpoint"))?;
            // The library refuses a userinfo of another subject.
            let said: UserInfoClaims<Others, CoreGenderClaim> =
                asked.request_async(&self.fetcher).await.map_err(userinfo_refused)?;
            userinfo = object(&said);
        }
        Ok(Claims { subject, token, userinfo })
    }

    async fn provider(&self, issuer: &Issuer) -> Result<Provider, OidcError> {
        let read = self.providers.try_get_with(issuer.clone(), async { self.discover(issuer).await.map_err(Arc::new) });
        read.await.map_err(|error: Arc<Arc<OidcError>>| again(&error))
    }

    async fn discover(&self, issuer: &Issuer) -> Result<Provider, OidcError> {
        let url = IssuerUrl::new(issuer.as_str().to_owned());
        let url = url.map_err(|_| unusable("issuer", "it is no address"))?;
        // Its issuer must be ours to the letter: the library compares.
        let metadata = Metadata::discover_async(url, &self.fetcher).await;
        let metadata = metadata.map_err(|error| of_document("discovery document", error))?;
        let code = |kinds: &openidconnect::ResponseTypes<CoreResponseType>| kinds.contains(&CoreResponseType::Code);
        if !metadata.response_types_supported().iter().any(code) {
            return Err(unusable("discovery document", "its response_types_supported do not hold `code`"));
        }
        Ok(Provider { metadata: Arc::new(metadata), keys_read: Instant::now() })
    }

    /// The provider with its keys as they are now. None where they were read a moment ago.
    async fn with_new_keys(&self, issuer: &Issuer, known: &Provider) -> Result<Option<Provider>, OidcError> {
        if known.keys_read.elapsed() < KEYS_AT_MOST_EVERY {
            return Ok(None);
        }
        let url: &JsonWebKeySetUrl = known.metadata.jwks_uri();
        let keys = CoreJsonWebKeySet::fetch_async(url, &self.fetcher).await;
        let keys = keys.map_err(|error| of_document("keys", error))?;
        let metadata = Arc::new(Metadata::clone(&known.metadata).set_jwks(keys));
        let renewed = Provider { metadata, keys_read: Instant::now() };
        self.providers.insert(issuer.clone(), renewed.clone()).await;
        Ok(Some(renewed))
    }
}

fn relying(provider: &Provider, party: &Party<'_>) -> Result<Relying, OidcError> {
    let secret = party.client_secret.as_ref().map(|secret| secret.0.expose_secret().to_owned());
    let redirect_uri = RedirectUrl::new(party.redirect_uri.as_str().to_owned());
    let redirect_uri = redirect_uri.map_err(|_| unusable("redirect_uri", "it is no address"))?;
    let metadata = Metadata::clone(&provider.metadata);
    let client_id = openidconnect::ClientId::new(party.client_id.as_str().to_owned());
    let takes = |method| metadata.token_endpoint_auth_methods_supported().is_none_or(|all| all.contains(&method));
    // Where a provider names no way, the standard's default is the first.
    let in_header = takes(CoreClientAuthMethod::ClientSecretBasic) || !takes(CoreClientAuthMethod::ClientSecretPost);
    let auth_type = if in_header { AuthType::BasicAuth } else { AuthType::RequestBody };
    let client = Relying::from_provider_metadata(metadata, client_id, secret.map(openidconnect::ClientSecret::new));
    Ok(client.set_redirect_uri(redirect_uri).set_auth_type(auth_type))
}

type IdToken =
    openidconnect::IdToken<Others, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type IdTokenClaims = openidconnect::IdTokenClaims<Others, CoreGenderClaim>;

/// Issuer, audience (ours alone), signature by a key of the provider and an algorithm of [`SIGNATURES`], times, nonce.
fn verify<'a>(
    client: &Relying,
    token: &'a IdToken,
    nonce: &Nonce,
) -> Result<&'a IdTokenClaims, ClaimsVerificationError> {
    let verifier = client.id_token_verifier().set_allowed_algs(SIGNATURES).set_issue_time_verifier_fn(|issued| {
        let age = time::OffsetDateTime::now_utc().unix_timestamp() - issued.timestamp();
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        if (-seconds(SKEW)..=seconds(OLDEST)).contains(&age) {
            Ok(())
        } else {
            Err("it was not made just now".to_owned())
        }
    });
    token.claims(&verifier, nonce)
}

fn object(claims: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(claims)) => claims,
        _ => Map::new(),
    }
}

fn refused(why: impl Into<String>) -> OidcError {
    OidcError::Refused(why.into())
}

fn unusable(what: &'static str, why: impl Into<String>) -> OidcError {
    OidcError::Unusable { what, why: why.into() }
}

fn of_document(what: &'static str, error: DiscoveryError<FetchError>) -> OidcError {
    match error {
        DiscoveryError::Request(error) => OidcError::Unreachable { what, error },
        DiscoveryError::Response(status, ..) => {
            OidcError::Unreachable { what, error: FetchError::Status(status.as_u16()) }
        }
        // Nothing of what a stranger answered is repeated but where it is wrong.
        DiscoveryError::Parse(error) => unusable(what, format!("it cannot be read at {}", error.path())),
        DiscoveryError::Validation(_) => unusable(what, "its issuer is not the connection's issuer, to the letter"),
        _ => unusable(what, "it cannot be read"),
    }
}

fn token_refused(error: RequestTokenError<FetchError, StandardErrorResponse<CoreErrorResponseType>>) -> OidcError {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::Extension(_) => refused("the provider refuses the code"),
            known => refused(format!("the provider refuses the code: {}", known.as_ref())),
        },
        RequestTokenError::Request(error) => OidcError::Unreachable { what: "token_endpoint", error },
        RequestTokenError::Parse(error, _) => {
            refused(format!("the token endpoint's answer cannot be read at {}", error.path()))
        }
        RequestTokenError::Other(_) => refused("the token endpoint's answer cannot be read"),
    }
}

fn userinfo_refused(error: UserInfoError<FetchError>) -> OidcError {
    match error {
        UserInfoError::Request(error) => OidcError::Unreachable { what: "userinfo_endpoint", error },
        UserInfoError::ClaimsVerification(error) => refused(format!("the userinfo does not hold: {error}")),
        UserInfoError::Response(status, ..) => refused(format!("the userinfo endpoint answers with status {status}")),
        _ => refused("the userinfo cannot be read"),
    }
}

/// The same to each of those who waited for one discovery.
fn again(error: &OidcError) -> OidcError {
    match error {
        OidcError::Unreachable { what, error } => OidcError::Unreachable { what, error: *error },
        OidcError::Unusable { what, why } => OidcError::Unusable { what, why: why.clone() },
        OidcError::Refused(why) => OidcError::Refused(why.clone()),
    }
}
