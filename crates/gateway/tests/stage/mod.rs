//! A whole gateway in this process, in front of services that are played.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod backend;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use access::{AccessOptions, RevocationOptions, Ring, SigningKey};
use api::{
    access::v1::ErrorReason,
    gateway::v1::{
        SignInResult, SignInWithPasswordRequest, authentication_service_client::AuthenticationServiceClient,
        sign_in_with_password_request::Organization as Named,
    },
    org::v1::{GetOrganizationRequest, Organization, organization_service_client::OrganizationServiceClient},
};
use aws_lc_rs::{encoding::AsDer, signature::Ed25519KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use gateway::{Config, LimitOptions, SecretDigest};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use runtime::{Process, ProcessOptions, Shutdown};
use tenancy::{ApiKeyId, MemberId, OrganizationId, ProjectId, ServiceAccountId, event::sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use backend::{Backend, PASSWORD, World};

pub const OPERATOR_SECRET: &str = "the operator's secret";
/// The one origin whose pages may call.
pub const ORIGIN: &str = "https://app.acme.test";
pub const ISSUER: &str = "https://gateway.test";
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Stage {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub org: Backend,
    pub member: Backend,
    pub authz: Backend,
    pub world: Arc<World>,
    pub folder: tempfile::TempDir,
    pub key: Arc<SigningKey>,
    shutdown: Shutdown,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// No limits, and news that may be a minute old.
pub fn generous() -> (LimitOptions, Duration) {
    let limits = LimitOptions {
        sign_in_rate_per_identity: 0,
        sign_in_rate_per_address: 0,
        sign_in_rate_per_project: 0,
        token_rate_per_client: 0,
        token_rate_per_address: 0,
    };
    (limits, Duration::from_secs(60))
}

pub fn new_key() -> (String, SigningKey) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    let key = SigningKey::from_pem(&pem).unwrap();
    (pem, key)
}

impl Stage {
    pub async fn start() -> Self {
        let (limits, lag) = generous();
        Self::with(limits, lag).await
    }

    pub async fn with(limits: LimitOptions, revocation_lag: Duration) -> Self {
        let world = Arc::new(World {
            project: ProjectId::new(),
            organization: OrganizationId::new(),
            member: MemberId::new(),
            account: ServiceAccountId::new(),
            key: ApiKeyId::new(),
        });
        let org = Backend::start("org-service", world.clone()).await;
        let member = Backend::start("member-service", world.clone()).await;
        let authz = Backend::start("authz-service", world.clone()).await;

        let folder = tempfile::tempdir().unwrap();
        let (pem, key) = new_key();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let (workload_pem, workload) = new_key();
        file("gateway.pem", &workload_pem);
        file("access.pem", &pem);
        file("gateway.jwks.json", &serde_json::json!({"keys": [workload.public_jwk()]}).to_string());
        file("access.jwks.json", &serde_json::json!({"keys": [key.public_jwk()]}).to_string());
        std::fs::create_dir(folder.path().join("mail")).unwrap();

        let options = ProcessOptions { reflection: true, ..ProcessOptions::ephemeral() };
        let shutdown = Shutdown::manual();
        let process = Process::start("gateway", options.clone(), shutdown.clone(), false).await.unwrap();
        let (address, admin) = (process.api_address().unwrap(), process.admin_address().unwrap());
        let readiness = process.readiness();
        let config = Config {
            process: options,
            access: AccessOptions {
                signing_key: folder.path().join("gateway.pem"),
                trust: folder.path().to_owned(),
                issuer: ISSUER.to_owned(),
                audience: "guildhall".to_owned(),
                key_poll: Duration::from_secs(30),
                key_cache_time: Duration::from_secs(300),
            },
            tls: None,
            access_keys: folder.path().join("access.pem"),
            org_url: format!("http://{}", org.address),
            member_url: format!("http://{}", member.address),
            authz_url: format!("http://{}", authz.address),
            operator_client_id: Some("operator".to_owned()),
            operator_secret_sha256: Some(SecretDigest(sha256(OPERATOR_SECRET.as_bytes()))),
            default_project: Some(world.project),
            dev_mailbox: Some(folder.path().join("mail")),
            trusted_proxies: Vec::new(),
            revocation: RevocationOptions { revocation_lag },
            allowed_origins: vec![ORIGIN.parse().unwrap()],
            limits,
        };
        runtime::Config::validate(&config).unwrap();
        tokio::spawn(async move { gateway::serve(config, process).await.unwrap() });
        // The condition is made while the gateway starts: an empty list of conditions would look ready.
        let live = async {
            while http_get(admin, "/readyz").await.0 != 200 {
                readiness.ready().await;
            }
        };
        timeout(PATIENCE, live).await.expect("ready");
        Self { address, admin, org, member, authz, world, folder, key: Arc::new(key), shutdown }
    }

    /// With which the gateway signs its calls.
    pub fn workload_keys(&self) -> Arc<Ring> {
        let path = |name| self.folder.path().join(name);
        let always = Duration::from_secs(3600);
        Arc::new(Ring::open(&path("gateway.pem"), &path("gateway.jwks.json"), always, always).unwrap())
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub async fn authentication(&self) -> AuthenticationServiceClient<Channel> {
        AuthenticationServiceClient::new(self.channel().await)
    }

    pub async fn sign_in(&self) -> SignInResult {
        let request = self.password_request("ada@acme.test", PASSWORD);
        self.authentication().await.sign_in_with_password(request).await.unwrap().into_inner()
    }

    pub fn password_request(&self, email_address: &str, password: &str) -> SignInWithPasswordRequest {
        SignInWithPasswordRequest {
            organization: Some(Named::OrganizationSlug("acme".to_owned())),
            email_address: email_address.to_owned(),
            password: password.to_owned(),
        }
    }

    pub async fn get_organization(&self, token: &str) -> Result<Organization, Status> {
        let request = GetOrganizationRequest { organization_id: self.world.organization.to_string() };
        let request = with_token(request, token);
        OrganizationServiceClient::new(self.channel().await).get_organization(request).await.map(|r| r.into_inner())
    }

    /// A project's token, from the token endpoint.
    pub async fn project_token(&self) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            self.world.account,
            backend::API_KEY
        );
        let (status, _, body) = http_form(self.address, &form, "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["access_token"].as_str().unwrap().to_owned()
    }
}

pub fn with_token<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// Asserts a status' reason.
#[track_caller]
pub fn assert_reason(status: &Status, reason: ErrorReason) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    let name = reason.as_str_name().strip_prefix("ERROR_REASON_").unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("guildhall.dev", name));
}

/// Waits until something holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// One HTTP/2 request just as it is given. Returns the head and, as gRPC has it in either place, the headers or trailers.
pub async fn h2(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (Response<()>, HeaderMap) {
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let mut request = Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // An empty gRPC message.
    let request = request.body(Full::from(Bytes::from_static(&[0, 0, 0, 0, 0]))).unwrap();
    let response = timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
    let (parts, body) = response.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    (Response::from_parts(parts, ()), trailers)
}

/// One HTTP/1.1 exchange: status, head, body.
pub async fn http1(address: SocketAddr, request: &str) -> (u16, String, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let answer = timeout(PATIENCE, exchange).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

pub async fn http_get(address: SocketAddr, path: &str) -> (u16, String, String) {
    http1(address, &format!("GET {path} HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n")).await
}

/// Posts a form to the token endpoint, with further header lines.
pub async fn http_form(address: SocketAddr, form: &str, headers: &str) -> (u16, String, String) {
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n{headers}\r\n",
        form.len()
    );
    http1(address, &(head + form)).await
}
