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
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use service_account::ServiceAccount;
use tonic::transport::{ClientTlsConfig, Endpoint};

pub use checks::Checks;
pub use connection::Connection;

/// How calls are made.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// A call that sets no shorter deadline ends after this, with DEADLINE_EXCEEDED. 5 seconds unless told.
    pub deadline: Duration,
    /// 2 seconds unless told.
    pub connect_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), connect_timeout: Duration::from_secs(2) }
    }
}

/// The address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{address} is not the address of a gateway, such as https://guildhall.example.com")]
pub struct AddressError {
    address: String,
    source: tonic::transport::Error,
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
    /// Connects when the first call is made. Must be called inside the tokio runtime.
    pub fn new(address: &str, options: ClientOptions) -> Result<Self, AddressError> {
        let wrong = |source| AddressError { address: address.to_owned(), source };
        let mut endpoint = Endpoint::from_shared(address.to_owned()).map_err(wrong)?;
        if address.starts_with("https://") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(wrong)?;
        }
        let channel = endpoint
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_while_idle(true)
            .connect_lazy();
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

    /// The access token that the following calls carry. A text that cannot stand in a header is carried as none, and refused by
    /// the gateway as such.
    pub fn set_token(&self, token: SecretString) {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok().map(|mut value| {
            value.set_sensitive(true);
            Arc::new(value)
        });
        self.token.store(value);
    }
}
