//! How a log line looks. Lines written during a call carry its `trace_id`, `request_id` and method at the top level, where
//! log pipelines look for them, whatever spans lie between.
//!
//! Fields of spans are not repeated on every line: they are in the trace. That also spares the formatting of every span that no
//! line is ever written in.

use std::fmt::{self, Write as _};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::call::Call;
use crate::current::current;
use crate::options::LogFormat;

/// Writes nothing for a span: see the head of this file.
pub(crate) struct NoSpanFields;

impl<'w> FormatFields<'w> for NoSpanFields {
    fn format_fields<R: RecordFields>(&self, _: Writer<'w>, _: R) -> fmt::Result {
        Ok(())
    }
}

impl<S, N> FormatEvent<S, N> for LogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        current(|call| fields.call(call));
        let metadata = event.metadata();
        let now = OffsetDateTime::now_utc().format(&Rfc3339).map_err(|_| fmt::Error)?;
        let level = metadata.level().as_str();
        match self {
            LogFormat::Json => {
                let head = [
                    ("timestamp", now.into()),
                    ("level", level.into()),
                    ("target", metadata.target().into()),
                    ("message", std::mem::take(&mut fields.message).into()),
                ];
                let line: Vec<(&str, Value)> = head.into_iter().chain(fields.others).collect();
                for (at, (name, value)) in line.iter().enumerate() {
                    // A field named like an earlier one must not replace it.
                    if line[..at].iter().all(|(earlier, _)| earlier != name) {
                        let before = if at == 0 { '{' } else { ',' };
                        write!(writer, "{before}{}:{value}", Value::from(*name))?;
                    }
                }
                writeln!(writer, "}}")
            }
            LogFormat::Text => {
                write!(writer, "{now} {level:>5} {}: {}", metadata.target(), OneLine(&fields.message))?;
                for (name, value) in &fields.others {
                    write!(writer, " {name}={value}")?;
                }
                writeln!(writer)
            }
        }
    }
}

/// Text from elsewhere must not be able to begin a log line.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| {
            if char.is_control() { write!(f, "{}", char.escape_default()) } else { f.write_char(char) }
        })
    }
}

#[derive(Default)]
struct EventFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl EventFields {
    fn call(&mut self, call: &Call) {
        let method = call.method.as_ref().map_or("unknown", |method| method.name());
        self.others.push(("trace_id", format!("{:032x}", call.trace.trace_id).into()));
        self.others.push(("request_id", call.request_id.as_str().into()));
        self.others.push(("rpc.method", method.into()));
    }

    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::call::{RequestId, TraceContext};
    use crate::contract::Contract;
    use crate::current::within;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panicked").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(format: LogFormat) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(NoSpanFields)
            .event_format(format);
        let subscriber = tracing_subscriber::registry().with(layer);
        let headers = http::HeaderMap::from_iter([(RequestId::HEADER, http::HeaderValue::from_static("order-1"))]);
        let contract = Contract::from_descriptor_set(&[]).expect("an empty set decodes");
        let call = Call {
            request_id: RequestId::from_headers(&headers).expect("well formed"),
            trace: TraceContext { trace_id: 0xabc, ..TraceContext::root() },
            method: Some(Arc::clone(contract.method("/grpc.health.v1.Health/Check"))),
            in_vain: Arc::default(),
        };
        tracing::subscriber::with_default(subscriber, || {
            within(Arc::new(call), || {
                tracing::info_span!("within", more = 1).in_scope(|| tracing::warn!(level = 7, count = 3, "two\nlines"));
            });
        });
        let bytes = lines.0.lock().expect("no writer panicked").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_json_line_names_its_call_whatever_spans_lie_between() {
        let line: Value = serde_json::from_str(&line(LogFormat::Json)).expect("one object");
        assert_eq!(line["trace_id"], "00000000000000000000000000000abc");
        assert_eq!(
            (&line["request_id"], &line["rpc.method"]),
            (&"order-1".into(), &"grpc.health.v1.Health/Check".into())
        );
        assert_eq!(
            (&line["message"], &line["level"], &line["count"]),
            (&"two\nlines".into(), &"WARN".into(), &3.into())
        );
    }

    #[test]
    fn a_text_line_is_one_line() {
        let text = line(LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("WARN") && text.contains("two\\nlines") && text.contains("request_id=\"order-1\""),
            "{text}"
        );
    }
}
