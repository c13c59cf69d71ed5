//! Tokens that are signed as they should be, and say what no token of ours says.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::forge::{Case, Forge, header, sign};

const TEXTS: [&str; 8] = ["iss", "sub", "aud", "jti", "client_id", "sid", "project_id", "org_id"];
const TIMES: [&str; 3] = ["exp", "iat", "nbf"];

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn cases(forge: &Forge) -> Vec<Case> {
    [missing(forge), mistyped(forge), wrong(forge), of_another_kind(forge)].into_iter().flatten().collect()
}

fn missing(forge: &Forge) -> Vec<Case> {
    let without = |name: &&str| forge.said(format!("no {name}"), |c| drop(c.as_object_mut().unwrap().remove(*name)));
    TEXTS.iter().chain(&TIMES).map(without).collect()
}

fn mistyped(forge: &Forge) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in TEXTS {
        let good = forge.claims()[name].clone();
        for bad in [json!(null), json!(1), json!(true), json!([good]), json!({"is": good})] {
            cases.push(forge.said(format!("{name} {bad}"), |c| c[name] = bad));
        }
    }
    for name in TIMES {
        let good = forge.claims()[name].as_u64().unwrap();
        let bad =
            [json!(null), json!(good.to_string()), json!(good as f64 + 0.5), json!(-1), json!([good]), json!(true)];
        for bad in bad {
            cases.push(forge.said(format!("{name} {bad}"), |c| c[name] = bad));
        }
    }
    for (name, bad) in [
        ("roles", json!("owner")),
        ("roles", json!([1])),
        ("roles", json!({"owner": true})),
        ("amr", json!("pwd")),
        ("amr", json!([null])),
        ("epoch", json!("0")),
        ("epoch", json!(1.5)),
        ("project_epoch", json!("0")),
        ("org_slug", json!(7)),
        ("acr", json!([])),
    ] {
        cases.push(forge.said(format!("{name} {bad}"), |c| c[name] = bad));
    }
    cases
}

fn wrong(forge: &Forge) -> Vec<Case> {
    let good = forge.claims();
    let issuer = good["iss"].as_str().unwrap().to_owned();
    let now = now();
    let mut cases = Vec::new();
    let mut set =
        |name: &str, value: Value| cases.push(forge.said(format!("{name} = {value:.60}"), |c| c[name] = value));
    for other in ["https://evil.test", "", "gateway", "org-service", "guildhall"] {
        set("iss", json!(other));
    }
    set("iss", json!(format!("{issuer}/")));
    set("iss", json!(issuer.to_uppercase()));
    set("iss", json!(issuer.replace("http:", "https:")));
    set("iss", json!(format!("{issuer}@evil.test")));
    for other in ["", "guildhall2", "Guildhall", "guildhall ", "org-service", "*", "https://evil.test"] {
        set("aud", json!(other));
    }
    set("aud", json!(["guildhall", "evil"]));
    for past in [0, 1, now - 86_400, now - 60, now - 6] {
        set("exp", json!(past));
    }
    for far in [now + 86_400, now + 3 * 3600, u64::MAX, u64::MAX - 4, i64::MAX as u64] {
        set("exp", json!(far));
    }
    set("exp", json!(1e300));
    for ahead in [now + 240, now + 86_400, u64::MAX] {
        set("nbf", json!(ahead));
        set("iat", json!(ahead));
    }
    set("iat", json!(0));
    for sub in [
        "",
        "operator",
        "Operator",
        "member_",
        "member_00000000000000000000000000",
        "01h455vb4pex5vsknk084sn02q",
        "org_01h455vb4pex5vsknk084sn02q",
        "session_01h455vb4pex5vsknk084sn02q",
        "org-service",
        "*",
        "member_01h455vb4pex5vsknk084sn02q' OR 1=1",
    ] {
        // Of these, one has the form of a member's id; it is the nil one, which nobody has.
        if sub != "member_00000000000000000000000000" {
            set("sub", json!(sub));
        }
    }
    for bad in ["", "x", "org_01h455vb4pex5vsknk084sn02q", "proj_", "proj_01h455vb4pex5vsknk084sn02q\u{0}"] {
        set("project_id", json!(bad));
    }
    for bad in ["", "x", "proj_01h455vb4pex5vsknk084sn02q", "org_", "ORG_01H455VB4PEX5VSKNK084SN02Q"] {
        set("org_id", json!(bad));
    }
    for bad in ["", "x", "key_01h455vb4pex5vsknk084sn02q"] {
        set("sid", json!(bad));
    }
    cases.push(forge.said("exp before nbf", |c| {
        c["exp"] = json!(now + 2);
        c["nbf"] = json!(now + 3);
    }));
    // Good for a second when it was made, an hour ago, and again now.
    cases.push(forge.said("for a day", |c| {
        c["iat"] = json!(now - 43_200);
        c["nbf"] = json!(now - 43_200);
        c["exp"] = json!(now + 43_200);
    }));
    cases
}

/// What is signed by somebody who may sign it, and for something else.
fn of_another_kind(forge: &Forge) -> Vec<Case> {
    let access = &forge.access[0];
    let mut cases = Vec::new();
    let workload = |from: &str, to: &str| {
        let now = now();
        json!({"iss": from, "sub": from, "aud": to, "iat": now, "nbf": now, "exp": now + 60})
    };
    let typed = |key: &tokens::SigningKey, typ: &str| {
        let mut typed = header(key);
        typed["typ"] = json!(typ);
        typed
    };
    // For a service that is at none of the doors, and so from outside at each.
    let nobody = [
        ("the gateway's, for nobody", &forge.gateway, workload("gateway", "billing-service")),
        ("org-service's, for nobody", &forge.org_service, workload("org-service", "billing-service")),
        ("the gateway's, in another's name", &forge.gateway, workload("member-service", "org-service")),
        ("org-service's, in the gateway's name", &forge.org_service, workload("gateway", "org-service")),
        ("a workload's, signed as an access token", access, workload("gateway", "org-service")),
    ];
    for (name, key, claims) in nobody {
        cases.push(forge.case(name, access, &sign(key, &typed(key, "wl+jwt"), &claims)));
    }
    for target in ["gateway", "org-service", "member-service", "authz-service"] {
        // Of type at+jwt: good for nothing, whoever signed it.
        for key in [&forge.gateway, access] {
            let name = format!("a workload's for {target} as an access token of {}", key.kid());
            cases.push(forge.case(name, access, &sign(key, &header(key), &workload("gateway", target))));
        }
    }
    for key in [&forge.gateway, &forge.org_service] {
        let claims = forge.claims();
        cases.push(forge.case("a member's claims as a workload's", access, &sign(key, &typed(key, "wl+jwt"), &claims)));
    }
    let mut id_token = forge.claims();
    for name in ["client_id", "jti", "sid", "org_id", "project_id"] {
        id_token.as_object_mut().unwrap().remove(name);
    }
    id_token["nonce"] = json!("n");
    id_token["email"] = json!("ada@acme.test");
    cases.push(forge.case("an ID token", access, &sign(access, &typed(access, "JWT"), &id_token)));
    cases.push(forge.case("an ID token of type at+jwt", access, &sign(access, &header(access), &id_token)));
    cases
}
