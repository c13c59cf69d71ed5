//! The gateway: authenticates whoever comes from outside, limits how often, mints tokens, and forwards everything else by method
//! without decoding it. It keeps nothing: any number of replicas may run beside each other.
//!
//! - `edge` decides on every request: which method, whose credential, whether it is revoked, who serves it;
//! - `grpc` and `http` serve what the gateway answers itself, by `ops`, which asks the services through `remote`;
//! - `forward` passes on the rest; `revocation` knows what is no longer good; `limits` knows who comes too often.

mod config;
mod edge;
mod email;
mod forward;
mod grpc;
mod http;
mod limits;
mod mint;
mod ops;
mod refusal;
mod remote;
mod revocation;

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use access::{Onward, Service};
use api::{
    Audience, event::v1::event_service_server::EventServiceServer,
    gateway::v1::authentication_service_server::AuthenticationServiceServer,
};
use runtime::{Api, Contract, Process};

pub use config::{Config, LimitOptions, SecretDigest};

/// Serves until the process is told to end.
pub async fn serve(config: Config, process: Process) -> Result<(), runtime::Error> {
    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    let key = config.access.signing_key()?;
    let verifier = config.access.verifier(Service::Gateway)?;
    let onward = Onward::new(Service::Gateway, key.clone());
    let backends = remote::Backends {
        org: runtime::connect(&config.org_url, contract.clone())?,
        member: runtime::connect(&config.member_url, contract.clone())?,
        authz: runtime::connect(&config.authz_url, contract.clone())?,
    };

    let revocations = Arc::new(revocation::Revocations::new(config.revocation_lag));
    let condition = process.readiness().condition("revocations");
    process.background().spawn(revocation::watch(revocations.clone(), condition));
    let source = |service, channel| feed::Source { service, channel, onward: onward.clone() };
    let (members, organizations) =
        (source(Service::Member, backends.member.clone()), source(Service::Org, backends.org.clone()));
    process.background().spawn(revocation::follow(members, revocations.clone(), SystemTime::now()));
    let follow = revocation::follow_organizations(organizations, revocations.clone(), SystemTime::now());
    process.background().spawn(follow);

    let remote = remote::Remote::new(&backends, onward);
    let limits = Arc::new(limits::Limits::new(&config.limits));
    let mint = Arc::new(mint::Mint::new(key.clone(), &config.access));
    let sessions = Arc::new(ops::sessions::Sessions::new(remote.clone(), mint.clone(), revocations.clone()));
    let sign_in = ops::sign_in::SignIn::new(remote.clone(), sessions.clone(), limits.clone(), config.default_project);
    let clients = ops::clients::Clients::new(remote, mint, config.operator());
    let events = ops::events::Events::new(&backends);

    let http = http::routes(http::State {
        tokens: Arc::new(http::token::Tokens { clients, sessions: sessions.clone(), limits: limits.clone() }),
        documents: Arc::new(http::metadata::Documents::new(&config.access, key.public_jwk())),
    });
    let edge = edge::EdgeLayer::new(edge::Edge {
        verifier,
        revocations,
        forward: forward::Forward::new(&backends),
        limits: limits.clone(),
        trusted_hops: config.trusted_hops,
        http,
    });
    let mut api = Api::new(contract)
        .service(AuthenticationServiceServer::new(grpc::authentication::Authentication { sign_in, sessions, limits }))
        .service(EventServiceServer::new(grpc::events::MergedEvents { events }))
        .door(forwarded_services());
    if let Some(directory) = config.dev_mailbox {
        api = api.admin_routes(http::mailbox::routes(directory));
    }
    Ok(process.serve(api, edge).await?)
}

/// The services that outsiders reach through the gateway, for health and reflection. Those that the gateway implements itself name
/// themselves.
fn forwarded_services() -> BTreeSet<String> {
    api::METHODS
        .iter()
        .filter(|method| method.audience != Audience::Workload)
        .filter(|method| !matches!(edge::route(method), edge::Route::Own) || method.service.ends_with(".TokenService"))
        .map(|method| method.service.to_owned())
        .collect()
}
