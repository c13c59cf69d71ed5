//! For any message of any public method: written as path, query and body, and read back, it is itself. And nothing that comes makes the reader
//! panic.

use std::sync::LazyLock;

use http::{Request, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proptest::prelude::*;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value, prost::Message as _,
    prost_types,
};
use tonic::body::Body;

use super::{
    call::{Call, find},
    fields::{is_plain, is_text, leaf},
    routes::{Binding, Body as BodyRule, Routes},
    written::written,
};

static ROUTES: LazyLock<Routes> = LazyLock::new(|| Routes::of_the_contracts().unwrap());

/// Chance, from a seed that proptest shrinks.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    fn text(&mut self) -> String {
        let letters: Vec<char> = "aZ0_-.~%/:?#&=+ \"\\{}\u{e9}\u{1f511}\u{0}\n".chars().collect();
        (0..self.below(6)).map(|_| letters[self.below(letters.len() as u64) as usize]).collect()
    }
}

fn message(descriptor: &MessageDescriptor, chance: &mut Chance, depth: usize, texts: bool) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let taken = field.containing_oneof().is_some_and(|one| one.fields().any(|other| message.has_field(&other)));
        if taken || chance.below(3) == 0 {
            continue;
        }
        let nested = matches!(field.kind(), Kind::Message(inner) if is_plain(&inner));
        if texts && !is_text(&field) && !(nested && !field.is_list() && !field.is_map()) {
            continue;
        }
        if let Some(value) = value(&field, chance, depth, texts) {
            message.set_field(&field, value);
        }
    }
    message
}

/// None: this field is left out. A message inside is never empty, since a query cannot say so.
fn value(field: &FieldDescriptor, chance: &mut Chance, depth: usize, texts: bool) -> Option<Value> {
    let kind = field.kind();
    if field.is_map() {
        let Kind::Message(entry) = kind else { return None };
        let of_value = entry.map_entry_value_field().kind();
        let mut entries = std::collections::HashMap::new();
        for _ in 0..chance.below(3) {
            let key = match entry.map_entry_key_field().kind() {
                Kind::String => MapKey::String(chance.text()),
                Kind::Int64 => MapKey::I64(chance.next() as i64),
                _ => return None,
            };
            entries.insert(key, single(&of_value, chance, depth, texts)?);
        }
        return Some(Value::Map(entries));
    }
    if field.is_list() {
        let items = (0..chance.below(3)).filter_map(|_| single(&kind, chance, depth, texts));
        return Some(Value::List(items.collect()));
    }
    single(&kind, chance, depth, texts)
}

fn single(kind: &Kind, chance: &mut Chance, depth: usize, texts: bool) -> Option<Value> {
    Some(match kind {
        Kind::Bool => Value::Bool(chance.below(2) == 0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(chance.next() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(chance.next() as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(chance.next() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(chance.next()),
        Kind::Float => Value::F32(chance.below(1000) as f32 / 8.0),
        Kind::Double => Value::F64(Some(f64::from_bits(chance.next())).filter(|f| f.is_finite()).unwrap_or(0.5)),
        Kind::String => Value::String(chance.text()),
        Kind::Bytes => Value::Bytes(chance.next().to_le_bytes().to_vec().into()),
        Kind::Enum(named) => {
            let values: Vec<i32> = named.values().map(|value| value.number()).collect();
            Value::EnumNumber(values[chance.below(values.len() as u64) as usize])
        }
        Kind::Message(inner) if is_plain(inner) => {
            let made = (depth > 0).then(|| message(inner, chance, depth - 1, texts))?;
            let empty = made.fields().next().is_none();
            (!empty).then_some(Value::Message(made))?
        }
        Kind::Message(inner) => Value::Message(well_known(inner, chance)?),
    })
}

fn well_known(descriptor: &MessageDescriptor, chance: &mut Chance) -> Option<DynamicMessage> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let (seconds, nanos) = (chance.below(4_000_000_000) as i64, chance.below(1_000_000_000) as i32);
    match descriptor.name() {
        "Timestamp" => message.transcode_from(&prost_types::Timestamp { seconds, nanos }).ok()?,
        "Duration" => message.transcode_from(&prost_types::Duration { seconds, nanos }).ok()?,
        "FieldMask" => {
            let paths = vec!["display_name".to_owned(), "settings.session_lifetime".to_owned()];
            message.transcode_from(&prost_types::FieldMask { paths }).ok()?;
        }
        "Struct" => {
            let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(chance.text())) };
            let list = prost_types::ListValue {
                values: vec![text.clone(), prost_types::Value { kind: Some(prost_types::value::Kind::NullValue(0)) }],
            };
            let list = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(list)) };
            let fields = [(chance.text(), text), ("list".to_owned(), list)].into_iter().collect();
            message.transcode_from(&prost_types::Struct { fields }).ok()?;
        }
        "BoolValue" => message.transcode_from(&(chance.below(2) == 0)).ok()?,
        "StringValue" => message.transcode_from(&chance.text()).ok()?,
        "Int64Value" => message.transcode_from(&(chance.next() as i64)).ok()?,
        "Int32Value" => message.transcode_from(&(chance.next() as i32)).ok()?,
        _ => return None,
    }
    Some(message)
}

/// Sets a field that the path gives, to some text that is a segment.
fn set(message: &mut DynamicMessage, names: &[String], text: &str) {
    let field = message.descriptor().get_field_by_name(&names[0]).unwrap();
    if names.len() == 1 {
        message.set_field(&field, Value::String(text.to_owned()));
    } else if let Some(inner) = message.get_field_mut(&field).as_message_mut() {
        set(inner, &names[1..], text);
    }
}

fn call(binding: &Binding, path: &str) -> Call {
    let body = if matches!(binding.body, BodyRule::None) { Body::empty() } else { Body::new(String::from("{}")) };
    let kind = if binding.method.client_streaming { "application/x-ndjson" } else { "application/json" };
    let request = Request::builder().method(binding.verb.clone()).uri(path).header(header::CONTENT_TYPE, kind);
    match find(&ROUTES, &request.body(body).unwrap()) {
        Ok((call, _)) => call,
        Err(refused) => panic!("{path}: {refused:?}"),
    }
}

/// What a query may not hold as it is.
const MARKS: &AsciiSet = &CONTROLS.add(b'#').add(b' ').add(b'"').add(b'<').add(b'>');

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_is_written_is_read(seed in 1_u64..) {
        let mut chance = Chance(seed);
        for binding in ROUTES.bindings() {
            let texts = !matches!(binding.body, BodyRule::Whole);
            let mut message = message(&binding.input, &mut chance, 4, texts);
            for variable in &binding.template.variables {
                assert!(leaf(&binding.input, &variable.field).is_some());
                set(&mut message, &variable.field, &format!("x{}", chance.text()));
            }
            let (path, body) = written(binding, &message);
            let call = call(binding, &path);
            let read = if binding.method.client_streaming { call.line(&body, 0) } else { call.whole(&body) };
            let read = read.unwrap_or_else(|status| panic!("{path} {}: {status:?}", String::from_utf8_lossy(&body)));
            // As the wire has it: a field that was set to its default is one that was not set.
            let sent = DynamicMessage::decode(binding.input.clone(), message.encode_to_vec().as_slice()).unwrap();
            let said = String::from_utf8_lossy(&body).into_owned();
            prop_assert!(read == sent, "{} {} was read as {}", path, said, serde_json::to_string(&read).unwrap());
        }
    }

    #[test]
    fn nothing_that_comes_is_a_panic(seed in 1_u64.., noise in proptest::collection::vec(any::<u8>(), 0..80), text in ".{0,60}") {
        let mut chance = Chance(seed);
        for binding in ROUTES.bindings() {
            let mut message = message(&binding.input, &mut chance, 3, false);
            for variable in &binding.template.variables {
                set(&mut message, &variable.field, "x");
            }
            let path = written(binding, &message).0;
            let path = path.split('?').next().unwrap();
            let query = utf8_percent_encode(&text, MARKS).to_string();
            let noisy = call(binding, &format!("{path}?{query}"));
            let plain = call(binding, path);
            let mut body = serde_json::to_vec(&message).unwrap();
            for _ in 0..chance.below(4) {
                let at = chance.below(body.len() as u64) as usize;
                body[at] = b"{}[]\",:0n\\\xff"[chance.below(11) as usize];
            }
            for body in [&body, &noise] {
                let _ = (noisy.whole(body), plain.whole(body), plain.line(body, 0));
            }
        }
        for path in [text.clone(), format!("/v1/{text}"), format!("/v1/organizations/{text}")] {
            let _ = ROUTES.find(&http::Method::GET, &path);
        }
    }
}
