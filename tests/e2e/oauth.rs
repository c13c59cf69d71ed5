//! The OAuth endpoints as a client library meets them: a real HTTP client, forms, JSON, and the RFCs' words for what is wrong.

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Project, patiently, text},
};

pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub const MEMBER: &str = "urn:guildhall:params:oauth:token-type:member";

/// An answer of an OAuth endpoint.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// That it is this error, worded as RFC 6749 section 5.2 has it.
    #[track_caller]
    pub fn is(&self, status: u16, error: &str) -> &Self {
        assert_eq!((self.status, self.body["error"].as_str()), (status, Some(error)), "{self:?}");
        let description = self.body["error_description"].as_str().unwrap();
        assert!(description.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{self:?}");
        assert_eq!(self.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(self.headers.contains_key(header::WWW_AUTHENTICATE), status == 401, "{self:?}");
        self
    }

    #[track_caller]
    pub fn token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(self.body["token_type"], "Bearer");
        text(&self.body, "access_token")
    }
}

/// Sends a form to `/oauth2/<endpoint>`.
pub async fn post(cluster: &Cluster, endpoint: &str, form: &[(&str, &str)]) -> Answer {
    post_as(cluster, endpoint, None, form).await
}

/// The same with an `authorization` header.
pub async fn post_as(cluster: &Cluster, endpoint: &str, authorization: Option<&str>, form: &[(&str, &str)]) -> Answer {
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    send(cluster, endpoint, authorization, "application/x-www-form-urlencoded", body.join("&")).await
}

pub async fn send(
    cluster: &Cluster,
    endpoint: &str,
    authorization: Option<&str>,
    content_type: &str,
    body: String,
) -> Answer {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let ask = || async {
        let mut request = Request::post(format!("http://{}/oauth2/{endpoint}", cluster.access().gateway))
            .header(header::CONTENT_TYPE, content_type);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let answer = client.request(request.body(Full::new(Bytes::from(body.clone()))).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    };
    patiently(ask, |answer| answer.status == 503).await
}

pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

pub fn basic(id: &str, secret: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{}:{}", escape(id), escape(secret))))
}

pub fn claims(token: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// A service account with its first secret.
#[derive(Debug)]
pub struct Robot {
    pub id: String,
    pub key: String,
    pub secret: String,
}

impl Robot {
    pub fn basic(&self) -> String {
        basic(&self.id, &self.secret)
    }

    pub async fn token(&self, cluster: &Cluster) -> String {
        cluster.client_credentials(&self.id, &self.secret).await.unwrap()
    }
}

async fn robot(project: &Project<'_>, about: Value) -> Robot {
    let mut request = about.clone();
    request["service_account"] = json!({"display_name": "robot"});
    let made = project.account.call("ServiceAccountService/CreateServiceAccount", request).await;
    let id = text(&made, "service_account_id");
    let mut request = about;
    request["service_account_id"] = id.clone().into();
    let key = project.account.call("ServiceAccountService/CreateApiKey", request).await;
    Robot { id, key: text(&key, "api_key_id"), secret: text(&key, "secret") }
}

pub async fn robot_of_project(project: &Project<'_>) -> Robot {
    robot(project, json!({})).await
}

pub async fn robot_of(organization: &Organization<'_>) -> Robot {
    robot(&organization.project, json!({"organization_id": organization.id})).await
}

/// Sets what a project says of its tokens, and waits until it is in force everywhere.
pub async fn token_settings(project: &Project<'_>, settings: Value, mask: &str) {
    let request = json!({"project_id": project.id, "project": {"token_settings": settings}, "update_mask": mask});
    project.cluster.operator().await.call("ProjectService/UpdateProject", request).await;
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
}
