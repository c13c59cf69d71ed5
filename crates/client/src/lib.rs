//! What a product's own Rust service links to speak with Guildhall: one connection, a credential, and a deadline on every call.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = std::env::var("GUILDHALL_CLIENT_SECRET")?;
//! let guildhall = client::Client::new("https://guildhall.example.com", Default::default())?
//!     .with_service_account("sa_..", secret.into());
//! let mut authorization = guildhall.authorization();
//! # Ok(())
//! # }
//! ```
//!
//! Where a call for every question is too slow, [`embedded`] answers `Check` in the process.
//!
//! [`offline`] tells from a token alone who calls, for servers that take calls from a product's users, and refuses what was revoked.

mod checks;
mod connection;
pub mod embedded;
pub mod offline;
mod service_account;

use std::{sync::Arc, time::Duration};

use api::{authz::v1 as authz, event::v1 as event, gateway::v1 as gateway, member::v1 as member, org::v1 as org};
use arc_swap::ArcSwapOption;
pub use checks::Checks;
pub use connection::{Connection, Repeatable};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use service_account::ServiceAccount;

/// How calls are made.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// A call that sets no shorter deadline ends after this, with DEADLINE_EXCEEDED. 5 seconds unless told.
    pub deadline: Duration,
    /// 2 seconds unless told.
    pub connect_timeout: Duration,
    /// A connection on which nothing was heard for this long is asked for a sign of life, which it has 5 seconds to give. 10 seconds
    /// unless told.
    pub keepalive_interval: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            keepalive_interval: Duration::from_secs(10),
        }
    }
}

/// The address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{address} is not the address of a gateway, such as https://guildhall.example.com")]
pub struct AddressError {
    address: String,
    source: channel::AddressError,
}

/// A connection to a gateway. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
    token: Arc<ArcSwapOption<HeaderValue>>,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident = $client:ty;)*) => {
        impl Client {$(
            $(#[$doc])*
            pub fn $name(&self) -> $client {
                <$client>::new(self.connection.clone())
            }
        )*}
    };
}

services! {
    organizations = org::organization_service_client::OrganizationServiceClient<Connection>;
    members = member::member_service_client::MemberServiceClient<Connection>;
    invitations = member::invitation_service_client::InvitationServiceClient<Connection>;
    credentials = member::credential_service_client::CredentialServiceClient<Connection>;
    sessions = member::session_service_client::SessionServiceClient<Connection>;
    service_accounts = member::service_account_service_client::ServiceAccountServiceClient<Connection>;
    catalog = authz::catalog_service_client::CatalogServiceClient<Connection>;
    roles = authz::role_service_client::RoleServiceClient<Connection>;
    groups = authz::group_service_client::GroupServiceClient<Connection>;
    bindings = authz::binding_service_client::BindingServiceClient<Connection>;
    resources = authz::resource_service_client::ResourceServiceClient<Connection>;
    authorization = authz::authorization_service_client::AuthorizationServiceClient<Connection>;
    events = event::event_service_client::EventServiceClient<Connection>;
    tokens = gateway::token_service_client::TokenServiceClient<Connection>;
    authentication = gateway::authentication_service_client::AuthenticationServiceClient<Connection>;
}

impl Client {
    /// `address` is a gateway's, or several with commas in between, or a name with the addresses of several: their failing ones are passed
    /// over, and a call that none has begun, or that may be repeated, goes to another. Connects when the first call is made. Must be
    /// called inside the tokio runtime.
    pub fn new(address: &str, options: ClientOptions) -> Result<Self, AddressError> {
        let tuned = channel::Options {
            connect_timeout: options.connect_timeout,
            keepalive_interval: options.keepalive_interval,
            keepalive_timeout: Duration::from_secs(5),
            look_up_interval: Duration::from_secs(30),
            ..channel::Options::default()
        };
        let channel = channel::Channel::open(address, tuned)
            .map_err(|source| AddressError { address: address.to_owned(), source })?;
        let token = Arc::new(ArcSwapOption::empty());
        Ok(Self { connection: Connection::new(channel, options.deadline, token.clone()), token })
    }

    /// Calls are a service account's: its access tokens are fetched by `client_credentials` when a call needs one, and renewed
    /// before they end. A token given by [`Self::set_token`] goes before them.
    #[must_use]
    pub fn with_service_account(mut self, client_id: &str, secret: SecretString) -> Self {
        self.connection.set_account(ServiceAccount::new(client_id.to_owned(), secret));
        self
    }

    /// What the generated clients are made of, for methods that are known only by name.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// The access token that the following calls carry. In place of a text that cannot stand in a header they carry none that is
    /// good, and are refused by the gateway: whoever's it was, the call is not the service account's.
    pub fn set_token(&self, token: SecretString) {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .unwrap_or(HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        self.token.store(Some(Arc::new(value)));
    }
}
