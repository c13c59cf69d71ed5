//! An organization's own identity provider.

use std::collections::BTreeMap;

use secrecy::SecretString;
use tenancy::{ConnectionId, OrganizationId};
use time::OffsetDateTime;
use url::Url;
use x509_cert::{
    Certificate as X509,
    der::{DecodePem as _, EncodePem as _, pem::LineEnding},
};

use super::{
    Fault, RoleReference,
    names::is_disruptive,
    text,
    web_uri::{PlainHttp, web_uri},
};

text! {
    /// What people see on the button: 1 to 128 characters without control characters.
    ConnectionName;
    /// OIDC: where the discovery document lies under. SAML: the provider's entity id.
    Issuer;
    /// What the provider knows us by: 1 to 255 characters.
    ClientId;
    /// Where SAML sends the browser.
    SignInUri;
    /// An X.509 certificate in PEM.
    Certificate;
    /// The name of a claim or attribute: 1 to 256 characters.
    AttributeName;
    /// The name of a provider's group: 1 to 256 characters, compared as they stand.
    GroupName;
}

const URI: usize = 2048;
const CERTIFICATE: usize = 16 * 1024;
const SECRET: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionKind {
    Oidc,
    Saml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionState {
    #[default]
    Inactive,
    Active,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SamlSettings {
    pub sign_in_uri: SignInUri,
    pub certificates: Vec<Certificate>,
}

/// None: the kind's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AttributeMapping {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_address: Option<AttributeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<AttributeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<AttributeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<AttributeName>,
}

/// Without its secret, which stands in events and answers of no kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Connection {
    pub connection_id: ConnectionId,
    /// The project's own key where it is the project's.
    pub organization_id: OrganizationId,
    #[serde(default)]
    pub is_of_project: bool,
    pub kind: ConnectionKind,
    pub display_name: ConnectionName,
    pub issuer: Issuer,
    pub client_id: Option<ClientId>,
    pub has_client_secret: bool,
    pub saml: Option<SamlSettings>,
    pub attribute_mapping: AttributeMapping,
    /// Role ids: a key could come to name another role later.
    pub group_role_ids: BTreeMap<GroupName, Vec<RoleReference>>,
    pub state: ConnectionState,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

/// The payload of a connection's events.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ConnectionChange {
    pub before: Option<Connection>,
    pub after: Option<Connection>,
    /// As the caller gave it; empty where none was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a provider knows us by proof of. In memory only; never shown.
#[derive(Debug, Clone)]
pub struct ClientSecret(pub SecretString);

/// What a caller writes: all of a new connection, or of one that is there the fields that the caller names.
#[derive(Debug, Clone, Default)]
pub struct ConnectionDraft {
    pub display_name: Option<ConnectionName>,
    pub issuer: Option<Issuer>,
    pub client_id: Option<ClientId>,
    pub client_secret: Option<ClientSecret>,
    pub sign_in_uri: Option<SignInUri>,
    pub certificates: Vec<Certificate>,
    pub attribute_mapping: AttributeMapping,
    pub group_role_ids: BTreeMap<GroupName, Vec<RoleReference>>,
    pub state: ConnectionState,
}

impl Connection {
    /// This connection with the named fields of `draft`, named by their paths in the contract. The secret is the caller's matter.
    pub fn with(&self, draft: ConnectionDraft, named: impl Fn(&str) -> bool) -> Self {
        let mut new = self.clone();
        let within = |parent: &str, field: &str| named(parent) || named(&format!("{parent}.{field}"));
        if let Some(display_name) = draft.display_name.filter(|_| named("display_name")) {
            new.display_name = display_name;
        }
        if let Some(issuer) = draft.issuer.filter(|_| named("issuer")) {
            new.issuer = issuer;
        }
        if let Some(client_id) = draft.client_id.filter(|_| named("client_id")) {
            new.client_id = Some(client_id);
        }
        if named("client_secret") {
            new.has_client_secret = draft.client_secret.is_some();
        }
        if let Some(saml) = &mut new.saml {
            if let Some(uri) = draft.sign_in_uri.filter(|_| within("saml", "sign_in_uri")) {
                saml.sign_in_uri = uri;
            }
            if within("saml", "certificates") {
                saml.certificates = draft.certificates;
            }
        }
        let AttributeMapping { email_address, display_name, external_id, groups } = draft.attribute_mapping;
        if within("attribute_mapping", "email_address") {
            new.attribute_mapping.email_address = email_address;
        }
        if within("attribute_mapping", "display_name") {
            new.attribute_mapping.display_name = display_name;
        }
        if within("attribute_mapping", "external_id") {
            new.attribute_mapping.external_id = external_id;
        }
        if within("attribute_mapping", "groups") {
            new.attribute_mapping.groups = groups;
        }
        if named("group_role_ids") {
            new.group_role_ids = draft.group_role_ids;
        }
        if named("state") {
            new.state = draft.state;
        }
        new
    }

    /// Whether `other` could give people roles in another way than this one: by other groups, other proof of them, or at all. Who
    /// points a mapping at a provider of their own hands out its roles, as well as who writes the mapping.
    pub fn grants_otherwise(&self, other: &Self) -> bool {
        let Self { issuer, client_id, saml, attribute_mapping, group_role_ids, state, .. } = self;
        (issuer, client_id, saml) != (&other.issuer, &other.client_id, &other.saml)
            || (attribute_mapping, group_role_ids) != (&other.attribute_mapping, &other.group_role_ids)
            || (*state != other.state && other.state == ConnectionState::Active)
    }

    /// Whether `other` lets people in by other proof than this one does, or at all: its provider can speak for any of them, and for
    /// the owners too.
    pub fn believes_otherwise(&self, other: &Self) -> bool {
        let Self { issuer, client_id, saml, attribute_mapping, state, .. } = self;
        let proof = (issuer, client_id, saml, attribute_mapping);
        other.state == ConnectionState::Active
            && (*state != ConnectionState::Active
                || proof != (&other.issuer, &other.client_id, &other.saml, &other.attribute_mapping))
    }

    /// The roles that its groups give, each once.
    pub fn roles(&self) -> Vec<RoleReference> {
        mapped_roles(&self.group_role_ids)
    }
}

/// The roles that a mapping gives, each once.
pub fn mapped_roles(groups: &BTreeMap<GroupName, Vec<RoleReference>>) -> Vec<RoleReference> {
    let all: std::collections::BTreeSet<&RoleReference> = groups.values().flatten().collect();
    all.into_iter().cloned().collect()
}

fn plain(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().take(most + 1).count() <= most && !text.chars().any(is_disruptive)
}

fn of_provider(text: &str, allow_http: bool) -> Option<Url> {
    let plain = if allow_http { PlainHttp::Anywhere } else { PlainHttp::Nowhere };
    web_uri(text, plain).filter(|url| url.fragment().is_none())
}

impl ConnectionName {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let good = plain(text, 128) && text.trim() == text;
        if good { Ok(Self(text.to_owned())) } else { Err(Fault("must be 1 to 128 characters on one line")) }
    }
}

impl Issuer {
    /// With `allow_http` the issuer may also be a plain `http` one, for development.
    pub fn parse(text: &str, kind: ConnectionKind, allow_http: bool) -> Result<Self, Fault> {
        if text.is_empty() || text.len() > URI {
            return Err(Fault("must be 1 to 2,048 characters"));
        }
        match kind {
            ConnectionKind::Oidc => match of_provider(text, allow_http) {
                Some(url) if url.query().is_none() => Ok(Self(text.to_owned())),
                _ => Err(Fault("must be an absolute https:// URI in ASCII, without user name, query and fragment")),
            },
            // An entity id is a name: a URL, a URN, or what else the provider calls itself.
            ConnectionKind::Saml if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self(text.to_owned())),
            ConnectionKind::Saml => Err(Fault("must be visible ASCII characters without spaces")),
        }
    }

    /// Where the discovery document of an OIDC issuer lies.
    pub fn discovery(&self) -> Option<Url> {
        Url::parse(&format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))).ok()
    }
}

impl ClientId {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let good = plain(text, 255);
        if good { Ok(Self(text.to_owned())) } else { Err(Fault("must be 1 to 255 printable characters")) }
    }
}

impl ClientSecret {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let good = plain(text, SECRET);
        if good { Ok(Self(text.into())) } else { Err(Fault("must be 1 to 1,024 printable characters")) }
    }
}

impl SignInUri {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let good = text.len() <= URI && of_provider(text, false).is_some();
        let fault = Fault("must be an absolute https:// URI in ASCII of at most 2,048 characters");
        if good { Ok(Self(text.to_owned())) } else { Err(fault) }
    }
}

impl AttributeName {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let good = plain(text, 256);
        if good { Ok(Self(text.to_owned())) } else { Err(Fault("must be at most 256 printable characters")) }
    }
}

impl GroupName {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let good = plain(text, 256);
        if good { Ok(Self(text.to_owned())) } else { Err(Fault("must be 1 to 256 printable characters")) }
    }
}

impl Certificate {
    /// One certificate, kept in the form that every reader writes it in.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let read = (text.len() <= CERTIFICATE).then(|| X509::from_pem(text.trim()).ok()).flatten();
        let written = read.and_then(|certificate| certificate.to_pem(LineEnding::LF).ok());
        written.map(Self).ok_or(Fault("must be one X.509 certificate in PEM, of at most 16 KiB"))
    }

    /// When it may be used: from, until.
    pub fn validity(&self) -> Option<(OffsetDateTime, OffsetDateTime)> {
        let validity = X509::from_pem(&self.0).ok()?.tbs_certificate.validity;
        let time = |time: x509_cert::time::Time| OffsetDateTime::from(time.to_system_time());
        Some((time(validity.not_before), time(validity.not_after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_a_web_address_or_the_name_of_a_saml_provider() {
        let oidc = |text: &str| Issuer::parse(text, ConnectionKind::Oidc, false);
        let issuer = oidc("https://idp.acme.test/tenant/").unwrap();
        let discovery = issuer.discovery().map(String::from);
        assert_eq!(discovery.as_deref(), Some("https://idp.acme.test/tenant/.well-known/openid-configuration"));
        for bad in [
            "http://idp.acme.test",
            "https://idp.acme.test?x=1",
            "https://idp.acme.test#x",
            "https://a:b@idp.acme.test",
            "https:///idp.acme.test",
            "https:idp.acme.test",
            "https://idp.acme.test\\@evil.test",
            " https://idp.acme.test",
            "ftp://idp.acme.test",
            "idp.acme.test",
            "",
        ] {
            assert!(oidc(bad).is_err(), "{bad}");
        }
        assert!(Issuer::parse("http://127.0.0.1:1", ConnectionKind::Oidc, true).is_ok());
        assert!(Issuer::parse("urn:acme:idp", ConnectionKind::Saml, false).is_ok());
        assert!(Issuer::parse("urn:acme idp", ConnectionKind::Saml, false).is_err());
    }

    #[test]
    fn a_certificate_must_read() {
        assert!(Certificate::parse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").is_err());
        assert!(Certificate::parse("").is_err());
        let good = Certificate::parse(CERTIFICATE_OF_A_TEST).unwrap();
        assert_eq!(Certificate::parse(good.as_str()), Ok(good.clone()));
        let (from, until) = good.validity().unwrap();
        assert!(from < until);
    }

    #[test]
    fn who_points_a_mapping_elsewhere_grants_its_roles() {
        let time = tenancy::event::now();
        let one = Connection {
            connection_id: ConnectionId::new(),
            organization_id: OrganizationId::new(),
            is_of_project: false,
            kind: ConnectionKind::Oidc,
            display_name: ConnectionName::parse("Acme").unwrap(),
            issuer: Issuer::parse("https://idp.acme.test", ConnectionKind::Oidc, false).unwrap(),
            client_id: Some(ClientId::parse("x").unwrap()),
            has_client_secret: true,
            saml: None,
            attribute_mapping: AttributeMapping::default(),
            group_role_ids: BTreeMap::new(),
            state: ConnectionState::Active,
            revision: 1,
            create_time: time,
            update_time: time,
        };
        let draft = |text: &str| ConnectionDraft {
            display_name: ConnectionName::parse("Other").ok(),
            issuer: Issuer::parse(text, ConnectionKind::Oidc, false).ok(),
            ..ConnectionDraft::default()
        };
        let elsewhere = draft("https://evil.test");
        assert!(one.grants_otherwise(&one.with(elsewhere.clone(), |path| path == "issuer")));
        assert!(!one.grants_otherwise(&one.with(elsewhere.clone(), |path| path == "display_name")));
        let off = one.with(elsewhere, |path| path == "state");
        assert!(!one.grants_otherwise(&off) && off.grants_otherwise(&one));
        assert!(!one.believes_otherwise(&off) && off.believes_otherwise(&one));
        let elsewhere = one.with(draft("https://evil.test"), |path| path == "issuer");
        assert!(one.believes_otherwise(&elsewhere) && !one.believes_otherwise(&one.clone()));
    }

    const CERTIFICATE_OF_A_TEST: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBhzCCAS2gAwIBAgIUeEPDa+SbcaQRTL7AGVFqj4imPHAwCgYIKoZIzj0EAwIw\n\
GDEWMBQGA1UEAwwNaWRwLmFjbWUudGVzdDAgFw0yNjExMjEwNTMxMjRaGA8yMTI2\n\
MTAyODA1MzEyNFowGDEWMBQGA1UEAwwNaWRwLmFjbWUudGVzdDBZMBMGByqGSM49\n\
AgEGCCqGSM49AwEHA0IABLWGBNzND9o1oLzDY2oO8mXP+TSf5Vmadyd9NK+Ts3mg\n\
x78BBqFUvzlbPsg7RnhPyPTcuH6bejF9kKsystP7E1SjUzBRMB0GA1UdDgQWBBSw\n\
8u6rq1DdOxFm5cb/oQUylXOsaTAfBgNVHSMEGDAWgBSw8u6rq1DdOxFm5cb/oQUy\n\
lXOsaTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQCdzTDhWmaa\n\
VW8lxbdpPKNCP8iClW4Jr5oI6YxE/xkOxQIgeSx/73YYsPawP/ItKCrT21r834kl\n\
MPyxQqTNNvXWT6w=\n\
-----END CERTIFICATE-----\n";
}
