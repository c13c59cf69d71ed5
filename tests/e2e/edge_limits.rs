//! How often one may come to the door: by address, by identity, by project, by client. Each limit is reached alone, and whoever stands
//! beside it is let in.

use std::sync::atomic::{AtomicU32, Ordering};

use api::{Audience, METHODS};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Refused, unique},
};
use tonic::Code;

use crate::{
    entering::{SIGN_IN, START},
    oauth::{post, robot_of_project},
};

const OF_IDENTITY: usize = 4;
const OF_ADDRESS: usize = 12;
const OF_PROJECT: usize = 8;
const OF_CLIENT: usize = 6;

const RATES: [(&str, &str); 6] = [
    // Whoever calls from this machine is a proxy of ours: a test says where a call comes from.
    ("GUILDHALL_TRUSTED_PROXIES", "127.0.0.0/8"),
    ("GUILDHALL_SIGN_IN_RATE_PER_IDENTITY", "4"),
    ("GUILDHALL_SIGN_IN_RATE_PER_ADDRESS", "12"),
    ("GUILDHALL_SIGN_IN_RATE_PER_PROJECT", "8"),
    ("GUILDHALL_TOKEN_RATE_PER_CLIENT", "6"),
    ("GUILDHALL_TOKEN_RATE_PER_ADDRESS", "12"),
];

/// Where nobody came from before.
fn somewhere() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("198.51.{}.{}", number >> 8, number & 0xff)
}

fn is_limited(outcome: &Result<Value, Refused>) -> bool {
    let refused = outcome.as_ref().err().filter(|refused| refused.reason == "RATE_LIMITED");
    refused.is_some_and(|refused| refused.code == Code::ResourceExhausted && refused.retry_after.is_some())
}

/// Calls as often as that (or once less, for what came before), and then until it is too often; but no more than twice as often, for other limits may be behind this one.
async fn comes_too_often(what: &str, most: usize, mut call: impl AsyncFnMut() -> Result<Value, Refused>) {
    for time in 1..=2 * most {
        let outcome = call().await;
        if is_limited(&outcome) {
            assert!(time >= most, "{what}: refused the {time}th time");
            return;
        }
    }
    panic!("{what}: {} calls were not too many", 2 * most);
}

#[tokio::test]
async fn each_limit_at_the_edge_holds_alone() {
    let cluster = Cluster::start_with(&RATES).await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let robot = robot_of_project(&other).await;
    let at = |caller: Caller, address: &str| caller.with("x-forwarded-for", address);
    let start = |email: &str| json!({"email_address": email});
    let somebody = || unique("somebody") + "@people.test";

    // An identity, wherever it is tried from and by whatever way; in another project it is somebody else.
    let ada = somebody();
    let password = json!({"email_address": ada, "password": "not the password of anybody"});
    comes_too_often("an identity", OF_IDENTITY, async || {
        at(project.anyone(), &somewhere()).try_call(SIGN_IN, password.clone()).await
    })
    .await;
    let mailed = at(project.anyone(), &somewhere()).try_call(START, start(&ada)).await;
    assert!(is_limited(&mailed), "the other way in: {mailed:?}");
    assert!(!is_limited(&at(project.anyone(), &somewhere()).try_call(START, start(&somebody())).await));
    assert!(!is_limited(&at(other.anyone(), &somewhere()).try_call(START, start(&ada)).await));

    // A project, whoever it is about.
    let busy = cluster.project().await;
    comes_too_often("a project", OF_PROJECT, async || {
        at(busy.anyone(), &somewhere()).try_call(START, start(&somebody())).await
    })
    .await;
    assert!(!is_limited(&at(other.anyone(), &somewhere()).try_call(START, start(&somebody())).await));

    // An address, by every method that takes anybody.
    let open = METHODS.iter().filter(|method| method.audience == Audience::Anyone && method.served);
    let mut counted = 0;
    for method in open {
        let name = method.path.trim_start_matches("/guildhall.").split_once(".v1.").unwrap().1;
        let from = somewhere();
        comes_too_often(name, OF_ADDRESS, async || at(other.anyone(), &from).try_call(name, json!({})).await).await;
        assert!(!is_limited(&at(other.anyone(), &somewhere()).try_call(name, json!({})).await), "{name}");
        counted += 1;
    }
    assert!(counted >= 13, "{counted} methods take anybody");

    // A client, right or wrong, and one that asks what tokens are worth.
    let guess = |id: &str| json!({"client_credentials": {"client_id": id, "client_secret": "a guess"}});
    let exchange = "TokenService/ExchangeToken";
    comes_too_often("a client", OF_CLIENT, async || {
        at(cluster.anyone(), &somewhere()).try_call(exchange, guess(&robot.id)).await
    })
    .await;
    let nobody = at(cluster.anyone(), &somewhere()).try_call(exchange, guess("sa_01h455vb4pex5vsknk084sn02q")).await;
    assert!(!is_limited(&nobody), "{nobody:?}");
    comes_too_often("a client that introspects", OF_CLIENT, async || {
        at(busy.account.clone(), &somewhere()).try_call("TokenService/IntrospectToken", json!({"token": "x"})).await
    })
    .await;

    // An address at the OAuth endpoints, which count together.
    let mut statuses = Vec::new();
    while statuses.len() < 2 * OF_ADDRESS && statuses.last() != Some(&429) {
        statuses.push(post(&cluster, "revoke", &[("token", "x")]).await.status);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    for endpoint in ["token", "introspect"] {
        assert_eq!(post(&cluster, endpoint, &[("token", "x")]).await.status, 429, "{endpoint}");
    }
}
