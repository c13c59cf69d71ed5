//! Two providers and one browser: the answer of one does not end the sign-in that was begun at another (RFC 9700, section 4.4).

use serde_json::{Value, json};
use testkit::caller::{Project, text};
use tonic::Code;

use crate::{
    identity_provider::{CALLBACK, IdentityProvider},
    joining::with_domain,
    sso::{Begun, COMPLETE, START, add, cluster, completion, connect, failed, start_request},
};

const EACH_ITS_OWN: &str = "https://app.example.test/sso/{connection_id}";

/// Begun at the provider of a connection, and where that sends the browser back to.
async fn begin(project: &Project<'_>, connection: &Value, name: &str) -> (Begun, String) {
    let verifier = testkit::caller::unique("verifier") + "-0123456789012345678901234567890123456789";
    let connection = text(connection, "connection_id");
    let mut request = start_request(json!({"connection_id": connection}), &verifier);
    request["redirect_uri"] = json!(EACH_ITS_OWN);
    let started = project.anyone().call(START, request).await;
    let begun = Begun { uri: text(&started, "authorization_uri"), state: text(&started, "state"), verifier };
    let back_to = EACH_ITS_OWN.replace("{connection_id}", &connection);
    assert!(begun.uri.contains(&back_to.replace(':', "%3A").replace('/', "%2F")), "{name}: {}", begun.uri);
    (begun, back_to)
}

#[tokio::test]
async fn the_answer_of_one_connections_provider_ends_no_sign_in_at_anothers() {
    let (cluster, server) = cluster().await;
    let Some(idp) = IdentityProvider::start() else { return };
    let project = cluster.project().await;
    let uris = json!({"project_id": project.id, "project": {"redirect_uris": [CALLBACK, EACH_ITS_OWN]}, "update_mask": "redirectUris"});
    cluster.operator().await.call("ProjectService/UpdateProject", uris).await;
    let (acme, domain, _) = with_domain(&project, server, "acme").await;
    let evil = project.organization("evil").await;
    add(&acme, &format!("ada@{domain}")).await;
    let ours = connect(&acme, &idp, "acme", json!({})).await;
    let theirs = connect(&evil, &idp, "globex", json!({})).await;
    idp.account("ada", json!({"email": format!("ada@{domain}"), "email_verified": true})).await;
    let anyone = project.anyone();

    // Ada begins at evil's, and is sent on to acme's, with the state of the one and all else of a sign-in of Mallory's.
    let (adas, _) = begin(&project, &theirs, "evil").await;
    let (mallorys, back_to) = begin(&project, &ours, "acme").await;
    let back = idp.sign_in(&mallorys.uri, "ada").await;
    let mut mixed = completion(&adas, &back);
    (mixed["state"], mixed["redirect_uri"]) = (json!(adas.state), json!(back_to));
    failed(anyone.try_call(COMPLETE, mixed).await, "acme's answer ended evil's sign-in");
    // Whoever does not say where it came to is not told apart from her.
    let (adas, _) = begin(&project, &theirs, "evil").await;
    let mut mixed = completion(&adas, &back);
    mixed["state"] = json!(adas.state);
    failed(anyone.try_call(COMPLETE, mixed).await, "nobody said where the browser came to");

    // By the right way, with the provider's name, which it says it always sends.
    for (name, whole) in [("without iss", false), ("whole", true)] {
        let (begun, back_to) = begin(&project, &ours, name).await;
        let mut back = idp.sign_in(&begun.uri, "ada").await;
        if !whole {
            back.remove("iss").unwrap_or_else(|| panic!("{back:?}"));
        }
        let mut complete = completion(&begun, &back);
        complete["redirect_uri"] = json!(back_to);
        match (whole, anyone.try_call(COMPLETE, complete).await) {
            (true, entered) => assert!(entered.unwrap()["member_session"].is_object()),
            (false, refused) => failed(refused, "the provider did not say who it is"),
        }
    }
    let placeholder = json!({"project_id": project.id, "project": {"redirect_uris": ["https://{connection_id}.example.test/"]},
        "update_mask": "redirectUris"});
    let operator = cluster.operator().await;
    operator.refused("ProjectService/UpdateProject", placeholder, Code::InvalidArgument, "INVALID_FIELDS").await;
}
