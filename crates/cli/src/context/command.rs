//! `guildhall context ..`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::store::{self, Contexts};
use super::{Context, address};
use crate::render::{self, Format};
use crate::{Failure, command};

#[derive(Subcommand)]
pub enum Command {
    /// Makes a context, or changes what is named of one.
    Set(Box<Set>),
    /// Makes a context the one that counts when none is named.
    Use { name: String },
    /// Every context, without its secrets.
    List {
        #[arg(short, long)]
        output: Option<Format>,
    },
    /// One context, the current one unless named, without its secrets.
    Show {
        name: Option<String>,
        #[arg(short, long)]
        output: Option<Format>,
    },
    /// Forgets a context and its secrets.
    Delete { name: String },
}

#[derive(Args)]
pub struct Set {
    name: String,
    /// The dev.json of a `guildhall dev`: its gateway, its project, and the credential of the project's first service account.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client_id", "client_secret", "token"])]
    from: Option<PathBuf>,
    /// With --from: the operator's credential.
    #[arg(long, requires = "from")]
    operator: bool,
    /// Such as `https://guildhall.example.com`; without a scheme TLS is meant, but for this machine.
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<String>,
    /// The project that a sign-in means. Empty: none.
    #[arg(long, value_name = "PROJECT_ID")]
    project: Option<String>,
    /// The organization that commands mean when none is named. Empty: none.
    #[arg(long, value_name = "ORGANIZATION_ID")]
    organization: Option<String>,
    /// A service account, `sa_..`. Its tokens are fetched when needed, and never kept.
    #[arg(long, value_name = "SERVICE_ACCOUNT_ID", requires = "client_secret")]
    client_id: Option<String>,
    /// Where its secret stands: @FILE, or @- for standard input. The secret itself would be seen by everybody on the machine.
    #[arg(long, value_name = "@FILE", requires = "client_id")]
    client_secret: Option<String>,
    /// Where an access token stands, instead of a service account: @FILE or @-.
    #[arg(long, value_name = "@FILE", conflicts_with_all = ["client_id", "client_secret"])]
    token: Option<String>,
}

/// What a dev.json says that is of use here.
#[derive(Deserialize)]
struct Dev {
    gateway: String,
    project_id: String,
    client_id: String,
    client_secret: SecretString,
    operator_client_id: String,
    operator_client_secret: SecretString,
}

pub fn run(command: Command) -> Result<(), Failure> {
    let path = store::path()?;
    match command {
        Command::Set(set) => self::set(&path, *set),
        Command::Use { name } => store::change(&path, |contexts| {
            known(contexts, &name)?;
            contexts.current = Some(name);
            Ok(())
        }),
        Command::Delete { name } => store::change(&path, |contexts| {
            known(contexts, &name)?;
            contexts.contexts.remove(&name);
            contexts.current.take_if(|current| *current == name);
            Ok(())
        }),
        Command::List { output } => {
            let contexts = store::read(&path)?;
            let rows = contexts.contexts.iter().map(|(name, context)| shown(&contexts, name, context)).collect();
            render::rows(Format::or_default(output), rows)
        }
        Command::Show { name, output } => {
            let contexts = store::read(&path)?;
            let name = name.or_else(|| contexts.current.clone());
            let name = name.ok_or_else(|| Failure::Usage("no context is in use: name one".into()))?;
            let context = known(&contexts, &name)?;
            render::value(Format::or_default(output), &shown(&contexts, &name, context))
        }
    }
}

/// The first context there is becomes the current one.
fn set(path: &Path, set: Set) -> Result<(), Failure> {
    let secret = |text: Option<String>| text.map(|text| hidden(&text)).transpose();
    let (client_secret, token) = (secret(set.client_secret)?, secret(set.token)?);
    let dev = set.from.map(|path| read_dev(&path)).transpose()?;
    store::change(path, |contexts| {
        let context = contexts.contexts.entry(set.name.clone()).or_default();
        if let Some(dev) = dev {
            let (id, secret) = match set.operator {
                true => (dev.operator_client_id, dev.operator_client_secret),
                false => (dev.client_id, dev.client_secret),
            };
            *context = Context {
                gateway: address(&dev.gateway),
                project: Some(dev.project_id),
                organization: context.organization.take(),
                client_id: Some(id),
                client_secret: Some(secret),
                token: None,
            };
        }
        if let Some(gateway) = set.gateway {
            context.gateway = address(&gateway);
        }
        if context.gateway.is_empty() {
            return Err(Failure::Usage("a new context needs --gateway, or --from a dev.json".into()));
        }
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        context.project = set.project.map_or(context.project.take(), given);
        context.organization = set.organization.map_or(context.organization.take(), given);
        if client_secret.is_some() {
            (context.client_id, context.client_secret, context.token) = (set.client_id, client_secret, None);
        } else if token.is_some() {
            (context.client_id, context.client_secret, context.token) = (None, None, token);
        }
        contexts.current.get_or_insert(set.name);
        Ok(())
    })
}

fn hidden(text: &str) -> Result<SecretString, Failure> {
    if !text.starts_with('@') {
        return Err(Failure::Usage("a secret is named by where it stands: @FILE, or @- for standard input".into()));
    }
    command::read(text).map(SecretString::from)
}

fn read_dev(path: &Path) -> Result<Dev, Failure> {
    let text = std::fs::read(path).map_err(Failure::file("cannot read", path))?;
    serde_json::from_slice(&text).map_err(|_| Failure::Usage(format!("{} is no dev.json", path.display())))
}

fn known<'c>(contexts: &'c Contexts, name: &str) -> Result<&'c Context, Failure> {
    contexts.contexts.get(name).ok_or_else(|| Failure::Usage(format!("there is no context {name}")))
}

fn shown(contexts: &Contexts, name: &str, context: &Context) -> serde_json::Value {
    let credential = match context {
        Context { client_secret: Some(_), .. } => "service account",
        Context { token: Some(_), .. } => "token",
        _ => "none",
    };
    json!({
        "name": name,
        "current": contexts.current.as_deref() == Some(name),
        "gateway": context.gateway,
        "project": context.project,
        "organization": context.organization,
        "credential": credential,
        "clientId": context.client_id,
    })
}
