//! Bad tokens, each beside a good one that was made in the same way: every door takes the one and refuses the other, always with the same
//! answer, so that nobody learns what was wrong with it; and nobody writes any of them into a log.

mod claims;
mod forge;
mod form;
mod headers;
mod presented;

use std::net::SocketAddr;

use api::{
    authz::v1::{ListRolesRequest, role_service_client::RoleServiceClient},
    member::v1::{ListMembersRequest, member_service_client::MemberServiceClient},
    org::v1::{GetOrganizationRequest, organization_service_client::OrganizationServiceClient},
};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, patiently},
    dynamic,
    dynamic::Refused,
    http as plain,
};
use tonic::{Code, Request, Status, metadata::MetadataMap, transport::Channel};

use forge::{Case, Forge};

/// More at once would wait for each other.
const AT_ONCE: usize = 8;

/// Where a credential is presented.
#[derive(Clone)]
pub struct Door {
    pub name: &'static str,
    channel: Channel,
}

impl Door {
    pub fn all(cluster: &Cluster) -> Vec<Self> {
        ["gateway", "org-service", "member-service", "authz-service"]
            .map(|name| Self { name, channel: dynamic::channel(cluster.door(name)) })
            .into()
    }

    /// Asks for what every member may see, until the door has looked at the credentials.
    pub async fn ask(&self, organization: &str, credentials: &[Vec<u8>]) -> Result<(), Status> {
        let shed = [Code::Unavailable, Code::ResourceExhausted];
        let is_shed = |outcome: &Result<(), Status>| matches!(outcome, Err(status) if shed.contains(&status.code()));
        patiently(|| self.ask_once(organization, credentials), is_shed).await
    }

    async fn ask_once(&self, organization: &str, credentials: &[Vec<u8>]) -> Result<(), Status> {
        let mut headers = HeaderMap::new();
        for value in credentials {
            headers.append("authorization", HeaderValue::from_bytes(value).unwrap());
        }
        let metadata = MetadataMap::from_headers(headers);
        let organization_id = organization.to_owned();
        let channel = self.channel.clone();
        match self.name {
            "member-service" => {
                let message = ListMembersRequest { organization_id, ..Default::default() };
                let request = Request::from_parts(metadata, Default::default(), message);
                MemberServiceClient::new(channel).list_members(request).await.map(drop)
            }
            "authz-service" => {
                let message = ListRolesRequest { organization_id, ..Default::default() };
                let request = Request::from_parts(metadata, Default::default(), message);
                RoleServiceClient::new(channel).list_roles(request).await.map(drop)
            }
            _ => {
                let message = GetOrganizationRequest { organization_id };
                let request = Request::from_parts(metadata, Default::default(), message);
                OrganizationServiceClient::new(channel).get_organization(request).await.map(drop)
            }
        }
    }
}

pub fn bearer(token: &str) -> Vec<Vec<u8>> {
    vec![format!("Bearer {token}").into_bytes()]
}

/// Every case there is. `others` are credentials of other kinds.
fn cases(forge: &Forge, others: &[(&str, String)]) -> Vec<Case> {
    let all = [headers::cases(forge), claims::cases(forge), form::cases(forge), presented::cases(forge, others)];
    all.into_iter().flatten().collect()
}

async fn other_credentials(cluster: &Cluster, acme: &Organization<'_>) -> Vec<(&'static str, String)> {
    let about = json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}});
    let account = acme.project.account.call("ServiceAccountService/CreateServiceAccount", about).await;
    let id = account["service_account_id"].as_str().unwrap();
    let key = json!({"organization_id": acme.id, "service_account_id": id, "api_key": {}});
    let key = acme.project.account.call("ServiceAccountService/CreateApiKey", key).await;
    vec![
        ("a refresh token", acme.owner().tokens.refresh.clone()),
        ("an API key's secret", key["secret"].as_str().unwrap().to_owned()),
        ("the operator's secret", cluster.access().operator_client_secret.clone()),
        ("a password", acme.owner().password.replace(' ', "-")),
    ]
}

#[tokio::test]
async fn no_door_takes_a_bad_token_and_each_refuses_it_alike() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let forge = Forge::new(cluster, &acme.owner().tokens.access);
    let cases = cases(&forge, &other_credentials(cluster, &acme).await);
    assert!(cases.len() >= 200, "{} cases", cases.len());

    let doors = Door::all(cluster);
    let nobody = bearer("x");
    let mut usual = Vec::new();
    for door in &doors {
        let refused = Refused::from(door.ask(&acme.id, &nobody).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unauthenticated, "UNAUTHENTICATED"),
            "{}",
            door.name
        );
        usual.push(refused.bytes());
    }
    let tries = cases.iter().flat_map(|case| doors.iter().zip(&usual).map(move |(door, usual)| (case, door, usual)));
    let faults: Vec<String> = stream::iter(tries)
        .map(async |(case, door, usual)| {
            let mut faults = Vec::new();
            if let Err(status) = door.ask(&acme.id, &bearer(&case.twin)).await {
                faults.push(format!(
                    "{}: the twin of {:?} was refused: {:?}",
                    door.name,
                    case.name,
                    Refused::from(status)
                ));
            }
            match door.ask(&acme.id, &case.headers).await {
                Ok(()) => faults.push(format!("{}: {:?} was TAKEN", door.name, case.name)),
                Err(status) => {
                    let refused = Refused::from(status);
                    if refused.bytes() != *usual {
                        faults.push(format!("{}: {:?} was refused otherwise: {refused:?}", door.name, case.name));
                    }
                }
            }
            faults
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .concat();
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
    not_in_any_log(cluster, &cases);
}

/// Every secret that was presented, by a piece of it that no two share. What `guildhall dev` itself says is no log: it shows the operator
/// their secret on purpose.
fn not_in_any_log(cluster: &Cluster, cases: &[Case]) {
    let services = ["gateway", "org-service", "member-service", "authz-service", "postgres"];
    let is_log = |line: &String| services.iter().any(|service| line.trim_start().starts_with(&format!("{service} | ")));
    let log = cluster.log().into_iter().filter(is_log);
    let log = log.collect::<Vec<_>>().join("\n");
    assert!(!log.is_empty(), "nobody logs anything");
    assert!(!log.contains("panicked"), "a process panicked");
    let presented = cases.iter().flat_map(|case| case.headers.iter().cloned().chain(bearer(&case.twin)));
    for header in presented {
        let text = String::from_utf8_lossy(&header).into_owned();
        let secret = text.rsplit([' ', '.', '=', '"']).next().unwrap_or_default();
        let piece: String = secret.chars().take(24).collect();
        assert!(piece.len() < 24 || !log.contains(&piece), "a log holds {piece}");
    }
}

/// As a program that speaks no gRPC presents them.
#[tokio::test]
async fn over_plain_http_a_bad_token_is_refused_too() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let forge = Forge::new(cluster, &acme.owner().tokens.access);
    let gateway = cluster.access().gateway;
    let good = get(gateway, &acme.id, &bearer(&forge.good(&forge.access[0]))).await;
    assert_eq!(good.0, 200, "{}", good.1);
    let usual = get(gateway, &acme.id, &bearer("x")).await;
    assert_eq!(usual.0, 401, "{}", usual.1);
    let mut cases = cases(&forge, &other_credentials(cluster, &acme).await);
    // In HTTP/1.1 blanks around a header's value are no part of it (RFC 9110, section 5.5).
    cases.retain(|case| !case.name.ends_with("a space behind"));
    let faults: Vec<String> = stream::iter(&cases)
        .map(async |case| {
            let mut faults = Vec::new();
            let twin = get(gateway, &acme.id, &bearer(&case.twin)).await;
            if twin.0 != 200 {
                faults.push(format!("the twin of {:?}: {twin:?}", case.name));
            }
            let refused = get(gateway, &acme.id, &case.headers).await;
            if refused != usual {
                faults.push(format!("{:?}: {refused:?}", case.name));
            }
            faults
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .concat();
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
    not_in_any_log(cluster, &cases);
}

/// Of a text that is no header there is nothing to refuse: such a request is none.
async fn get(gateway: SocketAddr, organization: &str, credentials: &[Vec<u8>]) -> (u16, Value) {
    let mut request =
        format!("GET /v1/organizations/{organization} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n");
    for value in credentials {
        request += &format!("Authorization: {}\r\n", String::from_utf8_lossy(value).trim_end());
    }
    let (status, _, body) = plain::send(gateway, &(request + "\r\n")).await;
    let mut body: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    if status == 200 {
        body = Value::Null;
    }
    (status, body)
}

/// Larger than any header may be: refused below, and the next caller is served.
#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_and_does_no_harm() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let forge = Forge::new(cluster, &acme.owner().tokens.access);
    for door in Door::all(cluster) {
        for size in [20_000, 70_000, 1_000_000] {
            let mut large = forge.claims();
            large["note"] = json!("x".repeat(size));
            let key = &forge.access[0];
            let token = forge::sign(key, &forge::header(key), &large);
            let status = door.ask(&acme.id, &bearer(&token)).await.unwrap_err();
            assert!(
                !matches!(status.code(), Code::Ok | Code::Internal if size < 1_000_000),
                "{}: {status:?}",
                door.name
            );
            door.ask(&acme.id, &bearer(&forge.good(key))).await.unwrap();
        }
    }
    assert!(!cluster.log().iter().any(|line| line.contains("panicked")));
}

#[tokio::test]
async fn a_token_of_another_kind_is_no_refresh_token_and_no_client() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (access, refresh) = (&acme.owner().tokens.access, &acme.owner().tokens.refresh);
    let ask = async |form: &[(&str, &str)]| {
        let (status, body) = plain::post_form(cluster.access().gateway, "/oauth2/token", form).await;
        (status, body["error"].as_str().unwrap_or_default().to_owned())
    };
    let grant = ("grant_type", "refresh_token");
    assert_eq!(ask(&[grant, ("refresh_token", access)]).await.1, "invalid_grant", "an access token as a refresh token");
    let id = cluster.access().client_id.as_str();
    let program = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", access.as_str())];
    assert_eq!(ask(&program[..2]).await.0, 401);
    for secret in [access, refresh] {
        let program = [program[0], program[1], ("client_secret", secret.as_str())];
        assert_eq!(ask(&program).await.0 / 100, 4, "a token as a client's secret");
    }
    assert_eq!(ask(&[grant, ("refresh_token", refresh)]).await, (200, String::new()));
}

#[tokio::test]
async fn a_token_of_one_project_is_worth_nothing_in_another() {
    let cluster = Cluster::shared().await;
    let (ours, theirs) = (cluster.project().await, cluster.project().await);
    let (acme, globex) = (ours.organization("acme").await, theirs.organization("globex").await);
    for door in Door::all(cluster) {
        for (token, home, abroad) in [
            (&acme.owner().tokens.access, &acme.id, &globex.id),
            (&globex.owner().tokens.access, &globex.id, &acme.id),
            (&ours.token, &acme.id, &globex.id),
        ] {
            door.ask(home, &bearer(token)).await.unwrap();
            let refused = Refused::from(door.ask(abroad, &bearer(token)).await.unwrap_err());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{}", door.name);
        }
    }
}
