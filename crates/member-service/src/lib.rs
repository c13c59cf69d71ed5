//! member-service: identities and their credentials, members, invitations, sessions, service accounts.
//!
//! One direction: `grpc` converts and calls `ops`, which opens the transaction that `store` borrows; `model` is what they speak of.
//! Beside them stand `remote` (what is asked of other services), `mail`, `hashing`, and `background`.

mod background;
mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grpc;
mod hashing;
mod mail;
mod model;
mod ops;
mod remote;
mod store;

use std::sync::Arc;

use access::{Access, Invalidations, Onward, RemotePermissions, Service};
use api::member::v1::{
    credential_service_server::CredentialServiceServer, identity_service_server::IdentityServiceServer,
    invitation_service_server::InvitationServiceServer, member_service_server::MemberServiceServer,
    service_account_service_server::ServiceAccountServiceServer, session_service_server::SessionServiceServer,
    sign_up_service_server::SignUpServiceServer, sso_service_server::SsoServiceServer,
    tenant_service_server::TenantServiceServer,
};
use runtime::{Api, Contract, Process};
use tokio::sync::Notify;

pub use config::Config;
use ops::credential::Apps;
use schema::MigrateConfig;
use tenancy::resting;

/// Serves until the process is told to end.
pub async fn serve(config: Config, process: Process) -> Result<(), runtime::Error> {
    let database = config.schema.database()?;
    let (background, readiness) = (process.background(), process.readiness());
    let (reachable, current) = (readiness.condition("database"), readiness.condition("schema"));
    background.spawn(schema::watch(database.clone(), store::migrations(), reachable, current));
    background.spawn(schema::forget_answers(database.clone()));
    background.spawn(background::sweep_for_ever(database.clone()));
    background.spawn(background::end_archived_for_ever(database.clone()));

    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET)?;
    let org = process.connect(&config.org_url, contract.clone())?;
    let authz = process.connect(&config.authz_url, contract.clone())?;
    let onward = Onward::new(Service::Member, config.access.signing_key(Service::Member)?);
    let permissions = Arc::new(RemotePermissions::new(authz.clone(), onward.clone()));
    let verifier = config.access.verifier(Service::Member)?;
    let invalidations = Invalidations::new(&config.revocation);
    for (service, channel) in [(Service::Org, org.clone()), (Service::Authz, authz.clone())] {
        let source = feed::Source { service, channel, onward: onward.clone() };
        background.spawn(feed::learn_from(source, invalidations.clone()));
    }
    let own = feed::Own { service: Service::Member, database: database.clone(), payload: grpc::payload };
    background.spawn(feed::learn_from_own(own, invalidations.clone()));
    background.spawn(feed::attend(invalidations.clone(), readiness.condition("revocations")));
    let access = Access::new(verifier, invalidations, database.clone(), onward.clone(), Some(org.clone()), permissions);
    let context = Arc::new(ops::Context {
        database: database.clone(),
        access: access.clone(),
        remote: remote::Remote::new(org.clone(), authz.clone(), onward.clone()),
        hasher: hashing::Hasher::new()?,
        mail_waiting: Arc::new(Notify::new()),
        invitation_url: config.invitation_url()?,
        sign_in_url: config.sign_in_url()?,
        errands: ops::Errand::turns(),
    });

    background.spawn(background::send_for_ever(&config.smtp, database.clone(), context.mail_waiting.clone())?);
    background.spawn(background::take_back_for_ever(context.clone()));
    background.spawn(background::end_lingering_for_ever(context.clone()));
    background.spawn(background::complete_foundings_for_ever(context.clone()));
    background.spawn(background::review_domains_for_ever(context.clone()));
    background.spawn(background::end_connections_for_ever(context.clone()));
    background.spawn(background::end_derived_for_ever(context.clone()));
    background.spawn(resting::reseal_for_ever::<Apps>(database.clone()));
    let source = |service, channel| feed::Source { service, channel, onward: onward.clone() };
    let organizations = background::Organizations(context.clone());
    background.spawn(feed::consume(source(Service::Org, org), database.clone(), organizations));
    let subjects = background::Subjects(context.clone());
    background.spawn(feed::consume(source(Service::Authz, authz), database.clone(), subjects));

    let door = grpc::Door { access: access.clone(), context };
    let api = Api::new(contract)
        .service(MemberServiceServer::new(door.clone()))
        .service(InvitationServiceServer::new(door.clone()))
        .service(IdentityServiceServer::new(door.clone()))
        .service(CredentialServiceServer::new(door.clone()))
        .service(SessionServiceServer::new(door.clone()))
        .service(SignUpServiceServer::new(door.clone()))
        .service(SsoServiceServer::new(door.clone()))
        .service(ServiceAccountServiceServer::new(door.clone()))
        .service(TenantServiceServer::new(door))
        .service(feed::EventServer::new(access.clone(), database.clone(), Service::Member, grpc::payload));
    process.serve(api, access.layer()).await?;
    database.close().await;
    Ok(())
}

/// Brings the schema up to date.
pub async fn migrate(config: MigrateConfig) -> Result<(), runtime::Error> {
    schema::migrate(config, store::migrations(), "guildhall_member").await
}
