//! What is too large, too deep, or only says so: refused by a stated reason, with the connection as good as before, and with no memory
//! taken for what was not read.

use std::fs;

use serde_json::{Map, Value, json};
use testkit::{
    Cluster,
    caller::{Caller, text, unique},
};
use tonic::{
    Code,
    body::Body,
    codegen::{Service as _, http},
    transport::Endpoint,
};

const SERVERS: [&str; 4] = ["gateway", "org-service", "member-service", "authz-service"];
const TEN_MEGABYTES: usize = 10 << 20;

/// What a process holds in memory, in MiB.
fn resident(cluster: &Cluster, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.pid(name).unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn ten_megabytes_are_refused_and_harm_nobody() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let big = "x".repeat(TEN_MEGABYTES);
    let here = json!({"organization_id": acme.id});
    let calls = [
        (
            "org-service",
            "OrganizationService/UpdateOrganization",
            "OrganizationService/GetOrganization",
            json!({"organization_id": acme.id, "organization": {"display_name": big}, "update_mask": "displayName"}),
        ),
        (
            "member-service",
            "MemberService/CreateMember",
            "MemberService/ListMembers",
            json!({"organization_id": acme.id, "member": {"email_address": "a@b.test", "display_name": big}}),
        ),
        (
            "authz-service",
            "GroupService/CreateGroup",
            "GroupService/ListGroups",
            json!({"organization_id": acme.id, "group": {"display_name": big}}),
        ),
    ];
    let before: Vec<u64> = SERVERS.iter().map(|name| resident(&cluster, name)).collect();
    for (service, write, read, request) in &calls {
        for door in ["gateway", service] {
            // One connection for all of it.
            let caller: Caller = cluster.bearer_at(cluster.door(door), Some(&project.token));
            let many = futures::future::join_all((0..8).map(|_| caller.try_call(write, request.clone())));
            let beside = futures::future::join_all((0..8).map(|_| caller.try_call(read, here.clone())));
            let (many, beside) = futures::future::join(many, beside).await;
            for refused in many {
                let refused = refused.expect_err(write);
                let told = (refused.code, refused.reason.as_str());
                assert_eq!(told, (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"), "{write} at {door}: {refused:?}");
            }
            for answer in beside {
                answer.unwrap_or_else(|refused| panic!("{read} at {door}: {refused:?}"));
            }
            caller.call(read, here.clone()).await;
        }
    }
    // A stream is cut at the message that is too large; what came before it may have been done.
    let one = json!({"identity": {"email_address": unique("a") + "@people.test"}});
    let other = json!({"identity": {"email_address": "b@people.test", "display_name": big}});
    let import = project.account.try_stream("IdentityService/ImportIdentities", vec![one, other]).await;
    let refused = import.unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted, "{refused:?}");
    // What nobody serves is not read either.
    let nowhere = cluster.anyone().try_call("MemberService/CreateMember", calls[1].3.clone()).await.unwrap_err();
    assert_eq!(nowhere.code, Code::Unauthenticated, "{nowhere:?}");
    for (name, before) in SERVERS.iter().zip(before) {
        let now = resident(&cluster, name);
        assert!(now < before + 150, "{name} held {before} MiB, and holds {now} MiB");
    }
    let seen = project.account.call("OrganizationService/GetOrganization", here).await;
    assert_eq!(text(&seen, "display_name"), "acme");
}

/// The status of a call whose body is just these bytes, and the seconds that it took.
async fn raw(cluster: &Cluster, door: &str, token: &str, encoding: Option<&str>, body: &str) -> Code {
    let address = cluster.door(door);
    let mut channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut request =
        http::Request::post(format!("http://{address}/guildhall.org.v1.OrganizationService/GetOrganization"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "5S")
            .header("authorization", format!("Bearer {token}"));
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answer = channel.call(request.body(Body::new(body.to_owned())).unwrap()).await.unwrap();
    let status = answer.headers().get("grpc-status").expect("a refusal has no body").to_str().unwrap();
    Code::from_i32(status.parse().unwrap())
}

#[tokio::test]
async fn what_is_compressed_or_only_says_how_long_it_is_is_not_unpacked() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let before = resident(cluster, "org-service");
    for door in ["gateway", "org-service"] {
        // A flag says that the message is compressed: nobody here unpacks any, so there is nothing for a bomb to fill.
        for encoding in ["gzip", "deflate", "zstd", "br", "bomb"] {
            let said = raw(cluster, door, &project.token, Some(encoding), "\u{1}\0\0\0\u{5}bombs").await;
            assert_eq!(said, Code::Unimplemented, "{encoding} at {door}");
        }
        let flagged = raw(cluster, door, &project.token, None, "\u{1}\0\0\0\u{5}bombs").await;
        assert!(matches!(flagged, Code::InvalidArgument | Code::Unimplemented), "{flagged:?} at {door}");
        // Two gigabytes, by its own word.
        let long = raw(cluster, door, &project.token, None, "\0\u{7f}\u{7f}\u{7f}\u{7f}and so on").await;
        assert_eq!(long, Code::ResourceExhausted, "at {door}");
        // Cut off, and no flag at all.
        for torn in ["\0\0\0\0\u{5}ab", "\0\0", "\u{7}\0\0\0\0"] {
            let said = raw(cluster, door, &project.token, None, torn).await;
            assert!(matches!(said, Code::InvalidArgument | Code::Internal), "{torn:?} at {door}: {said:?}");
        }
    }
    let now = resident(cluster, "org-service");
    assert!(now < before + 150, "org-service held {before} MiB, and holds {now} MiB");
}

/// Objects in each other, `levels` of them.
fn deep(levels: usize) -> Value {
    (1..levels).fold(json!({"bottom": true}), |inner, _| json!({"in": inner}))
}

#[tokio::test]
async fn metadata_has_its_measure() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let write = async |kind: &str, resource: &str, metadata: &Value| {
        let (method, mut request) = match resource {
            "organization" => {
                ("OrganizationService/CreateOrganization", json!({"organization": {"display_name": "A"}}))
            }
            _ => (
                "MemberService/CreateMember",
                json!({"organization_id": acme.id, "member": {"email_address": unique("m") + "@acme.test"}}),
            ),
        };
        request[resource][kind] = metadata.clone();
        project.account.try_call(method, request).await
    };
    let wide: Map<String, Value> = (0..3000).map(|n| (format!("key-{n}"), json!(n))).collect();
    for resource in ["organization", "member"] {
        for kind in ["trusted_metadata", "untrusted_metadata"] {
            for good in [deep(8), json!({"text": "x".repeat(16_000)}), json!({"": [null, 1.5, "\u{1f980}"]})] {
                let made = write(kind, resource, &good).await.unwrap();
                assert_eq!(made[kind], good, "{resource} {kind}");
            }
            for bad in [deep(9), json!({"text": "x".repeat(17_000)}), Value::Object(wide.clone()), deep(20)] {
                let refused = write(kind, resource, &bad).await.unwrap_err();
                assert_eq!(refused.fields, [format!("{resource}.{kind}")], "{refused:?}");
            }
            // Deeper than any message may be.
            let refused = write(kind, resource, &deep(60)).await.unwrap_err();
            assert_eq!(refused.code, Code::InvalidArgument, "{refused:?}");
        }
    }
}
