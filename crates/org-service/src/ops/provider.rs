//! Signing in at identity providers: where to send a browser, and who came back. What is under way is kept by member-service; the
//! connections with their secrets, and the way outside, are here.

use std::collections::BTreeSet;

use serde_json::Value;
use tenancy::{ConnectionId, Database, OrganizationId, OrganizationState, ProjectScope, StoreError, page::Page};
use url::Url;

use crate::{
    model::{
        AttributeName, Connection, ConnectionKind, ConnectionState, GroupName, Project, ProjectState, RedirectUri,
        RoleReference, UserPool,
    },
    ops::connection::open_secret,
    outside::{Claims, Oidc, OidcError, Party, Redemption},
    store::{
        connection::{self, Filter},
        directory, project,
    },
};

/// Longer texts of a provider are taken for none.
const TEXT: usize = 1024;
/// As many roles as a member can be given at once.
const ROLES: usize = 50;

#[derive(Debug)]
pub struct Providers {
    pub database: Database,
    pub oidc: Oidc,
}

/// Where somebody wants to sign in.
#[derive(Debug, Clone, Copy)]
pub enum Named {
    Organization(OrganizationId),
    Connection(ConnectionId),
}

#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("no such organization")]
    OrganizationUnknown,
    #[error("no such connection")]
    ConnectionUnknown,
    #[error("is none of the project's redirect_uris")]
    RedirectNotAllowed,
    #[error("must name the connection: the organization has several")]
    Several,
    #[error("must be an organization's: this project has a user pool for each")]
    PoolIsIsolated,
    #[error("signing in by SAML is not served by this version")]
    ProtocolNotServed,
    #[error(transparent)]
    Oidc(#[from] OidcError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What goes into an authorization request.
#[derive(Debug)]
pub struct Begun {
    pub redirect_uri: String,
    pub state: String,
    pub nonce: String,
    pub code_challenge: String,
}

/// Where to send the browser, where it comes back to, and by which connection.
#[derive(Debug)]
pub struct Authorized {
    pub url: Url,
    pub redirect_uri: RedirectUri,
    pub connection: Connection,
}

pub async fn authorize(
    providers: &Providers,
    scope: ProjectScope,
    named: Named,
    begun: Begun,
) -> Result<Authorized, ProviderError> {
    let (project, connection) = find(providers, scope, named).await?;
    let allowed = project.redirect_uris.iter().find(|uri| uri.as_str() == begun.redirect_uri);
    let redirect_uri = allowed.ok_or(ProviderError::RedirectNotAllowed)?.of_connection(connection.connection_id);
    if connection.is_of_project && project.user_pool == UserPool::Isolated {
        return Err(ProviderError::PoolIsIsolated);
    }
    let (ConnectionKind::Oidc, Some(client_id)) = (connection.kind, &connection.client_id) else {
        return Err(ProviderError::ProtocolNotServed);
    };
    let groups = !connection.group_role_ids.is_empty();
    let party =
        Party { issuer: &connection.issuer, client_id, client_secret: None, redirect_uri: &redirect_uri, groups };
    let url = providers.oidc.authorization(&party, begun.state, begun.nonce, begun.code_challenge).await?;
    Ok(Authorized { url, redirect_uri, connection })
}

/// The connection that is named, if one may sign in by it now.
async fn find(
    providers: &Providers,
    scope: ProjectScope,
    named: Named,
) -> Result<(Project, Connection), ProviderError> {
    let own = OrganizationId::from(scope.project_id());
    let mut read = providers.database.read(scope).await?;
    let project = project::find(read.connection(), scope.project_id()).await?;
    let found = match named {
        Named::Organization(organization) => {
            let filter = Filter { kind: None, state: Some(ConnectionState::Active) };
            connection::list(read.connection(), organization, filter, &Page { size: 1, after: None }).await?
        }
        Named::Connection(id) => {
            connection::of_project(read.connection(), scope.project_id(), id).await?.into_iter().collect()
        }
    };
    let owner = match (named, found.first()) {
        (Named::Organization(organization), _) => Some(organization),
        (Named::Connection(_), found) => found.map(|found| found.organization_id).filter(|owner| *owner != own),
    };
    let entry = match owner {
        Some(owner) => directory::organization(read.connection(), owner).await?,
        None => None,
    };
    read.finish();
    let here = entry.is_some_and(|e| e.project_id == scope.project_id() && e.state == OrganizationState::Active);
    if owner.is_some() && !here {
        return Err(match named {
            Named::Organization(_) => ProviderError::OrganizationUnknown,
            Named::Connection(_) => ProviderError::ConnectionUnknown,
        });
    }
    let mut found = found.into_iter().filter(|connection| connection.state == ConnectionState::Active);
    let project = project.filter(|project| project.state == ProjectState::Active);
    match (project, found.next(), found.next()) {
        (Some(_), Some(_), Some(_)) => Err(ProviderError::Several),
        (Some(project), Some(connection), None) => Ok((project, connection)),
        _ => Err(ProviderError::ConnectionUnknown),
    }
}

/// What came back, and what it was begun with.
#[derive(Debug)]
pub struct CameBack {
    pub connection: ConnectionId,
    /// Whose connection it is: the project's own key where it is the project's.
    pub owner: OrganizationId,
    pub issuer: String,
    pub redirect_uri: String,
    pub code: String,
    pub code_verifier: String,
    pub nonce: String,
    /// The browser brought no `iss`.
    pub without_issuer: bool,
}

/// Who the provider says that somebody is, by the connection's mapping. What it does not say is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    pub subject: String,
    pub email_address: String,
    pub email_verified: bool,
    pub display_name: String,
    pub external_id: String,
    pub roles: Vec<RoleReference>,
}

/// Trades a code for what the provider says.
pub async fn redeem(providers: &Providers, scope: ProjectScope, back: CameBack) -> Result<Vouched, ProviderError> {
    let (_, connection) = find(providers, scope, Named::Connection(back.connection)).await?;
    // What was begun at one provider does not end at another.
    if connection.organization_id != back.owner || connection.issuer.as_str() != back.issuer {
        return Err(ProviderError::ConnectionUnknown);
    }
    let client_id = connection.client_id.as_ref().ok_or(ProviderError::ProtocolNotServed)?;
    let redirect_uri = RedirectUri::parse(&back.redirect_uri).map_err(|_| ProviderError::RedirectNotAllowed)?;
    let client_secret = open_secret(&providers.database, scope, &connection).await?;
    let names = Names::of(&connection);
    let party =
        Party { issuer: &connection.issuer, client_id, client_secret, redirect_uri: &redirect_uri, groups: false };
    let CameBack { code, code_verifier, nonce, without_issuer, .. } = back;
    let redemption = Redemption { code, code_verifier, nonce, without_issuer, wanted: names.wanted() };
    let claims = providers.oidc.redeem(&party, redemption).await?;
    Ok(vouched(&connection, &names, &claims))
}

/// The claims that a connection reads. Those it does not are not asked for.
struct Names<'a> {
    email_address: &'a str,
    display_name: &'a str,
    external_id: Option<&'a str>,
    groups: Option<&'a str>,
}

impl<'a> Names<'a> {
    fn of(connection: &'a Connection) -> Self {
        let mapping = &connection.attribute_mapping;
        let name = |given: &'a Option<AttributeName>, usual| given.as_ref().map_or(usual, AttributeName::as_str);
        Self {
            email_address: name(&mapping.email_address, "email"),
            display_name: name(&mapping.display_name, "name"),
            external_id: mapping.external_id.as_ref().map(AttributeName::as_str),
            groups: (!connection.group_role_ids.is_empty()).then(|| name(&mapping.groups, "groups")),
        }
    }

    fn wanted(&self) -> BTreeSet<String> {
        let names = [Some(self.email_address), Some(self.display_name), self.external_id, self.groups];
        names.into_iter().flatten().map(str::to_owned).collect()
    }
}

fn vouched(connection: &Connection, names: &Names<'_>, claims: &Claims) -> Vouched {
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str).filter(|text| text.len() <= TEXT && !text.contains('\0'));
        text.unwrap_or_default().to_owned()
    };
    let (email_address, email_verified) = claims.get_with(names.email_address, "email_verified");
    Vouched {
        subject: claims.subject.clone(),
        email_address: text(email_address),
        email_verified: email_verified == Some(&Value::Bool(true)),
        display_name: text(claims.get(names.display_name)),
        external_id: text(names.external_id.and_then(|name| claims.get(name))),
        roles: names.groups.and_then(|name| claims.get(name)).map(|of| roles(connection, of)).unwrap_or_default(),
    }
}

/// The roles that groups give: a list of their names, or the name of one.
fn roles(connection: &Connection, groups: &Value) -> Vec<RoleReference> {
    let named = match groups {
        Value::Array(groups) => groups.iter().filter_map(Value::as_str).collect(),
        Value::String(group) => vec![group.as_str()],
        _ => Vec::new(),
    };
    let of_group = |name: &str| connection.group_role_ids.get(&GroupName::parse(name).ok()?);
    let roles: BTreeSet<RoleReference> = named.into_iter().filter_map(of_group).flatten().cloned().collect();
    if roles.len() > ROLES {
        tracing::warn!(connection_id = %connection.connection_id, "somebody's groups give more than 50 roles; the others are left out");
    }
    roles.into_iter().take(ROLES).collect()
}
