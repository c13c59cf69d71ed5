//! What a command prints: a table for people, JSON and YAML for programs.

mod decision;
mod table;
mod tree;

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::Failure;

pub use tree::Tree;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Yaml,
}

impl Format {
    /// What was asked for; else what suits who reads.
    pub fn or_default(asked: Option<Self>) -> Self {
        asked.unwrap_or(if io::stdout().is_terminal() { Self::Table } else { Self::Json })
    }
}

/// One message, in the order of its fields. An empty one says nothing to people.
pub fn value(format: Format, value: &impl Serialize) -> Result<(), Failure> {
    print(&match format {
        Format::Table => table::single(&json(value)?),
        Format::Json => serde_json::to_string_pretty(value).map_err(|error| Failure::Output(error.into()))? + "\n",
        Format::Yaml => yaml(value)?,
    })
}

/// The answer of a method, by the name of its message: a decision is one word to people, and its reasons are a tree.
pub fn answer(format: Format, message: &str, answer: &impl Serialize) -> Result<(), Failure> {
    let words = match message {
        "guildhall.authz.v1.CheckResponse" => decision::checked,
        "guildhall.authz.v1.ExplainResponse" => decision::explained,
        _ => return value(format, answer),
    };
    if format == Format::Table { print(&words(&json(answer)?)) } else { value(format, answer) }
}

/// Text that is laid out already.
pub fn text(text: &str) -> Result<(), Failure> {
    print(text)
}

/// A page, or all pages as one; `field` is what it holds, by its name in JSON.
pub fn page(format: Format, field: &str, page: &impl Serialize) -> Result<(), Failure> {
    if format != Format::Table {
        return value(format, page);
    }
    let answer = json(page)?;
    print(&table::rows(answer[field].as_array().map(Vec::as_slice).unwrap_or_default()))?;
    // Beside the table, so that what reads the table does not read it as a row.
    if let Some(token) = answer["nextPageToken"].as_str().filter(|token| !token.is_empty()) {
        let _ = writeln!(io::stderr(), "There is more: --page-token {token}, or --all");
    }
    Ok(())
}

/// A list of our own.
pub fn rows(format: Format, rows: Vec<Value>) -> Result<(), Failure> {
    match format {
        Format::Table => print(&table::rows(&rows)),
        Format::Json | Format::Yaml => value(format, &Value::Array(rows)),
    }
}

/// One message of a stream, which ends who knows when: a line, or a YAML document.
pub fn item(format: Format, value: &impl Serialize) -> Result<(), Failure> {
    print(&match format {
        Format::Table | Format::Json => format!("{}\n", json(value)?),
        Format::Yaml => format!("---\n{}", yaml(value)?),
    })
}

/// A plain line.
pub fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

fn json(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::Output(error.into()))
}

fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value).map_err(|error| Failure::Output(io::Error::other(error)))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// A reader that went away (`| head`) has what it wanted.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_says_what_json_says() {
        let value = json!({
            "displayName": "no", "key": "null", "number": "0123", "version": "1e3", "empty": "", "colon": "a: b # c",
            "list": ["- x", "yes", "~", "[", "multi\nline\n", " lead", "2026-11-21", "trail ", "'\"", "\u{1b}[0m", "é"],
            "deep": {"on": {"off": [1, 2.5, true, null]}}, "none": {}, "nothing": [], "a b": [[1], [{"x": []}]]
        });
        let text = yaml(&value).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value, "{text}");
    }
}
