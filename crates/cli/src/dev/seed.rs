use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::member::v1::service_account_service_client::ServiceAccountServiceClient;
use api::member::v1::{CreateProjectServiceAccountRequest, ServiceAccount};
use api::org::v1::project_service_client::ProjectServiceClient;
use api::org::v1::{CreateProjectRequest, Project};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

use super::directory::write_secret;
use super::http;
use crate::Failure;

const PATIENCE: Duration = Duration::from_secs(10);

/// Who may manage projects.
#[derive(Clone, Serialize, Deserialize)]
pub struct Operator {
    pub client_id: String,
    pub client_secret: String,
}

/// The demo project, and the first service account in it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Demo {
    pub project_id: String,
    pub client_id: String,
    pub client_secret: String,
}

/// `seed.json`: what was seeded, and how far. Written before and after every step, so that a seeding that was broken off is taken up
/// where it was and never done twice.
#[derive(Serialize, Deserialize)]
pub struct Seed {
    #[serde(skip)]
    path: PathBuf,
    pub operator: Operator,
    /// The server whose database was seeded.
    place: String,
    /// Make what is asked for again answer with what was made the first time, its secret included.
    project_request_id: String,
    account_request_id: String,
    project_id: Option<String>,
    pub demo: Option<Demo>,
}

impl Operator {
    /// The gateway is given no secret that it could lose.
    pub fn secret_sha256(&self) -> String {
        digest::digest(&digest::SHA256, self.client_secret.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Seed {
    /// What an earlier run seeded, or a new operator and nothing else.
    pub fn open(path: PathBuf, directory: &Path, place: &str) -> Result<Self, Failure> {
        let seed = match fs::read(&path) {
            Ok(text) => {
                let read = serde_json::from_slice(&text);
                Self { path: path.clone(), ..read.map_err(|source| Failure::Unreadable { path, source })? }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self {
                path,
                operator: Operator { client_id: "operator".to_owned(), client_secret: random() },
                place: place.to_owned(),
                project_request_id: random(),
                account_request_id: random(),
                project_id: None,
                demo: None,
            },
            Err(error) => return Err(Failure::file("cannot read", path)(error)),
        };
        if seed.place != place {
            return Err(Failure::SeededElsewhere { directory: directory.to_owned(), seeded: seed.place });
        }
        seed.save()?;
        Ok(seed)
    }

    /// Makes what is not there yet, through the gateway, as an operator would.
    pub async fn plant(&mut self, gateway: SocketAddr) -> Result<Demo, Failure> {
        if let Some(demo) = &self.demo {
            return Ok(demo.clone());
        }
        let token = self.token(gateway).await?;
        let channel = Endpoint::from_shared(format!("http://{gateway}"))
            .map_err(Failure::Gateway)?
            .timeout(PATIENCE)
            .connect()
            .await
            .map_err(Failure::Gateway)?;
        let as_operator = move |mut request: tonic::Request<()>| {
            request.metadata_mut().insert("authorization", token.clone());
            Ok(request)
        };

        let project_id = match &self.project_id {
            Some(project_id) => project_id.clone(),
            None => {
                let request = CreateProjectRequest {
                    project: Some(Project { display_name: "Demo".to_owned(), ..Default::default() }),
                    request_id: self.project_request_id.clone(),
                };
                let project = ProjectServiceClient::with_interceptor(channel.clone(), as_operator.clone())
                    .create_project(request)
                    .await;
                let project =
                    project.map_err(|status| Failure::Seed { step: "CreateProject", status: Box::new(status) })?;
                self.project_id = Some(project.into_inner().project_id);
                self.save()?;
                self.project_id.clone().unwrap_or_default()
            }
        };

        let request = CreateProjectServiceAccountRequest {
            project_id: project_id.clone(),
            service_account: Some(ServiceAccount { display_name: "demo backend".to_owned(), ..Default::default() }),
            request_id: self.account_request_id.clone(),
        };
        let made = ServiceAccountServiceClient::with_interceptor(channel, as_operator)
            .create_project_service_account(request)
            .await;
        let made = made
            .map_err(|status| Failure::Seed { step: "CreateProjectServiceAccount", status: Box::new(status) })?
            .into_inner();
        let demo = Demo { project_id, client_id: made.client_id, client_secret: made.client_secret };
        self.demo = Some(demo.clone());
        self.save()?;
        Ok(demo)
    }

    async fn token(&self, gateway: SocketAddr) -> Result<MetadataValue<Ascii>, Failure> {
        let Operator { client_id, client_secret } = &self.operator;
        let basic = STANDARD.encode(format!("{client_id}:{client_secret}"));
        let answer = http::post_form(gateway, "/oauth2/token", &basic, "grant_type=client_credentials").await;
        let (status, body) = answer.map_err(|error| Failure::GatewayBusy(error.to_string()))?;
        if status.is_server_error() || status == hyper::StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::GatewayBusy(format!("{status} {body}")));
        }
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
        }
        let token = serde_json::from_str::<Answer>(&body).ok().filter(|_| status.is_success());
        token.and_then(|answer| format!("Bearer {}", answer.access_token).parse().ok()).ok_or_else(|| {
            Failure::NoToken(if status.is_success() {
                "its answer holds none".to_owned()
            } else {
                format!("{status} {body}")
            })
        })
    }

    fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| Failure::Unreadable { path: self.path.clone(), source })?;
        write_secret(&self.path, &text)
    }
}

/// 256 bits, in characters that need no quoting anywhere.
fn random() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_finds_the_operator_of_the_first_and_no_other_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.json");
        let first = Seed::open(path.clone(), folder.path(), "here").unwrap();
        let second = Seed::open(path.clone(), folder.path(), "here").unwrap();
        assert_eq!(first.operator.client_secret, second.operator.client_secret);
        assert_eq!(first.project_request_id, second.project_request_id);
        let elsewhere = Seed::open(path, folder.path(), "there").err().unwrap().to_string();
        assert!(elsewhere.contains("--reset"), "{elsewhere}");
    }
}
