//! A service as the gateway sees it: it answers what it is told to, and remembers who asked what.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use api::{
    access::v1::ErrorReason,
    event::v1::{
        ChainVerification, Event, Heartbeat, ListEventsRequest, ListEventsResponse, VerifyChainRequest,
        VerifyChainResponse, WatchEventsRequest, WatchEventsResponse,
        event_service_server::{EventService, EventServiceServer},
        watch_events_response::Item,
    },
    member::v1::{credential_service_server::CredentialService, *},
    org::v1::{
        GetOrganizationRequest, Organization, OrganizationEntry, OrganizationState, ProjectEntry, ProjectState,
        ResolveOrganizationRequest, ResolveOrganizationSlugRequest, ResolveProjectRequest,
        directory_service_server::{DirectoryService, DirectoryServiceServer},
        organization_service_server::{OrganizationService, OrganizationServiceServer},
    },
};
use http::{HeaderMap, Request as HttpRequest};
use prost_types::Timestamp;
use runtime::Refusal;
use tenancy::{ApiKeyId, MemberId, OrganizationId, ProjectId, ServiceAccountId, SessionId};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::{
    StreamExt,
    wrappers::{BroadcastStream, TcpListenerStream},
};
use tonic::{Code, Request, Response, Status, codegen::BoxStream};

use credential_service_server::CredentialServiceServer;
use service_account_service_server::{ServiceAccountService, ServiceAccountServiceServer};
use session_service_server::{SessionService, SessionServiceServer};

pub const PASSWORD: &str = "correct horse";
pub const API_KEY: &str = "gk_secret";
pub const REFRESH_TOKEN: &str = "refresh-1";

/// What the services know in common.
#[derive(Debug)]
pub struct World {
    pub project: ProjectId,
    pub organization: OrganizationId,
    pub member: MemberId,
    pub account: ServiceAccountId,
    pub key: ApiKeyId,
}

#[derive(Clone)]
pub struct Backend {
    pub address: SocketAddr,
    name: &'static str,
    world: Arc<World>,
    calls: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    pub log: Arc<Mutex<Vec<Event>>>,
    /// Events of the feed; None makes it fall silent.
    pub feed: broadcast::Sender<Option<Event>>,
    silent: Arc<Mutex<bool>>,
    /// The time that heartbeats go on telling, once something is held back.
    held_back: Arc<Mutex<Option<SystemTime>>>,
    /// How many empty pages come before each page of the log.
    pub empty_pages: Arc<Mutex<usize>>,
}

impl Backend {
    pub async fn start(name: &'static str, world: Arc<World>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            name,
            world,
            calls: Arc::default(),
            log: Arc::default(),
            feed: broadcast::channel(64).0,
            silent: Arc::default(),
            held_back: Arc::default(),
            empty_pages: Arc::default(),
        };
        let calls = backend.calls.clone();
        let remember = tower::util::MapRequestLayer::new(move |request: HttpRequest<_>| {
            let call = (request.uri().path().to_owned(), request.headers().clone());
            calls.lock().unwrap().push(call);
            request
        });
        let server = tonic::transport::Server::builder()
            .layer(remember)
            .add_service(OrganizationServiceServer::new(backend.clone()))
            .add_service(DirectoryServiceServer::new(backend.clone()))
            .add_service(CredentialServiceServer::new(backend.clone()))
            .add_service(SessionServiceServer::new(backend.clone()))
            .add_service(ServiceAccountServiceServer::new(backend.clone()))
            .add_service(EventServiceServer::new(backend.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        backend
    }

    /// The headers of every call of a method so far.
    pub fn calls(&self, path: &str) -> Vec<HeaderMap> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(called, _)| called == path).map(|(_, headers)| headers.clone()).collect()
    }

    /// Every method that was called, by how often, without the feed that is read all the time.
    pub fn called(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (path, _) in self.calls.lock().unwrap().iter().filter(|(path, _)| !path.ends_with("/WatchEvents")) {
            *counts.entry(path.clone()).or_default() += 1;
        }
        counts
    }

    pub fn fall_silent(&self) {
        *self.silent.lock().unwrap() = true;
    }

    /// The feed goes on and is not complete any more.
    pub fn hold_back(&self) {
        *self.held_back.lock().unwrap() = Some(SystemTime::now());
    }

    fn grant(&self) -> SessionGrant {
        let factor = AuthFactor { method: AuthFactorMethod::Password.into(), ..AuthFactor::default() };
        SessionGrant {
            session: Some(Session {
                session_id: SessionId::new().to_string(),
                member_id: self.world.member.to_string(),
                organization_id: self.world.organization.to_string(),
                auth_factors: vec![factor],
                ..Session::default()
            }),
            refresh_token: REFRESH_TOKEN.to_owned(),
            organization_slug: "acme".to_owned(),
            role_keys: vec!["owner".to_owned()],
            epoch: 3,
            project_id: self.world.project.to_string(),
            ..SessionGrant::default()
        }
    }

    fn entry(&self) -> OrganizationEntry {
        OrganizationEntry {
            organization_id: self.world.organization.to_string(),
            project_id: self.world.project.to_string(),
            slug: "acme".to_owned(),
            state: OrganizationState::Active.into(),
            ..OrganizationEntry::default()
        }
    }
}

fn failed() -> Status {
    Refusal::new(Code::Unauthenticated, ErrorReason::SignInFailed, "as member-service words it").into()
}

#[tonic::async_trait]
impl OrganizationService for Backend {
    async fn get_organization(
        &self,
        request: Request<GetOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let organization_id = request.into_inner().organization_id;
        if organization_id != self.world.organization.to_string() {
            return Err(Refusal::not_found("organization").into());
        }
        Ok(Response::new(Organization { organization_id, slug: "acme".to_owned(), ..Organization::default() }))
    }
}

#[tonic::async_trait]
impl DirectoryService for Backend {
    async fn resolve_organization(
        &self,
        request: Request<ResolveOrganizationRequest>,
    ) -> Result<Response<OrganizationEntry>, Status> {
        let known = request.into_inner().organization_id == self.world.organization.to_string();
        if known { Ok(Response::new(self.entry())) } else { Err(Refusal::not_found("organization").into()) }
    }

    async fn resolve_organization_slug(
        &self,
        request: Request<ResolveOrganizationSlugRequest>,
    ) -> Result<Response<OrganizationEntry>, Status> {
        let request = request.into_inner();
        let known = request.slug == "acme" && request.project_id == self.world.project.to_string();
        if known { Ok(Response::new(self.entry())) } else { Err(Refusal::not_found("organization").into()) }
    }

    async fn resolve_project(&self, request: Request<ResolveProjectRequest>) -> Result<Response<ProjectEntry>, Status> {
        let project_id = request.into_inner().project_id;
        if project_id != self.world.project.to_string() {
            return Err(Refusal::not_found("project").into());
        }
        Ok(Response::new(ProjectEntry { project_id, state: ProjectState::Active.into(), ..ProjectEntry::default() }))
    }
}

#[tonic::async_trait]
impl CredentialService for Backend {
    async fn verify_password(
        &self,
        request: Request<VerifyPasswordRequest>,
    ) -> Result<Response<VerifyPasswordResponse>, Status> {
        let request = request.into_inner();
        if request.password != PASSWORD || request.organization_id != self.world.organization.to_string() {
            return Err(failed());
        }
        Ok(Response::new(VerifyPasswordResponse {
            member_id: self.world.member.to_string(),
            organization_id: request.organization_id,
            auth_factor: Some(AuthFactor { method: AuthFactorMethod::Password.into(), ..AuthFactor::default() }),
            ..VerifyPasswordResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl SessionService for Backend {
    async fn create_session(&self, _: Request<CreateSessionRequest>) -> Result<Response<SessionGrant>, Status> {
        Ok(Response::new(self.grant()))
    }

    async fn refresh_session(&self, request: Request<RefreshSessionRequest>) -> Result<Response<SessionGrant>, Status> {
        if request.into_inner().refresh_token != REFRESH_TOKEN {
            let refusal = Refusal::new(Code::Unauthenticated, ErrorReason::RefreshTokenRefused, "refused");
            return Err(refusal.into());
        }
        Ok(Response::new(self.grant()))
    }

    async fn end_session(&self, _: Request<EndSessionRequest>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl ServiceAccountService for Backend {
    async fn authenticate_api_key(
        &self,
        request: Request<AuthenticateApiKeyRequest>,
    ) -> Result<Response<AuthenticateApiKeyResponse>, Status> {
        let request = request.into_inner();
        let id = self.world.account.to_string();
        if request.secret != API_KEY || request.client_id != id {
            return Err(failed());
        }
        Ok(Response::new(AuthenticateApiKeyResponse {
            service_account: Some(ServiceAccount { service_account_id: id, ..ServiceAccount::default() }),
            project_id: self.world.project.to_string(),
            api_key_id: self.world.key.to_string(),
            expire_time: None,
        }))
    }
}

#[tonic::async_trait]
impl EventService for Backend {
    /// Newest first; the token is the revision that the page goes on behind.
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let request = request.into_inner();
        let (empty, token) = request.page_token.split_once('/').unwrap_or(("", &request.page_token));
        if empty.len() < *self.empty_pages.lock().unwrap() {
            let next_page_token = format!("{empty}-/{token}");
            return Ok(Response::new(ListEventsResponse { next_page_token, ..ListEventsResponse::default() }));
        }
        let before = token.parse().unwrap_or(i64::MAX);
        let mut events: Vec<_> = self.log.lock().unwrap().iter().filter(|e| e.revision < before).cloned().collect();
        events.sort_by_key(|event| -event.revision);
        let more = events.len() > request.page_size as usize;
        events.truncate(request.page_size as usize);
        let next = events.last().filter(|_| more).map(|event| event.revision.to_string());
        Ok(Response::new(ListEventsResponse { events, next_page_token: next.unwrap_or_default() }))
    }

    async fn watch_events(
        &self,
        _: Request<WatchEventsRequest>,
    ) -> Result<Response<BoxStream<WatchEventsResponse>>, Status> {
        let (silent, held_back) = (self.silent.clone(), self.held_back.clone());
        let beats = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(Duration::from_millis(50)));
        let beats = beats.filter(move |_| !*silent.lock().unwrap()).map(|_| None);
        let events = BroadcastStream::new(self.feed.subscribe()).filter_map(Result::ok);
        let messages = beats.merge(events).map(move |event| {
            let item = match event {
                Some(event) => Item::Event(event),
                None => {
                    let time = held_back.lock().unwrap().unwrap_or_else(SystemTime::now);
                    Item::Heartbeat(Heartbeat { time: Some(Timestamp::from(time)) })
                }
            };
            Ok(WatchEventsResponse { item: Some(item), cursor: "here".to_owned() })
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn verify_chain(&self, _: Request<VerifyChainRequest>) -> Result<Response<VerifyChainResponse>, Status> {
        let valid = self.name != "authz-service";
        let chain = ChainVerification { service: self.name.to_owned(), valid, ..ChainVerification::default() };
        Ok(Response::new(VerifyChainResponse { valid, chains: vec![chain] }))
    }
}
