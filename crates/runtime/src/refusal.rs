//! Error statuses that a program can act on: code, reason, and the `google.rpc` details that fit.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use api::access::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `google.rpc.ErrorInfo.domain` of every refusal.
pub const ERROR_DOMAIN: &str = "guildhall.dev";

/// Builds a status. `ErrorInfo` is always in it; the rest is added by name and becomes one `Status` by `into()`.
///
/// ```ignore
/// Refusal::new(Code::AlreadyExists, ErrorReason::SlugTaken, "the slug is taken").metadata("slug", slug).into()
/// ```
#[derive(Debug)]
#[must_use = "a refusal refuses nothing until it is made a status"]
pub struct Refusal {
    code: Code,
    reason: ErrorReason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Refusal {
    pub fn new(code: Code, reason: ErrorReason, message: impl Into<String>) -> Self {
        let details = ErrorDetails::new();
        Self { code, reason, message: message.into(), metadata: HashMap::new(), details }
    }

    /// Adds to `ErrorInfo.metadata`: what the reason documents, never what the caller may not know.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Adds to `BadRequest`: one field, by its path in the request, and what is wrong with it.
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.details.add_bad_request_violation(field, description);
        self
    }

    /// Sets `RetryInfo`: when to come again, at the earliest.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }

    /// Adds to `QuotaFailure`: what ran out, and how much there was.
    pub fn quota(mut self, subject: impl Into<String>, description: impl Into<String>) -> Self {
        self.details.add_quota_failure_violation(subject, description);
        self
    }

    /// Adds to `PreconditionFailure`.
    pub fn precondition(
        mut self,
        kind: impl Into<String>,
        subject: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.details.add_precondition_failure_violation(kind, subject, description);
        self
    }

    /// NOT_FOUND: absent, or not for this caller to know of. The two are the same to the byte.
    pub fn not_found(resource: &'static str) -> Self {
        Self::new(Code::NotFound, ErrorReason::NotFound, format!("no such {resource}")).metadata("resource", resource)
    }

    /// RESOURCE_EXHAUSTED: a limit is reached. `limit` is its name in the contract, such as `max_members`.
    pub fn limit_reached(limit: &'static str, allowed: i64, used: i64) -> Self {
        Self::new(
            Code::ResourceExhausted,
            ErrorReason::LimitReached,
            format!("{limit} is reached: {used} of {allowed}"),
        )
        .metadata("limit", limit)
        .metadata("allowed", allowed.to_string())
        .metadata("used", used.to_string())
        .quota(limit, format!("{used} of {allowed} are in use"))
    }

    /// UNAVAILABLE: something the call needs cannot be reached. `what` is a role, such as "the database".
    pub fn unavailable(what: &str) -> Self {
        Self::new(Code::Unavailable, ErrorReason::Unavailable, format!("{what} cannot be reached"))
    }

    pub(crate) fn deadline_exceeded() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "the deadline passed before an answer was ready",
        )
    }

    pub(crate) fn overloaded(retry_after: Duration) -> Self {
        Self::new(Code::ResourceExhausted, ErrorReason::Overloaded, "the server is at its limit of calls in flight")
            .retry_after(retry_after)
    }

    pub(crate) fn unknown_method() -> Self {
        Self::new(Code::Unimplemented, ErrorReason::UnknownMethod, "no such method is served here")
    }

    pub(crate) fn fault() -> Self {
        Self::new(Code::Internal, ErrorReason::Internal, "internal error; the request id leads to its cause")
    }
}

impl From<Refusal> for Status {
    fn from(mut refusal: Refusal) -> Self {
        let name = refusal.reason.as_str_name();
        let reason = name.strip_prefix("ERROR_REASON_").unwrap_or(name);
        refusal.details.set_error_info(reason, ERROR_DOMAIN, refusal.metadata);
        Status::with_error_details(refusal.code, refusal.message, refusal.details)
    }
}

/// INTERNAL, for a fault of ours. The error and its causes go to the log, once, here; the caller learns nothing of them.
#[track_caller]
pub fn internal(error: &(dyn Error + 'static)) -> Status {
    let place = std::panic::Location::caller();
    tracing::error!(error = %Chain(error), file = place.file(), line = place.line(), "a call failed by a fault of ours");
    Refusal::fault().into()
}

/// Displays an error followed by its sources: `a: b: c`.
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Collects what is wrong with a request, so that the caller learns it all at once.
///
/// ```ignore
/// let mut violations = Violations::default();
/// let slug = violations.check("organization.slug", Slug::parse(&request.slug));
/// let email = violations.check("email_address", EmailAddress::parse(&request.email_address));
/// violations.finish()?;                                   // from here on both are there
/// let (Some(slug), Some(email)) = (slug, email) else { .. };
/// ```
#[derive(Debug, Default)]
pub struct Violations {
    /// As many as an answer has room for, the first in any case.
    listed: Vec<(String, String)>,
    bytes: usize,
    /// The field of the first that is not listed, and how many there are.
    more: Option<(String, usize)>,
}

/// How long the list of violations may be: an answer's trailers have to fit into 16 KiB, and stand in them twice, once as base64.
const LISTED_BYTES: usize = 6 * 1024;

impl Violations {
    /// The value, or a violation of `field` worded by the error.
    pub fn check<T, E: std::fmt::Display>(&mut self, field: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// A rule that yields no value.
    pub fn require(&mut self, holds: bool, field: impl Into<String>, description: impl Into<String>) {
        if !holds {
            self.add(field, description);
        }
    }

    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if let Some((_, count)) = &mut self.more {
            *count += 1;
            return;
        }
        let (field, description) = (field.into(), description.into());
        self.bytes += field.len() + description.len();
        if self.bytes <= LISTED_BYTES || self.listed.is_empty() {
            self.listed.push((field, description));
        } else {
            // Whoever has thousands mends the first of them first.
            self.more = Some((field, 1));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Whether there are more than an answer has room for: whoever looks for faults one by one need look no further.
    pub fn is_full(&self) -> bool {
        self.more.is_some()
    }

    /// INVALID_ARGUMENT with reason INVALID_FIELDS, naming every field, unless there was nothing wrong.
    pub fn finish(self) -> Result<(), Status> {
        let Some((field, description)) = self.listed.first() else { return Ok(()) };
        let count = self.listed.len() + self.more.as_ref().map_or(0, |(_, more)| *more);
        let message = match (count, &self.more) {
            (1, _) => format!("{field}: {description}"),
            (_, None) => format!("{count} invalid fields, the first of them {field}: {description}"),
            (_, Some(_)) => format!("{count} invalid fields or more, the first of them {field}: {description}"),
        };
        let mut refusal = Refusal::new(Code::InvalidArgument, ErrorReason::InvalidFields, message);
        for (field, text) in self.listed {
            refusal = refusal.violation(field, text);
        }
        if let Some((field, more)) = self.more {
            refusal = refusal.violation(field, format!("and {more} more faults, or more than these"));
        }
        Err(refusal.into())
    }

    /// The checked values once all are there: `violations.all((slug, email))` needs no second look at each `Option`.
    pub fn all<T: Checked>(self, values: T) -> Result<T::Values, Status> {
        self.finish()?;
        values.values().ok_or_else(|| Refusal::fault().into())
    }
}

/// Tuples of `Option`s that `Violations::check` gave.
pub trait Checked {
    type Values;
    fn values(self) -> Option<Self::Values>;
}

macro_rules! checked {
    ($($value:ident),+) => {
        impl<$($value),+> Checked for ($(Option<$value>,)+) {
            type Values = ($($value,)+);
            #[expect(non_snake_case, reason = "one name serves as type and as binding")]
            fn values(self) -> Option<Self::Values> {
                let ($($value,)+) = self;
                Some(($($value?,)+))
            }
        }
    };
}

checked!(A);
checked!(A, B);
checked!(A, B, C);
checked!(A, B, C, D);
checked!(A, B, C, D, E);
checked!(A, B, C, D, E, F);
checked!(A, B, C, D, E, F, G);
checked!(A, B, C, D, E, F, G, H);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_reason_domain_and_details() {
        let status: Status = Refusal::new(Code::ResourceExhausted, ErrorReason::LimitReached, "full")
            .metadata("limit", "max_members")
            .quota("organization", "5 of 5 members")
            .retry_after(Duration::from_secs(2))
            .into();
        let details = status.get_error_details();
        let info = details.error_info().expect("ErrorInfo");
        assert_eq!(
            (status.code(), info.reason.as_str(), info.domain.as_str()),
            (Code::ResourceExhausted, "LIMIT_REACHED", ERROR_DOMAIN)
        );
        assert_eq!(info.metadata["limit"], "max_members");
        assert_eq!(details.quota_failure().expect("QuotaFailure").violations.len(), 1);
        assert_eq!(details.retry_info().expect("RetryInfo").retry_delay, Some(Duration::from_secs(2)));
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let mut violations = Violations::default();
        let number = violations.check("page_size", "x".parse::<u8>());
        let other = violations.check("page", "7".parse::<u8>());
        violations.require(false, "slug", "must not be empty");
        let status = violations.all((number, other)).expect_err("two are wrong");
        let details = status.get_error_details();
        let fields: Vec<_> =
            details.bad_request().expect("BadRequest").field_violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["page_size", "slug"]);
        assert_eq!(details.error_info().expect("ErrorInfo").reason, "INVALID_FIELDS");
    }

    #[test]
    fn no_more_faults_are_kept_than_an_answer_has_room_for() {
        let mut violations = Violations::default();
        let looked = (0..2_000_000).take_while(|at| {
            violations.add(format!("items[{at}]"), "must be a text");
            !violations.is_full()
        });
        assert!(looked.count() < 1_000, "whoever looks for faults one by one is told when to stop");
        for at in 0..2_000_000 {
            violations.add("items", format!("{at}"));
        }
        assert!(violations.listed.iter().map(|(field, text)| field.len() + text.len()).sum::<usize>() <= LISTED_BYTES);
        let status = violations.finish().expect_err("all are wrong");
        assert!(
            status.message().contains("invalid fields or more, the first of them items[0]"),
            "{}",
            status.message()
        );
        let details = status.get_error_details();
        let last = details.bad_request().and_then(|all| all.field_violations.last()).expect("BadRequest");
        assert_eq!(last.description, "and 2000001 more faults, or more than these");
    }

    #[test]
    fn an_internal_status_says_nothing_of_its_cause() {
        let error = std::io::Error::other("relation org.secret does not exist");
        let status = internal(&error);
        assert!(!format!("{status:?}").contains("secret"));
    }
}
