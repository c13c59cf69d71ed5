//! JSON over HTTP, by the bindings of every public method: the answer is that of the gRPC call, and so is the refusal.

use std::{collections::BTreeMap, net::SocketAddr, process::Command};

use api::{Audience, Http, METHODS, Method};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Organization, Refused, text, unique},
    dynamic, http,
};
use tonic::Code;

use crate::bad_input::{Children, Door, all_children};

fn message(name: &str) -> MessageDescriptor {
    DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap().get_message_by_name(name).unwrap()
}

fn ways(method: &'static Method) -> impl Iterator<Item = &'static Http> {
    method.http.iter().chain(method.also_http)
}

fn public() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().filter(|method| method.audience != Audience::Workload)
}

/// An HTTP answer, taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.body))
    }

    fn reason(&self) -> String {
        self.json()["details"][0]["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn fields(&self) -> Vec<String> {
        let details = self.json()["details"].as_array().cloned().unwrap_or_default();
        let violations = details.iter().filter_map(|detail| detail["fieldViolations"].as_array().cloned()).flatten();
        violations.map(|violation| text(&violation, "field")).collect()
    }
}

async fn ask(gateway: SocketAddr, verb: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Answer {
    let content_type =
        if body.is_some_and(|body| body.contains('\n')) { "application/x-ndjson" } else { "application/json" };
    let mut request = format!("{verb} {path} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n");
    if let Some(token) = token {
        request += &format!("Authorization: Bearer {token}\r\n");
    }
    if let Some(body) = body {
        request += &format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
    }
    let (status, head, body) = http::send(gateway, &(request + "\r\n" + body.unwrap_or_default())).await;
    Answer { status, head, body }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A request in the way of one binding: its path with the query, and its body. None: the path needs what the request does not say.
fn written(http: &Http, request: &Map<String, Value>) -> Option<(String, Option<Value>)> {
    let mut left = Value::Object(request.clone());
    let mut path = String::new();
    for (at, part) in http.path.split('{').enumerate() {
        let (name, rest) = if at == 0 { ("", part) } else { part.split_once('}').unwrap() };
        if at > 0 {
            let value = name.split('.').fold(&left, |value, key| &value[key]).as_str()?.to_owned();
            path += &escaped(&value);
            // What the path says twice it may say, too: a nested id stays in its resource.
            if !name.contains('.') {
                left.as_object_mut().unwrap().remove(name);
            }
        }
        path += rest;
    }
    if http.body == "*" {
        return Some((path, Some(left)));
    }
    let mut query = Vec::new();
    flat("", &left, &mut query);
    Some((if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }, None))
}

fn flat(name: &str, value: &Value, query: &mut Vec<String>) {
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            flat(&if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, value, query);
        }),
        Value::Array(items) => items.iter().for_each(|item| flat(name, item, query)),
        Value::String(text) => query.push(format!("{name}={}", escaped(text))),
        other => query.push(format!("{name}={other}")),
    }
}

/// In the form that the testkit gives gRPC answers.
fn as_by_grpc(method: &Method, json: Value) -> Value {
    let message = DynamicMessage::deserialize(message(method.output), &json);
    dynamic::to_json(&message.unwrap_or_else(|error| panic!("{}: {error}: {json}", method.path)))
}

/// But for what differs from call to call.
fn steady(mut answer: Value) -> Value {
    if let Some(entries) = answer.as_object_mut() {
        entries.remove("next_page_token");
    }
    answer
}

fn same_refusal(by_json: &Answer, by_grpc: &Refused, name: &str) {
    let told = by_json.json();
    assert_eq!(told["code"], by_grpc.code as i32, "{name}: {by_grpc:?} and {told}");
    assert_eq!((by_json.reason(), by_json.fields()), (by_grpc.reason.clone(), by_grpc.fields.clone()), "{name}");
    assert_eq!(told["message"].as_str(), Some(by_grpc.message.as_str()), "{name}");
}

struct House<'c> {
    gateway: SocketAddr,
    acme: Organization<'c>,
    own: Children,
    operator: (Caller, String),
}

impl<'c> House<'c> {
    async fn new() -> Self {
        let cluster = Cluster::shared().await;
        let project = cluster.project().await;
        let acme = project.organization("acme").await;
        let mut own = all_children(&acme).await;
        own.insert("project_id", project.id.clone());
        let access = cluster.access();
        let token =
            cluster.client_credentials(&access.operator_client_id, &access.operator_client_secret).await.unwrap();
        Self { gateway: access.gateway, acme, own, operator: (cluster.bearer(&token), token) }
    }

    /// Somebody whom the method is for.
    fn caller(&self, method: &Method) -> (Caller, String) {
        match method.audience {
            Audience::Operator => self.operator.clone(),
            Audience::Project => (self.acme.project.account.clone(), self.acme.project.token.clone()),
            _ => (self.acme.owner().caller.clone(), self.acme.owner().tokens.access.clone()),
        }
    }
}

#[tokio::test]
async fn every_read_answers_by_json_what_it_answers_by_grpc() {
    let house = House::new().await;
    let (mut answered, mut refused) = (0, 0);
    for method in public().filter(|method| method.read_only && !method.server_streaming) {
        let door = Door { method, input: message(method.input) };
        let (caller, token) = house.caller(method);
        let request = door.honest(&house.acme, &house.own);
        for http in ways(method) {
            let mut request = request.clone();
            // A way that names no organization is the project's own.
            let of_project = !http.path.contains("{organization_id}") && method.audience == Audience::Organization;
            let (caller, token) = if of_project {
                request.remove("organization_id");
                (house.acme.project.account.clone(), house.acme.project.token.clone())
            } else {
                (caller.clone(), token.clone())
            };
            let name = format!("{} by {} {}", door.name(), http.verb, http.path);
            let Some((path, body)) = written(http, &request) else { continue };
            let by_grpc = caller.try_call(&door.name(), Value::Object(request)).await;
            let body = body.map(|body| body.to_string());
            let by_json = ask(house.gateway, http.verb, &path, Some(&token), body.as_deref()).await;
            match by_grpc {
                Ok(by_grpc) => {
                    assert_eq!(by_json.status, 200, "{name}: {}", by_json.body);
                    assert_eq!(steady(as_by_grpc(method, by_json.json())), steady(by_grpc), "{name}");
                    answered += 1;
                }
                Err(by_grpc) => {
                    same_refusal(&by_json, &by_grpc, &name);
                    refused += 1;
                }
            }
        }
    }
    assert!(answered > 30, "{answered} answered and {refused} refused");
}

#[tokio::test]
async fn every_method_refuses_by_json_whom_and_what_it_refuses_by_grpc() {
    let house = House::new().await;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for method in public() {
        let door = Door { method, input: message(method.input) };
        let (_, token) = house.caller(method);
        for http in ways(method) {
            let name = format!("{} by {} {}", door.name(), http.verb, http.path);
            let path = http.path.split('{').enumerate().map(|(at, part)| match at {
                0 => part.to_owned(),
                _ => format!("x{}", part.split_once('}').unwrap().1),
            });
            let path: String = path.collect();
            let whole = http.body == "*";
            let end = if method.client_streaming { "\n" } else { "" };
            // Nobody learns nothing of what is wrong with their request.
            let bad = format!("{{\"no_such_field\": 1, \"nor_this\": {{}}}}{end}");
            let (query, body) = if whole { ("", Some(bad.as_str())) } else { ("?no_such_field=1&nor_this=", None) };
            let ask = async |token| ask(house.gateway, http.verb, &format!("{path}{query}"), token, body).await;
            if method.audience != Audience::Anyone {
                let answer = ask(None).await;
                assert_eq!((answer.status, answer.reason().as_str()), (401, "UNAUTHENTICATED"), "{name}");
                *seen.entry("nobody").or_default() += 1;
            }
            let answer = ask(Some(&token)).await;
            if !method.served {
                assert_eq!((answer.status, answer.reason().as_str()), (501, "NOT_YET_SERVED"), "{name}");
                *seen.entry("to come").or_default() += 1;
                continue;
            }
            let mut fields = answer.fields();
            fields.sort();
            let at = if method.client_streaming { "messages[0]." } else { "" };
            assert_eq!((answer.status, answer.reason().as_str()), (400, "INVALID_FIELDS"), "{name}: {}", answer.body);
            let expected = [format!("{at}no_such_field"), format!("{at}nor_this")];
            assert!(expected.iter().all(|field| fields.contains(field)), "{name} names {fields:?}");
            *seen.entry("bad fields").or_default() += 1;
            if whole {
                let answer =
                    self::ask(house.gateway, http.verb, &path, Some(&token), Some(&format!("{{\"a\":{end}"))).await;
                assert_eq!((answer.status, answer.reason().as_str()), (400, "MALFORMED_MESSAGE"), "{name}");
                *seen.entry("no json").or_default() += 1;
            }
        }
    }
    assert!(seen["nobody"] > 80 && seen["bad fields"] > 80 && seen["no json"] > 50, "{seen:?}");
}

#[tokio::test]
async fn a_write_by_json_is_the_write() {
    let house = House::new().await;
    let (acme, token) = (&house.acme, &house.acme.owner().tokens.access);
    let roles = format!("/v1/organizations/{}/roles", acme.id);
    let role = json!({"role": {"key": unique("by-json"), "displayName": "Ünïcode \u{1f511}", "permissions": ["guildhall.member:read"]}, "requestId": "r-1"});
    let made = ask(house.gateway, "POST", &roles, Some(token), Some(&role.to_string())).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert!(made.head.to_lowercase().contains("cache-control: no-store"));
    let (made, again) =
        (made.json(), ask(house.gateway, "POST", &roles, Some(token), Some(&role.to_string())).await.json());
    assert_eq!(made, again, "request_id makes a retry safe here, too");
    let id = text(&made, "roleId");
    let changed =
        json!({"role": {"roleId": id, "displayName": "Changed", "etag": made["etag"]}, "updateMask": "displayName"});
    let path = format!("{roles}/{id}");
    let updated = ask(house.gateway, "PATCH", &path, Some(token), Some(&changed.to_string())).await;
    assert_eq!((updated.status, updated.json()["displayName"].as_str()), (200, Some("Changed")), "{}", updated.body);
    let stale = ask(house.gateway, "PATCH", &path, Some(token), Some(&changed.to_string())).await;
    assert_eq!((stale.status, stale.reason().as_str()), (409, "ETAG_MISMATCH"));
    // The path and the body may say the same, and nothing else.
    let other = json!({"role": {"roleId": house.own["role_id"], "displayName": "Other"}, "updateMask": "displayName"});
    let other = ask(house.gateway, "PATCH", &path, Some(token), Some(&other.to_string())).await;
    assert_eq!((other.status, other.fields()), (400, vec!["role.role_id".to_owned()]));
    let sister = acme.project.organization("sister").await;
    let other = json!({"organizationId": sister.id, "role": {"key": "x", "displayName": "x"}});
    let other = ask(house.gateway, "POST", &roles, Some(token), Some(&other.to_string())).await;
    assert_eq!((other.status, other.fields()), (400, vec!["organization_id".to_owned()]));
    let foreign =
        ask(house.gateway, "GET", &format!("/v1/organizations/{}/roles/{id}", sister.id), Some(token), None).await;
    assert_eq!((foreign.status, foreign.reason().as_str()), (404, "NOT_FOUND"));
    let deleted = ask(house.gateway, "DELETE", &path, Some(token), None).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    let gone = ask(house.gateway, "GET", &path, Some(token), None).await;
    assert_eq!((gone.status, gone.reason().as_str()), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn streams_are_lines_both_ways() {
    let house = House::new().await;
    let (acme, owner) = (&house.acme, house.acme.owner());
    let export = format!("/v1/organizations/{}/authorization:export", acme.id);
    let answer = ask(house.gateway, "GET", &export, Some(&owner.tokens.access), None).await;
    assert!(answer.head.to_lowercase().contains("content-type: application/x-ndjson"), "{}", answer.head);
    let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let method = METHODS.iter().find(|method| method.name == "ExportOrganization").unwrap();
    let by_grpc =
        owner.caller.try_all("AuthorizationService/ExportOrganization", json!({"organization_id": acme.id})).await;
    let records =
        |messages: Vec<Value>| messages.into_iter().map(|message| message["record"].clone()).collect::<Vec<_>>();
    let by_json = lines.iter().map(|line| as_by_grpc(method, line["result"].clone())).collect();
    assert_eq!(records(by_json), records(by_grpc.unwrap()));
    assert!(lines.len() > 1);

    // What was exported goes in again, line by line; the path says where to.
    let sister = acme.project.organization("sister").await;
    let import = format!("/v1/organizations/{}/authorization:import", sister.id);
    let member =
        json!({"subjects": [{"subject": {"memberId": owner.id}, "replacement": {"memberId": sister.owner().id}}]});
    let mut body = format!("{member}\n\n");
    for line in &lines {
        let record = &line["result"]["record"];
        let of_members = record["binding"].is_object() || record["role"].is_object();
        if of_members {
            body += &format!("{}\n", json!({"record": record}));
        }
    }
    let bad = format!("{body}{{\"record\": 7}}\n");
    let account = acme.project.token.as_str();
    let refused = ask(house.gateway, "POST", &import, Some(account), Some(&bad)).await;
    let at = body.lines().filter(|line| !line.is_empty()).count();
    assert_eq!((refused.status, refused.fields()), (400, vec![format!("messages[{at}].record")]), "{}", refused.body);
    let imported = ask(house.gateway, "POST", &import, Some(account), Some(&body)).await;
    let count = |answer: &Answer| answer.json()["recordCount"].as_str().map(|count| count.parse::<usize>().unwrap());
    if imported.status == 200 {
        assert!(count(&imported).unwrap() > 0, "{}", imported.body);
    } else {
        assert_eq!(imported.status, 400, "{}", imported.body);
    }

    // A stream that fails before it begins is refused as any call is; a project that is not there, too.
    let nobody = ask(house.gateway, "GET", &export, None, None).await;
    assert_eq!((nobody.status, nobody.reason().as_str()), (401, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn a_deadline_and_a_request_id_travel_in_headers() {
    let house = House::new().await;
    let request = format!(
        "GET /v1/organizations/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         grpc-timeout: 1n\r\nx-request-id: mine-7\r\n\r\n",
        house.acme.id,
        house.acme.owner().tokens.access
    );
    let (status, head, body) = http::send(house.gateway, &request).await;
    assert_eq!(status, 504, "{body}");
    assert!(head.contains("mine-7") && body.contains("DEADLINE_EXCEEDED"), "{head} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_reads_and_writes() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED, for want of curl");
        return;
    }
    let house = House::new().await;
    let account = format!("authorization: Bearer {}", house.acme.project.token);
    let slug = unique("by-curl");
    let body = json!({"organization": {"displayName": "By curl", "slug": slug}}).to_string();
    let base = format!("http://{}", house.gateway);
    let curl = |arguments: &[&str]| {
        let ran = Command::new("curl").args(["-sS", "-H", &account]).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    let url = format!("{base}/v1/organizations");
    let made: Value = serde_json::from_str(&curl(&["--json", &body, &url])).unwrap();
    for protocol in ["--http1.1", "--http2-prior-knowledge"] {
        let one = format!("{url}/{}", text(&made, "organizationId"));
        let read: Value = serde_json::from_str(&curl(&[protocol, &one])).unwrap();
        assert_eq!((&read["slug"], &read["organizationId"]), (&made["slug"], &made["organizationId"]), "{protocol}");
        let head = curl(&[protocol, "-I", &one]);
        assert!(head.contains(" 200") && head.contains("content-type: application/json"), "{head}");
        let found = curl(&[protocol, "-G", "-d", &format!("slug={slug}"), &format!("{url}:lookup")]);
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap()["organizationId"], made["organizationId"]);
        let form = curl(&[protocol, "-d", "a=b", "-w", "%{http_code}", &url]);
        assert!(form.ends_with("415"), "{form}");
    }
    let refused = house.acme.project.account.try_call(
        "OrganizationService/CreateOrganization",
        json!({"organization": {"display_name": "x", "slug": slug}}),
    );
    assert_eq!(refused.await.unwrap_err().code, Code::AlreadyExists);
    let refused = curl(&["--json", &body, "-w", "%{http_code}", &url]);
    assert!(refused.ends_with("409") && refused.contains("SLUG_TAKEN"), "{refused}");
}
