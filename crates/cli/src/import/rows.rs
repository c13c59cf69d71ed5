//! The rows of a CSV or JSONL file, as JSON objects with the line they stand on.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Failure;

pub struct Row {
    pub line: u64,
    pub fields: Map<String, Value>,
}

/// Empty fields of a CSV file are as if they were not there. `lists` names the columns that hold several values, `json` those that
/// hold JSON.
pub fn read(path: &Path, lists: &[&str], json: &[&str]) -> Result<Vec<Row>, Failure> {
    let bytes = fs::read(path).map_err(Failure::file("cannot read", path))?;
    let rows = match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => csv(&bytes, lists, json),
        Some("jsonl" | "ndjson") => jsonl(&bytes),
        _ => return Err(Failure::Usage(format!("{} ends neither in .csv nor in .jsonl", path.display()))),
    };
    let (rows, faults): (Vec<_>, Vec<_>) = rows.into_iter().partition(Result::is_ok);
    faulty(path, faults.into_iter().filter_map(Result::err).collect())?;
    Ok(rows.into_iter().filter_map(Result::ok).collect())
}

/// Nothing is sent of a file with faults; each is named with its line, the first of them where there are many.
pub fn faulty(path: &Path, faults: Vec<(u64, String)>) -> Result<(), Failure> {
    const SHOWN: usize = 20;
    if faults.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> =
        faults.iter().take(SHOWN).map(|(line, fault)| format!("{}:{line}: {fault}", path.display())).collect();
    if faults.len() > SHOWN {
        lines.push(format!("and {} more", faults.len() - SHOWN));
    }
    Err(Failure::Usage(lines.join("\n")))
}

type Read = Result<Row, (u64, String)>;

fn jsonl(bytes: &[u8]) -> Vec<Read> {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let filled = lines.filter(|(text, _)| !text.trim_ascii().is_empty());
    filled
        .map(|(text, line)| match serde_json::from_slice(text) {
            Ok(fields) => Ok(Row { line, fields }),
            Err(error) => Err((line, format!("is no JSON object: {error}"))),
        })
        .collect()
}

fn csv(bytes: &[u8], lists: &[&str], json: &[&str]) -> Vec<Read> {
    // Spreadsheets begin their files with a mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let names = match reader.headers() {
        Ok(names) => names.clone(),
        Err(error) => return vec![Err((1, error.to_string()))],
    };
    // The reader's own count is one behind where lines end as on Windows: it stands between the two characters.
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    let line_of = |position: Option<&csv::Position>| {
        let begins = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or_default();
        ends.partition_point(|end| *end <= begins) as u64 + 1
    };
    let field = |name: &str, text: &str| -> Result<Value, String> {
        if lists.contains(&name) {
            return Ok(text.split(';').map(str::trim).filter(|item| !item.is_empty()).collect());
        }
        if json.contains(&name) {
            return serde_json::from_str(text).map_err(|error| format!("{name} is no JSON: {error}"));
        }
        // Proto3 JSON reads a number from a text, and nothing else.
        Ok(match text {
            "true" | "false" => Value::Bool(text == "true"),
            _ => Value::from(text),
        })
    };
    let records = reader.records();
    records
        .map(|record| {
            let record = record.map_err(|error| (line_of(error.position()), error.to_string()))?;
            let line = line_of(record.position());
            let filled = names.iter().zip(&record).filter(|(_, text)| !text.is_empty());
            let fields = filled.map(|(name, text)| Ok((name.to_owned(), field(name, text)?))).collect::<Result<_, _>>();
            fields.map(|fields| Row { line, fields }).map_err(|fault| (line, fault))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(name: &str, text: &str) -> Result<Vec<(u64, Value)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let rows = read(&path, &["roles"], &["trusted_metadata"]).map_err(|failure| failure.to_string())?;
        Ok(rows.into_iter().map(|row| (row.line, Value::Object(row.fields))).collect())
    }

    #[test]
    fn csv_as_spreadsheets_write_it() {
        let text = "\u{feff}email_address,display_name,roles,trusted_metadata\r\nada@acme.test,\"Ada, \"\"the\"\" first\",owner; admin,\r\n\
                    grace@acme.test,,,\"{\"\"a\"\":1}\"\r\n";
        assert_eq!(
            of("m.csv", text).unwrap(),
            [
                (
                    2,
                    json!({"email_address": "ada@acme.test", "display_name": "Ada, \"the\" first", "roles": ["owner", "admin"]})
                ),
                (3, json!({"email_address": "grace@acme.test", "trusted_metadata": {"a": 1}})),
            ]
        );
    }

    #[test]
    fn jsonl_with_empty_lines() {
        assert_eq!(of("m.jsonl", "{\"a\":1}\n\n{\"b\":[]}").unwrap(), [(1, json!({"a": 1})), (3, json!({"b": []}))]);
    }

    #[test]
    fn every_faulty_line_is_named() {
        let said = of("m.jsonl", "{}\nno\n[]\n").unwrap_err();
        assert!(said.contains("m.jsonl:2:") && said.contains("m.jsonl:3:"), "{said}");
        let said = of("m.csv", "a,b\n1,2\n1,2,3\n").unwrap_err();
        assert!(said.contains("m.csv:3:"), "{said}");
        assert!(of("m.txt", "").is_err());
    }
}
