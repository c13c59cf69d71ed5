//! From a method to the command that calls it: its fields become flags, its comments the help.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, Command};
use prost_reflect::{FieldDescriptor, Kind, MethodDescriptor};

use super::table::{Noun, Verb};
use super::value;
use crate::contract;

/// Flags that every command has for itself: a field of such a name is called `--request-<name>`.
const TAKEN: [&str; 9] = ["context", "gateway", "organization", "output", "timeout", "data", "all", "help", "clear"];
/// What the server judges a write by: no part of the resource that a person would set.
const NOT_SET: [&str; 2] = ["update_mask", "organization_id"];

/// A field of a request that a command line can set, by its path in the request.
pub struct Settable {
    pub path: String,
    pub field: FieldDescriptor,
    /// It is given by its place on the command line.
    pub by_place: bool,
    /// It is one of the resource's own, which an update names in its mask.
    pub in_resource: bool,
}

impl Settable {
    /// As clap knows it: apart from the flags that are no fields.
    pub fn id(&self) -> String {
        id(&self.path)
    }
}

fn id(path: &str) -> String {
    format!("field:{path}")
}

/// The fields that a command sets, in the order of the contract; those given by place first.
pub fn settable(method: &MethodDescriptor, places: &[&str]) -> Vec<Settable> {
    let resource = contract::resource(method);
    let update = method.input().get_field_by_name("update_mask").is_some();
    let mut found: Vec<Settable> = Vec::new();
    let mut offer = |path: String, field: FieldDescriptor, in_resource: bool| {
        let by_place = places.contains(&path.as_str());
        let hidden = NOT_SET.contains(&field.name())
            || (in_resource && contract::documentation(&field).is_output_only())
            || (in_resource && field.name() == "etag" && !update);
        let named = found.iter().any(|known: &Settable| known.field.name() == field.name());
        if by_place || !(hidden || named) {
            let in_resource = in_resource && !by_place && field.name() != "etag";
            found.push(Settable { path, field, by_place, in_resource });
        }
    };
    for field in method.input().fields().filter(|field| Some(field) != resource.as_ref()) {
        offer(field.name().to_owned(), field, false);
    }
    if let Some(resource) = resource {
        for field in resource.kind().as_message().into_iter().flat_map(|message| message.fields()) {
            offer(format!("{}.{}", resource.name(), field.name()), field, true);
        }
    }
    found.sort_by_key(|settable| places.iter().position(|place| *place == settable.path).unwrap_or(usize::MAX));
    found
}

pub fn noun(noun: &Noun) -> Command {
    Command::new(noun.name)
        .about(noun.about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(noun.verbs.iter().filter_map(verb))
        .subcommands(noun.nouns.iter().map(self::noun))
}

/// None for a method that the contract does not have, which a test rules out.
pub fn verb(verb: &Verb) -> Option<Command> {
    let method = contract::method(verb.method)?;
    let documentation = contract::documentation(&method);
    let mut command = Command::new(verb.name)
        .about(documentation.short().to_owned())
        .long_about(format!("{}\n\nCalls {}.", documentation.whole(), verb.method))
        .args(settable(&method, verb.places).iter().map(argument))
        .arg(
            Arg::new("data")
                .long("data")
                .short('d')
                .value_name("JSON")
                .help("The request as JSON; flags go over it. @FILE or @- reads it"),
        );
    if method.input().get_field_by_name("update_mask").is_some() {
        let help = "Empties a field of the resource; may be repeated";
        command = command.arg(Arg::new("clear").long("clear").value_name("FIELD").action(ArgAction::Append).help(help));
    }
    if contract::page(&method).is_some() {
        let help = "Every page, one after the other";
        command = command
            .arg(Arg::new("all").long("all").action(ArgAction::SetTrue).conflicts_with(id("page_token")).help(help));
    }
    Some(command)
}

fn argument(settable: &Settable) -> Arg {
    let Settable { field, by_place, .. } = settable;
    let documentation = contract::documentation(field);
    let mut argument = Arg::new(settable.id()).value_name(value::form(field)).help(documentation.short().to_owned());
    if documentation.whole().len() > documentation.short().len() + 1 {
        argument = argument.long_help(documentation.whole().to_owned());
    }
    let kind = field.kind();
    if let Kind::Enum(values) = &kind {
        let words = contract::words(values).into_iter().map(|(word, name)| PossibleValue::new(word).alias(name));
        argument = argument.value_parser(PossibleValuesParser::new(words)).ignore_case(true);
    }
    if field.is_list() {
        argument = argument.action(ArgAction::Append);
    }
    if *by_place {
        // The organization may come from elsewhere; whatever else may come from --data.
        argument = if field.is_list() { argument.num_args(1..) } else { argument };
        return if field.name() == "organization_id" { argument } else { argument.required_unless_present("data") };
    }
    if let Kind::Bool = kind {
        argument = argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(["true", "false"])
            .hide_possible_values(true);
    }
    let name = field.name().replace('_', "-");
    let one = if field.is_list() { name.strip_suffix('s').unwrap_or(&name) } else { &name };
    let long = if TAKEN.contains(&one) { format!("request-{one}") } else { one.to_owned() };
    // The list's own name does as well.
    if field.is_list() && long != name { argument.long(long).alias(name) } else { argument.long(long) }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    fn paths(words: &[&str]) -> Vec<String> {
        let verb = table::find(words).unwrap();
        let method = contract::method(verb.method).unwrap();
        settable(&method, verb.places).into_iter().map(|settable| settable.path).collect()
    }

    #[test]
    fn a_create_takes_what_a_caller_may_say() {
        let paths = paths(&["member", "create"]);
        assert_eq!(paths.first().map(String::as_str), Some("member.email_address"), "by place: first");
        for given in ["member.display_name", "member.trusted_metadata", "roles", "request_id"] {
            assert!(paths.iter().any(|path| path == given), "{given}");
        }
        for hidden in ["organization_id", "member.member_id", "member.roles", "member.create_time", "member.etag"] {
            assert!(!paths.iter().any(|path| path == hidden), "{hidden}");
        }
    }

    #[test]
    fn an_update_takes_an_etag_and_makes_its_mask_itself() {
        let paths = paths(&["member", "update"]);
        assert!(paths.contains(&"member.etag".to_owned()) && !paths.contains(&"update_mask".to_owned()));
    }

    #[test]
    fn clap_finds_no_fault_with_any_command() {
        let mut command = Command::new("test")
            .subcommands(table::NOUNS.iter().map(noun))
            .subcommands(table::VERBS.iter().filter_map(verb));
        command.build();
        command.clone().debug_assert();
        assert!(
            command.clone().try_get_matches_from(["test", "check", "a", "b", "c", "--request-context", "{}"]).is_ok()
        );
        assert!(command.clone().try_get_matches_from(["test", "org", "get"]).is_ok());
        assert!(command.clone().try_get_matches_from(["test", "member", "get"]).is_err());
        assert!(command.try_get_matches_from(["test", "org", "list", "--kind", "nothing"]).is_err());
    }
}
