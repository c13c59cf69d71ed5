//! Two answers that nobody may be able to tell apart: about what somebody else has, and about what nobody has.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU32, Ordering},
};

use api::Method;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{form::message, wire::Answer};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const FRESH: &str = "fresh";
const DIGITS: usize = 8;
/// What is another each time that it is given.
const OF_THE_MOMENT: [&str; 14] = [
    "etag",
    "revision",
    "evaluated_revision",
    "secret",
    "token",
    "access_token",
    "refresh_token",
    "intermediate_session_token",
    "next_page_token",
    "cursor",
    "prefix",
    "client_secret",
    "record_value",
    "authorization_uri",
];

/// A word that was never said before, as long as any other.
pub fn fresh(word: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{word}-{FRESH}{:0DIGITS$}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// As long as the other and of its form, and nobody's.
pub fn nobodys(theirs: &str) -> String {
    let is_id = theirs.rsplit_once('_').is_some_and(|(_, id)| id.len() == 26);
    if !is_id {
        return theirs.replace("zzmark", "zznone");
    }
    let mut id = theirs.as_bytes().to_vec();
    for digit in id.iter_mut().rev().take(5) {
        let at = ALPHABET.iter().position(|c| c == digit).unwrap();
        *digit = ALPHABET[(at + 7) % 32];
    }
    String::from_utf8(id).unwrap()
}

/// The reason that a refusal gives, or `OK`.
pub fn reason(answer: &Answer) -> String {
    match answer.code {
        Code::Ok => "OK".to_owned(),
        code => {
            let status = tonic::Status::with_details(code, "", answer.details.clone().into());
            status.get_details_error_info().map_or_else(|| format!("{code:?}"), |info| info.reason)
        }
    }
}

/// An answer without what was asked about in it: `it` is what stood in the request.
pub fn told(method: &Method, answer: &Answer, it: &[String]) -> Value {
    let mut headers: Vec<_> = answer.headers.iter().map(|(name, value)| (name, blank(value, it))).collect();
    headers.sort();
    // How long an answer is says nothing that the answer does not.
    headers.retain(|(name, _)| answer.code != Code::Ok || *name != "content-length");
    let output = message(method.output);
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let mut messages: Vec<Value> = answer
        .messages
        .iter()
        .map(|bytes| {
            // What is no gRPC at all is compared as it is.
            let Ok(message) = DynamicMessage::decode(output.clone(), bytes.clone()) else {
                return json!(blank(bytes, it));
            };
            let plain = message.serialize_with_options(serde_json::value::Serializer, &options);
            plain.map_or_else(|_| json!(blank(bytes, it)), |plain| steady(plain, it))
        })
        .collect();
    // A list stands in the order of its ids, of which what was asked about is one.
    messages.sort_by_cached_key(Value::to_string);
    json!({"code": format!("{:?}", answer.code), "message": blank(answer.message.as_bytes(), it),
        "details": blank(details(answer).as_bytes(), it), "headers": headers, "messages": messages, "ended": answer.ended})
}

/// What a refusal says beside its message, and how long that is. What is said of its reason is a map, which stands in any order.
fn details(answer: &Answer) -> String {
    let length = answer.details.len();
    let status = tonic::Status::with_details(answer.code, "", answer.details.clone().into());
    let mut all = status.get_error_details();
    let Some(info) = all.error_info() else { return format!("{length} {all:?}") };
    let (reason, domain) = (info.reason.clone(), info.domain.clone());
    let said: BTreeMap<_, _> = info.metadata.clone().into_iter().collect();
    all.set_error_info(reason, domain, HashMap::new());
    format!("{length} {all:?} {said:?}")
}

/// Bytes in which what was asked about is blanked, to the same length.
fn blank(bytes: &[u8], it: &[String]) -> String {
    // One character for each byte, whatever it means.
    let mut text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    for it in it.iter().filter(|it| !it.is_empty()) {
        if text.contains(it.as_str()) {
            text = text.replace(it.as_str(), &"#".repeat(it.len()));
        }
    }
    let mut from = 0;
    while let Some(at) = text[from..].find(FRESH) {
        let digits = from + at + FRESH.len();
        let length = text[digits..].bytes().take(DIGITS).take_while(u8::is_ascii_digit).count();
        text.replace_range(digits..digits + length, &"#".repeat(length));
        from = digits;
    }
    text.escape_default().to_string()
}

fn steady(value: Value, it: &[String]) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let passing = OF_THE_MOMENT.contains(&name.as_str()) || name.ends_with("_time");
                let value = if passing { json!(value != Value::Null && value != json!("")) } else { steady(value, it) };
                (name, value)
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(|item| steady(item, it)).collect(),
        Value::String(text) => match text.rsplit_once('_') {
            // Of an id what it is of: the ids of what was made just now are new.
            Some((prefix, id)) if id.len() == 26 && !text.contains(' ') => json!(prefix),
            _ => json!(blank(text.as_bytes(), it)),
        },
        other => other,
    }
}
