//! A span for each SQL statement of a call that is traced, by the semantic conventions for databases, below the call's.
//!
//! sqlx says of each statement that has ended what it was and how long it took, as an event; nothing else needs to know where statements
//! are run. The span is made from that, afterwards. It holds the statement's verb and first table. The text stays away, so that nothing
//! that somebody once writes into a text can get out; parameters are not told of at all.
//!
//! Of calls that are not traced sqlx is told that nobody listens, and prepares nothing.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{DynFilterFn, dynamic_filter_fn};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Of sqlx's events about statements.
pub(crate) const TARGET: &str = "sqlx::query";

pub(crate) struct Statements {
    tracer: SdkTracer,
    whole: Whole,
}

/// The subscriber that the layer is part of, which knows the calls' spans. Told once it is made: an optional layer is not told by itself.
pub(crate) type Whole = Arc<OnceLock<WeakDispatch>>;

impl Statements {
    pub(crate) fn new(tracer: SdkTracer, whole: Whole) -> Self {
        Self { tracer, whole }
    }
}

/// Lets through the spans of calls, and the statements inside of one.
pub(crate) fn inside_calls<S>() -> impl tracing_subscriber::layer::Filter<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let listens = |metadata: &Metadata<'_>| match metadata.is_span() {
        true => metadata.target() == crate::layers::CALL_TARGET,
        false => metadata.target() == TARGET,
    };
    let filter: DynFilterFn<S, _, _> = dynamic_filter_fn(move |metadata: &Metadata<'_>, context: &Context<'_, S>| {
        listens(metadata) && (metadata.is_span() || context.lookup_current().is_some())
    })
    .with_callsite_filter(move |metadata| {
        if !listens(metadata) {
            Interest::never()
        } else if metadata.is_span() {
            Interest::always()
        } else {
            Interest::sometimes()
        }
    });
    filter
}

impl<S> Layer<S> for Statements
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let end = SystemTime::now();
        let Some(call) = context.event_span(event) else { return };
        let Some(dispatch) = self.whole.get().and_then(WeakDispatch::upgrade) else { return };
        let Some(parent) = tracing_opentelemetry::get_otel_context(&call.id(), &dispatch) else { return };
        if !parent.span().span_context().is_valid() {
            return;
        }
        let mut told = Told::default();
        event.record(&mut told);
        let (operation, table) = summary(&told.text);
        let mut attributes =
            vec![KeyValue::new("db.system.name", "postgresql"), KeyValue::new("db.operation.name", operation.clone())];
        let name = match table {
            Some(table) => {
                attributes.push(KeyValue::new("db.collection.name", table.clone()));
                format!("{operation} {table}")
            }
            None => operation,
        };
        attributes.push(KeyValue::new("db.query.summary", name.clone()));
        attributes.push(KeyValue::new("db.response.returned_rows", told.rows));
        let start = end.checked_sub(told.elapsed).unwrap_or(end);
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_start_time(start);
        self.tracer.build_with_context(span.with_attributes(attributes), &parent).end_with_timestamp(end);
    }
}

/// What sqlx says of a statement.
#[derive(Default)]
struct Told {
    text: String,
    elapsed: Duration,
    rows: i64,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            // The first words, and the whole where it is longer.
            "summary" if self.text.is_empty() => value.clone_into(&mut self.text),
            "db.statement" if !value.is_empty() => value.clone_into(&mut self.text),
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = i64::try_from(value).unwrap_or(i64::MAX);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The verb and the first table. Of a statement that names its parts before (`with`), those of its first part; comments are passed over.
fn summary(text: &str) -> (String, Option<String>) {
    let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let words = lines.flat_map(|line| line.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_')));
    let words: Vec<Cow<'_, str>> =
        words.filter(|word| !word.is_empty()).map(|word| word.to_ascii_lowercase().into()).collect();
    let verb = ["select", "insert", "update", "delete", "merge"];
    let Some(at) = words.iter().position(|word| verb.contains(&word.as_ref())) else {
        let first = words.first().map_or("unknown", AsRef::as_ref);
        return (first.to_ascii_uppercase(), None);
    };
    let before = match words[at].as_ref() {
        "select" | "delete" => "from",
        "insert" | "merge" => "into",
        _ => "update",
    };
    let table =
        words[at..].iter().skip_while(|word| *word != before).nth(1).filter(|table| !verb.contains(&table.as_ref()));
    (words[at].to_ascii_uppercase(), table.map(|table| table.clone().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_its_verb_and_its_first_table() {
        for (text, operation, table) in [
            ("select a, b from member where x = $1", "SELECT", Some("member")),
            ("\n-- cluster: the sender from everywhere\nupdate outbox as o set tries = 1", "UPDATE", Some("outbox")),
            ("insert into \"event\" (a) values ($1)", "INSERT", Some("event")),
            ("with due as (select w.id from outbox w) delete from outbox", "SELECT", Some("outbox")),
            ("delete from answer where x = any (array(select 1))", "DELETE", Some("answer")),
            ("select set_config('guildhall.scope', $1, true)", "SELECT", None),
            ("select (select 1) from (select 2)", "SELECT", None),
            ("commit", "COMMIT", None),
            ("", "UNKNOWN", None),
        ] {
            assert_eq!(summary(text), (operation.to_owned(), table.map(str::to_owned)), "{text}");
        }
    }
}
