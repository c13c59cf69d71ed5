//! Enums, each value by its name in both worlds.

use api::org::v1 as proto;
use tenancy::OrganizationState;

use crate::model::{
    AuthMethod, AuthMethodsPolicy, ConnectionKind, ConnectionState, DomainPurpose, DomainState, EmailInvitesPolicy,
    EmailJitPolicy, Fault, Kind, LimitSource, MfaMethod, MfaPolicy, ProjectState, SigningAlgorithm, SsoJitPolicy,
    UserPool,
};

/// An enum of the model and its numbers in the contract.
pub trait Choice: Sized {
    /// None for UNSPECIFIED.
    fn read(number: i32) -> Result<Option<Self>, Fault>;
    fn number(self) -> i32;

    /// UNSPECIFIED is refused: for the elements of lists.
    fn read_element(number: &i32) -> Result<Self, Fault> {
        Self::read(*number)?.ok_or(Fault("must be specified"))
    }
}

/// UNSPECIFIED for None.
pub fn number<C: Choice>(choice: Option<C>) -> i32 {
    choice.map_or(0, C::number)
}

macro_rules! choices {
    ($($model:ident = $proto:ident { $($variant:ident = $spoken:ident),* $(,)? })*) => {$(
        impl Choice for $model {
            fn read(number: i32) -> Result<Option<Self>, Fault> {
                match proto::$proto::try_from(number) {
                    Ok(proto::$proto::Unspecified) => Ok(None),
                    $(Ok(proto::$proto::$spoken) => Ok(Some(Self::$variant)),)*
                    Err(_) => Err(Fault("is no value of this enum")),
                }
            }

            fn number(self) -> i32 {
                match self {
                    $(Self::$variant => proto::$proto::$spoken,)*
                }
                .into()
            }
        }
    )*};
}

choices! {
    UserPool = UserPool { Shared = Shared, Isolated = Isolated }
    ProjectState = ProjectState { Active = Active, Archived = Archived }
    SigningAlgorithm = SigningAlgorithm { Eddsa = Eddsa, Es256 = Es256, Rs256 = Rs256 }
    Kind = OrganizationKind { Personal = Personal, Team = Team }
    OrganizationState = OrganizationState { Active = Active, Suspended = Suspended, Deleted = Deleted }
    DomainPurpose = DomainPurpose { Email = Email, Host = Host }
    DomainState = DomainState { Pending = Pending, Verified = Verified, Failed = Failed }
    ConnectionKind = ConnectionKind { Oidc = Oidc, Saml = Saml }
    ConnectionState = ConnectionState { Inactive = Inactive, Active = Active }
    LimitSource = LimitSource { Project = Project, Plan = Plan, Organization = Organization }
    AuthMethod = AuthMethod {
        Password = Password, EmailCode = EmailCode, MagicLink = MagicLink, Sso = Sso, Social = Social, Passkey = Passkey,
    }
    AuthMethodsPolicy = AuthMethodsPolicy { AllAllowed = AllAllowed, Restricted = Restricted }
    MfaMethod = MfaMethod { Totp = Totp, Passkey = Passkey }
    MfaPolicy = MfaPolicy { Optional = Optional, RequiredForAll = RequiredForAll }
    EmailInvitesPolicy = EmailInvitesPolicy { AllAllowed = AllAllowed, Restricted = Restricted, NotAllowed = NotAllowed }
    EmailJitPolicy = EmailJitProvisioningPolicy { Restricted = Restricted, NotAllowed = NotAllowed }
    SsoJitPolicy = SsoJitProvisioningPolicy { AllAllowed = AllAllowed, Restricted = Restricted, NotAllowed = NotAllowed }
}
