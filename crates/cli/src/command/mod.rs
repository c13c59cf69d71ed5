//! The commands that call the contracts: from a table of methods, by their descriptors.

mod flags;
mod request;
mod table;
mod value;

use clap::{Arg, ArgMatches, Args as _, Command, FromArgMatches as _};
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

pub use value::read;

use crate::context::Reach;
use crate::contract::{self, Wire};
use crate::{Failure, catalog, import, policy, render};

/// Everything that calls a gateway.
pub fn commands() -> Vec<Command> {
    let nouns = table::NOUNS.iter().map(flags::noun).map(|noun| match noun.get_name() {
        "member" => noun.subcommand(import::members()),
        "identity" => noun.subcommand(import::identities()),
        "catalog" => noun.subcommands(catalog::commands()),
        _ => noun,
    });
    let all = nouns.chain(table::VERBS.iter().filter_map(flags::verb)).chain([call(), policy::commands()]);
    all.map(Reach::augment_args).collect()
}

/// Any method at all.
fn call() -> Command {
    let method = Arg::new("method").required_unless_present("list").value_name("METHOD");
    let method = method.help("Such as org.v1.OrganizationService/GetOrganization");
    let request = Arg::new("request").value_name("JSON").default_value("{}");
    let request = request.help("The request; @FILE or @- reads it. One object after the other for a stream");
    let list = Arg::new("list").long("list").action(clap::ArgAction::SetTrue).help("Every method there is");
    Command::new("call").about("Calls any method of the contracts with a request in JSON").args([method, request, list])
}

/// None where the words are no command of the contracts.
pub fn run(matches: &ArgMatches) -> Option<Result<(), Failure>> {
    let mut words = Vec::new();
    let mut leaf = matches;
    while let Some((word, inner)) = leaf.subcommand() {
        words.push(word);
        leaf = inner;
    }
    let work = match words.as_slice() {
        ["call"] => Work::Call,
        ["member", "import"] => Work::ImportMembers,
        ["identity", "import"] => Work::ImportIdentities,
        ["catalog", "plan"] => Work::PlanCatalog,
        ["catalog", "apply"] => Work::ApplyCatalog,
        ["policy", "test"] => Work::TestPolicy,
        words => Work::Verb(table::find(words)?),
    };
    Some(start(work, leaf))
}

enum Work {
    Call,
    ImportMembers,
    ImportIdentities,
    PlanCatalog,
    ApplyCatalog,
    TestPolicy,
    Verb(&'static table::Verb),
}

fn start(work: Work, matches: &ArgMatches) -> Result<(), Failure> {
    let reach = Reach::from_arg_matches(matches).map_err(|error| Failure::Usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system("cannot start"))?;
    runtime.block_on(async {
        match work {
            Work::Call => call_any(&reach, matches).await,
            Work::ImportMembers => import::import_members(&reach, matches).await,
            Work::ImportIdentities => import::import_identities(&reach, matches).await,
            Work::PlanCatalog => catalog::plan(&reach, matches).await,
            Work::ApplyCatalog => catalog::apply(&reach, matches).await,
            Work::TestPolicy => policy::test(&reach, matches).await,
            Work::Verb(verb) => {
                let method = known(verb.method)?;
                let organization = reach.organization()?;
                let request = request::build(&method, verb.places, matches, organization.as_deref())?;
                let all = matches.try_get_one::<bool>("all").ok().flatten().copied().unwrap_or_default();
                answer(&reach, &method, vec![request], all).await
            }
        }
    })
}

/// The method of a name.
pub fn known(name: &str) -> Result<MethodDescriptor, Failure> {
    contract::method(name).ok_or_else(|| {
        Failure::Usage(format!("there is no method {name}; `guildhall call --list` tells which there are"))
    })
}

async fn call_any(reach: &Reach, matches: &ArgMatches) -> Result<(), Failure> {
    if matches.get_flag("list") {
        return contract::methods().try_for_each(|name| render::line(&name));
    }
    let name = matches.get_one::<String>("method").map(String::as_str).unwrap_or_default();
    let method = known(name)?;
    let text = read(matches.get_one::<String>("request").map(String::as_str).unwrap_or("{}"))?;
    let requests = request::each_from_json(&method, &text)?;
    answer(reach, &method, requests, false).await
}

async fn answer(
    reach: &Reach,
    method: &MethodDescriptor,
    mut requests: Vec<DynamicMessage>,
    all: bool,
) -> Result<(), Failure> {
    let wire = reach.wire(method)?;
    if method.is_server_streaming() {
        let mut answers = wire.streaming(method, tokio_stream::iter(requests)).await?;
        while let Some(message) = answers.message().await? {
            render::item(reach.format(), &message)?;
        }
        return Ok(());
    }
    if method.is_client_streaming() {
        let message = wire.send(method, tokio_stream::iter(requests)).await?;
        return render::value(reach.format(), &message);
    }
    let request = match (requests.pop(), requests.is_empty()) {
        (Some(request), true) => request,
        _ => return Err(Failure::Usage("this method takes one request".into())),
    };
    let Some(page) = contract::page(method) else {
        return render::answer(reach.format(), method.output().full_name(), &wire.unary(method, request).await?);
    };
    let answer = if all { every_page(&wire, method, request).await? } else { wire.unary(method, request).await? };
    render::page(reach.format(), page.json_name(), &answer)
}

/// All pages as one.
pub async fn every_page(
    wire: &Wire,
    method: &MethodDescriptor,
    mut request: DynamicMessage,
) -> Result<DynamicMessage, Failure> {
    let mut whole = wire.unary(method, request.clone()).await?;
    while let Some(Value::String(token)) = whole.get_field_by_name("next_page_token").map(|token| token.into_owned())
        && !token.is_empty()
    {
        request.set_field_by_name("page_token", Value::String(token));
        let mut next = wire.unary(method, request.clone()).await?;
        let Some(field) = contract::page(method) else { break };
        if let (Value::List(rows), Value::List(more)) = (whole.get_field_mut(&field), next.get_field_mut(&field)) {
            rows.append(more);
        }
        whole.set_field_by_name(
            "next_page_token",
            next.get_field_by_name("next_page_token")
                .map_or_else(|| Value::String(String::new()), |token| token.into_owned()),
        );
    }
    Ok(whole)
}
