//! What a call goes to and as whom: flags, then the environment, then the context.

use std::env::{self, VarError};
use std::time::Duration;

use clap::Args;
use client::{Client, ClientOptions};
use prost_reflect::MethodDescriptor;
use secrecy::SecretString;

use super::{Context, address, store};
use crate::Failure;
use crate::contract::{self, Wire};
use crate::render::Format;

/// Says to the gateway which project somebody without a credential means.
const PROJECT: &str = "guildhall-project-id";

#[derive(Args)]
#[command(next_help_heading = "Reach")]
pub struct Reach {
    /// The context to use instead of the current one.
    #[arg(long, global = true, value_name = "NAME", env = "GUILDHALL_CONTEXT")]
    context: Option<String>,
    /// The gateway's address. A context's credential is sent to no other gateway than its own: with another one, the
    /// environment gives the credential.
    #[arg(long, global = true, value_name = "ADDRESS", env = "GUILDHALL_GATEWAY")]
    gateway: Option<String>,
    /// The organization that is meant. Empty: none, whatever the context says, where a command is about the project itself.
    #[arg(
        long,
        visible_alias = "organization-id",
        global = true,
        value_name = "ORGANIZATION_ID",
        env = "GUILDHALL_ORGANIZATION"
    )]
    organization: Option<String>,
    /// A table on a terminal, else JSON.
    #[arg(short, long, global = true)]
    output: Option<Format>,
    /// How long to wait for an answer: 500ms, 10s, 2m.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

/// Who calls.
enum Credential {
    Token(SecretString),
    Account { id: String, secret: SecretString },
    None,
}

impl Reach {
    pub fn format(&self) -> Format {
        Format::or_default(self.output)
    }

    /// Of a report that people read in logs too: for them unless something else was asked for.
    pub fn format_of_report(&self) -> Format {
        self.output.unwrap_or(Format::Table)
    }

    /// The organization that is meant where a command names none.
    pub fn organization(&self) -> Result<Option<String>, Failure> {
        match &self.organization {
            Some(named) => Ok(Some(named.clone())),
            None => Ok(self.context()?.and_then(|context| context.organization)),
        }
    }

    /// Must be called inside the tokio runtime.
    pub fn wire(&self, method: &MethodDescriptor) -> Result<Wire, Failure> {
        let context = self.context()?;
        let own = context.as_ref().map(|context| context.gateway.clone());
        let gateway = self.gateway.as_deref().map(address).or_else(|| own.clone()).ok_or_else(|| {
            Failure::Usage(
                "no gateway is known: `guildhall context set NAME --gateway ADDRESS`, or GUILDHALL_GATEWAY".into(),
            )
        })?;
        let options = ClientOptions { deadline: self.timeout, ..ClientOptions::default() };
        let mut client = Client::new(&gateway, options).map_err(|error| Failure::Usage(error.to_string()))?;
        let mut headers = Vec::new();
        let context = context.filter(|context| context.gateway == gateway);
        if contract::is_for_anyone(method) {
            let project = context.and_then(|context| context.project).and_then(|id| id.parse().ok());
            headers.extend(project.map(|id| (PROJECT.parse(), id)).and_then(|(name, id)| Some((name.ok()?, id))));
        } else {
            match credential(context) {
                Credential::Token(token) => client.set_token(token),
                Credential::Account { id, secret } => client = client.with_service_account(&id, secret),
                Credential::None => {}
            }
        }
        Ok(Wire::new(client.connection(), self.timeout, headers))
    }

    fn context(&self) -> Result<Option<Context>, Failure> {
        let named = self.context.as_deref().filter(|name| !name.is_empty());
        // Without HOME there may still be an environment that says everything.
        let mut contexts = match store::path() {
            Ok(path) => store::read(&path)?,
            Err(_) if named.is_none() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let Some(name) = named.map(str::to_owned).or(contexts.current) else { return Ok(None) };
        let context = contexts.contexts.remove(&name);
        context.map(Some).ok_or_else(|| Failure::Usage(format!("there is no context {name}")))
    }
}

fn credential(context: Option<Context>) -> Credential {
    let given = |text: Result<String, VarError>| text.ok().filter(|text| !text.is_empty());
    if let Some(token) = given(env::var("GUILDHALL_TOKEN")) {
        return Credential::Token(token.into());
    }
    let account = (given(env::var("GUILDHALL_CLIENT_ID")), given(env::var("GUILDHALL_CLIENT_SECRET")));
    if let (Some(id), Some(secret)) = account {
        return Credential::Account { id, secret: secret.into() };
    }
    match context {
        Some(Context { token: Some(token), .. }) => Credential::Token(token),
        Some(Context { client_id: Some(id), client_secret: Some(secret), .. }) => Credential::Account { id, secret },
        _ => Credential::None,
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().map_err(|_| format!("{text} is no time such as 10s"))?;
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("the units are ms, s, m and h".to_owned()),
    };
    let time = count.checked_mul(millis).filter(|time| (1..=86_400_000).contains(time));
    time.map(Duration::from_millis).ok_or_else(|| "at least 1ms, at most 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "0s", "1d", "25h", "-1s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
