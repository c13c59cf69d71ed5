//! What a server refused, in words, and the exit code that says it to a script.

use std::error::Error as _;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::Failure;

/// Wrong usage, as of the services: `EX_USAGE` of sysexits.
pub const USAGE: u8 = 64;
/// An import went through but for some rows, or assertions do not hold: `EX_DATAERR`.
const DATA: u8 = 65;
/// Beside the gRPC codes, which are 1 to 16.
const BASE: u8 = 10;

/// Stands at the end of the help.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  a failure on this machine, such as a file that cannot be read
  11  CANCELLED            17  PERMISSION_DENIED     23  INTERNAL
  12  UNKNOWN              18  RESOURCE_EXHAUSTED    24  UNAVAILABLE
  13  INVALID_ARGUMENT     19  FAILED_PRECONDITION   25  DATA_LOSS
  14  DEADLINE_EXCEEDED    20  ABORTED               26  UNAUTHENTICATED
  15  NOT_FOUND            21  OUT_OF_RANGE
  16  ALREADY_EXISTS       22  UNIMPLEMENTED, such as what is not yet served
  64  wrong usage
  65  an import went through, but for some rows; assertions of a policy test do not hold";

pub fn exit_code(failure: &Failure) -> u8 {
    match failure {
        Failure::Usage(_) => USAGE,
        Failure::RowsRefused { .. } | Failure::AssertionsFailed { .. } => DATA,
        Failure::Refused(status) => code(status.code()),
        _ => 1,
    }
}

fn code(code: Code) -> u8 {
    u8::try_from(i32::from(code)).map_or(1, |number| BASE + number)
}

/// A line for the refusal, and one for each thing that the server says about it.
pub fn words(status: &Status) -> String {
    let details = status.get_error_details();
    let mut lines = Vec::new();
    let info = details.error_info();
    let reason = info.map(|info| format!(", {}", info.reason)).unwrap_or_default();
    lines.push(format!("{} ({}{reason})", message(status), name(status.code())));
    if info.is_some_and(|info| info.reason == "NOT_YET_SERVED") {
        lines.push("  this method is in the contract, but the server does not serve it yet".to_owned());
    }
    for violation in details.bad_request().into_iter().flat_map(|bad| &bad.field_violations) {
        lines.push(format!("  {}: {}", violation.field, violation.description));
    }
    for violation in details.quota_failure().into_iter().flat_map(|quota| &quota.violations) {
        lines.push(format!("  {}: {}", violation.subject, violation.description));
    }
    for violation in details.precondition_failure().into_iter().flat_map(|failure| &failure.violations) {
        lines.push(format!("  {} {}: {}", violation.r#type, violation.subject, violation.description));
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        lines.push(format!("  try again in {:.1} s", delay.as_secs_f64()));
    }
    lines.join("\n")
}

/// With its causes where it is the connection that failed: the server's own words need none.
fn message(status: &Status) -> String {
    let mut message = status.message().to_owned();
    let mut cause = status.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = inner.source();
    }
    if message.is_empty() { status.code().description().to_owned() } else { message }
}

/// As the contracts spell it.
pub fn name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn every_code_has_an_exit_code_that_the_help_tells() {
        for number in 1..=16 {
            let (exit, name) = (code(Code::from_i32(number)), name(Code::from_i32(number)));
            assert_eq!(i32::from(exit), 10 + number);
            assert!(EXIT_CODES.contains(&format!("{exit}  {name}")), "{exit} {name}");
        }
        assert_eq!(exit_code(&Failure::Usage(String::new())), 64);
        assert_eq!(exit_code(&Failure::RowsRefused { refused: 1, total: 2 }), 65);
        assert_eq!(exit_code(&Failure::Cryptography), 1);
    }

    #[test]
    fn a_refusal_says_all_that_the_server_said() {
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_FIELDS", "guildhall.dev", [("a".to_owned(), "b".to_owned())]);
        details.add_bad_request_violation("member.email_address", "is no address");
        details.add_bad_request_violation("roles", "names no role");
        details.set_retry_info(Some(Duration::from_millis(1500)));
        let said = words(&Status::with_error_details(Code::InvalidArgument, "two fields are wrong", details));
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            [
                "two fields are wrong (INVALID_ARGUMENT, INVALID_FIELDS)",
                "  member.email_address: is no address",
                "  roles: names no role",
                "  try again in 1.5 s",
            ]
        );
        assert_eq!(words(&Status::unavailable("gone")), "gone (UNAVAILABLE)");
    }
}
