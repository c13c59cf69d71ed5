//! Domains: proven by a record of one's own, owned by one organization of a project, lost when the record stays away.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tokio::{sync::OnceCell, time::sleep};
use tonic::Code;

use crate::name_server::NameServer;

pub const BASE: &str = "app.guildhall.test";

/// A cluster that asks this process's name server, every second.
pub async fn cluster() -> (&'static Cluster, &'static NameServer) {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    static SERVER: OnceLock<(NameServer, std::net::SocketAddr)> = OnceLock::new();
    let (server, address) = SERVER.get_or_init(NameServer::start);
    let cluster = CLUSTER
        .get_or_init(|| async {
            Cluster::start_with(&[
                ("GUILDHALL_DNS_SERVERS", &address.to_string()),
                ("GUILDHALL_VANITY_BASE", BASE),
                ("GUILDHALL_DOMAIN_FIRST_LOOK", "1"),
                ("GUILDHALL_DOMAIN_RECHECK", "1"),
            ])
            .await
        })
        .await;
    (cluster, server)
}

pub async fn claim(organization: &Organization<'_>, name: &str, purpose: &str) -> Value {
    let request = json!({"organization_id": organization.id, "domain": {"name": name, "purpose": purpose}});
    organization.owner().caller.call("DomainService/CreateDomain", request).await
}

pub fn about(domain: &Value) -> Value {
    json!({"organization_id": domain["organization_id"], "domain_id": domain["domain_id"]})
}

pub fn prove(server: &NameServer, domain: &Value) {
    server.set(&text(domain, "challenge.record_name"), &["v=spf1 -all", &text(domain, "challenge.record_value")]);
}

pub async fn becomes(organization: &Organization<'_>, domain: &Value, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let now = organization.owner().caller.call("DomainService/GetDomain", about(domain)).await;
        if text(&now, "state") == state {
            return now;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not {state}: {now}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_domain_is_proven_by_its_own_record_and_lost_when_it_stays_away() {
    let (cluster, server) = cluster().await;
    let project = cluster.project().await;
    let (acme, other) = (project.organization("acme").await, project.organization("other").await);
    let name = unique("acme") + ".test";
    let domain = claim(&acme, &name.to_uppercase(), "DOMAIN_PURPOSE_EMAIL").await;
    assert_eq!((text(&domain, "name"), text(&domain, "state")), (name.clone(), "DOMAIN_STATE_PENDING".to_owned()));
    assert_eq!(text(&domain, "challenge.record_name"), format!("_guildhall.{name}"));
    let theirs = claim(&other, &name, "DOMAIN_PURPOSE_EMAIL").await;

    // The other's record, and a wrong one, prove nothing of this claim.
    server.set(&text(&domain, "challenge.record_name"), &[&text(&theirs, "challenge.record_value"), "nonsense"]);
    let caller = &acme.owner().caller;
    let looked = caller.call("DomainService/VerifyDomain", about(&domain)).await;
    assert_eq!(text(&looked, "state"), "DOMAIN_STATE_PENDING");
    caller.refused("DomainService/VerifyDomain", about(&domain), Code::ResourceExhausted, "RATE_LIMITED").await;

    // The schedule sees who is first; the claim that is second is refused.
    becomes(&other, &theirs, "DOMAIN_STATE_VERIFIED").await;
    let lookup = json!({"email_domain": name.to_uppercase()});
    let found = project.account.call("OrganizationService/LookupOrganization", lookup.clone()).await;
    assert_eq!(text(&found, "organization_id"), other.id);
    let second = claim(&acme, &name, "DOMAIN_PURPOSE_HOST").await;
    server.set(
        &text(&domain, "challenge.record_name"),
        &[
            &text(&theirs, "challenge.record_value"),
            &text(&domain, "challenge.record_value"),
            &text(&second, "challenge.record_value"),
        ],
    );
    becomes(&acme, &second, "DOMAIN_STATE_VERIFIED").await;
    sleep(Duration::from_secs(10)).await;
    caller.refused("DomainService/VerifyDomain", about(&domain), Code::AlreadyExists, "DOMAIN_TAKEN").await;

    // Another project is another world.
    let elsewhere = cluster.project().await.organization("elsewhere").await;
    let third = claim(&elsewhere, &name, "DOMAIN_PURPOSE_EMAIL").await;
    prove(server, &third);
    let seen = elsewhere.owner().caller.call("DomainService/VerifyDomain", about(&third)).await;
    assert_eq!(text(&seen, "state"), "DOMAIN_STATE_VERIFIED");

    // By now the record of the first owner is gone.
    becomes(&other, &theirs, "DOMAIN_STATE_FAILED").await;
    project.account.refused("OrganizationService/LookupOrganization", lookup, Code::NotFound, "NOT_FOUND").await;
    let events = project.account.call("EventService/ListEvents", json!({"organization_id": other.id})).await;
    let all = events.to_string();
    for kind in ["domain.created", "domain.verified", "domain.failed"] {
        assert!(all.contains(kind), "{kind} in {all}");
    }
    server.remove(&text(&third, "challenge.record_name"));
}

#[tokio::test]
async fn bad_names_foreign_ids_and_double_claims_are_refused() {
    let (cluster, _) = cluster().await;
    let project = cluster.project().await;
    let (acme, other) = (project.organization("acme").await, project.organization("other").await);
    let caller = &acme.owner().caller;
    for bad in ["co.uk", "gmail.com", "localhost", "printer.local", "10.0.0.1", "a b.test", "acme.app.guildhall.test"] {
        let request = json!({"organization_id": acme.id, "domain": {"name": bad}});
        let refused =
            caller.refused("DomainService/CreateDomain", request, Code::InvalidArgument, "INVALID_FIELDS").await;
        assert_eq!(refused.fields, ["domain.name", "domain.purpose"], "{bad}");
    }
    let name = unique("acme") + ".test";
    let domain = claim(&acme, &name, "DOMAIN_PURPOSE_HOST").await;
    let again = json!({"organization_id": acme.id, "domain": {"name": name, "purpose": "DOMAIN_PURPOSE_HOST"}});
    caller.refused("DomainService/CreateDomain", again, Code::AlreadyExists, "DOMAIN_TAKEN").await;
    let foreign = json!({"organization_id": other.id, "domain_id": domain["domain_id"]});
    for method in ["DomainService/GetDomain", "DomainService/VerifyDomain", "DomainService/DeleteDomain"] {
        other.owner().caller.refused(method, foreign.clone(), Code::NotFound, "NOT_FOUND").await;
        caller.refused(method, foreign.clone(), Code::NotFound, "NOT_FOUND").await;
    }
    let mut stale = about(&domain);
    stale["etag"] = json!("0");
    caller.refused("DomainService/DeleteDomain", stale, Code::Aborted, "ETAG_MISMATCH").await;
    caller.call("DomainService/DeleteDomain", about(&domain)).await;
    caller.refused("DomainService/GetDomain", about(&domain), Code::NotFound, "NOT_FOUND").await;
    claim(&acme, &name, "DOMAIN_PURPOSE_HOST").await;
}

#[tokio::test]
async fn a_host_names_its_organization() {
    let (cluster, _) = cluster().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let gateway = cluster.workload("gateway", "org-service");
    let host = format!("{}.{BASE}", acme.slug);
    for request in [json!({"host": host.to_uppercase()}), json!({"host": host, "project_id": project.id})] {
        let entry = gateway.call("DirectoryService/ResolveHost", request).await;
        assert_eq!(text(&entry, "organization_id"), acme.id);
    }
    let elsewhere = cluster.project().await;
    let request = json!({"host": host, "project_id": elsewhere.id});
    gateway.refused("DirectoryService/ResolveHost", request, Code::NotFound, "NOT_FOUND").await;
    let found = project.account.call("OrganizationService/LookupOrganization", json!({"host": host})).await;
    assert_eq!(text(&found, "organization_id"), acme.id);
}

/// Whoever takes a slug that another project's organization has or had: an old link must not lead to them.
#[tokio::test]
async fn a_former_vanity_host_leads_to_nobody() {
    let (cluster, _) = cluster().await;
    let acme = cluster.project().await.organization("acme").await;
    let gateway = cluster.workload("gateway", "org-service");
    let anywhere = json!({"host": format!("{}.{BASE}", acme.slug)});
    let stranger = cluster.project().await;
    let same = json!({"organization": {"display_name": "Acme", "slug": acme.slug}});
    let strangers = stranger.account.call("OrganizationService/CreateOrganization", same).await;
    gateway.refused("DirectoryService/ResolveHost", anywhere.clone(), Code::NotFound, "NOT_FOUND").await;
    let renamed =
        json!({"organization_id": acme.id, "organization": {"slug": unique("renamed")}, "update_mask": "slug"});
    acme.project.account.call("OrganizationService/UpdateOrganization", renamed).await;
    gateway.refused("DirectoryService/ResolveHost", anywhere.clone(), Code::NotFound, "NOT_FOUND").await;
    // Who says which project they mean is told.
    let theirs = json!({"host": anywhere["host"], "project_id": stranger.id});
    let found = gateway.call("DirectoryService/ResolveHost", theirs).await;
    assert_eq!(found["organization_id"], strangers["organization_id"]);
}

/// What was proven by somebody who is suspended or deleted keeps others from the name, so it is looked at all the same.
#[tokio::test]
async fn a_proof_ends_while_its_organization_does_nothing() {
    let (cluster, server) = cluster().await;
    let project = cluster.project().await;
    let account = &project.account;
    for end in ["SuspendOrganization", "DeleteOrganization"] {
        let (gone, next) = (project.organization("gone").await, project.organization("next").await);
        let name = unique("moved") + ".test";
        let domain = claim(&gone, &name, "DOMAIN_PURPOSE_EMAIL").await;
        prove(server, &domain);
        becomes(&gone, &domain, "DOMAIN_STATE_VERIFIED").await;
        account.call(&format!("OrganizationService/{end}"), json!({"organization_id": gone.id})).await;
        let theirs = claim(&next, &name, "DOMAIN_PURPOSE_EMAIL").await;
        prove(server, &theirs);
        becomes(&next, &theirs, "DOMAIN_STATE_VERIFIED").await;
    }
}

/// An archived project gives nothing back, and keeps nobody from a host of their own.
#[tokio::test]
async fn a_host_is_not_held_by_an_archived_project() {
    let (cluster, server) = cluster().await;
    let (former, now) = (cluster.project().await, cluster.project().await);
    let name = format!("login.{}.test", unique("acme"));
    let mut last = String::new();
    for project in [&former, &now] {
        let organization = project.organization("acme").await;
        let domain = claim(&organization, &name, "DOMAIN_PURPOSE_HOST").await;
        prove(server, &domain);
        becomes(&organization, &domain, "DOMAIN_STATE_VERIFIED").await;
        last = organization.id;
    }
    let (gateway, anywhere) = (cluster.workload("gateway", "org-service"), json!({"host": name}));
    gateway.refused("DirectoryService/ResolveHost", anywhere.clone(), Code::NotFound, "NOT_FOUND").await;
    cluster.operator().await.call("ProjectService/ArchiveProject", json!({"project_id": former.id})).await;
    let found = gateway.call("DirectoryService/ResolveHost", anywhere).await;
    assert_eq!(text(&found, "organization_id"), last);
}

/// A provider's name that its owner points to the inside of the installation's network.
#[tokio::test]
async fn a_providers_name_that_leads_inside_is_not_called() {
    let (cluster, server) = cluster().await;
    let acme = cluster.project().await.organization("acme").await;
    let name = unique("idp") + ".example.test";
    server.set_address(&name, std::net::Ipv4Addr::LOCALHOST);
    let connection = json!({"kind": "CONNECTION_KIND_OIDC", "display_name": "Acme", "issuer": format!("https://{name}"),
        "client_id": "guildhall", "client_secret": "hush-hush-0123456789"});
    let request = json!({"organization_id": acme.id, "connection": connection});
    let made = acme.owner().caller.call("ConnectionService/CreateConnection", request).await;
    let about = json!({"organization_id": acme.id, "connection_id": made["connection_id"]});
    let answer = acme.owner().caller.call("ConnectionService/TestConnection", about).await;
    assert!(answer["checks"].to_string().contains("not public"), "{answer}");
}
