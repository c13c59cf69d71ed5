//! Tables for people: plain columns, no frame, one line a row.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

/// What tells one resource from another, as far as it has them; what is nested or longer is left to JSON.
const COLUMNS: [&str; 27] = [
    "signer",
    "algorithm",
    "name",
    "emailAddress",
    "slug",
    "key",
    "displayName",
    "kind",
    "subject",
    "roleId",
    "roles",
    "resource",
    "parent",
    "effect",
    "purpose",
    "state",
    "until",
    "prefix",
    "permissions",
    "actor",
    "service",
    "current",
    "gateway",
    "credential",
    "time",
    "expireTime",
    "createTime",
];
/// A cell is cut after so many characters.
const WIDEST: usize = 60;

/// A row each, the id first. Columns that no row fills are left out.
pub fn rows(rows: &[Value]) -> String {
    let rows: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    let Some(first) = rows.first() else { return "none\n".to_owned() };
    let id = id_of(first);
    let known = id.as_deref().into_iter().chain(COLUMNS);
    let columns: Vec<&str> = known.filter(|name| rows.iter().any(|row| row.contains_key(*name))).collect();
    if columns.is_empty() {
        return rows.iter().map(|row| Value::Object((*row).clone()).to_string() + "\n").collect();
    }
    let mut table = plain();
    table.set_header(columns.iter().map(|name| heading(name)));
    for row in rows {
        table.add_row(columns.iter().map(|name| row.get(*name).map(cell).unwrap_or_default()));
    }
    trimmed(&table)
}

/// A line for each field, what tells it apart first.
pub fn single(value: &Value) -> String {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else { return String::new() };
    let id = id_of(fields);
    let known: Vec<&str> = id.as_deref().into_iter().chain(COLUMNS).collect();
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| known.iter().position(|column| column == name).unwrap_or(usize::MAX));
    let mut table = plain();
    for (name, value) in fields {
        let text = match value {
            Value::Object(_) | Value::Array(_) if summary(value).is_none() => plainly(&value.to_string()),
            _ => summary(value).unwrap_or_default(),
        };
        table.add_row([heading(name), text]);
    }
    trimmed(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim().to_owned() + "\n").collect()
}

/// The resource's own id is the first field that is called so.
fn id_of(row: &Map<String, Value>) -> Option<String> {
    let own = ["memberId", "invitationId", "domainId", "connectionId", "groupId", "roleId", "bindingId", "apiKeyId"];
    let own = own.iter().chain(&["sessionId", "serviceAccountId", "identityId", "organizationId", "projectId"]);
    let distinct = ["eventId", "bindingId", "sessionId", "apiKeyId", "invitationId"];
    let found = distinct.iter().chain(own).find(|name| row.contains_key(**name));
    found.map(|name| (*name).to_owned())
}

fn cell(value: &Value) -> String {
    let text = summary(value).unwrap_or_else(|| plainly(&value.to_string()));
    match text.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// A scalar, a list of them, or a message of one field as what it holds; none for what has to stay JSON.
fn summary(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::String(text) => Some(plainly(text)),
        Value::Array(items) => Some(items.iter().map(summary).collect::<Option<Vec<_>>>()?.join(", ")),
        Value::Object(fields) => {
            // A role of a member, a resource, and a choice of one.
            let text = |name| fields.get(name).and_then(Value::as_str);
            match (text("key"), text("type"), text("id")) {
                (Some(key), ..) => return Some(plainly(key)),
                (_, Some(kind), Some(id)) => return Some(plainly(&format!("{kind}/{id}"))),
                _ => {}
            }
            let (name, value) = fields.iter().next().filter(|_| fields.len() == 1)?;
            if value == &Value::Bool(true) { Some(plainly(name)) } else { value.as_str().map(plainly) }
        }
    }
}

/// Others wrote this: what would steer a terminal or turn the reading direction is shown by its number.
pub(super) fn plainly(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(steers) {
        return text.to_owned();
    }
    text.chars().map(|c| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// `displayName` as `DISPLAY NAME`.
fn heading(name: &str) -> String {
    let mut heading = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            heading.push(' ');
        }
        heading.push(c.to_ascii_uppercase());
    }
    heading
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_has_the_id_first_and_no_empty_column() {
        let text = rows(&[
            json!({"memberId": "member_1", "organizationId": "org_1", "emailAddress": "ada@acme.test", "state": "MEMBER_STATE_ACTIVE",
                   "roles": [{"roleId": "role_1", "key": "owner"}, {"roleId": "role_2", "key": "admin"}]}),
            json!({"memberId": "member_2", "emailAddress": "grace@acme.test"}),
        ]);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|l| l.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect()).collect();
        assert_eq!(lines[0], ["MEMBER ID", "EMAIL ADDRESS", "ROLES", "STATE"]);
        assert_eq!(lines[1], ["member_1", "ada@acme.test", "owner, admin", "MEMBER_STATE_ACTIVE"]);
        assert_eq!(lines[2], ["member_2", "grace@acme.test"]);
        assert_eq!(rows(&[]), "none\n");
    }

    #[test]
    fn one_message_is_a_line_a_field() {
        let text = single(&json!({"allowed": true, "subject": {"memberId": "member_1"}, "deep": {"a": 1, "b": 2}}));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.iter().any(|l| l.starts_with("SUBJECT") && l.ends_with("member_1")), "{text}");
        assert!(lines.iter().any(|l| l.ends_with(r#"{"a":1,"b":2}"#)), "{text}");
        assert_eq!(single(&json!({})), "");
    }

    #[test]
    fn nobody_steers_the_readers_terminal() {
        let text = rows(&[json!({"displayName": "a\u{1b}[2Jb\u{202e}c\nd"})]);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        assert_eq!(text.lines().count(), 2, "{text:?}");
        let long = rows(&[json!({"displayName": "é".repeat(500)})]);
        assert!(long.lines().all(|line| line.chars().count() <= WIDEST + 1));
    }
}
