//! `google.protobuf.Struct` as the inputs of conditions.

use engine::{Context, Input, InvalidContext, MAX_CONTEXT_DEPTH};
use prost_types::{Struct, Value, value::Kind};

/// Refused before it is walked through, and before it is copied, where it is too deep.
pub fn read(context: &Struct) -> Result<Context, InvalidContext> {
    let mut inputs = Vec::with_capacity(context.fields.len());
    for (name, value) in &context.fields {
        inputs.push((name.clone(), input(value, MAX_CONTEXT_DEPTH - 1)?));
    }
    Context::new(inputs)
}

fn input(value: &Value, levels: usize) -> Result<Input, InvalidContext> {
    let inner = || levels.checked_sub(1).ok_or(InvalidContext::TooDeep);
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => Input::Null,
        Some(Kind::BoolValue(value)) => Input::Bool(*value),
        Some(Kind::NumberValue(value)) => Input::Number(*value),
        Some(Kind::StringValue(text)) => Input::Text(text.clone()),
        Some(Kind::ListValue(list)) => {
            let levels = inner()?;
            Input::List(list.values.iter().map(|value| input(value, levels)).collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(object)) => {
            let levels = inner()?;
            let field = |(name, value): (&String, &Value)| Ok((name.clone(), input(value, levels)?));
            Input::Object(object.fields.iter().map(field).collect::<Result<_, _>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Struct {
        let leaf = Value { kind: Some(Kind::NumberValue(1.0)) };
        (0..depth).fold(Struct { fields: [("x".to_owned(), leaf)].into() }, |inner, _| Struct {
            fields: [("x".to_owned(), Value { kind: Some(Kind::StructValue(inner)) })].into(),
        })
    }

    fn text(length: usize) -> Struct {
        let value = Value { kind: Some(Kind::StringValue("x".repeat(length))) };
        Struct { fields: [("x".to_owned(), value)].into() }
    }

    #[test]
    fn a_context_is_at_most_eight_levels_deep_and_sixteen_kibibytes() {
        assert!(read(&Struct::default()).is_ok() && read(&nested(7)).is_ok());
        assert_eq!(read(&nested(8)).unwrap_err(), InvalidContext::TooDeep);
        assert!(read(&text(16_000)).is_ok());
        assert_eq!(read(&text(16_400)).unwrap_err(), InvalidContext::TooLarge);
    }
}
