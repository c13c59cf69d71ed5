//! `catalog plan` and `catalog apply`: a project's catalogue as a file, and what it would change.

mod difference;

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use engine::ResourceType;
use prost_reflect::DynamicMessage;
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Code;

use crate::context::Reach;
use crate::contract::{self, Wire};
use crate::policy::{self, Type};
use crate::render::{self, Format};
use crate::{Failure, command};
use difference::{Difference, Role};

const GET: &str = "authz.v1.CatalogService/GetCatalog";
const UPDATE: &str = "authz.v1.CatalogService/UpdateCatalog";
const ROLES: &str = "authz.v1.RoleService/ListRoles";

const FILE: &str = "The file holds the whole catalogue under `catalog`, as a policy test does, whatever else is in it:

  catalog:
    - name: folder
      verbs: [read]
      parent_types: [folder]
    - {name: document, verbs: [read, write], parent_types: [folder], description: What people write.}";

/// Besides `catalog get` and `catalog update`.
pub fn commands() -> [Command; 2] {
    let file = || Arg::new("file").required(true).value_name("FILE").value_parser(value_parser!(PathBuf));
    let plan = "Says what a catalogue in a file would change: types, verbs, and which roles gain or lose what";
    let apply = "Makes the catalogue what a file says";
    [
        Command::new("plan")
            .about(plan)
            .long_about(format!(
                "{plan}. Changes nothing: the server checks it all (UpdateCatalog with validate_only). Roles are the project's and, \
                 with --organization-id, an organization's own.\n\n{FILE}"
            ))
            .arg(file().help("A catalogue in YAML")),
        Command::new("apply")
            .about(apply)
            .long_about(format!(
                "{apply}, and says what that changes. It is refused (20, ABORTED) if somebody else changes the catalogue meanwhile. \
                 Applied again, it changes nothing.\n\n{FILE}"
            ))
            .arg(file().help("A catalogue in YAML")),
    ]
}

/// Whatever else a policy test's file holds is passed over.
#[derive(Deserialize)]
struct File {
    catalog: Vec<Type>,
}

pub async fn plan(reach: &Reach, matches: &ArgMatches) -> Result<(), Failure> {
    let plan = Plan::of(reach, matches).await?;
    let verdict = if plan.difference.is_empty() { Ok(()) } else { plan.update(true).await.map(drop) };
    let refusal = match verdict {
        Ok(()) => None,
        // A plan that cannot be carried out is shown all the same: what it changes is what the refusal is about.
        Err(Failure::Refused(status)) if status.code() == Code::FailedPrecondition => Some(status),
        Err(failure) => return Err(failure),
    };
    plan.show(reach.format_of_report(), refusal.is_none())?;
    refusal.map_or(Ok(()), |status| Err(Failure::Refused(status)))
}

pub async fn apply(reach: &Reach, matches: &ArgMatches) -> Result<(), Failure> {
    let plan = Plan::of(reach, matches).await?;
    if !plan.difference.is_empty() {
        plan.update(false).await?;
    }
    plan.show(reach.format_of_report(), true)
}

/// A file beside what the server has.
struct Plan {
    wire: Wire,
    wanted: Vec<ResourceType>,
    etag: Value,
    difference: Difference,
}

impl Plan {
    async fn of(reach: &Reach, matches: &ArgMatches) -> Result<Self, Failure> {
        let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
        let wanted = wanted(&path)?;
        let get = command::known(GET)?;
        let wire = reach.wire(&get)?;
        let request = DynamicMessage::new(get.input());
        let current = contract::to_json(&wire.unary(&get, request).await?);
        let there = types(&current["resourceTypes"]);
        let difference = Difference::between(there, wanted.clone(), &roles(reach, &wire).await?);
        Ok(Self { wire, wanted, etag: current["etag"].clone(), difference })
    }

    async fn update(&self, validate_only: bool) -> Result<Value, Failure> {
        let types: Vec<Value> = self.wanted.iter().map(written).collect();
        let request = json!({
            "catalog": {"resource_types": types, "etag": self.etag.as_str().unwrap_or_default()},
            "validate_only": validate_only,
        });
        let method = command::known(UPDATE)?;
        let request = DynamicMessage::deserialize(method.input(), request)
            .map_err(|error| Failure::Usage(format!("the catalogue is no request: {error}")))?;
        Ok(contract::to_json(&self.wire.unary(&method, request).await?))
    }

    fn show(&self, format: Format, possible: bool) -> Result<(), Failure> {
        match format {
            Format::Table => render::text(&self.difference.draw()),
            _ => {
                let mut value = self.difference.to_json();
                value["possible"] = json!(possible);
                render::value(format, &value)
            }
        }
    }
}

/// What is wrong with it by itself is said without a call.
fn wanted(path: &Path) -> Result<Vec<ResourceType>, Failure> {
    let file: File = policy::read(path)?;
    let types: Vec<ResourceType> = file
        .catalog
        .into_iter()
        .map(|Type { name, parent_types, verbs, description }| ResourceType { name, parent_types, verbs, description })
        .collect();
    engine::Catalog::new(types.clone()).map_err(|invalid| {
        let lines = invalid.0.iter().map(|fault| fault.to_string().replacen("resource_types", "catalog", 1));
        Failure::Usage(lines.map(|line| format!("{}: {line}", path.display())).collect::<Vec<_>>().join("\n"))
    })?;
    Ok(types)
}

fn written(kind: &ResourceType) -> Value {
    json!({
        "name": kind.name,
        "parent_types": kind.parent_types,
        "verbs": kind.verbs,
        "description": kind.description,
    })
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn types(list: &Value) -> Vec<ResourceType> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |kind: &Value| ResourceType {
        name: text(&kind["name"]),
        parent_types: texts(&kind["parentTypes"]),
        verbs: texts(&kind["verbs"]),
        description: text(&kind["description"]),
    };
    list.as_array().into_iter().flatten().map(one).collect()
}

/// The builtin ones, the project's and, where one is meant, the organization's own.
async fn roles(reach: &Reach, wire: &Wire) -> Result<Vec<Role>, Failure> {
    let method = command::known(ROLES)?;
    let organization = reach.organization()?.unwrap_or_default();
    let request = json!({"organization_id": organization, "page_size": 500});
    let request = DynamicMessage::deserialize(method.input(), request)
        .map_err(|error| Failure::Usage(format!("the organization is no request: {error}")))?;
    let answer = contract::to_json(&command::every_page(wire, &method, request).await?);
    let role = |role: &Value| Role {
        id: role["roleId"].as_str().unwrap_or_default().to_owned(),
        key: role["key"].as_str().unwrap_or_default().to_owned(),
        permissions: texts(&role["permissions"]),
        includes: texts(&role["includedRoleIds"]),
    };
    Ok(answer["roles"].as_array().into_iter().flatten().map(role).collect())
}
