//! What the processes tell of themselves: one trace from the caller to the SQL, metrics that move, and in none of it a secret.

mod busy_day;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{
    Cluster,
    caller::unique,
    http,
    otlp::{Receiver, Span},
};
use tokio::{sync::OnceCell, time::sleep};
use tonic::Code;

use busy_day::a_busy_day;

const SERVICES: [&str; 4] = ["gateway", "org-service", "member-service", "authz-service"];
const SIGN_IN: &str = "AuthenticationService/SignInWithPassword";
const GET: &str = "OrganizationService/GetOrganization";
/// The picture of one sign-in in docs/telemetry.md stands between these.
const PICTURE: [&str; 2] = ["<!-- trace -->\n```text\n", "```\n<!-- /trace -->"];

struct House {
    cluster: Cluster,
    receiver: Receiver,
}

/// Every call is recorded, what is recorded is sent at once, and much is logged.
async fn house() -> &'static House {
    static HOUSE: OnceCell<House> = OnceCell::const_new();
    HOUSE
        .get_or_init(|| async {
            let receiver = Receiver::start();
            let endpoint = receiver.endpoint();
            let told = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
                ("OTEL_TRACES_SAMPLER_ARG", "1"),
                ("OTEL_BSP_SCHEDULE_DELAY", "50"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
                ("GUILDHALL_LOG", "debug"),
            ];
            House { cluster: Cluster::start_with(&told).await, receiver }
        })
        .await
}

/// A caller's span, in a trace of its own.
struct Parent {
    trace: String,
    span: String,
}

impl Parent {
    fn new() -> Self {
        let id = uuid::Uuid::now_v7().simple().to_string();
        Self { span: id[16..].to_owned(), trace: id }
    }

    fn header(&self, sampled: bool) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, u8::from(sampled))
    }
}

fn child<'s>(spans: &'s [Span], parent: &str, service: &str, kind: &str, name: &str) -> Option<&'s Span> {
    let fits = |span: &&Span| {
        span.parent == parent && span.service == service && span.kind == kind && span.name.ends_with(name)
    };
    spans.iter().find(fits)
}

/// The trace below a span, one line a span; what was done alike stands once, with how often.
fn picture(spans: &[Span], parent: &str, depth: usize) -> String {
    let mut below: Vec<&Span> = spans.iter().filter(|span| span.parent == parent).collect();
    below.sort_by_key(|span| span.begun);
    let mut lines: Vec<(String, usize)> = Vec::new();
    for span in below {
        let code = span.attribute("rpc.response.status_code");
        let line = format!("{}{:<14} {:<6} {} {code}", "  ".repeat(depth), span.service, span.kind, span.name);
        let line = format!("{}\n{}", line.trim_end(), picture(spans, &span.id, depth + 1));
        match lines.last_mut() {
            Some((last, count)) if *last == line => *count += 1,
            _ => lines.push((line, 1)),
        }
    }
    let times = |(line, count): (String, usize)| match count {
        1 => line,
        _ => line.replacen('\n', &format!(" (×{count})\n"), 1),
    };
    lines.into_iter().map(times).collect()
}

#[tokio::test]
async fn one_trace_leads_from_the_caller_to_the_sql() {
    let House { cluster, receiver } = house().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    let parent = Parent::new();
    let sign_in = json!({"email_address": owner.email, "password": owner.password, "organization_slug": acme.slug});
    let anyone = project.anyone().with("traceparent", &parent.header(true));
    anyone.call(SIGN_IN, sign_in).await;
    let caller = owner.caller.clone().with("traceparent", &parent.header(true));
    caller.call(GET, json!({"organization_id": acme.id})).await;
    caller.refused(GET, json!({"organization_id": "org_"}), Code::InvalidArgument, "INVALID_FIELDS").await;
    let other = json!({"organization_id": tenancy::OrganizationId::new().to_string()});
    caller.refused(GET, other, Code::NotFound, "NOT_FOUND").await;

    let whole = |spans: &[Span]| {
        let known: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).chain([parent.span.as_str()]).collect();
        let at_the_door = spans.iter().filter(|span| span.parent == parent.span).count();
        at_the_door == 4 && spans.iter().all(|span| known.contains(span.parent.as_str()))
    };
    let spans = receiver.awaited(&parent.trace, whole).await;

    // Caller, gateway, its onward call, the service, its SQL; each inside the one before.
    let at_gateway = child(&spans, &parent.span, "gateway", "server", SIGN_IN).expect("the gateway's span");
    assert_eq!(at_gateway.name, "guildhall.gateway.v1.AuthenticationService/SignInWithPassword");
    let onward =
        spans.iter().filter(|span| span.parent == at_gateway.id && span.kind == "client" && span.service == "gateway");
    let mut answered =
        onward.filter_map(|onward| Some((onward, child(&spans, &onward.id, "member-service", "server", "")?)));
    let (onward, at_member) =
        answered.next_back().expect("an onward call of the gateway's that member-service answered");
    assert_eq!(at_member.name, onward.name);
    let sql = spans.iter().filter(|span| span.attribute("db.system.name") == "postgresql").collect::<Vec<_>>();
    let of_member: Vec<&&Span> = sql.iter().filter(|span| span.service == "member-service").collect();
    assert!(of_member.iter().any(|span| span.name == "SELECT identity"), "{of_member:#?}");
    assert!(of_member.iter().any(|span| span.name == "INSERT session"), "{of_member:#?}");
    let onward = spans
        .iter()
        .find(|span| span.service == "member-service" && span.kind == "client" && span.name.starts_with("guildhall."));
    let onward = onward.expect("an onward call of member-service's");
    assert!(spans.iter().any(|span| span.parent == onward.id && span.kind == "server"), "and who answered it");
    let by_id: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    for span in &spans {
        assert!(span.begun <= span.ended, "{span:?}");
        match span.attribute("db.system.name") {
            "" => {
                let method = (span.attribute("rpc.system.name"), span.attribute("rpc.method"));
                assert_eq!(method, ("grpc", span.name.as_str()), "{span:?}");
                assert!(!span.attribute("rpc.response.status_code").is_empty(), "{span:?}");
            }
            _ => {
                let above = by_id[span.parent.as_str()];
                assert_eq!((span.kind, above.kind, &above.service), ("client", "server", &span.service), "{span:?}");
                assert!(span.name.starts_with(span.attribute("db.operation.name")), "{span:?}");
                assert_eq!(span.attribute("db.query.summary"), span.name, "{span:?}");
                assert!(!span.attributes.contains_key("db.query.text"), "{span:?}");
            }
        }
        // A client's span and the server's at its other end say the same.
        if span.kind == "server"
            && let Some(above) = by_id.get(span.parent.as_str())
        {
            assert_eq!((above.kind, &above.name), ("client", &span.name), "{span:?}");
            let code = "rpc.response.status_code";
            assert_eq!(above.attribute(code), span.attribute(code), "{span:?}");
        }
    }

    // What was asked wrongly is no fault of the server's, and has its code.
    let codes: BTreeSet<(&str, bool)> = spans
        .iter()
        .filter(|span| span.parent == parent.span && span.name.ends_with(GET))
        .map(|span| (span.attribute("rpc.response.status_code"), span.failed))
        .collect();
    assert_eq!(codes, BTreeSet::from([("OK", false), ("INVALID_ARGUMENT", false), ("NOT_FOUND", false)]));
    let refused = spans.iter().find(|span| span.kind == "client" && span.attribute("error.type") == "INVALID_ARGUMENT");
    assert!(refused.expect("an onward call that was refused").failed, "for its caller it is one");

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/telemetry.md");
    let written = std::fs::read_to_string(page).unwrap();
    let (before, rest) = written.split_once(PICTURE[0]).expect("the page has a place for the picture");
    let (shown, after) = rest.split_once(PICTURE[1]).expect("and its end");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let code = at_gateway.attribute("rpc.response.status_code");
        let first = format!("{:<14} {:<6} {} {code}\n", at_gateway.service, at_gateway.kind, at_gateway.name);
        let shown = first + &picture(&spans, &at_gateway.id, 1);
        std::fs::write(page, [before, PICTURE[0], &shown, PICTURE[1], after].concat()).unwrap();
    } else {
        // Not line by line: what is in memory already is not read again.
        for span in [at_gateway, at_member, onward] {
            assert!(
                shown.contains(&span.name),
                "{} is not in the page's picture: UPDATE_GOLDEN=1 writes it",
                span.name
            );
        }
    }
}

#[tokio::test]
async fn a_caller_who_does_not_record_is_not_recorded() {
    let House { cluster, receiver } = house().await;
    let acme = cluster.project().await.organization("acme").await;
    let (quiet, loud) = (Parent::new(), Parent::new());
    for (parent, sampled) in [(&quiet, false), (&loud, true)] {
        let caller = acme.owner().caller.clone().with("traceparent", &parent.header(sampled));
        caller.call(GET, json!({"organization_id": acme.id})).await;
    }
    receiver.awaited(&loud.trace, |spans| spans.iter().any(|span| span.parent == loud.span)).await;
    // Of the unrecorded call nothing was sent, and no statement of it began a trace of its own.
    assert!(receiver.trace(&quiet.trace).is_empty());
    let orphans = receiver.spans().into_iter().filter(|span| span.parent.is_empty() && span.kind != "server");
    assert!(orphans.clone().count() == 0, "{:#?}", orphans.collect::<Vec<_>>());
}

async fn scraped(cluster: &Cluster) -> String {
    let access = cluster.access();
    let mut text = String::new();
    for admin in [access.gateway_admin, access.org_admin, access.member_admin, access.authz_admin] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        text += &http::send(admin, &request).await.2;
    }
    text
}

/// As HTTP and JSON: a gRPC client would keep the deadline itself, and what the servers say of it would not be seen.
async fn read_within(gateway: SocketAddr, path: &str, token: &str, millis: u32, parent: &Parent) -> u16 {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         traceparent: {}\r\ngrpc-timeout: {millis}m\r\n\r\n",
        parent.header(true)
    );
    http::send(gateway, &request).await.0
}

/// Whether a text tells a secret: of a token the signature, which no two share.
fn holds(text: &str, secret: &str) -> bool {
    let piece = match secret.rsplit_once('.') {
        Some((_, signature)) if secret.starts_with("eyJ") => signature.get(..24).unwrap_or(signature),
        _ => secret,
    };
    // Six digits may be anything: a code is one that stands by itself.
    let by_itself = |at: usize| {
        let next_to =
            |char: Option<char>| char.is_some_and(|char| char.is_ascii_alphanumeric() || "._-".contains(char));
        !next_to(text[..at].chars().next_back()) && !next_to(text[at + piece.len()..].chars().next())
    };
    match piece.len() == 6 && piece.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.match_indices(piece).any(|(at, _)| by_itself(at)),
        false => text.contains(piece),
    }
}

fn labels_of(line: &str) -> &str {
    line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels)
}

/// One run, looked at from every side: it begins no second cluster.
#[tokio::test]
async fn every_metric_moves_a_timeout_is_seen_and_nothing_tells_a_secret() {
    let House { cluster, receiver } = house().await;
    let mut secrets = a_busy_day(cluster).await;
    // What is told on purpose, so that whoever searches is known to find.
    let control = unique("control");
    cluster
        .anyone()
        .with("x-request-id", &control)
        .try_call(GET, json!({"organization_id": "org_"}))
        .await
        .unwrap_err();
    let access = cluster.access();
    secrets.push(("the operator's secret", access.operator_client_secret.clone()));
    secrets.push(("the project's secret", access.client_secret.clone()));
    for urls in access.service_database_urls.values() {
        for url in [&urls.owner, &urls.runtime] {
            let password = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':'));
            secrets.extend(password.map(|(_, password)| ("a database's password", password.to_owned())));
        }
    }

    // A service that stands still: its callers' spans end at the deadline and say so.
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let parent = Parent::new();
    cluster.stop("member-service");
    let path = format!("/v1/organizations/{}/members", acme.id);
    let status = read_within(access.gateway, &path, &acme.owner().tokens.access, 600, &parent).await;
    cluster.go_on("member-service");
    assert_eq!(status, 504);
    let code = "rpc.response.status_code";
    let timed_out = |spans: &[Span]| {
        ["server", "client"].iter().all(|kind| {
            spans.iter().any(|span| {
                span.service == "gateway"
                    && span.kind == *kind
                    && span.attribute(code) == "DEADLINE_EXCEEDED"
                    && span.failed
            })
        })
    };
    let spans = receiver.awaited(&parent.trace, timed_out).await;
    let took = spans.iter().filter(|span| span.service == "gateway").map(|span| span.ended - span.begun).max().unwrap();
    assert!((550..5000).contains(&Duration::from_nanos(took).as_millis()), "{took} ns");

    // Every metric of the list, over OTLP and as text, of whoever should record it.
    let (begun, mut missing) = (Instant::now(), vec![String::new()]);
    // What only a fault or an attack makes, and what only TLS has (`mutual_tls`).
    let rare = [
        &meters::SHED,
        &meters::PANICS,
        &meters::LATE_REQUESTS,
        &meters::RETRIES,
        &meters::EJECTIONS,
        &meters::CONNECTIONS_CUT,
        &meters::CONNECTIONS_REFUSED,
        &meters::CONNECTION_TIMEOUTS,
        &meters::HANDSHAKES_FAILED,
        &meters::CERTIFICATE_ENDS,
        &meters::FILES_UNUSABLE,
    ];
    let mut text = String::new();
    while !missing.is_empty() && begun.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(200)).await;
        text = scraped(cluster).await;
        let points = receiver.points();
        missing.clear();
        for meter in meters::ALL.iter().filter(|meter| !rare.iter().any(|rare| rare.name == meter.name)) {
            for service in meter.by {
                let of = |point: &&testkit::otlp::Point| point.name == meter.name && point.service == *service;
                match points.iter().find(of) {
                    None => missing.push(format!("{} of {service} over OTLP", meter.name)),
                    Some(point) => {
                        assert_eq!(point.unit, meter.unit, "{}", meter.name);
                        let given: BTreeSet<&str> = point.labels.keys().map(String::as_str).collect();
                        assert_eq!(given, meter.labels.iter().copied().collect(), "{}", meter.name);
                    }
                }
            }
            let name = meter.prometheus();
            let sample = |line: &str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ', '_']));
            if !text.lines().any(sample) {
                missing.push(format!("{name} as text"));
            }
        }
        let moved = |name: &str, label: &str| {
            let of =
                |point: &&testkit::otlp::Point| point.name == name && point.labels.values().any(|value| value == label);
            points.iter().any(|point| of(&point) && point.value > 0.0)
        };
        for (meter, label) in [
            (&meters::CALLS, "NOT_FOUND"),
            (&meters::CALLS, "UNAUTHENTICATED"),
            (&meters::CONNECTIONS, "idle"),
            (&meters::SNAPSHOT_LOOKUPS, "hit"),
            (&meters::SNAPSHOT_LOOKUPS, "miss"),
            (&meters::MAILS, "sent"),
            (&meters::MINTED, "member"),
            (&meters::MINTED, "service_account"),
            (&meters::MINTED, "exchanged"),
            (&meters::MINTED, "operator"),
            (&meters::REFUSED, "invalid_grant"),
            (&meters::REFUSED, "invalid_client"),
            (&meters::FEED_LAG, "org-service"),
        ] {
            if !moved(meter.name, label) {
                missing.push(format!("{} with {label} stands at 0", meter.name));
            }
        }
        for meter in [
            &meters::MEMORY,
            &meters::SNAPSHOT_COUNT,
            &meters::SNAPSHOT_BYTES,
            &meters::SNAPSHOT_LOADS,
            &meters::CONNECTION_WAIT,
        ] {
            if !points.iter().any(|point| point.name == meter.name && point.value > 0.0) {
                missing.push(format!("{} stands at 0", meter.name));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}\n{text}");
    let lag = receiver.points().into_iter().filter(|point| point.name == meters::FEED_LAG.name);
    assert!(lag.clone().all(|point| (0.0..60.0).contains(&point.value)), "{:?}", lag.collect::<Vec<_>>());

    // What is not in the list is not recorded, and nothing tells one tenant from another.
    let listed: BTreeSet<&str> = meters::ALL.iter().map(|meter| meter.name).collect();
    for point in receiver.points() {
        assert!(listed.contains(point.name.as_str()), "{point:?} is in no list");
        for value in point.labels.values() {
            let id =
                ["org_", "proj_", "member_", "identity_", "session_"].iter().any(|prefix| value.starts_with(prefix));
            assert!(!id && value.parse::<uuid::Uuid>().is_err() && !value.contains('@'), "{point:?}");
        }
    }
    for line in text.lines() {
        assert!(!labels_of(line).contains("org_0"), "{line}");
    }

    secrets.sort();
    secrets.dedup();
    let is_log = |line: &&String| {
        SERVICES.iter().chain(&["postgres"]).any(|name| line.trim_start().starts_with(&format!("{name} | ")))
    };
    let log = cluster.log();
    let log: Vec<&String> = log.iter().filter(is_log).collect();
    assert!(log.len() > 100, "nobody logs anything");
    let begun = Instant::now();
    while !holds(&receiver.text(), &control) {
        assert!(begun.elapsed() < Duration::from_secs(10), "the search does not find what is exported");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(cluster.log().iter().any(|line| holds(line, &control)), "the search does not find what is logged");
    let (exported, mut told) = (receiver.text(), Vec::new());
    for (what, secret) in &secrets {
        told.extend(log.iter().filter(|line| holds(line, secret)).map(|line| format!("{what} in a log: {line}")));
        if holds(&exported, secret) {
            told.push(format!("{what} in what was exported"));
        }
        if holds(&text, secret) {
            told.push(format!("{what} in the metrics"));
        }
    }
    assert!(secrets.len() > 20 && told.is_empty(), "of {} secrets:\n{}", secrets.len(), told.join("\n"));
}

#[tokio::test]
async fn log_lines_name_their_call() {
    let House { cluster, .. } = house().await;
    let acme = cluster.project().await.organization("acme").await;
    let (parent, request) = (Parent::new(), unique("request"));
    let caller = acme.owner().caller.clone().with("traceparent", &parent.header(true)).with("x-request-id", &request);
    caller.call("MemberService/ListMembers", json!({"organization_id": acme.id})).await;
    let begun = Instant::now();
    for service in ["gateway", "member-service"] {
        let named = |line: &String| {
            line.trim_start().starts_with(&format!("{service} | "))
                && line.contains(&parent.trace)
                && line.contains(&request)
        };
        while !cluster.log().iter().any(named) {
            assert!(begun.elapsed() < Duration::from_secs(10), "no line of {service} names the call");
            sleep(Duration::from_millis(20)).await;
        }
    }
}
