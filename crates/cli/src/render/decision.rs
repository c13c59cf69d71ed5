//! The answers of Check and Explain, for people.

use serde_json::Value;

use super::tree::Tree;

/// `DECISION_ALLOWED` as `allowed`; `CAUSE_NO_GRANT` as `no grant`.
fn word(value: &Value, prefix: &str) -> String {
    let name = value.as_str().unwrap_or_default();
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', " ")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn subject(subject: &Value) -> String {
    let one = subject.as_object().and_then(|fields| fields.iter().next());
    match one {
        Some((_, Value::String(id))) => id.clone(),
        Some(_) => "all-members".to_owned(),
        None => String::new(),
    }
}

fn resource(resource: &Value) -> String {
    format!("{}/{}", text(resource, "type"), text(resource, "id"))
}

fn missing(answer: &Value) -> String {
    let names: Vec<&str> = list(&answer["missingContext"]).iter().filter_map(Value::as_str).collect();
    if names.is_empty() { String::new() } else { format!(", for want of {}", names.join(", ")) }
}

/// One word, and what a conditional answer lacks.
pub fn checked(answer: &Value) -> String {
    format!("{}{}\n", word(&answer["decision"], "DECISION_"), missing(answer))
}

/// The decision, beneath it what decided, beneath each binding how it is reached.
pub fn explained(answer: &Value) -> String {
    let cause = match text(answer, "cause") {
        "CAUSE_GRANTED" => "a binding grants it and none denies it",
        "CAUSE_FORBIDDEN" => "a binding denies it",
        "CAUSE_NO_GRANT" => "no binding grants it",
        "CAUSE_MISSING_CONTEXT" => "a condition lacks inputs",
        "CAUSE_SUBJECT_NOT_ACTIVE" => "the subject is suspended or removed",
        "CAUSE_ORGANIZATION_NOT_ACTIVE" => "the organization is suspended or deleted",
        "CAUSE_RESOURCE_MISPLACED" => "what the resource lies in cannot be told",
        other => other,
    };
    let bindings = list(&answer["derivations"]).iter().map(derivation);
    let near = list(&answer["nearMisses"]).iter().map(near_miss);
    let headline = format!("{}{}: {cause}", word(&answer["decision"], "DECISION_"), missing(answer));
    Tree::new(headline, bindings.chain(near).collect()).draw()
}

fn derivation(step: &Value) -> Tree {
    let binding = &step["binding"];
    let effect = if text(binding, "effect") == "BINDING_EFFECT_DENY" { "deny" } else { "allow" };
    let id = match text(binding, "bindingId") {
        "" => "a binding of the question's own",
        id => id,
    };
    let outcome = match text(step, "outcome") {
        "DERIVATION_OUTCOME_APPLIES" => "applies".to_owned(),
        "DERIVATION_OUTCOME_NOT_YET" => format!("begins at {}", text(binding, "notBefore")),
        "DERIVATION_OUTCOME_EXPIRED" => format!("ended at {}", text(binding, "expireTime")),
        "DERIVATION_OUTCOME_CONDITION_FALSE" => "its condition is false".to_owned(),
        "DERIVATION_OUTCOME_CONDITION_FAILED" => format!("its condition failed: {}", text(step, "conditionError")),
        "DERIVATION_OUTCOME_MISSING_CONTEXT" => format!("its condition lacks inputs{}", missing(step)),
        other => other.to_owned(),
    };
    let mut below = Vec::new();
    let subjects: Vec<String> = list(&step["subjectPath"]).iter().map(subject).collect();
    if !subjects.is_empty() {
        below.push(Tree::leaf(format!("who    {}", subjects.join(" in "))));
    }
    let roles: Vec<&str> = list(&step["rolePath"]).iter().map(|role| text(role, "key")).collect();
    if !roles.is_empty() {
        let lists = match text(step, "matchedPermission") {
            "" => String::new(),
            pattern => format!(", which permits {pattern}"),
        };
        below.push(Tree::leaf(format!("role   {}{lists}", roles.join(" includes "))));
    }
    let places: Vec<String> = list(&step["resourcePath"]).iter().map(resource).collect();
    below.push(Tree::leaf(match (places.is_empty(), binding["resource"].is_object()) {
        (false, _) => format!("where  {}", places.join(" in ")),
        (true, true) => format!("where  {}", resource(&binding["resource"])),
        (true, false) => "where  the organization".to_owned(),
    }));
    if !text(binding, "condition").is_empty() {
        below.push(Tree::leaf(format!("when   {}", text(binding, "condition"))));
    }
    Tree::new(format!("{effect}  {id}: {outcome}"), below)
}

fn near_miss(near: &Value) -> Tree {
    let below = if near["inactive"].is_object() { vec![derivation(&near["inactive"])] } else { Vec::new() };
    Tree::new(format!("nearest  {}", text(near, "suggestion")), below)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_is_a_tree() {
        let answer = json!({
            "decision": "DECISION_ALLOWED", "allowed": true, "cause": "CAUSE_GRANTED",
            "derivations": [{
                "binding": {"bindingId": "binding_1", "effect": "BINDING_EFFECT_ALLOW", "resource": {"type": "folder", "id": "a"}},
                "outcome": "DERIVATION_OUTCOME_APPLIES",
                "subjectPath": [{"memberId": "member_1"}, {"groupId": "group_1"}],
                "rolePath": [{"key": "chief"}, {"key": "editor"}], "matchedPermission": "document:*",
                "resourcePath": [{"type": "document", "id": "42"}, {"type": "folder", "id": "a"}]
            }]
        });
        assert_eq!(
            explained(&answer),
            "allowed: a binding grants it and none denies it\n\
             └─ allow  binding_1: applies\n\
             \u{20}  ├─ who    member_1 in group_1\n\
             \u{20}  ├─ role   chief includes editor, which permits document:*\n\
             \u{20}  └─ where  document/42 in folder/a\n"
        );
    }

    #[test]
    fn a_denial_says_what_is_nearest() {
        let answer = json!({"decision": "DECISION_DENIED", "cause": "CAUSE_NO_GRANT", "nearMisses": [
            {"roleNotHeld": {"key": "editor"}, "suggestion": "The role editor permits it: bind it to the subject."}]});
        assert_eq!(
            explained(&answer),
            "denied: no binding grants it\n└─ nearest  The role editor permits it: bind it to the subject.\n"
        );
        assert_eq!(checked(&json!({"decision": "DECISION_DENIED"})), "denied\n");
        let conditional = json!({"decision": "DECISION_CONDITIONAL", "missingContext": ["hour", "ip"]});
        assert_eq!(checked(&conditional), "conditional, for want of hour, ip\n");
    }
}
