//! `docs/reference/`: the contracts as pages, one an area, written from the descriptors. Out of date they fail here; `make reference`
//! writes them anew.

use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use api::{Audience, Method};
use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

use crate::{
    contract::{comments, messages, our_files},
    tree::root,
};

const FOLDER: &str = "docs/reference";

/// A page's parts, in the order of the files.
#[derive(Default)]
struct Page {
    services: String,
    messages: String,
    enums: String,
}

/// The comments of one file, by the path of what they are about.
struct Comments(BTreeMap<Vec<i32>, String>);

impl Comments {
    fn of(&self, path: &[i32]) -> String {
        let text = self.0.get(path).map_or("", |text| text.as_str());
        text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n").trim().to_owned()
    }

    /// In a table's cell.
    fn cell(&self, path: &[i32]) -> String {
        let text = self.of(path);
        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
        paragraphs.collect::<Vec<_>>().join("<br>").replace('|', "\\|")
    }
}

/// The area of a package, such as `member`.
fn area(package: &str) -> String {
    package.split('.').nth(1).unwrap().to_owned()
}

fn anchor(full_name: &str) -> String {
    full_name.to_lowercase().replace('.', "-")
}

/// A link to a message or enum: on its page if it is ours.
fn link(full_name: &str, package: &str, shown: &str) -> String {
    match full_name.strip_prefix("guildhall.") {
        Some(_) => format!("[{shown}]({}.md#{})", area(package), anchor(full_name)),
        None => format!("`{full_name}`"),
    }
}

fn kind(field: &FieldDescriptor) -> String {
    let named = |kind: &Kind| match kind {
        Kind::Message(message) => link(message.full_name(), message.package_name(), message.name()),
        Kind::Enum(named) => link(named.full_name(), named.package_name(), named.name()),
        plain => format!("{plain:?}").to_lowercase(),
    };
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            format!("map of {} to {}", named(&key.kind()), named(&value.kind()))
        }
        kind if field.cardinality() == Cardinality::Repeated => format!("{}[]", named(&kind)),
        kind => named(&kind),
    }
}

fn who(method: &Method) -> String {
    match method.audience {
        Audience::Anyone => "anyone".to_owned(),
        Audience::Self_ => "those whom it is about".to_owned(),
        Audience::Organization => {
            format!("the organization's, with `{}`; its project's service accounts", method.permission)
        }
        Audience::Project => "the project's service accounts".to_owned(),
        Audience::Operator => "the operator".to_owned(),
        Audience::Workload => format!("services of the installation: {}", method.workloads.join(", ")),
    }
}

fn message_section(page: &mut String, comments: &Comments, message: &MessageDescriptor) {
    writeln!(page, "\n#### <a id=\"{}\"></a>{}\n", anchor(message.full_name()), message.name()).unwrap();
    let text = comments.of(message.path());
    if !text.is_empty() {
        writeln!(page, "{text}\n").unwrap();
    }
    if message.fields().len() == 0 {
        writeln!(page, "No fields.").unwrap();
        return;
    }
    writeln!(page, "| field | type | |\n|---|---|---|").unwrap();
    let mut fields: Vec<FieldDescriptor> = message.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields {
        let one_of = field.containing_oneof().filter(|one| !one.is_synthetic());
        let one_of = one_of.map_or(String::new(), |one| format!(" (one of `{}`)", one.name()));
        writeln!(page, "| `{}` | {}{one_of} | {} |", field.name(), kind(&field), comments.cell(field.path())).unwrap();
    }
}

fn enum_section(page: &mut String, comments: &Comments, named: &EnumDescriptor) {
    writeln!(page, "\n#### <a id=\"{}\"></a>{}\n", anchor(named.full_name()), named.name()).unwrap();
    writeln!(page, "{}\n\n| value | |\n|---|---|", comments.of(named.path())).unwrap();
    for value in named.values().filter(|value| value.number() != 0) {
        writeln!(page, "| `{}` | {} |", value.name(), comments.cell(value.path())).unwrap();
    }
}

fn method_section(page: &mut String, comments: &Comments, method: &MethodDescriptor) {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let known = api::method(&path).unwrap_or_else(|| panic!("{path} is not in the table"));
    let (input, output) = (method.input(), method.output());
    let stream = |is: bool| if is { "stream of " } else { "" };
    writeln!(page, "\n#### {}\n\n{}\n", method.name(), comments.of(method.path())).unwrap();
    if !known.served {
        writeln!(page, "Not served yet.\n").unwrap();
    }
    writeln!(page, "- For: {}", who(known)).unwrap();
    if let Some(http) = known.http {
        let body = if http.body.is_empty() { String::new() } else { format!(", body `{}`", http.body) };
        writeln!(page, "- HTTP: `{} {}`{body}", http.verb.to_uppercase(), http.path).unwrap();
    }
    let asked = link(input.full_name(), input.package_name(), input.name());
    let answered = link(output.full_name(), output.package_name(), output.name());
    writeln!(page, "- Takes: {}{asked}", stream(known.client_streaming)).unwrap();
    writeln!(page, "- Answers: {}{answered}", stream(known.server_streaming)).unwrap();
}

fn service_section(page: &mut String, comments: &Comments, service: &ServiceDescriptor) {
    writeln!(page, "\n### {}\n\n{}", service.full_name(), comments.of(service.path())).unwrap();
    service.methods().for_each(|method| method_section(page, comments, &method));
}

fn pages() -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, Page> = BTreeMap::new();
    let mut files: Vec<FileDescriptor> = our_files().collect();
    files.sort_by(|a, b| a.name().cmp(b.name()));
    for file in files {
        let page = pages.entry(area(file.package_name())).or_default();
        let comments = Comments(comments(&file));
        file.services().for_each(|service| service_section(&mut page.services, &comments, &service));
        let mut all = messages(&file);
        all.sort_by(|a, b| a.path().cmp(b.path()));
        all.iter().for_each(|message| message_section(&mut page.messages, &comments, message));
        file.enums().for_each(|named| enum_section(&mut page.enums, &comments, &named));
    }
    let whole = |(area, page): (String, Page)| {
        let mut text = format!(
            "# guildhall.{area}.v1\n\nWritten from [proto/guildhall/{area}/v1](../../proto/guildhall/{area}/v1) by `make reference`.\n"
        );
        for (title, part) in [("Services", page.services), ("Messages", page.messages), ("Enums", page.enums)] {
            if !part.is_empty() {
                write!(text, "\n## {title}\n{part}").unwrap();
            }
        }
        (format!("{FOLDER}/{area}.md"), text)
    };
    pages.into_iter().map(whole).collect()
}

#[test]
fn the_reference_is_what_the_contracts_say() {
    let pages = pages();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(root().join(FOLDER)).unwrap();
        pages.iter().for_each(|(path, text)| fs::write(root().join(path), text).unwrap());
    }
    let stale: Vec<&String> = pages
        .iter()
        .filter(|(path, text)| fs::read_to_string(root().join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "not what the contracts say; `make reference` writes them anew: {stale:?}");
    let there = fs::read_dir(root().join(FOLDER)).unwrap().count();
    assert_eq!(there, pages.len(), "a page of {FOLDER} is of no area");
}
