//! The assertions of a file, asked of a server.

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::file::{Assertion, Expected, Policy, words};
use super::report::{Outcome, Report};
use crate::Failure;
use crate::command;
use crate::context::Reach;
use crate::contract;

const METHOD: &str = "authz.v1.AuthorizationService/RunAssertions";
/// As many as one call takes.
const AT_ONCE: usize = 1_000;

/// The assertions that a server can be asked, each with its place in the file. One with a time of its own cannot.
pub struct Asked(Vec<(usize, Value)>);

impl Asked {
    pub fn of(policy: &Policy) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut asked = Vec::new();
        for (at, assertion) in policy.assertions.iter().enumerate().filter(|(_, assertion)| assertion.time.is_none()) {
            match question(assertion, policy) {
                Ok(question) => asked.push((at, question)),
                Err(fault) => faults.push(format!("assertions[{at}].check: {fault}")),
            }
        }
        if asked.len() > AT_ONCE {
            faults.push(format!("assertions: a server takes at most {AT_ONCE} at once"));
        }
        if faults.is_empty() { Ok(Self(asked)) } else { Err(faults) }
    }

    /// All at one revision, the newest.
    pub async fn ask(self, reach: &Reach, policy: &Policy, organization: &str) -> Result<Report, Failure> {
        let method = command::known(METHOD)?;
        let mut outcomes: Vec<Outcome> = policy.assertions.iter().map(|asked| Outcome::new(asked, None)).collect();
        if self.0.is_empty() {
            return Ok(Report { outcomes });
        }
        let cases: Vec<&Value> = self.0.iter().map(|(_, case)| case).collect();
        let request = json!({
            "organization_id": organization,
            "assertions": cases,
            "consistency": {"fully_consistent": true},
        });
        let request = DynamicMessage::deserialize(method.input(), request)
            .map_err(|error| Failure::Usage(format!("the assertions are no request: {error}")))?;
        let answer = contract::to_json(&reach.wire(&method)?.unary(&method, request).await?);
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        for ((at, _), result) in self.0.iter().zip(results) {
            let actual = &result["actual"];
            let decision = actual["decision"].as_str().and_then(Expected::of_decision);
            let Some(decision) = decision else {
                return Err(tonic::Status::internal("the answer holds a case without a decision").into());
            };
            let mut outcome = Outcome::new(&policy.assertions[*at], Some(decision));
            let missing = actual["missingContext"].as_array().into_iter().flatten();
            outcome.missing = missing.filter_map(Value::as_str).map(str::to_owned).collect();
            outcomes[*at] = outcome;
        }
        if results.len() != self.0.len() {
            return Err(tonic::Status::internal("the answer has not one result for each case").into());
        }
        Ok(Report { outcomes })
    }
}

fn question(assertion: &Assertion, policy: &Policy) -> Result<Value, String> {
    let (who, permission, resource) =
        words(&assertion.check).ok_or("must be a subject, a permission and perhaps a resource")?;
    let subject = subject(who, policy)?;
    let mut check = json!({"subject": subject, "permission": permission, "context": assertion.context});
    if let Some(resource) = resource {
        let (kind, id) =
            resource.split_once('/').ok_or_else(|| format!("{resource} must be TYPE/ID, such as document/42"))?;
        check["resource"] = json!({"type": kind, "id": id});
    }
    let expected = format!("DECISION_{}", assertion.expected.word().to_ascii_uppercase());
    Ok(json!({"name": assertion.name, "check": check, "expected": expected}))
}

/// By the id that the file gives the name, or an id itself.
fn subject(name: &str, policy: &Policy) -> Result<Value, String> {
    let known = |names: &super::file::Names| {
        names.each().find(|(known, _)| *known == name).map(|(_, id)| id.map(str::to_owned))
    };
    let id = match known(&policy.members).or_else(|| known(&policy.service_accounts)) {
        Some(Some(id)) => id,
        Some(None) => {
            return Err(format!("{name} has no id: write `{name}: member_..` (or sa_..) where it is declared"));
        }
        None => name.to_owned(),
    };
    match id.split_once('_') {
        Some(("member", _)) => Ok(json!({"member_id": id})),
        Some(("sa", _)) => Ok(json!({"service_account_id": id})),
        _ => Err(format!("{id} is neither declared nor a member_.. or sa_.. id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_by_ids() {
        let policy: Policy = serde_saphyr::from_str(
            "members: {ada: member_1, grace: }
assertions:
  - {name: a, check: ada document:read document/a/b, expected: allowed, context: {hour: 7}}
  - {check: sa_2 document:read, expected: denied}
  - {check: grace document:read, expected: denied, time: '2030-01-01T00:00:00Z'}
",
        )
        .unwrap();
        let Asked(asked) = Asked::of(&policy).unwrap();
        assert_eq!(asked.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1], "one has a time of its own");
        assert_eq!(asked[0].1["check"]["subject"], json!({"member_id": "member_1"}));
        assert_eq!(asked[0].1["check"]["resource"], json!({"type": "document", "id": "a/b"}));
        assert_eq!(asked[0].1["check"]["context"], json!({"hour": 7}));
        assert_eq!(asked[1].1["expected"], "DECISION_DENIED");
        let nameless: Policy = serde_saphyr::from_str(
            "members: [ada]\nassertions: [{check: ada a:b, expected: denied}, {check: x a:b, expected: denied}]",
        )
        .unwrap();
        let faults = Asked::of(&nameless).err().unwrap();
        assert!(faults[0].contains("ada has no id") && faults[1].contains("x is neither"), "{faults:?}");
    }
}
