//! `member import`: BatchCreateMembers, again and again.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;
use clap::ArgMatches;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::progress::Progress;
use super::rows::{self, Row};
use crate::context::Reach;
use crate::contract::{self, Wire};
use crate::{Failure, command, render};

const METHOD: &str = "member.v1.MemberService/BatchCreateMembers";
/// Somebody is there already: what an import that is run again meets, once the server has forgotten the first one's request ids.
const THERE: [&str; 2] = ["MEMBER_EMAIL_TAKEN", "ERROR_REASON_MEMBER_EMAIL_TAKEN"];
/// A server that is being restarted is waited for; one that stays away is not.
const TRIES: u32 = 6;

/// What became of the rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    created: usize,
    existing: usize,
    refused: usize,
}

pub async fn run(reach: &Reach, matches: &ArgMatches) -> Result<(), Failure> {
    let method = command::known(METHOD)?;
    let organization = reach.organization()?.filter(|id| !id.is_empty());
    let organization = organization.ok_or_else(|| Failure::Usage("members of which --organization?".into()))?;
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let size = matches.get_one::<u16>("batch-size").copied().map_or(1, usize::from);
    let rows = rows::read(&path, &["roles"], &["trusted_metadata", "untrusted_metadata"])?;

    // Every row is looked at before the first is sent.
    let mut faults = Vec::new();
    let mut entries = Vec::new();
    for Row { line, fields } in rows {
        let entry = entry(fields);
        let alone = json!({"organization_id": organization, "members": [entry]});
        match DynamicMessage::deserialize(method.input(), alone) {
            Ok(_) => entries.push((line, entry)),
            Err(error) => faults.push((line, error.to_string())),
        }
    }
    rows::faulty(&path, faults)?;

    let wire = reach.wire(&method)?;
    let mut tally = Tally::default();
    let mut progress = Progress::new("members", entries.len());
    for batch in entries.chunks(size) {
        let answer = send(&wire, &method, &organization, batch).await?;
        for (line, said) in tally.count(batch, &answer)? {
            progress.say(&format!("{}:{line}: {said}", path.display()));
        }
        progress.advance(batch.len());
    }
    drop(progress);
    let Tally { created, existing, refused } = tally;
    render::value(reach.format(), &json!({"created": created, "existing": existing, "refused": refused}))?;
    if refused == 0 { Ok(()) } else { Err(Failure::RowsRefused { refused, total: entries.len() }) }
}

/// A row's fields are the member's, but for the roles.
fn entry(mut fields: Map<String, Value>) -> Value {
    if fields.contains_key("member") {
        return Value::Object(fields);
    }
    let roles = fields.remove("roles").unwrap_or_else(|| json!([]));
    json!({"member": fields, "roles": roles})
}

/// The request id is made of the batch itself: sent again, by this run or a later one, it is known, and answered as it was.
async fn send(
    wire: &Wire,
    method: &MethodDescriptor,
    organization: &str,
    batch: &[(u64, Value)],
) -> Result<Value, Failure> {
    let members: Vec<&Value> = batch.iter().map(|(_, entry)| entry).collect();
    let request = json!({"organization_id": organization, "members": members});
    let mut request = DynamicMessage::deserialize(method.input(), request)
        .map_err(|error| Failure::Usage(format!("the batch is no request: {error}")))?;
    let id = digest::digest(&digest::SHA256, &request.encode_to_vec());
    let id: String = id.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    request.set_field_by_name("request_id", prost_reflect::Value::String(format!("import-{id}")));
    let mut tries = 1;
    loop {
        match wire.unary(method, request.clone()).await {
            Ok(answer) => return Ok(contract::to_json(&answer)),
            Err(status) if tries < TRIES && passes(&status) => {
                let asked = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
                tokio::time::sleep(asked.unwrap_or(Duration::from_millis(250) * 2_u32.pow(tries))).await;
                tries += 1;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// What another try may mend. The request id makes it safe even where the first one was carried out.
fn passes(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted)
        && status.get_error_details().quota_failure().is_none()
}

impl Tally {
    /// Counts a batch by its outcomes, and tells what is wrong with whom.
    fn count(&mut self, batch: &[(u64, Value)], answer: &Value) -> Result<Vec<(u64, String)>, Failure> {
        let outcomes = answer["outcomes"].as_array().map(Vec::as_slice).unwrap_or_default();
        if outcomes.len() != batch.len() {
            return Err(Status::internal("the answer has not one outcome for each row").into());
        }
        let mut said = Vec::new();
        for ((line, _), outcome) in batch.iter().zip(outcomes) {
            let refusal = &outcome["refusal"];
            let reason = refusal["reason"].as_str().unwrap_or_default();
            if outcome["member"].is_object() {
                self.created += 1;
            } else if THERE.contains(&reason) {
                self.existing += 1;
            } else {
                self.refused += 1;
                said.push((*line, words(reason, refusal)));
            }
        }
        Ok(said)
    }
}

fn words(reason: &str, refusal: &Value) -> String {
    let reason = reason.trim_start_matches("ERROR_REASON_");
    let mut words = format!("{} ({reason})", refusal["message"].as_str().unwrap_or("refused"));
    for violation in refusal["violations"].as_array().into_iter().flatten() {
        let text = |name: &str| violation[name].as_str().unwrap_or_default().to_owned();
        words.push_str(&format!("; {}: {}", text("field"), text("description")));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_entries() {
        let of = |value: Value| entry(value.as_object().unwrap().clone());
        assert_eq!(
            of(json!({"email_address": "a@b.test", "roles": ["owner"]})),
            json!({"member": {"email_address": "a@b.test"}, "roles": ["owner"]})
        );
        let whole = json!({"member": {"email_address": "a@b.test"}, "roles": []});
        assert_eq!(of(whole.clone()), whole);
    }

    #[test]
    fn outcomes_are_counted_and_refusals_said_with_their_line() {
        let batch = [(2, json!({})), (3, json!({})), (5, json!({}))];
        let answer = json!({"outcomes": [
            {"member": {"memberId": "member_1"}},
            {"refusal": {"reason": "ERROR_REASON_MEMBER_EMAIL_TAKEN", "message": "taken"}},
            {"refusal": {"reason": "ERROR_REASON_INVALID_FIELDS", "message": "wrong",
                         "violations": [{"field": "member.email_address", "description": "is no address"}]}},
        ]});
        let mut tally = Tally::default();
        let said = tally.count(&batch, &answer).unwrap();
        assert_eq!(tally, Tally { created: 1, existing: 1, refused: 1 });
        assert_eq!(said, [(5, "wrong (INVALID_FIELDS); member.email_address: is no address".to_owned())]);
        assert!(tally.count(&batch, &json!({"outcomes": []})).is_err());
    }
}
