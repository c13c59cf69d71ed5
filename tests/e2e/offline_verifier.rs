//! The client's verifier in somebody else's process: whom it believes, what it does when it hears nothing, and what it says of that.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client::{
    Client,
    offline::{Caller, OfflineOptions, OfflineVerifier, Unverified, WhenUnknown},
};
use http::{Request, Response};
use serde_json::json;
use testkit::{
    Cluster, Proxy,
    caller::{Organization, Project},
};
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::epochs::{offline, options};

const BOUND: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < within, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A verifier that reaches the gateway through the proxy.
async fn through(proxy: &Proxy, project: &Project<'_>, when_unknown: WhenUnknown) -> OfflineVerifier {
    let client = Client::new(&format!("http://{}", proxy.address), Default::default()).unwrap();
    client.set_token(project.token.clone().into());
    let verifier = client.offline_verifier(OfflineOptions { bound: BOUND, when_unknown, ..options(project) });
    timeout(PATIENCE, verifier.ready()).await.unwrap();
    verifier
}

async fn remove(organization: &Organization<'_>, member: &str) {
    let about = json!({"organization_id": organization.id, "member_id": member});
    organization.owner().caller.call("MemberService/RemoveMember", about).await;
}

#[tokio::test]
async fn only_this_project_s_access_tokens_are_believed() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, theirs) = (project.organization("acme").await, other.organization("acme").await);
    let (good, verifier) = (&acme.owner().tokens, offline(&project).await);
    let Ok(Caller::Member(owner)) = verifier.verify(&good.access).await else { panic!("no member") };
    assert_eq!(
        (owner.organization_slug.as_str(), owner.roles.as_slice()),
        (acme.slug.as_str(), &["owner".to_owned()][..])
    );
    assert_eq!((owner.amr.as_slice(), owner.project_id.as_str()), (&["pwd".to_owned()][..], project.id.as_str()));
    assert!(matches!(verifier.verify(&project.token).await, Ok(Caller::ServiceAccount(account))
        if account.organization_id.is_none() && account.project_id == project.id));

    let access = cluster.access();
    let operator =
        cluster.client_credentials(&access.operator_client_id, &access.operator_client_secret).await.unwrap();
    let (head, rest) = good.access.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let with_head = |head: serde_json::Value| {
        let head = URL_SAFE_NO_PAD.encode(head.to_string());
        format!("{head}.{claims}.{signature}")
    };
    let kid =
        serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap()["kid"].clone();
    let bad = [
        ("another project's", theirs.owner().tokens.access.clone()),
        ("the operator's", operator),
        ("a refresh token", good.refresh.clone()),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("bent", good.access.replacen(&claims[..4], "eyJh", 1) + "x"),
        ("unsigned", format!("{head}.{claims}.")),
        ("alg none", with_head(json!({"alg": "none", "typ": "at+jwt", "kid": kid}))),
        ("alg HS256", with_head(json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}))),
        ("another type", with_head(json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}))),
        ("an unknown key", with_head(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "unknown"}))),
        (
            "a key that it brings",
            with_head(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid, "jku": "http://a.test"})),
        ),
        ("large", "a".repeat(1 << 20)),
    ];
    for (what, token) in bad {
        assert_eq!(verifier.verify(&token).await, Err(Unverified::Invalid), "{what}");
    }
    let client = Client::new(&format!("http://{}", access.gateway), Default::default()).unwrap();
    client.set_token(project.token.clone().into());
    for wrong in [
        OfflineOptions { issuer: "http://elsewhere.test".to_owned(), ..options(&project) },
        OfflineOptions { audience: "elsewhere".to_owned(), ..options(&project) },
    ] {
        let verifier = client.offline_verifier(wrong);
        timeout(PATIENCE, verifier.ready()).await.unwrap();
        assert_eq!(verifier.verify(&good.access).await, Err(Unverified::Invalid));
    }
    // Whoever sends keys that nobody knows makes the keys be fetched once in a while, and not each time, which would take 100 s.
    let proxy = Proxy::to(access.gateway).await;
    let verifier = through(&proxy, &project, WhenUnknown::AcceptUntilExpiry).await;
    proxy.delay(Duration::from_millis(100));
    let begun = Instant::now();
    for number in 0..500 {
        let unknown = with_head(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": format!("unknown-{number}")}));
        assert_eq!(verifier.verify(&unknown).await, Err(Unverified::Invalid));
    }
    assert!(begun.elapsed() < PATIENCE, "500 unknown keys took {:?}", begun.elapsed());
}

#[tokio::test]
async fn who_hears_nothing_says_so_and_does_as_it_was_told() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let (ada, grace) = (acme.join("ada", &["member"]).await, acme.join("grace", &["member"]).await);
    let proxy = Proxy::to(project.cluster.access().gateway).await;
    let strict = through(&proxy, &project, WhenUnknown::Refuse).await;
    let lenient = through(&proxy, &project, WhenUnknown::AcceptUntilExpiry).await;
    for verifier in [&strict, &lenient] {
        assert!(verifier.verify(&ada.tokens.access).await.is_ok());
        assert_eq!(verifier.worst_case(), BOUND);
    }
    proxy.cut(true);
    remove(&acme, &ada.id).await;
    let cut = Instant::now();
    until("it goes on without news", BOUND + Duration::from_secs(1), async || !strict.is_live()).await;
    assert_eq!(strict.verify(&ada.tokens.access).await, Err(Unverified::Unknown));
    assert_eq!(strict.worst_case(), BOUND, "what it does not know it refuses");
    until("it does not notice", BOUND + Duration::from_secs(1), async || !lenient.is_live()).await;
    assert!(lenient.verify(&ada.tokens.access).await.is_ok(), "as it was told");
    assert_eq!(lenient.worst_case(), Duration::from_secs(905), "the life of a token, and the clocks' difference");
    sleep(Duration::from_secs(4).saturating_sub(cut.elapsed())).await;

    proxy.cut(false);
    for (what, verifier) in [("strict", &strict), ("lenient", &lenient)] {
        until(what, Duration::from_secs(5), async || {
            verifier.verify(&ada.tokens.access).await == Err(Unverified::Outdated)
        })
        .await;
        until(what, Duration::from_secs(5), async || verifier.verify(&grace.tokens.access).await.is_ok()).await;
        assert!(verifier.is_live());
        assert_eq!(verifier.worst_case(), BOUND);
    }
}

#[tokio::test]
async fn it_goes_on_where_the_gateway_left_off() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let verifier = offline(&project).await;
    let pid = cluster.kill("gateway");
    remove_at_the_service(&acme, &ada.id).await;
    cluster.restarted("gateway", pid).await;
    until("what was revoked meanwhile is refused", PATIENCE, async || {
        match verifier.verify(&ada.tokens.access).await {
            Ok(_) | Err(Unverified::Unknown) => false,
            Err(Unverified::Outdated) => true,
            Err(Unverified::Invalid) => panic!("a good token is none"),
        }
    })
    .await;
    until("and nobody else is", PATIENCE, async || verifier.verify(&acme.owner().tokens.access).await.is_ok()).await;
}

/// Past the gateway, which is not there.
async fn remove_at_the_service(organization: &Organization<'_>, member: &str) {
    let cluster = organization.project.cluster;
    let owner = cluster.bearer_at(cluster.door("member-service"), Some(&organization.owner().tokens.access));
    owner.call("MemberService/RemoveMember", json!({"organization_id": organization.id, "member_id": member})).await;
}

#[tokio::test]
async fn the_layer_hands_a_handler_the_caller_and_answers_others_in_their_language() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let handler = service_fn(async |request: Request<()>| {
        let caller = request.extensions().get::<Arc<Caller>>().expect("the layer leaves the caller");
        let Caller::Member(member) = &**caller else { panic!("no member") };
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("member", member.member_id.parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    let mut service = offline(&project).await.layer().layer(handler);
    let mut call = async |content_type: &str, token: Option<&str>| {
        let mut request = Request::post("/any").header("content-type", content_type);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = service.ready().await.unwrap().call(request.body(()).unwrap()).await.unwrap();
        let said = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), said("grpc-status"), said("member"))
    };
    let token = acme.owner().tokens.access.as_str();
    for content_type in ["application/json", "application/grpc"] {
        assert_eq!(call(content_type, Some(token)).await, (200, None, Some(acme.owner().id.clone())));
    }
    assert_eq!(call("application/json", None).await, (401, None, None));
    assert_eq!(call("application/json", Some("nonsense")).await, (401, None, None));
    assert_eq!(call("application/grpc", None).await, (200, Some("16".to_owned()), None));
    assert_eq!(call("application/grpc+proto", Some("nonsense")).await, (200, Some("16".to_owned()), None));
}
