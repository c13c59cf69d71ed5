//! What each failure of an operation is to its caller.

use std::time::Duration;

use access::store;
use api::access::v1::ErrorReason;
use runtime::{Refusal, Violations, internal};
use serde::de::DeserializeOwned;
use tenancy::{
    OrganizationState, Sealer, StoreError,
    page::{Page, PageError, Query},
};
use time::OffsetDateTime;
use tonic::{Code, Status};

use crate::{
    hashing::HashError,
    model::{AccountRefused, LimitReached, MAX_LIVE_KEYS, NotInvitable, SecondFactor, SignInMethod, Unmet},
    ops::{
        NotActive,
        credential::{EnrollError, SetPasswordError, SignInError},
        entry::{EntryError, LookError, SwitchError},
        identity::{ImportError, UpdateError as UpdateIdentityError},
        invitation::{AcceptError, InviteError, ResendError, RevokeError},
        member::{CreateError, ReadError, RemoveError, StateError, UpdateError},
        service_account::AccountError,
        session::{BeginError, EndError, ImpersonateError, RefreshError},
        sign_up::SignUpError,
        sso::SsoError,
    },
};

pub fn missing(resource: &'static str) -> Status {
    Refusal::not_found(resource).into()
}

pub fn sign_in_failed() -> Status {
    Refusal::new(Code::Unauthenticated, ErrorReason::SignInFailed, "the sign-in failed").into()
}

pub fn refresh_refused() -> Status {
    Refusal::new(Code::Unauthenticated, ErrorReason::RefreshTokenRefused, "the refresh token is refused").into()
}

pub fn invitation_unknown() -> Status {
    Refusal::new(Code::NotFound, ErrorReason::InvitationUnknown, "the secret opens no invitation").into()
}

pub fn for_projects_only(fields: &str) -> Status {
    Refusal::new(
        Code::PermissionDenied,
        ErrorReason::WrongAudience,
        format!("{fields}: for a project's credential only"),
    )
    .metadata("audience", "PROJECT")
    .metadata("fields", fields)
    .into()
}

fn refuse(code: Code, reason: ErrorReason, error: &dyn std::error::Error) -> Status {
    Refusal::new(code, reason, error.to_string()).into()
}

fn etag_mismatch(error: &dyn std::error::Error) -> Status {
    refuse(Code::Aborted, ErrorReason::EtagMismatch, error)
}

fn email_taken(error: &dyn std::error::Error) -> Status {
    refuse(Code::AlreadyExists, ErrorReason::MemberEmailTaken, error)
}

fn not_active(NotActive(state): NotActive) -> Status {
    // To everybody but the project's own credential there is no deleted organization, and that one is told of by org-service.
    if state == OrganizationState::Deleted {
        return missing("organization");
    }
    Refusal::new(Code::FailedPrecondition, ErrorReason::OrganizationNotActive, "the organization is not active")
        .metadata("state", state.as_str())
        .into()
}

pub fn create(error: CreateError) -> Status {
    match error {
        CreateError::EmailTaken => email_taken(&error),
        CreateError::ExternalIdTaken => refuse(Code::AlreadyExists, ErrorReason::MemberExternalIdTaken, &error),
        CreateError::LimitReached(error) => limit_reached("max_members", error),
        CreateError::NotActive(error) => not_active(error),
        CreateError::TooLate => refuse(Code::Unavailable, ErrorReason::Unavailable, &error),
        CreateError::Remote(error) => error.into_status(),
        CreateError::Store(error) => store(error),
    }
}

pub fn read(error: ReadError) -> Status {
    match error {
        ReadError::Unknown => missing("member"),
        ReadError::Remote(error) => error.into_status(),
        ReadError::Store(error) => store(error),
    }
}

pub fn update(error: UpdateError) -> Status {
    match error {
        UpdateError::Unknown => missing("member"),
        UpdateError::EtagMismatch => etag_mismatch(&error),
        UpdateError::ExternalIdTaken => refuse(Code::AlreadyExists, ErrorReason::MemberExternalIdTaken, &error),
        UpdateError::NotActive(error) => not_active(error),
        UpdateError::Remote(error) => error.into_status(),
        UpdateError::Store(error) => store(error),
    }
}

pub fn change_state(error: StateError) -> Status {
    match error {
        StateError::Unknown => missing("member"),
        StateError::EtagMismatch => etag_mismatch(&error),
        StateError::Suspending => refuse(Code::Unavailable, ErrorReason::Unavailable, &error),
        StateError::NotActive(error) => not_active(error),
        StateError::Remote(error) => error.into_status(),
        StateError::Store(error) => store(error),
    }
}

pub fn remove(error: RemoveError) -> Status {
    match error {
        RemoveError::EtagMismatch => etag_mismatch(&error),
        RemoveError::NotActive(error) => not_active(error),
        RemoveError::Remote(error) => error.into_status(),
        RemoveError::Store(error) => store(error),
    }
}

fn limit_reached(limit: &'static str, LimitReached { allowed, used }: LimitReached) -> Status {
    Refusal::limit_reached(limit, allowed, used).into()
}

fn not_invitable(NotInvitable(policy): NotInvitable) -> Refusal {
    Refusal::new(Code::FailedPrecondition, ErrorReason::InvitationNotAllowed, NotInvitable(policy).to_string())
        .metadata("policy", policy.as_str())
}

/// `field` names an entry of a batch.
pub fn invite(error: InviteError, field: impl Fn(usize) -> Option<String>) -> Status {
    let entry = |refusal: Refusal, at| match field(at) {
        Some(field) => Status::from(refusal.metadata("field", field)),
        None => refusal.into(),
    };
    match error {
        InviteError::Pending { at } => {
            entry(Refusal::new(Code::AlreadyExists, ErrorReason::InvitationPending, error.to_string()), at)
        }
        InviteError::EmailTaken { at } => {
            entry(Refusal::new(Code::AlreadyExists, ErrorReason::MemberEmailTaken, error.to_string()), at)
        }
        InviteError::NotInvitable { at, why } => entry(not_invitable(why), at),
        InviteError::LimitReached(error) => limit_reached("max_pending_invitations", error),
        InviteError::NotActive(error) => not_active(error),
        InviteError::Remote(error) => error.into_status(),
        InviteError::Store(error) => store(error),
    }
}

pub fn resend_invitation(error: ResendError) -> Status {
    match error {
        ResendError::Unknown => missing("invitation"),
        ResendError::NotPending => refuse(Code::FailedPrecondition, ErrorReason::InvitationNotPending, &error),
        ResendError::TooSoon { until } => {
            let wait = (until - OffsetDateTime::now_utc()).max(time::Duration::SECOND);
            Refusal::new(Code::ResourceExhausted, ErrorReason::RateLimited, error.to_string())
                .retry_after(wait.unsigned_abs())
                .into()
        }
        ResendError::Pending => refuse(Code::AlreadyExists, ErrorReason::InvitationPending, &error),
        ResendError::EmailTaken => email_taken(&error),
        ResendError::NotInvitable(why) => not_invitable(why).into(),
        ResendError::LimitReached(error) => limit_reached("max_pending_invitations", error),
        ResendError::NotActive(error) => not_active(error),
        ResendError::Remote(error) => error.into_status(),
        ResendError::Store(error) => store(error),
    }
}

pub fn revoke_invitation(error: RevokeError) -> Status {
    match error {
        RevokeError::Unknown => missing("invitation"),
        RevokeError::EtagMismatch => etag_mismatch(&error),
        RevokeError::NotPending => refuse(Code::FailedPrecondition, ErrorReason::InvitationNotPending, &error),
        RevokeError::NotActive(error) => not_active(error),
        RevokeError::Store(error) => store(error),
    }
}

pub fn accept(error: AcceptError) -> Status {
    match error {
        AcceptError::Unknown => invitation_unknown(),
        AcceptError::NotPending => refuse(Code::FailedPrecondition, ErrorReason::InvitationNotPending, &error),
        AcceptError::InviterLostRights => refuse(Code::FailedPrecondition, ErrorReason::InviterLostRights, &error),
        AcceptError::EmailTaken => email_taken(&error),
        AcceptError::ForAnother => refuse(Code::PermissionDenied, ErrorReason::InvitationForAnother, &error),
        AcceptError::LimitReached(error) => limit_reached("max_members", error),
        AcceptError::TooLate => refuse(Code::Unavailable, ErrorReason::Unavailable, &error),
        // Whoever has the secret may know that the organization was there.
        AcceptError::NotActive(NotActive(state)) => {
            Refusal::new(Code::FailedPrecondition, ErrorReason::OrganizationNotActive, "the organization is not active")
                .metadata("state", state.as_str())
                .into()
        }
        AcceptError::Remote(error) => error.into_status(),
        AcceptError::Store(error) => store(error),
    }
}

/// Also of a flood of sign-ins: they are told to come again, and everybody else is served.
fn hash(error: &HashError) -> Status {
    match error {
        HashError::Full => {
            let message = "too many wait for a password to be checked";
            Refusal::new(Code::ResourceExhausted, ErrorReason::Overloaded, message)
                .retry_after(Duration::from_millis(500))
                .into()
        }
        error => internal(error),
    }
}

pub fn set_password(error: SetPasswordError) -> Status {
    match error {
        SetPasswordError::Unknown => missing("member"),
        SetPasswordError::Weak(weak) => {
            Refusal::new(Code::InvalidArgument, ErrorReason::PasswordTooWeak, format!("the password {weak}"))
                .violation("password", weak.to_string())
                .into()
        }
        SetPasswordError::NotActive(error) => not_active(error),
        SetPasswordError::Hash(error) => hash(&error),
        SetPasswordError::Remote(error) => error.into_status(),
        SetPasswordError::Store(error) => store(error),
    }
}

pub fn sign_in(error: SignInError) -> Status {
    match error {
        SignInError::Failed => sign_in_failed(),
        SignInError::RateLimited { until } => {
            let wait = (until - OffsetDateTime::now_utc()).max(time::Duration::SECOND);
            Refusal::new(Code::ResourceExhausted, ErrorReason::RateLimited, "too many tries")
                .retry_after(wait.unsigned_abs())
                .into()
        }
        SignInError::OrganizationRequired => access::invalid_field("organization_id", &error),
        SignInError::Unreadable => internal(&error),
        SignInError::Hash(error) => hash(&error),
        SignInError::Remote(error) => error.into_status(),
        SignInError::Store(error) => store(error),
    }
}

pub fn enroll(error: EnrollError) -> Status {
    match error {
        EnrollError::Ended => refuse(Code::Unauthenticated, ErrorReason::CredentialRevoked, &error),
        EnrollError::NotAllowed { ref allowed } => {
            let words: Vec<&str> = allowed.iter().copied().map(SecondFactor::as_str).collect();
            Refusal::new(Code::FailedPrecondition, ErrorReason::MethodNotAllowed, error.to_string())
                .metadata("allowed_mfa_methods", words.join(", "))
                .into()
        }
        EnrollError::Unmet(unmet) => self::unmet(unmet),
        EnrollError::Failed => sign_in_failed(),
        EnrollError::RateLimited { until } => sign_in(SignInError::RateLimited { until }),
        EnrollError::Unreadable => internal(&error),
        EnrollError::Remote(error) => error.into_status(),
        EnrollError::Store(error) => store(error),
    }
}

/// What the organization asks for, for whoever has proven enough to know.
fn unmet(unmet: Unmet) -> Status {
    let text = unmet.to_string();
    let (reason, field, words) = match unmet {
        Unmet::Method { allowed } => {
            let words: Vec<&str> = allowed.into_iter().map(SignInMethod::as_str).collect();
            (ErrorReason::MethodNotAllowed, "allowed_auth_methods", words)
        }
        Unmet::SecondFactor { allowed } => {
            let words: Vec<&str> = allowed.into_iter().map(SecondFactor::as_str).collect();
            (ErrorReason::MfaRequired, "allowed_mfa_methods", words)
        }
    };
    Refusal::new(Code::FailedPrecondition, reason, text).metadata(field, words.join(", ")).into()
}

fn account_refused(why: AccountRefused) -> Status {
    Refusal::new(Code::FailedPrecondition, ErrorReason::ProviderAccountRefused, why.to_string())
        .metadata("why", why.as_str())
        .into()
}

pub fn sso(error: SsoError) -> Status {
    match error {
        SsoError::Failed => sign_in_failed(),
        SsoError::Account(why) => account_refused(why),
        SsoError::Remote(error) => error.into_status(),
        SsoError::Store(error) => store(error),
    }
}

pub fn look(error: LookError) -> Status {
    match error {
        LookError::Remote(error) => error.into_status(),
        LookError::Store(error) => store(error),
    }
}

pub fn enter(error: EntryError) -> Status {
    match error {
        EntryError::Refused => sign_in_failed(),
        EntryError::Unmet(unmet) => self::unmet(unmet),
        EntryError::Account(why) => account_refused(why),
        EntryError::InvitationNotPending => refuse(Code::FailedPrecondition, ErrorReason::InvitationNotPending, &error),
        EntryError::InviterLostRights => refuse(Code::FailedPrecondition, ErrorReason::InviterLostRights, &error),
        EntryError::LimitReached(error) => limit_reached("max_members", error),
        EntryError::TooLate => refuse(Code::Unavailable, ErrorReason::Unavailable, &error),
        EntryError::Remote(error) => error.into_status(),
        EntryError::Store(error) => store(error),
    }
}

pub fn switch(error: SwitchError) -> Status {
    match error {
        SwitchError::Ended => refuse(Code::Unauthenticated, ErrorReason::CredentialRevoked, &error),
        SwitchError::Refused => sign_in_failed(),
        SwitchError::Unmet(unmet) => self::unmet(unmet),
        SwitchError::Remote(error) => error.into_status(),
        SwitchError::Store(error) => store(error),
    }
}

pub fn sign_up(error: SignUpError) -> Status {
    match error {
        SignUpError::Refused => sign_in_failed(),
        SignUpError::RequestIdReused => store(StoreError::RequestIdReused),
        SignUpError::Weak(weak) => set_password(SetPasswordError::Weak(weak)),
        SignUpError::Unmet(unmet) => self::unmet(unmet),
        SignUpError::Create(error) => create(error),
        SignUpError::Hash(error) => hash(&error),
        SignUpError::Remote(error) => error.into_status(),
        SignUpError::Store(error) => store(error),
    }
}

pub fn begin_session(error: BeginError) -> Status {
    match error {
        BeginError::Refused => sign_in_failed(),
        BeginError::Unmet(unmet) => self::unmet(unmet),
        BeginError::Remote(error) => error.into_status(),
        BeginError::Store(error) => store(error),
    }
}

pub fn refresh(error: RefreshError) -> Status {
    match error {
        RefreshError::Refused => refresh_refused(),
        RefreshError::Remote(error) => error.into_status(),
        RefreshError::Store(error) => store(error),
    }
}

pub fn impersonate(error: ImpersonateError) -> Status {
    match error {
        ImpersonateError::MemberUnknown => missing("member"),
        ImpersonateError::Oneself => access::invalid_field("member_id", error),
        ImpersonateError::Owner => refuse(Code::PermissionDenied, ErrorReason::GrantExceedsGrantor, &error),
        ImpersonateError::NotPermitted => access::permission_missing(access::IMPERSONATE),
        ImpersonateError::Remote(error) => error.into_status(),
        ImpersonateError::Store(error) => store(error),
    }
}

pub fn end_session(error: EndError) -> Status {
    match error {
        EndError::MemberUnknown => missing("member"),
        EndError::Store(error) => store(error),
    }
}

pub fn update_identity(error: UpdateIdentityError) -> Status {
    match error {
        UpdateIdentityError::Unknown => missing("identity"),
        UpdateIdentityError::EtagMismatch => etag_mismatch(&error),
        UpdateIdentityError::EmailTaken => email_taken(&error),
        UpdateIdentityError::NotActive(error) => not_active(error),
        UpdateIdentityError::Store(error) => store(error),
    }
}

pub fn import(error: ImportError) -> Status {
    match error {
        ImportError::PoolIsShared | ImportError::OrganizationRequired => {
            access::invalid_field("organization_id", &error)
        }
        ImportError::OrganizationUnknown => missing("organization"),
        ImportError::NotActive(error) => not_active(error),
        ImportError::Remote(error) => error.into_status(),
        ImportError::Store(error) => store(error),
    }
}

pub fn account(error: AccountError) -> Status {
    match error {
        AccountError::ProjectUnknown => missing("project"),
        AccountError::ProjectArchived => access::project_archived(),
        AccountError::AccountUnknown => missing("service_account"),
        AccountError::KeyUnknown => missing("api_key"),
        AccountError::KeyTaken => access::invalid_field("api_key.public_jwk", error),
        AccountError::TooManyKeys => {
            Refusal::new(Code::ResourceExhausted, ErrorReason::LimitReached, error.to_string())
                .metadata("limit", "api_keys")
                .quota("service_account", format!("{MAX_LIVE_KEYS} of {MAX_LIVE_KEYS} keys"))
                .into()
        }
        AccountError::TooManyAccounts(error) => limit_reached("max_service_accounts", error),
        AccountError::EtagMismatch => etag_mismatch(&error),
        AccountError::Suspending => refuse(Code::Unavailable, ErrorReason::Unavailable, &error),
        AccountError::NotActive(error) => not_active(error),
        AccountError::Remote(error) => error.into_status(),
        AccountError::Store(error) => store(error),
    }
}

/// The page that a list asks for. A bad size is one violation among the others; a bad token has a reason of its own.
pub fn page<C: DeserializeOwned>(
    query: &Query<'_>,
    sealer: &Sealer,
    size: i32,
    token: &str,
    violations: &mut Violations,
) -> Result<Option<Page<C>>, Status> {
    match query.page(sealer, size, token) {
        Ok(page) => Ok(Some(page)),
        Err(error @ PageError::Size) => Ok(violations.check("page_size", Err(error))),
        // With another field wrong the token cannot fit either.
        Err(PageError::Token) if !violations.is_empty() => Ok(None),
        Err(error @ PageError::Token) => {
            let refusal =
                Refusal::new(Code::InvalidArgument, ErrorReason::InvalidPageToken, format!("page_token {error}"));
            Err(refusal.violation("page_token", error.to_string()).into())
        }
    }
}
