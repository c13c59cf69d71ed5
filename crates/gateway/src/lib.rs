//! The gateway: authenticates whoever comes from outside, limits how often, mints tokens, and forwards everything else by method
//! without decoding it. It keeps nothing: any number of replicas may run beside each other.
//!
//! - `face` takes calls that come as JSON or gRPC-Web, turns them into gRPC (`json`), and their answers back;
//! - `edge` decides on every request: which method, whose credential, whether it is revoked, who serves it;
//! - `grpc` and `http` serve what the gateway answers itself, by `ops`, which asks the services through `remote`;
//! - `forward` passes on the rest; `limits` knows who comes too often.

mod config;
mod edge;
mod email;
mod face;
mod forward;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grpc;
mod http;
mod json;
mod limits;
mod mint;
mod openapi;
mod ops;
mod proofs;
mod refusal;
mod remote;

use std::{collections::BTreeSet, sync::Arc};

use access::{Invalidations, Onward, Service};
use api::{
    Audience,
    event::v1::event_service_server::EventServiceServer,
    gateway::v1::{
        authentication_service_server::AuthenticationServiceServer, token_service_server::TokenServiceServer,
    },
};
use runtime::{Api, Contract, Process};

pub use config::{Config, LimitOptions, SecretDigest};
pub use face::Origin;

/// Serves until the process is told to end.
pub async fn serve(config: Config, process: Process) -> Result<(), runtime::Error> {
    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    let keys = config.access.access_keys(&config.access_keys)?;
    let verifier = config.access.verifier(Service::Gateway)?;
    let onward = Onward::new(Service::Gateway, config.access.signing_key(Service::Gateway)?);
    let backends = remote::Backends {
        org: process.connect(&config.org_url, contract.clone())?,
        member: process.connect(&config.member_url, contract.clone())?,
        authz: process.connect(&config.authz_url, contract.clone())?,
    };

    let invalidations = Invalidations::new(&config.revocation);
    let condition = process.readiness().condition("revocations");
    process.background().spawn(feed::depend_on(invalidations.clone(), condition));
    let services =
        [(Service::Org, &backends.org), (Service::Member, &backends.member), (Service::Authz, &backends.authz)];
    for (service, channel) in services {
        let source = feed::Source { service, channel: channel.clone(), onward: onward.clone() };
        process.background().spawn(feed::learn_from(source, invalidations.clone()));
    }

    let remote = remote::Remote::new(&backends, onward);
    let limits = Arc::new(limits::Limits::new(&config.limits));
    let mint = Arc::new(mint::Mint::new(keys, &config.access));
    let projects = Arc::new(ops::projects::Projects::new(remote.clone()));
    let wishes = Arc::new(ops::grants::Wishes::new(remote.clone(), projects.clone(), mint.clone()));
    let sessions = Arc::new(ops::sessions::Sessions::new(
        remote.clone(),
        mint.clone(),
        projects.clone(),
        wishes.clone(),
        invalidations.clone(),
    ));
    let sign_in = ops::sign_in::SignIn::new(remote.clone(), sessions.clone(), limits.clone(), config.default_project);
    let clients = Arc::new(ops::clients::Clients::new(
        remote.clone(),
        mint.clone(),
        wishes.clone(),
        limits.clone(),
        ops::proven::Proven::new(invalidations.clone()),
        config.operator(),
        &config.access.issuer,
    ));
    let tokens = Arc::new(ops::tokens::Tokens {
        clients: clients.clone(),
        sessions: sessions.clone(),
        exchanges: ops::exchange::Exchanges {
            remote: remote.clone(),
            verifier: verifier.clone(),
            invalidations: invalidations.clone(),
            projects,
            clients: clients.clone(),
            wishes,
            mint,
        },
        standing: ops::standing::Standing {
            remote,
            verifier: verifier.clone(),
            invalidations: invalidations.clone(),
            clients,
        },
        limits: limits.clone(),
    });
    let events = ops::events::Events::new(&backends);
    let watches = ops::invalidations::Watches::new(invalidations.clone());

    let tls = config.tls.as_deref().map(tls::Public::open).transpose()?;
    let json = Arc::new(json::Routes::of_the_contracts()?);
    let http = http::routes(http::State {
        tokens: tokens.clone(),
        documents: Arc::new(http::metadata::Documents::new(&config.access)),
        openapi: Arc::new(openapi::Document::new(&config.access.issuer, json.clone())),
    });
    let edge = edge::EdgeLayer::new(edge::Edge {
        verifier,
        invalidations,
        forward: forward::Forward::new(&backends),
        limits: limits.clone(),
        trusted_proxies: config.trusted_proxies,
        http,
    });
    let authentication = grpc::authentication::Authentication { sign_in, sessions, limits };
    let tokens = grpc::tokens::TokenDoor { tokens, watches };
    // Most of what they serve is for anyone, and none of it takes more.
    let most = json::MAX_BYTES_OF_ANYONE;
    let mut api = Api::new(contract)
        .service(AuthenticationServiceServer::new(authentication).max_decoding_message_size(most))
        .service(TokenServiceServer::new(tokens).max_decoding_message_size(most))
        .service(EventServiceServer::new(grpc::events::MergedEvents { events }))
        .door(forwarded_services(), tls);
    if let Some(directory) = config.dev_mailbox {
        api = api.admin_routes(http::mailbox::routes(directory));
    }
    let face = face::FaceLayer::new(json, &config.allowed_origins);
    Ok(process.serve_faced(api, edge, face).await?)
}

/// The services that outsiders reach through the gateway, for health and reflection. Those that the gateway implements itself name
/// themselves.
fn forwarded_services() -> BTreeSet<String> {
    api::METHODS
        .iter()
        .filter(|method| method.audience != Audience::Workload)
        .filter(|method| !matches!(edge::route(method), edge::Route::Own))
        .map(|method| method.service.to_owned())
        .collect()
}
