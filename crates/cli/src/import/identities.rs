//! `identity import`: streams of ImportIdentities.

use std::path::PathBuf;

use clap::ArgMatches;
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value, json};

use super::progress::Progress;
use super::rows::{self, Row};
use crate::context::Reach;
use crate::{Failure, command, contract, render};

const METHOD: &str = "member.v1.IdentityService/ImportIdentities";

pub async fn run(reach: &Reach, matches: &ArgMatches) -> Result<(), Failure> {
    let method = command::known(METHOD)?;
    let organization = reach.organization()?.unwrap_or_default();
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let size = matches.get_one::<u16>("batch-size").copied().map_or(1, usize::from);
    let mut faults = Vec::new();
    let mut messages = Vec::new();
    for Row { line, fields } in rows::read(&path, &[], &[])? {
        match DynamicMessage::deserialize(method.input(), request(&organization, fields)) {
            Ok(message) => messages.push((line, message)),
            Err(error) => faults.push((line, error.to_string())),
        }
    }
    rows::faulty(&path, faults)?;

    let wire = reach.wire(&method)?;
    let mut progress = Progress::new("identities", messages.len());
    let mut counts = [0; 3];
    for batch in messages.chunks(size) {
        let sent: Vec<DynamicMessage> = batch.iter().map(|(_, message)| message.clone()).collect();
        let answer = contract::to_json(&wire.send(&method, tokio_stream::iter(sent)).await?);
        for (count, name) in counts.iter_mut().zip(["createdCount", "existingCount", "refusedCount"]) {
            *count += number(&answer[name]);
        }
        for refusal in answer["refusals"].as_array().into_iter().flatten() {
            let line = batch.get(number(&refusal["index"])).map_or(0, |(line, _)| *line);
            let said: Vec<&str> =
                refusal["violations"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            progress.say(&format!("{}:{line}: {}", path.display(), said.join("; ")));
        }
        progress.advance(batch.len());
    }
    drop(progress);
    let [created, existing, refused] = counts;
    render::value(reach.format(), &json!({"created": created, "existing": existing, "refused": refused}))?;
    if refused == 0 { Ok(()) } else { Err(Failure::RowsRefused { refused, total: messages.len() }) }
}

/// A row's fields are the identity's, but for the hash.
fn request(organization: &str, mut fields: Map<String, Value>) -> Value {
    let hash = fields.remove("password_hash").unwrap_or_default();
    let identity = fields.remove("identity").unwrap_or(Value::Object(fields));
    json!({"organization_id": organization, "identity": identity, "password_hash": hash})
}

/// Proto3 JSON writes an int64 as a text.
fn number(value: &Value) -> usize {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_requests_and_counts_are_texts() {
        let fields = json!({"email_address": "a@b.test", "password_hash": "$argon2id$x"});
        assert_eq!(
            request("", fields.as_object().unwrap().clone()),
            json!({"organization_id": "", "identity": {"email_address": "a@b.test"}, "password_hash": "$argon2id$x"})
        );
        assert_eq!(number(&json!("12")), 12);
        assert_eq!(number(&Value::Null), 0);
    }
}
