//! `policy test`: what must hold in an organization, written down and tried out.
//!
//! Alone it needs no server: the file says everything, and the engine that the service runs decides. With an organization the
//! assertions alone are asked of a server, about what is there.

mod file;
mod report;
mod server;
mod why;
mod world;

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, parser::ValueSource, value_parser};
use engine::{Circumstances, Decision, Snapshot};

use crate::Failure;
use crate::context::Reach;
use file::{Expected, Policy};
use report::{Outcome, Report};
use world::World;

pub use file::{Type, read};

const LONG: &str = "\
Tries the assertions of a file, and says of each that does not hold why. Without --organization-id nothing is called: the file \
describes an organization (catalog, roles, members, groups, resources, bindings), and the engine of authz-service decides here. With \
it, the assertions alone are asked of a server, all at one revision (RunAssertions); members and service accounts then need the \
ids that they have there.

  catalog:
    - {name: folder, verbs: [read], parent_types: [folder]}
    - {name: document, verbs: [read, write], parent_types: [folder]}
  roles:
    - {key: editor, permissions: ['document:*'], includes: [member]}
  members: [ada, grace]            # or  ada: member_..  each on a line
  service_accounts: [robot]
  suspended: []
  groups:
    authors: [grace, 'group:interns']
    interns: []
  resources:                       # each with what it lies in
    folder/plans:
    document/42: folder/plans
  bindings:                        # effect allow unless it says deny; perhaps condition (CEL), not_before, expire_time
    - {subject: 'group:authors', role: editor, resource: folder/plans}
    - {subject: all-members, role: editor, resource: document/secret, effect: deny}
  assertions:                      # expected: allowed, denied or conditional; perhaps context, time
    - {name: authors write, check: grace document:write document/42, expected: allowed}

It prints a report for people wherever it prints, unless -o says otherwise, and exits with 65 when an assertion does not hold.";

/// `policy`.
pub fn commands() -> Command {
    let file = Arg::new("file").required(true).value_name("FILE").value_parser(value_parser!(PathBuf));
    let test =
        Command::new("test").about("Tries the assertions of a file, without a server or against one").long_about(LONG);
    Command::new("policy")
        .about("What must hold, written down as tests")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(test.arg(file.help("A policy test in YAML")))
}

pub async fn test(reach: &Reach, matches: &ArgMatches) -> Result<(), Failure> {
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let policy: Policy = read(&path)?;
    let faulty = |faults: Vec<String>| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect();
        Failure::Usage(lines.join("\n"))
    };
    if policy.assertions.is_empty() {
        return Err(faulty(vec!["assertions: there is none".to_owned()]));
    }
    // Typed, not taken from a context or the environment: whoever tests a file alone must not reach a server by surprise.
    let report = match matches.value_source("organization") {
        Some(ValueSource::CommandLine) => {
            let organization = reach.organization()?.unwrap_or_default();
            let asked = server::Asked::of(&policy).map_err(faulty)?;
            asked.ask(reach, &policy, &organization).await?
        }
        _ => alone(&policy).map_err(faulty)?,
    };
    report.print(reach.format_of_report(), &path)?;
    let total = report.outcomes.len();
    match report.outcomes.iter().filter(|outcome| outcome.failed()).count() {
        0 => Ok(()),
        failed => Err(Failure::AssertionsFailed { failed, total }),
    }
}

/// By the engine, in this process.
fn alone(policy: &Policy) -> Result<Report, Vec<String>> {
    let (world, questions) = World::of(policy)?;
    let snapshot = Snapshot::build(&world.data);
    let mut outcomes = Vec::with_capacity(questions.len());
    for (asked, question) in policy.assertions.iter().zip(&questions) {
        let resource = question.resource.as_ref();
        let given = || Circumstances { now: question.time, context: Some(&question.context), meter: None };
        let decision = snapshot.check(&question.subject, &question.permission, resource, given());
        let (actual, missing) = match decision {
            Decision::Allowed => (Expected::Allowed, Vec::new()),
            Decision::Denied => (Expected::Denied, Vec::new()),
            Decision::Conditional { missing } => (Expected::Conditional, missing),
        };
        let mut outcome = Outcome::new(asked, Some(actual));
        outcome.missing = missing;
        if outcome.failed() {
            let derivation = snapshot.explain(&question.subject, &question.permission, resource, given());
            outcome.why = Some(why::tree(outcome.headline(), &derivation, &world));
        }
        outcomes.push(outcome);
    }
    Ok(Report { outcomes })
}
