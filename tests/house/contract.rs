//! The contracts are written as a reference manual: the rules of `buf lint` (STANDARD) with the exceptions that buf.yaml lists, and
//! our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use api::{Audience, METHODS, Method};
use prost_reflect::{DescriptorPool, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

use crate::tree::{files, none, read, root};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let proto = root().join("proto");
    let names: Vec<_> = files("proto/guildhall", "proto").iter().map(|f| root().join(&f.path)).collect();
    let mut compiler = protox::Compiler::new([&proto]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_files(names).unwrap();
    compiler.descriptor_pool()
});

pub fn our_files() -> impl Iterator<Item = FileDescriptor> {
    POOL.files().filter(|f| f.package_name().starts_with("guildhall."))
}

pub fn messages(file: &FileDescriptor) -> Vec<MessageDescriptor> {
    fn nested(message: MessageDescriptor, all: &mut Vec<MessageDescriptor>) {
        message.child_messages().filter(|m| !m.is_map_entry()).for_each(|m| nested(m, all));
        all.push(message);
    }
    let mut all = Vec::new();
    file.messages().for_each(|m| nested(m, &mut all));
    all
}

/// The comment before an element, by its path in the file's descriptor.
pub fn comments(file: &FileDescriptor) -> BTreeMap<Vec<i32>, String> {
    let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
    info.location.into_iter().filter_map(|l| l.leading_comments.map(|text| (l.path, text))).collect()
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

#[test]
fn every_element_is_documented() {
    let mut faults = Vec::new();
    for file in our_files() {
        let comments = comments(&file);
        let mut check = |path: &[i32], name: &str| {
            if comments.get(path).is_none_or(|text| text.trim().len() < 3) {
                faults.push(format!("{name} says nothing"));
            }
        };
        for message in messages(&file) {
            // A request or response is told by its method.
            if !message.name().ends_with("Request") && !message.name().ends_with("Response") {
                check(message.path(), message.full_name());
            }
            // An id says whose it is, and a message is documented where it is defined; numbers, flags and texts say what they mean.
            let plain = |f: &FieldDescriptor| !matches!(f.kind(), Kind::Message(_)) && !f.name().ends_with("_id");
            message.fields().filter(plain).for_each(|f| check(f.path(), f.full_name()));
        }
        for named in file.enums() {
            check(named.path(), named.full_name());
            named.values().filter(|v| v.number() != 0).for_each(|v| check(v.path(), v.full_name()));
        }
        for service in file.services() {
            check(service.path(), service.full_name());
            service.methods().for_each(|m| check(m.path(), m.full_name()));
        }
    }
    none(faults);
}

#[test]
fn names_follow_the_style() {
    let mut faults = Vec::new();
    for file in our_files() {
        let folder = file.package_name().replace('.', "/");
        if !file.name().starts_with(&format!("{folder}/")) {
            faults.push(format!("{} is not in the folder of its package", file.name()));
        }
        if !file.package_name().ends_with(".v1") {
            faults.push(format!("{} has no version in its package", file.name()));
        }
        for message in messages(&file) {
            for field in message.fields() {
                let plain = field.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                if !plain {
                    faults.push(format!("{} is not in snake case", field.full_name()));
                }
            }
        }
        for named in file.enums() {
            let prefix = snake(named.name());
            for value in named.values() {
                if !value.name().starts_with(&format!("{prefix}_")) {
                    faults.push(format!("{} does not begin with {prefix}_", value.full_name()));
                }
                if value.number() == 0 && value.name() != format!("{prefix}_UNSPECIFIED") {
                    faults.push(format!("{} is zero and not {prefix}_UNSPECIFIED", value.full_name()));
                }
            }
        }
        for service in file.services() {
            if !service.name().ends_with("Service") {
                faults.push(format!("{} is no ..Service", service.full_name()));
            }
            for method in service.methods() {
                let own = format!("{}Request", method.name());
                let empty = "google.protobuf.Empty";
                if method.input().name() != own && method.input().full_name() != empty {
                    faults.push(format!("{} takes no {own}", method.full_name()));
                }
            }
        }
    }
    none(faults);
}

#[test]
fn the_permissions_of_the_methods_are_those_of_the_system_catalogue() {
    let catalog = engine::Catalog::system();
    let catalogued: BTreeSet<String> = catalog.permissions().iter().map(ToString::to_string).collect();
    // Asked for by the exchange of a token, which is no method for one permission: what else is exchanged needs none.
    let within = "guildhall.member:impersonate".to_owned();
    let mut named: BTreeSet<String> =
        METHODS.iter().map(|m| m.permission.to_owned()).filter(|permission| !permission.is_empty()).collect();
    named.insert(within);
    let unknown = named.difference(&catalogued).map(|p| format!("a method asks for {p}, which nobody can be given"));
    let unused = catalogued.difference(&named).map(|p| format!("{p} can be given, and no method asks for it"));
    none(unknown.chain(unused).collect());
}

#[test]
fn requests_about_one_organization_name_it_first() {
    let mut faults = Vec::new();
    for method in METHODS.iter().filter(|m| m.audience == Audience::Organization) {
        let input = POOL.get_message_by_name(method.input).unwrap();
        let first = input.get_field(1);
        if first.is_none_or(|f| f.name() != "organization_id" || f.kind() != Kind::String) {
            faults.push(format!("{} does not begin with string organization_id = 1", method.input));
        }
    }
    none(faults);
}

#[test]
fn creates_can_be_repeated_and_lists_paged() {
    let mut faults = Vec::new();
    for method in METHODS {
        let input = POOL.get_message_by_name(method.input).unwrap();
        let has = |name| input.get_field_by_name(name).is_some();
        if method.name.starts_with("Create") && method.audience != Audience::Workload && !has("request_id") {
            faults.push(format!("{} takes no request_id", method.path));
        }
        let answers = POOL.get_message_by_name(method.output).unwrap();
        let pages = answers.get_field_by_name("next_page_token").is_some();
        if pages && !(has("page_size") && has("page_token") && method.read_only) {
            faults.push(format!(
                "{} gives pages, but takes no page_size and page_token or has side effects",
                method.path
            ));
        }
    }
    none(faults);
}

#[test]
fn reads_are_marked_as_such() {
    let reading = ["Get", "List", "Lookup", "BatchGet", "Check", "BatchCheck", "Explain", "Resolve", "Watch"];
    let faults = METHODS
        .iter()
        .filter(|m| reading.iter().any(|verb| m.name.starts_with(verb)))
        // These two make intermediate choices for somebody who carries a secret in the request.
        .filter(|m| !m.read_only && m.service != "guildhall.gateway.v1.AuthenticationService")
        .map(|m| format!("{} has no idempotency_level", m.path))
        .collect();
    none(faults);
}

#[test]
fn http_paths_are_unique() {
    let mut seen: BTreeMap<(String, &str), &str> = BTreeMap::new();
    let mut faults = Vec::new();
    for method in METHODS {
        let Some(http) = method.http else { continue };
        // Two paths that differ in a variable's name alone are one path.
        let mut shape = String::new();
        let mut inside = false;
        for c in http.path.chars() {
            inside = (inside || c == '{') && c != '}';
            if !inside {
                shape.push(c);
            }
        }
        if let Some(other) = seen.insert((shape, http.verb), method.path) {
            faults.push(format!("{} and {other} share {} {}", method.path, http.verb, http.path));
        }
    }
    none(faults);
}

#[test]
fn what_is_not_served_yet_is_listed_in_architecture() {
    let text = read("ARCHITECTURE.md");
    let list = text.split("## Not served yet").nth(1).expect("ARCHITECTURE.md has a section `Not served yet`");
    let list = list.split("\n## ").next().unwrap_or(list);
    let short = |m: &Method| format!("{}/{}", m.service.trim_start_matches("guildhall."), m.name);
    let mut faults = Vec::new();
    for method in METHODS {
        let listed = list.contains(&format!("`{}`", short(method)));
        if listed == method.served {
            faults.push(format!("{} is {}listed", short(method), if listed { "served and " } else { "not " }));
        }
    }
    none(faults);
}

#[test]
fn every_reason_is_documented_with_its_code() {
    let codes = [
        "INVALID_ARGUMENT",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "UNIMPLEMENTED",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
        "INTERNAL",
        "ABORTED",
        "FAILED_PRECONDITION",
        "ALREADY_EXISTS",
    ];
    let reasons = POOL.get_enum_by_name("guildhall.access.v1.ErrorReason").unwrap();
    let comments = comments(&reasons.parent_file());
    let faults = reasons
        .values()
        .filter(|v| v.number() != 0)
        .filter(|v| comments.get(v.path()).is_none_or(|text| !codes.iter().any(|code| text.trim().starts_with(code))))
        .map(|v| format!("{} does not begin with its status code", v.name()))
        .collect();
    none(faults);
}
