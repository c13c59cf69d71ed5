//! `GET /openapi.json`: the JSON form of the contracts, as OpenAPI 3.1 says it. Written from the same descriptors and by the same routes as
//! calls are read by, so that it cannot say anything else.

mod comments;
mod operation;
mod schema;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tenancy::event::sha256;

use crate::json::Routes;
use comments::Comments;
use schema::Schemas;

/// Written when it is first asked for.
#[derive(Debug)]
pub struct Document {
    issuer: String,
    routes: Arc<Routes>,
    written: OnceLock<(Bytes, HeaderValue)>,
}

impl Document {
    pub fn new(issuer: &str, routes: Arc<Routes>) -> Self {
        Self { issuer: issuer.trim_end_matches('/').to_owned(), routes, written: OnceLock::new() }
    }

    fn written(&self) -> &(Bytes, HeaderValue) {
        self.written.get_or_init(|| {
            let text = document(&self.issuer, &self.routes).to_string();
            let digest: String = sha256(text.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect();
            let tag = HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""));
            (text.into(), tag)
        })
    }
}

pub async fn openapi(State(document): State<Arc<Document>>, headers: HeaderMap) -> Response {
    let (text, tag) = document.written();
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    let fresh = known.into_iter().any(|one| one == "*" || one.as_bytes() == tag.as_bytes());
    let headers =
        [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")), (header::ETAG, tag.clone())];
    if fresh {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
}

fn document(issuer: &str, routes: &Routes) -> Value {
    let comments = Comments::of_the_contracts();
    let mut schemas = Schemas::new(&comments);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut ways: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tags: BTreeMap<&str, String> = BTreeMap::new();
    for binding in routes.bindings() {
        let Some(method) = routes.descriptor(binding.method) else { continue };
        let way = ways.entry(binding.method.path).or_default();
        *way += 1;
        let service = method.parent_service();
        let mut id = format!("{}_{}", service.name(), method.name());
        if *way > 1 {
            id = format!("{id}_{way}");
        }
        tags.entry(binding.method.service)
            .or_insert_with(|| comments.of(service.parent_file().name(), service.path()).to_owned());
        let operation = operation::operation(binding, &id, &method, &comments, &mut schemas);
        paths.entry(operation::path(binding)).or_default().insert(binding.verb.as_str().to_lowercase(), operation);
    }
    let tags: Vec<Value> = tags.into_iter().map(|(name, text)| json!({"name": name, "description": text})).collect();
    let mut components = schemas.into_components();
    for (name, schema) in schema::refusals() {
        components[name] = schema;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Guildhall",
            "version": "v1",
            "summary": "Tenancy for a B2B product: organizations, members, roles and permissions, sign-in and tokens.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": issuer}],
        "security": [{"bearer": []}, {"clientCredentials": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token, as signing in gives it."},
                "clientCredentials": {
                    "type": "oauth2",
                    "description": "A service account's token, for its id and one of its API keys.",
                    "flows": {"clientCredentials": {"tokenUrl": format!("{issuer}/oauth2/token"), "scopes": {}}},
                },
            },
            "parameters": {
                "grpc-timeout": {
                    "name": "grpc-timeout", "in": "header", "schema": {"type": "string", "pattern": "^[0-9]{1,8}[HMSmun]$"},
                    "description": "How long the caller waits: `5S` is five seconds, `250m` as many milliseconds. Later than that the call is refused with DEADLINE_EXCEEDED. No call but a stream takes longer than the server's own limit.",
                },
                "x-request-id": {
                    "name": "x-request-id", "in": "header", "schema": {"type": "string", "maxLength": 64},
                    "description": "The caller's name for this call, in the answer, in events and in logs. Without one it gets one.",
                },
                "guildhall-project-id": {
                    "name": "guildhall-project-id", "in": "header", "schema": {"type": "string"},
                    "description": "Which project somebody signs in to. Without it: the installation's default one.",
                },
            },
            "headers": {"x-request-id": {"description": "The name of this call.", "schema": {"type": "string"}}},
            "responses": {"Refused": {
                "description": "The call was refused. The HTTP status follows from the code: 400 INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE; 401 UNAUTHENTICATED; 403 PERMISSION_DENIED; 404 NOT_FOUND; 409 ALREADY_EXISTS, ABORTED; 413 RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE); 429 RESOURCE_EXHAUSTED; 499 CANCELLED; 500 INTERNAL, UNKNOWN, DATA_LOSS; 501 UNIMPLEMENTED; 503 UNAVAILABLE; 504 DEADLINE_EXCEEDED.",
                "headers": {
                    "x-request-id": {"$ref": "#/components/headers/x-request-id"},
                    "retry-after": {"description": "Seconds after which it is worth to come again, where that is known.", "schema": {"type": "integer"}},
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}},
            }},
        },
    })
}

const ABOUT: &str = "The same calls as by gRPC, in the JSON form of protobuf: names in lowerCamelCase (those of the contract are read too), \
64-bit integers as strings, times as RFC 3339, bytes as base64. Fields that are always there are there also when they are empty. \
Unknown fields, keys that stand there twice, more than 64 levels or 100,000 values, and more than 4 MiB (64 KiB where no credential is needed) are refused. What neither path nor body says is in the \
query, nested fields by dots, lists by repetition. A colon in a value of a path is written %3A. \
Streams are JSON objects, one on a line (`application/x-ndjson`): `{\"result\": ..}`, and where a stream fails a last `{\"error\": ..}`.";
