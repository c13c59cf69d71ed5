//! Service accounts that prove themselves by a signature (RFC 7523): with keys that they keep, once for each assertion, and by no other way of
//! writing one.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use futures::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Project, text, unique},
};
use tonic::Code;

use crate::oauth::{Answer, claims, post, robot_of};

const CREATE: &str = "ServiceAccountService/CreateApiKey";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn key(algorithm: Algorithm) -> (EncodingKey, String) {
    let random = SystemRandom::new();
    let key = match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&random).unwrap().as_ref()),
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            EncodingKey::from_ec_der(pair.as_ref())
        }
        _ => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
            EncodingKey::from_rsa_der(&rsa_private_key(der.as_ref()))
        }
    };
    let jwk = serde_json::to_string(&Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
    (key, jwk)
}

/// What stands inside of PKCS #8: the last OCTET STRING, whose header is four bytes long for a key of this size.
fn rsa_private_key(pkcs8: &[u8]) -> Vec<u8> {
    let at = pkcs8.windows(4).position(|w| w[0] == 0x04 && w[1] == 0x82).unwrap();
    pkcs8[at + 4..].to_vec()
}

/// A service account with a registered key.
struct Signer {
    cluster: &'static Cluster,
    account: String,
    key: EncodingKey,
    algorithm: Algorithm,
    registered: Value,
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

impl Signer {
    async fn of(acme: &Organization<'_>, algorithm: Algorithm) -> Self {
        let (key, jwk) = key(algorithm);
        let account = robot_of(acme).await.id;
        let request =
            json!({"organization_id": acme.id, "service_account_id": account, "api_key": {"public_jwk": jwk}});
        let registered = acme.owner().caller.call(CREATE, request).await;
        Self { cluster: Cluster::shared().await, account, key, algorithm, registered }
    }

    fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(text(&self.registered, "assertion_key_id"));
        header
    }

    async fn claims(&self) -> Value {
        let (_, metadata) =
            testkit::http::get(self.cluster.access().gateway, "/.well-known/oauth-authorization-server").await;
        json!({"iss": self.account, "sub": self.account, "aud": text(&metadata, "token_endpoint"), "exp": now() + 60,
            "iat": now(), "jti": unique("assertion")})
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.key).unwrap()
    }

    async fn ask(&self, assertion: &str) -> Answer {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion", assertion),
            ("client_assertion_type", ASSERTION),
        ];
        post(self.cluster, "token", &form).await
    }
}

#[tokio::test]
async fn an_account_proves_itself_by_each_of_the_algorithms() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        let signer = Signer::of(&acme, algorithm).await;
        assert_eq!((text(&signer.registered, "secret"), text(&signer.registered, "prefix").len()), (String::new(), 12));
        let mut said = signer.claims().await;
        let token = signer.ask(&signer.sign(&said)).await.token();
        assert_eq!(claims(&token)["sub"], signer.account.as_str());
        assert_eq!(claims(&token)["sid"], signer.registered["api_key_id"]);
        // For the issuer, in a list of one, by gRPC.
        let (_, metadata) =
            testkit::http::get(cluster.access().gateway, "/.well-known/oauth-authorization-server").await;
        said["aud"] = json!([text(&metadata, "issuer")]);
        said["jti"] = unique("assertion").into();
        let rpc = json!({"client_credentials": {"client_assertion": signer.sign(&said)}});
        let given = cluster.anyone().call("TokenService/ExchangeToken", rpc).await;
        let caller = cluster.bearer(&text(&given, "access_token"));
        caller.call("AuthenticationService/WhoAmI", json!({})).await;
        let list = json!({"organization_id": acme.id, "service_account_id": signer.account});
        let keys = acme.owner().caller.call("ServiceAccountService/ListApiKeys", list).await;
        let listed = keys["api_keys"].as_array().unwrap().iter().find(|key| key["public_jwk"] != "").unwrap();
        assert!(listed["last_used_time"].is_string(), "{listed}");
        assert_eq!(listed["assertion_key_id"], signer.registered["assertion_key_id"]);
        // Revoked, it proves nothing, and what it gave ends.
        let revoke = json!({"organization_id": acme.id, "service_account_id": signer.account,
            "api_key_id": signer.registered["api_key_id"]});
        acme.owner().caller.call("ServiceAccountService/RevokeApiKey", revoke).await;
        let again = signer.claims().await;
        signer.ask(&signer.sign(&again)).await.is(401, "invalid_client");
        let begun = std::time::Instant::now();
        while caller.try_call("AuthenticationService/WhoAmI", json!({})).await.is_ok() {
            assert!(begun.elapsed().as_secs_f64() < 1.0);
        }
    }
}

#[tokio::test]
async fn an_assertion_is_good_once_however_many_ask_at_once() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let signer = Signer::of(&acme, Algorithm::EdDSA).await;
    let assertion = signer.sign(&signer.claims().await);
    let answers = join_all((0..20).map(|_| signer.ask(&assertion))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.is(401, "invalid_client");
    }
    // The same name in another assertion is the same.
    let mut said = signer.claims().await;
    signer.ask(&signer.sign(&said)).await.token();
    said["exp"] = (now() + 90).into();
    signer.ask(&signer.sign(&said)).await.is(401, "invalid_client");
}

#[tokio::test]
async fn whatever_is_wrong_with_an_assertion_the_answer_is_the_same() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let (acme, globex) = (project.organization("acme").await, other.organization("globex").await);
    let signer = Signer::of(&acme, Algorithm::EdDSA).await;
    let foreign = Signer::of(&globex, Algorithm::EdDSA).await;
    let good = signer.claims().await;
    let with = |name: &str, value: Value| {
        let mut bent = good.clone();
        bent[name] = value;
        bent["jti"] = if name == "jti" { bent["jti"].clone() } else { unique("bent").into() };
        bent
    };
    let mut bent: Vec<String> = [
        ("iss", json!(foreign.account)),
        ("sub", json!(foreign.account)),
        ("aud", json!("https://evil.test")),
        ("aud", json!([good["aud"], "https://evil.test"])),
        ("aud", json!([])),
        ("exp", json!(now() - 60)),
        ("exp", json!(now() + 3600)),
        ("exp", json!("soon")),
        ("iat", json!(now() + 120)),
        ("nbf", json!(now() + 120)),
        ("jti", json!("")),
        ("jti", json!("x".repeat(300))),
        ("jti", Value::Null),
        ("exp", Value::Null),
        ("aud", Value::Null),
        ("sub", Value::Null),
    ]
    .into_iter()
    .map(|(name, value)| signer.sign(&with(name, value)))
    .collect();
    let fresh = || with("iat", json!(now()));
    // By a key that is another's, of another kind, or none; and with a header that says more or less than it should.
    let sign = |header: &Header, by: &EncodingKey| encode(header, &fresh(), by).unwrap();
    let stranger = key(Algorithm::EdDSA).0;
    bent.push(sign(&signer.header(), &stranger));
    bent.push(sign(&signer.header(), &foreign.key));
    bent.push(sign(&foreign.header(), &signer.key));
    bent.push(foreign.sign(&fresh()));
    let mut header = Header::new(Algorithm::HS256);
    header.kid = signer.header().kid;
    bent.push(sign(&header, &EncodingKey::from_secret(text(&signer.registered, "public_jwk").as_bytes())));
    let mut header = Header::new(Algorithm::ES256);
    header.kid = signer.header().kid;
    bent.push(sign(&header, &key(Algorithm::ES256).0));
    for change in [
        |header: &mut Header| header.kid = None,
        |header: &mut Header| header.kid = Some("../../x".to_owned()),
        |header: &mut Header| header.kid = Some("A".repeat(43)),
        |header: &mut Header| header.typ = Some("at+jwt".to_owned()),
        |header: &mut Header| header.jku = Some("https://evil.test/jwks".to_owned()),
        |header: &mut Header| header.x5u = Some("https://evil.test/x5u".to_owned()),
    ] {
        let mut header = signer.header();
        change(&mut header);
        bent.push(sign(&header, &signer.key));
    }
    let whole = signer.sign(&fresh());
    let parts: Vec<&str> = whole.split('.').collect();
    bent.push(format!("{}.{}.", parts[0], parts[1]));
    bent.push(format!("{}.{}", parts[0], parts[1]));
    bent.push(format!("{whole}A"));
    bent.push(whole[..whole.len() - 2].to_owned());
    bent.push("x".to_owned());
    bent.push("x.y.z".to_owned());
    // An access token is no assertion.
    bent.push(acme.owner().tokens.access.clone());
    for assertion in &bent {
        signer.ask(assertion).await.is(401, "invalid_client");
    }
    let rpc = |assertion: &str| json!({"client_credentials": {"client_assertion": assertion}});
    let method = "TokenService/ExchangeToken";
    cluster.anyone().refused(method, rpc(&bent[0]), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    // For another client's id, and where the account is stopped.
    let id = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION),
        ("client_id", foreign.account.as_str()),
    ];
    let assertion = signer.sign(&fresh());
    post(cluster, "token", &[&id[..], &[("client_assertion", assertion.as_str())]].concat())
        .await
        .is(401, "invalid_client");
    signer.ask(&assertion).await.token();
    let stop = json!({"organization_id": acme.id, "service_account": {"service_account_id": signer.account,
        "state": "SERVICE_ACCOUNT_STATE_SUSPENDED"}});
    acme.owner().caller.call("ServiceAccountService/UpdateServiceAccount", stop).await;
    signer.ask(&signer.sign(&fresh())).await.is(401, "invalid_client");
}

#[tokio::test]
async fn a_key_is_registered_by_whom_a_secret_is_made_by_and_counts_as_one() {
    let cluster = Cluster::shared().await;
    let project: Project<'_> = cluster.project().await;
    let acme = project.organization("acme").await;
    let robot = robot_of(&acme).await;
    let with =
        |jwk: &str| json!({"organization_id": acme.id, "service_account_id": robot.id, "api_key": {"public_jwk": jwk}});
    let (private, jwk) = key(Algorithm::EdDSA);
    drop(private);
    let made = acme.owner().caller.call(CREATE, with(&jwk)).await;
    assert!(!text(&made, "assertion_key_id").is_empty());
    let refused = acme.owner().caller.refused(CREATE, with(&jwk), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["api_key.public_jwk"]);
    let mut held: Value = serde_json::from_str(&jwk).unwrap();
    held["d"] = "AAAA".into();
    for bad in
        [held.to_string(), "x".into(), "{}".into(), json!({"kty": "oct", "k": "AAAA", "alg": "HS256"}).to_string()]
    {
        acme.owner().caller.refused(CREATE, with(&bad), Code::InvalidArgument, "INVALID_FIELDS").await;
    }
    // With the secret and this key there are two: eighteen more, and no more.
    for _ in 0..18 {
        acme.owner().caller.call(CREATE, with(&key(Algorithm::EdDSA).1)).await;
    }
    let one_more = with(&key(Algorithm::EdDSA).1);
    acme.owner().caller.refused(CREATE, one_more, Code::ResourceExhausted, "LIMIT_REACHED").await;
    let events = json!({"organization_id": acme.id, "page_size": 500});
    let events = project.account.call("EventService/ListEvents", events).await;
    let created = |event: &&Value| event["kind"] == "api_key.created" && event["api_key"]["after"]["public_jwk"] != "";
    assert_eq!(events["events"].as_array().unwrap().iter().filter(created).count(), 19);
}
