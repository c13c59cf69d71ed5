//! What a fuzzer does with paths and with JSON: see the crate `seeds`.

#![allow(clippy::unwrap_used, reason = "a body fails by panic")]

use std::sync::LazyLock;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use prost_reflect::DynamicMessage;
use seeds::Choices;
use tonic::{Code, body::Body};

use super::{
    call::{Call, find},
    frames::Frames,
    routes::{Binding, Found, Routes},
    template::{Segment, Template},
    written::written,
};
use crate::edge;

static ROUTES: LazyLock<Routes> = LazyLock::new(|| Routes::of_the_contracts().unwrap());

/// `0` and a verb and path: the method that a look at every template finds. `1` and a gRPC path: to the letter or nothing. `2` and a
/// template: read as it is written.
pub fn path(input: &[u8]) {
    let mut choices = Choices::new(input);
    let kind = choices.below(3);
    let text = choices.text();
    match kind {
        0 => {
            let (verb, path) = text.split_once(' ').unwrap_or(("GET", &text));
            if let Ok(verb) = verb.parse() {
                http_path(&verb, path);
            }
        }
        1 => {
            let method = api::method(&text);
            assert_eq!(
                method.map(|method| method.path),
                api::METHODS.iter().map(|m| m.path).find(|path| *path == text)
            );
            // Nothing but a method of the contract, and no workload's, leads anywhere.
            if let Some(method) = method {
                assert_eq!(edge::route(method) == edge::Route::Nobody, method.audience == api::Audience::Workload);
            }
        }
        _ => template(&text),
    }
}

fn http_path(verb: &Method, path: &str) {
    let shape = shape(path);
    match (ROUTES.find(verb, path), &shape) {
        (Found::Nothing, None) => {}
        (Found::Nothing, Some(shape)) => {
            // A value that is no text, where the verb would have been right.
            let readable = |(at, segment): (usize, &&str)| {
                let named = shape
                    .iter()
                    .all(|b| b.verb != *verb || b.template.variables.iter().any(|v| (v.from..v.to).contains(&at)));
                !named
                    || percent_decode_str(segment)
                        .decode_utf8()
                        .is_ok_and(|text| !text.contains('/') || !many(shape, verb, at))
            };
            let (path, _) = parts(path).unwrap();
            assert!(
                shape.iter().any(|binding| binding.verb == *verb) && !path.iter().enumerate().all(readable),
                "{path:?}"
            );
        }
        (Found::OtherVerbs(verbs), Some(shape)) => {
            assert!(!verbs.contains(verb) && verbs.len() == shape.len());
            assert!(shape.iter().all(|binding| verbs.contains(&binding.verb)));
        }
        (Found::Binding(found, captured), Some(shape)) => {
            assert!(shape.iter().any(|binding| std::ptr::eq(*binding, &*found) && binding.verb == *verb));
            assert_eq!(captured.len(), found.template.variables.len());
            // Written again, with everything escaped that can be, it is the same call.
            let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let mut again = String::new();
            for (at, segment) in found.template.segments.iter().enumerate() {
                let variable =
                    found.template.variables.iter().position(|variable| (variable.from..variable.to).contains(&at));
                let text = match variable {
                    Some(of) if found.template.variables[of].to - found.template.variables[of].from == 1 => {
                        escaped(&captured[of].1)
                    }
                    Some(of) => escaped(captured[of].1.split('/').nth(at - found.template.variables[of].from).unwrap()),
                    None => segment.text().to_owned(),
                };
                again = format!("{again}/{text}");
            }
            if !found.template.verb.is_empty() {
                again = format!("{again}:{}", found.template.verb);
            }
            match ROUTES.find(verb, &again) {
                Found::Binding(same, values) => {
                    assert_eq!((same.method.path, values), (found.method.path, captured), "{path} and {again}");
                }
                other => panic!("{path} is {}, and {again} is {other:?}", found.method.path),
            }
        }
        (found, shape) => panic!("{verb} {path}: {found:?}, and {} templates fit", shape.as_ref().map_or(0, Vec::len)),
    }
}

fn many(shape: &[&Binding], verb: &Method, at: usize) -> bool {
    let mut variables = shape.iter().filter(|b| b.verb == *verb).flat_map(|b| &b.template.variables);
    variables.any(|v| (v.from..v.to).contains(&at) && v.to - v.from > 1)
}

/// The segments of a path, and the word behind its colon.
fn parts(path: &str) -> Option<(Vec<&str>, &str)> {
    let path = path.strip_prefix('/')?;
    let mut segments: Vec<&str> = path.split('/').collect();
    let last = segments.pop()?;
    let (last, word) = match last.split_once(':') {
        Some((_, "")) => return None,
        Some((last, word)) => (last, word),
        None => (last, ""),
    };
    segments.push(last);
    Some((segments, word))
}

/// Every binding whose template fits, of those that fit most literally, seen from the left.
fn shape(path: &str) -> Option<Vec<&'static Binding>> {
    let (segments, word) = parts(path)?;
    let fits = |binding: &&Binding| {
        let template = &binding.template;
        template.verb == word
            && template.segments.len() == segments.len()
            && template.segments.iter().zip(&segments).all(|(segment, text)| match segment {
                Segment::Literal(literal) => literal == text,
                Segment::Any => !text.is_empty(),
            })
    };
    let open = |binding: &&Binding| binding.template.segments.iter().map(|s| *s == Segment::Any).collect::<Vec<_>>();
    let fitting: Vec<&Binding> = ROUTES.bindings().filter(fits).collect();
    let best = fitting.iter().map(open).min()?;
    Some(fitting.into_iter().filter(|binding| open(binding) == best).collect())
}

fn template(text: &str) {
    let Ok(template) = Template::parse(text) else { return };
    let mut again = String::new();
    let mut at = 0;
    while at < template.segments.len() {
        again.push('/');
        match template.variables.iter().find(|variable| variable.from == at) {
            Some(variable) => {
                let inner: Vec<&str> =
                    template.segments[variable.from..variable.to].iter().map(Segment::text).collect();
                again.push_str(&format!("{{{}={}}}", variable.field.join("."), inner.join("/")));
                at = variable.to;
            }
            None => {
                again.push_str(template.segments[at].text());
                at += 1;
            }
        }
    }
    if !template.verb.is_empty() {
        again = format!("{again}:{}", template.verb);
    }
    assert_eq!(Template::parse(&again).as_ref(), Ok(&template), "{text} and {again}");
}

/// A line of verb and path with query, and a body. What is read as a message is, written down, the same message; what is not is refused
/// in few words.
pub fn json(input: &[u8]) {
    let mut choices = Choices::new(input);
    let line = String::from_utf8_lossy(choices.line());
    let (Some((verb, uri)), body) = (line.split_once(' '), choices.rest()) else { return };
    let request = |kind: &str| {
        let request = Request::builder().method(verb).uri(uri).header(header::CONTENT_TYPE, kind);
        let body = if body.is_empty() { Body::empty() } else { Body::new(Full::new(Bytes::copy_from_slice(body))) };
        request.body(body)
    };
    for kind in ["application/json", "application/x-ndjson"] {
        let Ok(request) = request(kind) else { return };
        if let Ok((call, _)) = find(&ROUTES, &request) {
            return read(&call, request, input.len());
        }
    }
}

fn read(call: &Call, request: Request<Body>, length: usize) {
    let binding = call.binding();
    let streams = binding.method.client_streaming;
    let read = call.read(request).now_or_never().expect("all of it is there");
    let collected = read.map(|request| request.into_body().collect().now_or_never().expect("all of it is there"));
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(refused)) | Err(refused) => {
            assert!(matches!(refused.code(), Code::InvalidArgument | Code::ResourceExhausted), "{refused:?}");
            let mut headers = HeaderMap::new();
            refused.add_header(&mut headers).expect("a refusal can be sent");
            let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(size <= 16 * 1024, "{size} bytes of trailers");
            return;
        }
    };
    assert!(bytes.len() <= 16 * length + 1024, "{} bytes became {}", length, bytes.len());
    let mut frames = Frames::default();
    frames.add(bytes);
    let mut messages = Vec::new();
    while let Some(message) = frames.next().unwrap() {
        messages.push(DynamicMessage::decode(binding.input.clone(), message).unwrap());
    }
    assert!(frames.is_empty() && (streams || messages.len() == 1));
    messages.iter().for_each(|message| written_and_read(binding, message));
}

fn written_and_read(binding: &Binding, message: &DynamicMessage) {
    let (path, body) = written(binding, message);
    let kind = if binding.method.client_streaming { "application/x-ndjson" } else { "application/json" };
    let request = Request::builder().method(binding.verb.clone()).uri(&path).header(header::CONTENT_TYPE, kind);
    // One that is longer than a URI may be was written shorter.
    let Ok(request) = request.body(Body::new(Full::new(Bytes::from_static(b" ")))) else { return };
    let (call, _) = find(&ROUTES, &request).unwrap_or_else(|refused| panic!("{path}: {refused:?}"));
    let again = if binding.method.client_streaming { call.line(&body, 0) } else { call.whole(&body) };
    let again = again.unwrap_or_else(|refused| panic!("{path} {}: {refused:?}", body.escape_ascii()));
    let json = |message: &DynamicMessage| serde_json::to_value(message).unwrap();
    assert_eq!(json(&again), json(message), "{path} {}", body.escape_ascii());
}
