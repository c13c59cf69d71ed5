//! What a public port says of the machinery behind it in the configuration that production has: nothing.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use serde_json::json;
use sqlx::AssertSqlSafe;
use testkit::{Cluster, Replica, dynamic, free_port, http as plain};
use tonic::Code;

use crate::{
    state::superuser,
    wire::{Door, bearer},
};

const PROCESSES: [&str; 4] = ["org-service", "member-service", "authz-service", "gateway"];
/// What gives away how it is built or how it fares.
const INSIDE: [&str; 22] = [
    "# HELP",
    "# TYPE",
    "guildhall_",
    "process_",
    "tokio",
    "hyper",
    "tonic",
    "axum",
    "sqlx",
    "postgres",
    "rustc",
    ".rs:",
    "src/",
    "panicked",
    "backtrace",
    "stack",
    "select ",
    "relation",
    "127.0.0.1:",
    "localhost",
    "gone_away",
    "/etc/",
];
const PATHS: [&str; 30] = [
    "/",
    "/metrics",
    "/metrics/",
    "/livez",
    "/readyz",
    "/healthz",
    "/health",
    "/status",
    "/info",
    "/version",
    "/debug",
    "/debug/pprof/",
    "/debug/vars",
    "/actuator",
    "/actuator/env",
    "/server-status",
    "/admin",
    "/console",
    "/config",
    "/env",
    "/.env",
    "/.git/config",
    "/mailbox",
    "/dev/mailbox",
    "/swagger",
    "/graphql",
    "/graphiql",
    "/trace",
    "/v1/",
    "/..%2fmetrics",
];

/// The settings of the production overlay and what it stands on, but for the places that they name.
fn production() -> Vec<(String, String)> {
    let kubernetes = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
    let mut settings = Vec::new();
    for file in ["base/kustomization.yaml", "base/gateway/kustomization.yaml", "overlays/production/kustomization.yaml"]
    {
        let text = fs::read_to_string(kubernetes.join(file)).unwrap();
        let literals = text.lines().filter_map(|line| line.trim().strip_prefix("- GUILDHALL_")?.split_once('='));
        let of_the_place = |name: &str, value: &str| {
            value.starts_with('/') || value.contains("://") || name.ends_with("LISTEN") || name == "DRAIN_DELAY"
        };
        let kept = literals.filter(|(name, value)| !of_the_place(name, value));
        settings.extend(kept.map(|(name, value)| (format!("GUILDHALL_{name}"), value.to_owned())));
    }
    assert!(settings.iter().any(|(name, _)| name == "GUILDHALL_LOG_FORMAT"), "{settings:?}");
    settings
}

async fn replicas(cluster: &Cluster) -> Vec<Replica> {
    let settings = production();
    let told: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut replicas = Vec::new();
    for name in PROCESSES {
        replicas.push(cluster.replica(name, free_port(Ipv4Addr::LOCALHOST.into()), &told).await);
    }
    replicas
}

fn is_bare(what: &str, text: &str) {
    for word in INSIDE {
        assert!(!text.contains(word), "{what} says {word:?}: {text}");
    }
}

#[tokio::test]
async fn a_public_port_says_nothing_of_the_inside() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let replicas = replicas(&cluster).await;
    let service = "guildhall.org.v1.OrganizationService";
    // Where it is asked for, reflection answers, and the admin port has what is looked for.
    dynamic::Client::by_reflection(cluster.access().gateway, service).await.unwrap();
    let (_, _, metrics) = plain::send(replicas[3].admin, &get("/metrics")).await;
    assert!(metrics.contains("# HELP") && metrics.contains("guildhall_"), "{metrics:.200}");

    let token = bearer(&project.token);
    let about = json!({"organization_id": acme.id});
    let request = prost_reflect::DynamicMessage::deserialize(
        crate::form::message("guildhall.org.v1.GetOrganizationRequest"),
        about,
    );
    let request = prost::Message::encode_to_vec(&request.unwrap());
    for (replica, name) in replicas.iter().zip(PROCESSES) {
        let refused = dynamic::Client::by_reflection(replica.address, service).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{name}: {refused:?}");
        is_bare(name, refused.message());
        let door = Door::new(name, replica.address);
        for path in [
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "/grpc.channelz.v1.Channelz/GetTopChannels",
            "/grpc.admin.v1.Admin/Any",
            "/metrics",
            "/guildhall.org.v1.OrganizationService/../GetOrganization",
            "/guildhall.org.v1.DirectoryService/Nothing",
        ] {
            let answer = door.call(path, &token, &request).await;
            assert!(
                matches!(answer.code, Code::Unimplemented | Code::Unauthenticated | Code::Unknown),
                "{path} at {name}: {answer:?}"
            );
            is_bare(
                name,
                &format!("{} {:?} {:?}", answer.message, String::from_utf8_lossy(&answer.details), answer.headers),
            );
        }
        // What is no message at all.
        for path in
            ["/guildhall.org.v1.OrganizationService/GetOrganization", "/guildhall.member.v1.MemberService/ListMembers"]
        {
            for bytes in [&b"\xff\xff\xff\xff"[..], b"\x0a\xff", b"\x0a\x02\xc3\x28", b"\x0b\x0b\x0b"] {
                let answer = door.call(path, &token, bytes).await;
                assert_ne!(answer.code, Code::Ok, "{path} at {name}");
                is_bare(name, &format!("{} {:?}", answer.message, String::from_utf8_lossy(&answer.details)));
            }
        }
        // The services behind it speak HTTP/2 alone.
        for path in PATHS.iter().filter(|_| name == "gateway") {
            for verb in ["GET", "POST", "TRACE", "OPTIONS"] {
                let asked =
                    format!("{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                let (status, head, body) = plain::send(replica.address, &asked).await;
                assert!(status >= 400 || verb == "OPTIONS", "{verb} {path} at {name}: {status} {body}");
                is_bare(&format!("{verb} {path} at {name}"), &format!("{}{body}", head.to_lowercase()));
                let told = head.to_lowercase();
                assert!(
                    !told.contains("\nserver:") && !told.contains("x-powered-by"),
                    "{verb} {path} at {name}: {head}"
                );
            }
        }
    }
    failing(&cluster, &replicas, &token, &request).await;
}

/// A fault of ours is told as one, without what it was.
async fn failing(cluster: &Cluster, replicas: &[Replica], token: &[(&'static str, String)], request: &[u8]) {
    let mut database = superuser(cluster).await;
    let path = "/guildhall.org.v1.OrganizationService/GetOrganization";
    let run = async |database: &mut sqlx::PgConnection, sql: &str| {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(database).await.unwrap();
    };
    run(&mut database, "alter table org.organization rename to gone_away").await;
    for (at, name) in [(0, "org-service"), (3, "gateway")] {
        let door = Door::new(name, replicas[at].address);
        let answer = door.call(path, token, request).await;
        assert_eq!(answer.code, Code::Internal, "{name}: {answer:?}");
        is_bare(
            name,
            &format!("{} {:?} {:?}", answer.message, String::from_utf8_lossy(&answer.details), answer.headers),
        );
    }
    run(&mut database, "alter table org.gone_away rename to organization").await;
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}
