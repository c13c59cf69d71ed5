//! A call that came as JSON, until it is a gRPC request like any other.

use std::sync::Arc;

use api::{Audience, access::v1::ErrorReason};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use prost_reflect::DynamicMessage;
use runtime::{Refusal, Violations};
use serde_json::{Map, Value};
use tonic::{Code, Status, body::Body};

use super::{
    answer::Form,
    frames::frame,
    lines::{Fault, Lines},
    message, query,
    routes::{Binding, Body as BodyRule, Captured, Found, Routes},
    tree,
};

/// As much as a gRPC request may hold.
pub const MAX_BYTES: usize = 4 << 20;
/// The same where no credential is needed: no such request lists anything, and whoever sends it is nobody whom we know.
pub const MAX_BYTES_OF_ANYONE: usize = 64 << 10;
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// What verb, path and query say, kept with the request until it is admitted.
#[derive(Debug, Clone)]
pub struct Call(Arc<Said>);

#[derive(Debug)]
struct Said {
    binding: Arc<Binding>,
    captured: Captured,
    query: String,
    fault: Fault,
}

/// A request that means no call, and what it is told. It goes inside nevertheless, to be counted and limited like any other.
#[derive(Debug, Clone)]
pub struct Unroutable {
    pub status: StatusCode,
    pub refusal: Option<(Code, ErrorReason, &'static str)>,
    pub allow: Option<HeaderValue>,
}

impl Unroutable {
    fn new(status: StatusCode, code: Code, reason: ErrorReason, message: &'static str) -> Self {
        Self { status, refusal: Some((code, reason, message)), allow: None }
    }
}

/// Turns the request into the gRPC call that it means, but for its body. None: it means none, and holds an [`Unroutable`].
pub fn route(routes: &Routes, request: &mut Request<Body>) -> Option<Form> {
    match find(routes, request) {
        Ok((call, form)) => {
            *request.uri_mut() = Uri::from_static(call.0.binding.method.path);
            *request.method_mut() = Method::POST;
            *request.version_mut() = Version::HTTP_2;
            let headers = request.headers_mut();
            for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT] {
                headers.remove(name);
            }
            headers.remove("grpc-encoding");
            // What is answered is read here: it comes uncompressed.
            headers.remove("grpc-accept-encoding");
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            request.extensions_mut().insert(call);
            Some(form)
        }
        Err(unroutable) => {
            request.extensions_mut().insert(unroutable);
            None
        }
    }
}

pub(super) fn find(routes: &Routes, request: &Request<Body>) -> Result<(Call, Form), Unroutable> {
    let head = request.method() == Method::HEAD;
    let verb = if head { &Method::GET } else { request.method() };
    let (binding, captured) = match routes.find(verb, request.uri().path()) {
        Found::Binding(binding, captured) => (binding, captured),
        Found::OtherVerbs(verbs) => return Err(other_verb(request.method(), &verbs)),
        Found::Nothing => {
            return Err(Unroutable::new(StatusCode::NOT_FOUND, Code::NotFound, ErrorReason::NotFound, "no such path"));
        }
    };
    let wanted = match binding.body {
        BodyRule::None => None,
        _ if binding.method.client_streaming => Some(LINES),
        _ => Some(JSON),
    };
    if let Some(message) = wrong_content(request.headers(), wanted, request.body().is_end_stream()) {
        let (code, reason) = (Code::InvalidArgument, ErrorReason::MalformedMessage);
        return Err(Unroutable::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, reason, message));
    }
    let fault = Fault::default();
    let form =
        Form { stream: binding.method.server_streaming, head, output: binding.output.clone(), fault: fault.clone() };
    let query = request.uri().query().unwrap_or_default().to_owned();
    Ok((Call(Arc::new(Said { binding, captured, query, fault })), form))
}

fn other_verb(asked: &Method, verbs: &[Method]) -> Unroutable {
    let mut allowed = verbs.to_vec();
    if allowed.contains(&Method::GET) {
        allowed.push(Method::HEAD);
    }
    allowed.push(Method::OPTIONS);
    let allow = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let allow = HeaderValue::try_from(allow).ok();
    if *asked == Method::OPTIONS {
        return Unroutable { status: StatusCode::NO_CONTENT, refusal: None, allow };
    }
    let message = "the path takes other verbs";
    let wrong =
        Unroutable::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, ErrorReason::UnknownMethod, message);
    Unroutable { allow, ..wrong }
}

/// Bytes of another kind are not guessed at. A body that is empty may do without a kind.
fn wrong_content(headers: &HeaderMap, wanted: Option<&'static str>, empty: bool) -> Option<&'static str> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Some("the body must not be compressed");
    }
    let wanted = wanted?;
    let text = match headers.get(header::CONTENT_TYPE) {
        None if empty => return None,
        None => "",
        Some(value) => value.to_str().unwrap_or_default(),
    };
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let utf8 = |part: &str| part.is_empty() || part.to_ascii_lowercase().replace('"', "") == "charset=utf-8";
    let fits = kind.eq_ignore_ascii_case(wanted) && parts.all(utf8);
    match wanted {
        _ if fits => None,
        LINES => Some("the content type must be application/x-ndjson, in UTF-8"),
        _ => Some("the content type must be application/json, in UTF-8"),
    }
}

impl Call {
    /// The same request with its message instead of the JSON, once it is admitted.
    pub async fn read(&self, request: Request<Body>) -> Result<Request<Body>, Status> {
        let said = &self.0;
        let (parts, body) = request.into_parts();
        if said.binding.method.client_streaming {
            if !said.query.is_empty() {
                return Err(malformed("there is no query where the body is a stream"));
            }
            let (call, fault) = (self.clone(), said.fault.clone());
            let lines = Lines::new(body, fault, Box::new(move |line, number| call.line(line, number)));
            return Ok(Request::from_parts(parts, Body::new(lines)));
        }
        let most = match said.binding.method.audience {
            Audience::Anyone => MAX_BYTES_OF_ANYONE,
            _ => MAX_BYTES,
        };
        let bytes = match Limited::new(body, most).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large(most)),
            Err(error) => {
                tracing::debug!(%error, "a body broke off");
                return Err(malformed("the body broke off"));
            }
        };
        let message = self.whole(&bytes)?;
        Ok(Request::from_parts(parts, Body::new(Full::new(frame(&message)))))
    }
}

impl Call {
    #[cfg(any(test, fuzzing))]
    pub(super) fn binding(&self) -> &Binding {
        &self.0.binding
    }

    /// The one message of a call.
    pub(super) fn whole(&self, bytes: &[u8]) -> Result<DynamicMessage, Status> {
        self.0.whole(bytes)
    }

    /// One message of a stream; the path says the same of each.
    pub(super) fn line(&self, line: &[u8], number: usize) -> Result<DynamicMessage, Status> {
        let at = format!("messages[{number}]");
        let tree = object(parse(line, &format!("{at}: "))?, &at)?;
        self.0.message(tree, &at, Violations::default())
    }
}

impl Said {
    fn whole(&self, bytes: &[u8]) -> Result<DynamicMessage, Status> {
        let mut faults = Violations::default();
        let mut tree = match &self.binding.body {
            _ if bytes.is_empty() => Map::new(),
            BodyRule::None => return Err(malformed("the verb and path take no body")),
            BodyRule::Whole => object(parse(bytes, "")?, "the body")?,
            BodyRule::Field(field) => Map::from_iter([(field.json_name().to_owned(), parse(bytes, "")?)]),
        };
        match &self.binding.body {
            BodyRule::Whole => {
                for (name, _) in url::form_urlencoded::parse(self.query.as_bytes()) {
                    faults.add(format!("{name:.200}"), "is no parameter: what the path does not say is in the body");
                }
            }
            _ => query::add_query(&self.binding.input, &self.query, &mut tree, &mut faults),
        }
        self.message(tree, "", faults)
    }

    fn message(
        &self,
        mut tree: Map<String, Value>,
        at: &str,
        mut faults: Violations,
    ) -> Result<DynamicMessage, Status> {
        query::add_path(&self.binding.input, self.captured.clone(), &mut tree, &mut faults);
        message::read(&self.binding.input, &tree.into(), at, faults)
    }
}

fn object(json: Value, what: &str) -> Result<Map<String, Value>, Status> {
    match json {
        Value::Object(tree) => Ok(tree),
        _ => Err(malformed(&format!("{what} must be a JSON object"))),
    }
}

/// JSON, or why it is none; `place` says where it stood.
fn parse(bytes: &[u8], place: &str) -> Result<Value, Status> {
    tree::parse(bytes).map_err(|error| malformed(&format!("{place}not the JSON that is served here: {error}")))
}

fn malformed(message: &str) -> Status {
    Refusal::new(Code::InvalidArgument, ErrorReason::MalformedMessage, message).into()
}

pub fn too_large(most: usize) -> Status {
    let message = format!("the request is larger than {} KiB", most >> 10);
    Refusal::new(Code::ResourceExhausted, ErrorReason::MessageTooLarge, message).into()
}
