//! What is larger, deeper or more than it says: refused with a stated reason, by a process that goes on as it was.

use std::{fs, io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use prost_reflect::DynamicMessage;
use serde_json::json;
use testkit::{Cluster, caller::unique, http as plain};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::{
    form::message,
    wire::{Door, Headers, bearer},
};

const SERVERS: [&str; 4] = ["gateway", "org-service", "member-service", "authz-service"];
/// What a bomb unpacks to.
const UNPACKED: usize = 200 << 20;
/// Less than one bomb unpacked, more than a debug build takes for its calls and those of others beside it.
const GROWS: u64 = 190;
/// The same where lists of a hundred thousand are read, several at once.
const GROWS_BY_LISTS: u64 = 400;

/// In MiB.
fn resident(cluster: &Cluster, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.pid(name).unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Who ran before and how much they had; that they run on, and have not much more.
struct Watched<'c> {
    cluster: &'c Cluster,
    before: Vec<(Option<u32>, u64)>,
}

impl<'c> Watched<'c> {
    fn new(cluster: &'c Cluster) -> Self {
        Self { cluster, before: SERVERS.map(|name| (cluster.pid(name), resident(cluster, name))).into() }
    }

    fn are_well(&self, after: &str, grows: u64) {
        for (name, (pid, before)) in SERVERS.iter().zip(&self.before) {
            assert_eq!(self.cluster.pid(name), *pid, "{name} is another process after {after}");
            let now = resident(self.cluster, name);
            assert!(now < before + grows, "{name} held {before} MiB at most, and {now} after {after}");
        }
    }
}

fn bomb() -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..UNPACKED >> 20 {
        packed.write_all(&zeros).unwrap();
    }
    packed.finish().unwrap()
}

fn doors(cluster: &Cluster) -> Vec<Door> {
    SERVERS.map(|name| Door::new(name, cluster.door(name))).into()
}

const ASKED: [&str; 4] = [
    "/guildhall.org.v1.OrganizationService/GetOrganization",
    "/guildhall.org.v1.OrganizationService/GetOrganization",
    "/guildhall.member.v1.MemberService/ListMembers",
    "/guildhall.authz.v1.RoleService/ListRoles",
];

/// A POST over HTTP/1.1: the status and the body of its answer.
async fn post(cluster: &Cluster, path: &str, token: &str, more: &str, body: &[u8]) -> (u16, String) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(cluster.access().gateway).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // It may have heard enough before all is said.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("an answer");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{path}: {answer:.300}"));
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn no_bomb_is_unpacked() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let bomb = bomb();
    assert!(bomb.len() * 500 < UNPACKED, "{} bytes", bomb.len());
    let watched = Watched::new(cluster);
    for (door, path) in doors(cluster).iter().zip(ASKED) {
        for encoding in ["gzip", "deflate", "zstd", "identity"] {
            let headers: Headers = [bearer(&project.token), vec![("grpc-encoding", encoding.to_owned())]].concat();
            let answer = door.packed(path, &headers, &bomb).await;
            assert!(
                matches!(answer.code, Code::Unimplemented | Code::InvalidArgument | Code::Internal),
                "{encoding} at {}: {answer:?}",
                door.name
            );
        }
    }
    let json = "Content-Type: application/json\r\n";
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP", "identity, gzip"] {
        let more = format!("{json}Content-Encoding: {encoding}\r\n");
        let (status, body) = post(cluster, "/v1/organizations", &project.token, &more, &bomb).await;
        assert_eq!(status, 415, "{encoding}: {body}");
        // As a form, and as a stream of lines.
        let form = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: {encoding}\r\n");
        let (status, body) = post(cluster, "/oauth2/token", &project.token, &form, &bomb).await;
        assert!((400..500).contains(&status), "{encoding}: {status} {body}");
        let lines = format!("Content-Type: application/x-ndjson\r\nContent-Encoding: {encoding}\r\n");
        let (status, body) = post(cluster, "/v1/identities:import", &project.token, &lines, &bomb).await;
        assert_eq!(status / 100, 4, "{encoding}: {body}");
    }
    let transfer = format!(
        "POST /v1/organizations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{json}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        project.token
    );
    let (status, _, body) = plain::send(cluster.access().gateway, &transfer).await;
    assert!((400..502).contains(&status), "{status} {body}");
    watched.are_well("bombs", GROWS);
    project.account.call("OrganizationService/GetOrganization", json!({"organization_id": acme.id})).await;
}

/// A message in itself, `levels` deep, as bytes: field 3 of a Value's struct, field 1 of a Struct, and so on.
fn nested(levels: usize) -> Vec<u8> {
    let delimited = |field: u8, inner: &[u8]| {
        let mut bytes = vec![field << 3 | 2];
        prost::encode_length_delimiter(inner.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(inner);
        bytes
    };
    // Value.struct_value = 5, Struct.fields = 1, the entry's value = 2.
    (0..levels).fold(Vec::new(), |inner, _| delimited(1, &delimited(2, &delimited(5, &inner))))
}

#[tokio::test]
async fn what_is_deep_is_refused_and_no_stack_runs_over() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let watched = Watched::new(cluster);
    let token = bearer(&project.token);
    for door in doors(cluster) {
        // Groups that begin and do not end, which no field of ours is: a reader skips them, one in another.
        for begun in [50, 200, 10_000, 1_000_000] {
            let path = ASKED[SERVERS.iter().position(|name| *name == door.name).unwrap()];
            let answer = door.call(path, &token, &vec![0x9b; begun]).await;
            assert!(
                matches!(answer.code, Code::InvalidArgument | Code::Internal),
                "{begun} at {}: {answer:?}",
                door.name
            );
        }
    }
    // Organization.trusted_metadata is field 8 of field 1.
    let create = "/guildhall.org.v1.OrganizationService/CreateOrganization";
    let check = "/guildhall.authz.v1.AuthorizationService/Check";
    for levels in [9, 40, 1000, 20_000] {
        let organization = wrapped(8, &nested(levels));
        let context = wrapped(5, &nested(levels));
        for (door, path, bytes) in [
            ("gateway", create, wrapped(1, &organization)),
            ("org-service", create, wrapped(1, &organization)),
            ("gateway", check, [wrapped(1, acme.id.as_bytes()), context.clone()].concat()),
            ("authz-service", check, [wrapped(1, acme.id.as_bytes()), context.clone()].concat()),
        ] {
            let answer = Door::new(door, cluster.door(door)).call(path, &token, &bytes).await;
            assert!(
                matches!(answer.code, Code::InvalidArgument | Code::Internal | Code::ResourceExhausted),
                "{levels} of {path} at {door}: {answer:?}"
            );
        }
    }
    watched.are_well("deep messages", GROWS);

    let json = "Content-Type: application/json\r\n";
    for levels in [65, 1000, 100_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let inner = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            for body in [
                inner.clone(),
                format!("{{\"displayName\": \"x\", \"trustedMetadata\": {{\"x\": {inner}}}}}"),
                // Never closed.
                open.repeat(levels),
            ] {
                let (status, answer) = post(cluster, "/v1/organizations", &project.token, json, body.as_bytes()).await;
                assert!(matches!(status, 400 | 413 | 429), "{levels} of {open}: {status} {answer:.300}");
                assert!(answer.len() < 4096, "{levels} of {open}: what was sent comes back");
            }
        }
    }
    let number = format!("{{\"displayName\": \"x\", \"trustedMetadata\": {{\"x\": 1{}}}}}", "0".repeat(1_000_000));
    let (status, answer) = post(cluster, "/v1/organizations", &project.token, json, number.as_bytes()).await;
    assert!((400..500).contains(&status), "{status} {answer:.300}");
    watched.are_well("deep JSON", GROWS);
}

fn wrapped(field: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    prost::encode_length_delimiter(inner.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(inner);
    bytes
}

/// Conditions that cost more to read than to write.
fn conditions() -> Vec<(&'static str, String)> {
    let around =
        |open: &str, inner: &str, close: &str, levels: usize| open.repeat(levels) + inner + &close.repeat(levels);
    vec![
        ("brackets", around("(", "true", ")", 10_000)),
        ("brackets that stay open", "(".repeat(10_000)),
        ("nots", "!".repeat(10_000) + "true"),
        ("minuses", "-".repeat(10_000) + "1 == 1"),
        ("lists", around("[", "1", "]", 5_000) + " == []"),
        ("maps", around("{1: ", "1", "}", 5_000) + " == {}"),
        ("choices", "true ? ".repeat(5_000) + "true" + &" : true".repeat(5_000)),
        ("members", "context".to_owned() + &".a".repeat(10_000) + " == 1"),
        ("indexes", "context".to_owned() + &"[\"a\"]".repeat(5_000) + " == 1"),
        ("sums", "1 + ".repeat(20_000) + "1 == 1"),
        ("ors", "true || ".repeat(20_000) + "true"),
        ("calls", around("size(", "\"x\"", ")", 5_000) + " == 1"),
        ("a text", format!("\"{}\" == \"\"", "x".repeat(1_000_000))),
        ("a number", "1".repeat(100_000) + " == 1"),
        ("loops in loops", around("[1,2,3,4,5,6,7,8,9].all(x, ", "true", ")", 40)),
        ("a slow pattern", format!("\"{}\".matches(\"(a+)+$\")", "a".repeat(2000))),
    ]
}

#[tokio::test]
async fn a_condition_that_is_deep_or_dear_is_refused_or_bounded() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let watched = Watched::new(cluster);
    let subject = json!({"member_id": acme.owner().id});
    for (what, condition) in conditions() {
        let role = json!({"organization_id": acme.id, "role": {"key": unique("r"), "display_name": "x", "permissions": ["guildhall.member:read"]}});
        let role = project.account.call("RoleService/CreateRole", role).await;
        let binding = json!({"subject": subject, "role_id": role["role_id"], "condition": condition});
        let began = std::time::Instant::now();
        let create = json!({"organization_id": acme.id, "binding": binding});
        let made = project.account.try_call("BindingService/CreateBinding", create).await;
        let check = json!({"organization_id": acme.id, "subject": subject, "permission": "guildhall.member:read",
            "contextual_bindings": [binding]});
        let checked = project.account.try_call("AuthorizationService/Check", check).await;
        for outcome in [made, checked] {
            match outcome {
                // Of those that may be written the check is bounded.
                Ok(_) => {}
                Err(refused) => {
                    let told = matches!(refused.code, Code::InvalidArgument | Code::ResourceExhausted);
                    assert!(told, "{what}: {refused:?}");
                    assert!(refused.message.len() < 4096, "{what}: what was sent comes back");
                }
            }
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{what} took {:?}", began.elapsed());
        watched.are_well(what, GROWS);
    }
}

/// A list of more than anybody needs, in every repeated field of every public method.
#[tokio::test]
async fn a_list_of_a_hundred_thousand_is_refused_wherever_one_can_stand() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let watched = Watched::new(cluster);
    let gateway = Door::new("gateway", cluster.access().gateway);
    let token = bearer(&project.token);
    let (mut tried, mut faults) = (0, Vec::new());
    for method in
        api::METHODS.iter().filter(|method| method.served && !method.client_streaming && !method.server_streaming)
    {
        if !matches!(method.audience, api::Audience::Organization | api::Audience::Project) {
            continue;
        }
        let input = message(method.input);
        for field in input.fields().filter(|field| field.is_list()) {
            let mut request = DynamicMessage::new(input.clone());
            if let Some(organization) = input.get_field_by_name("organization_id") {
                request.set_field(&organization, prost_reflect::Value::String(acme.id.clone()));
            }
            let one = match field.kind() {
                prost_reflect::Kind::Message(inner) => prost_reflect::Value::Message(DynamicMessage::new(inner)),
                _ => prost_reflect::Value::String("x".to_owned()),
            };
            request.set_field(&field, prost_reflect::Value::List(vec![one; 100_000]));
            let answer = gateway.call(method.path, &token, &prost::Message::encode_to_vec(&request)).await;
            tried += 1;
            if !matches!(answer.code, Code::InvalidArgument | Code::ResourceExhausted)
                || answer.details.len() > 64 * 1024
            {
                faults.push(format!(
                    "{} {}: {:?} {:.200}, {} bytes of details",
                    method.path,
                    field.name(),
                    answer.code,
                    answer.message,
                    answer.details.len()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(tried > 12, "{tried}");
    watched.are_well("lists", GROWS_BY_LISTS);
}
