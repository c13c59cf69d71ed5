//! What people, invitations, sessions and service accounts are, and the rules that their fields obey. No RPC and no SQL: these types
//! are also the payloads of events and the kept answers, so a stored form outlives the code that wrote it.

mod assertion;
mod batch;
mod brand;
mod email;
mod foreign_hash;
mod founding;
mod identity;
mod invitation;
mod member;
mod metadata;
mod names;
mod password;
mod policy;
mod public_key;
mod service_account;
mod session;
mod sign_in;
mod sso;
mod totp;

pub use assertion::Assertion;
pub use batch::{EntryRefusal, GrantRefused, NewMember, Outcome};
pub use brand::Brand;
pub use email::EmailAddress;
pub use foreign_hash::{ForeignHash, HashKind};
pub use founding::{FoundedKind, Founding, FoundingPlan};
pub use identity::{AddressTag, Identity, IdentityChanges, IdentityDraft, IdentityState, Person, PictureUri};
pub use invitation::{Invitation, InvitationDraft, InvitationState, IssuedInvitation};
pub use member::{Changes, Member, MemberDraft, MemberState, MemberWithRoles, RoleHeld, RoleSource, RolesRead};
pub use metadata::Metadata;
pub use names::{ExternalId, InvitationMessage, Name, cut};
pub use password::{NewPassword, WeakPassword, hashed_form};
pub use policy::{EmailInvites, LimitReached, Limits, NotInvitable, Policy, Room, SsoJitProvisioning, Usage};
pub use public_key::{AssertionKeyId, PublicKey, verifying};
pub use service_account::{
    AccountChanges, AccountState, ApiKey, ApiKeyDraft, IssuedApiKey, MAX_LIVE_KEYS, NewProjectAccount, ServiceAccount,
    TokenRevocation,
};
pub use session::{
    AuthFactor, AuthMethod, EndReason, Entered, Session, SessionChange, SessionGrant, SessionLimits,
    are_of_one_organization,
};
pub use sign_in::{
    Enrollment, Entrance, Intermediate, IssuedIntermediate, SecondFactor, SecondFactorRequired, SignInMethod,
    SignInPolicy, Standing, Unmet,
};
pub use sso::{AccountRefused, ProviderAccount, SsoSignIn, Vouching};
pub use totp::{ENROLLMENT, RecoveryCode, RecoveryCodes, TotpEnrollment, TotpSecret};

/// What is wrong with a value, in words for its sender. Never repeats the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

/// A text that was checked when it came in, and is taken as it is when it comes out of the store.
macro_rules! text {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A value that was parsed before it was stored.
            pub(crate) fn stored(text: String) -> Self {
                Self(text)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            #[allow(dead_code, reason = "not every text may be empty")]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    )*};
}
pub(crate) use text;

/// A word of a column with a check constraint, and of the stored forms.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            #[allow(dead_code, reason = "not every word is written to a column")]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            #[allow(dead_code, reason = "not every word is read from a column")]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    )*};
}
pub(crate) use words;
