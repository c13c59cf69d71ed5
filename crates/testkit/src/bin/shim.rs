//! `grpcurl` and `curl` as far as the README's steps need them, for machines that have neither. Called by either name.
//!
//! The first knows nothing but what the server's reflection tells it, as the real one.

use std::{env, path::Path, process::ExitCode};

use serde_json::Value;
use testkit::{dynamic::Client, http};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = env::args();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    let outcome = match Path::new(&name).file_name().and_then(|n| n.to_str()) {
        Some("grpcurl") => grpcurl(&arguments).await,
        Some("curl") => curl(&arguments).await,
        _ => Err(("call me grpcurl or curl".to_owned(), 2)),
    };
    match outcome {
        Ok(text) => {
            #[expect(clippy::print_stdout, reason = "a command's output")]
            {
                println!("{text}");
            }
            ExitCode::SUCCESS
        }
        Err((text, code)) => {
            #[expect(clippy::print_stderr, reason = "a command's own words")]
            {
                eprintln!("{text}");
            }
            ExitCode::from(code)
        }
    }
}

type Outcome = Result<String, (String, u8)>;

/// `grpcurl -plaintext [-H 'name: value'].. [-d JSON] ADDRESS SERVICE/METHOD`
async fn grpcurl(arguments: &[String]) -> Outcome {
    let usage = |what: &str| (format!("grpcurl: {what}"), 2);
    let (mut headers, mut body, mut rest) = (Vec::new(), "{}", Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-plaintext" => {}
            "-H" => {
                let (name, value) =
                    arguments.next().and_then(|h| h.split_once(": ")).ok_or_else(|| usage("-H 'name: value'"))?;
                headers.push((name.to_owned(), value.to_owned()));
            }
            "-d" => body = arguments.next().ok_or_else(|| usage("-d JSON"))?,
            other => rest.push(other),
        }
    }
    let [address, method] = rest[..] else { return Err(usage("an address and a method are needed")) };
    let service = method.split('/').next().unwrap_or_default();
    let body: Value = serde_json::from_str(body).map_err(|error| usage(&format!("the request is no JSON: {error}")))?;
    let failed = |code: i32, name: String, message: &str| {
        (format!("ERROR:\n  Code: {name}\n  Message: {message}"), u8::try_from(64 + code).unwrap_or(u8::MAX))
    };
    let client = Client::by_reflection(address, service)
        .await
        .map_err(|status| failed(status.code() as i32, format!("{:?}", status.code()), status.message()))?;
    let answers = client
        .call(method, &headers, body)
        .await
        .map_err(|refused| failed(refused.code as i32, format!("{:?}", refused.code), &refused.message))?;
    // As the real one prints them: JSON names, no empty fields.
    Ok(answers
        .iter()
        .map(|answer| serde_json::to_string_pretty(answer).unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n"))
}

/// `curl -sS [-u user:password] [-d name=value].. http://ADDRESS/PATH`
async fn curl(arguments: &[String]) -> Outcome {
    let usage = || ("curl: -sS [-u USER:PASSWORD] [-d NAME=VALUE].. http://ADDRESS/PATH".to_owned(), 2);
    let (mut form, mut url) = (Vec::new(), None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-sS" | "-s" => {}
            "-u" => {
                let (user, password) = arguments.next().and_then(|u| u.split_once(':')).ok_or_else(usage)?;
                form.push(("client_id", user));
                form.push(("client_secret", password));
            }
            "-d" => form.push(arguments.next().and_then(|d| d.split_once('=')).ok_or_else(usage)?),
            other => url = other.strip_prefix("http://"),
        }
    }
    let (address, path) = url.and_then(|u| u.split_once('/')).ok_or_else(usage)?;
    let address = address.parse().map_err(|_| usage())?;
    let path = format!("/{path}");
    let (_, answer) =
        if form.is_empty() { http::get(address, path).await } else { http::post_form(address, &path, &form).await };
    Ok(answer.to_string())
}
