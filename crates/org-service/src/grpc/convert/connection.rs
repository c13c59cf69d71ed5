use std::collections::BTreeMap;

use api::org::v1 as proto;
use runtime::Violations;
use tenancy::{ConnectionId, mask::Mask};
use tonic::Status;

use super::{Reading, all_of, choices::Choice, required, time::timestamp};
use crate::{
    model::{
        AttributeMapping, AttributeName, Certificate, ClientId, ClientSecret, Connection, ConnectionDraft,
        ConnectionKind, ConnectionName, Fault, GroupName, Issuer, RoleReference, SignInUri,
    },
    ops::connection::{Check, Filter, Update},
};

/// What an update mask may name.
const FIELDS: &[&str] = &[
    "display_name",
    "issuer",
    "client_id",
    "client_secret",
    "saml",
    "saml.sign_in_uri",
    "saml.certificates",
    "attribute_mapping",
    "attribute_mapping.email_address",
    "attribute_mapping.display_name",
    "attribute_mapping.external_id",
    "attribute_mapping.groups",
    "group_role_ids",
    "state",
];
const CERTIFICATES: usize = 5;
const GROUPS: usize = 500;
const ROLES: usize = 20;

pub fn connection(connection: &Connection) -> proto::Connection {
    let name = |name: &Option<AttributeName>| name.clone().map(String::from).unwrap_or_default();
    let mapping = &connection.attribute_mapping;
    let owner = (!connection.is_of_project).then(|| connection.organization_id.to_string());
    proto::Connection {
        connection_id: connection.connection_id.to_string(),
        organization_id: owner.unwrap_or_default(),
        kind: connection.kind.number(),
        display_name: connection.display_name.as_str().to_owned(),
        issuer: connection.issuer.as_str().to_owned(),
        client_id: connection.client_id.clone().map(String::from).unwrap_or_default(),
        client_secret: String::new(),
        has_client_secret: connection.has_client_secret,
        saml: connection.saml.as_ref().map(|saml| proto::SamlSettings {
            sign_in_uri: saml.sign_in_uri.as_str().to_owned(),
            certificates: saml.certificates.iter().map(|certificate| certificate.as_str().to_owned()).collect(),
        }),
        attribute_mapping: (*mapping != AttributeMapping::default()).then(|| proto::AttributeMapping {
            email_address: name(&mapping.email_address),
            display_name: name(&mapping.display_name),
            external_id: name(&mapping.external_id),
            groups: name(&mapping.groups),
        }),
        group_role_ids: connection
            .group_role_ids
            .iter()
            .map(|(group, roles)| {
                let role_ids = roles.iter().map(|role| role.as_str().to_owned()).collect();
                (group.as_str().to_owned(), proto::RoleIdList { role_ids })
            })
            .collect(),
        state: connection.state.number(),
        create_time: Some(timestamp(connection.create_time)),
        update_time: Some(timestamp(connection.update_time)),
        etag: tenancy::mask::etag(connection.revision),
    }
}

pub fn checks(checks: Vec<Check>) -> proto::TestConnectionResponse {
    proto::TestConnectionResponse {
        passed: checks.iter().all(|check| check.fault.is_none()),
        checks: checks
            .into_iter()
            .map(|check| proto::ConnectionCheck {
                name: check.name.to_owned(),
                passed: check.fault.is_none(),
                detail: check.fault.unwrap_or_default(),
            })
            .collect(),
    }
}

/// The fields that are named. What a kind does not have is refused where the kind is known.
fn draft(
    reading: &mut Reading<'_>,
    kind: ConnectionKind,
    allow_http: bool,
    from: proto::Connection,
) -> ConnectionDraft {
    let saml = from.saml.unwrap_or_default();
    let of_saml = kind == ConnectionKind::Saml;
    let mapping = from.attribute_mapping.unwrap_or_default();
    let mut mapped =
        |field: &str, text: &str| reading.text(&format!("attribute_mapping.{field}"), text, AttributeName::parse);
    let attribute_mapping = AttributeMapping {
        email_address: mapped("email_address", &mapping.email_address),
        display_name: mapped("display_name", &mapping.display_name),
        external_id: mapped("external_id", &mapping.external_id),
        groups: mapped("groups", &mapping.groups),
    };
    let (sign_in_uri, certificates) = if of_saml {
        let certificates = reading
            .list("saml.certificates", &saml.certificates, CERTIFICATES, |text: &String| Certificate::parse(text));
        if saml.certificates.is_empty() {
            reading.read("saml.certificates", || Err::<(), _>(Fault("must hold 1 to 5 certificates")));
        }
        (reading.read("saml.sign_in_uri", || SignInUri::parse(&saml.sign_in_uri)), certificates)
    } else {
        (None, Vec::new())
    };
    ConnectionDraft {
        display_name: reading.read("display_name", || ConnectionName::parse(&from.display_name)),
        issuer: reading.read("issuer", || Issuer::parse(&from.issuer, kind, allow_http)),
        client_id: if of_saml { None } else { reading.read("client_id", || ClientId::parse(&from.client_id)) },
        client_secret: reading.text("client_secret", &from.client_secret, ClientSecret::parse),
        sign_in_uri,
        certificates,
        attribute_mapping,
        group_role_ids: groups(reading, from.group_role_ids),
        state: reading.read("state", || Choice::read(from.state)).flatten().unwrap_or_default(),
    }
}

/// The name of a group is repeated in no answer that refuses it: the faults of its roles are told by its place.
fn groups(
    reading: &mut Reading<'_>,
    given: BTreeMap<String, proto::RoleIdList>,
) -> BTreeMap<GroupName, Vec<RoleReference>> {
    let mut groups = BTreeMap::new();
    if given.len() > GROUPS {
        reading.read("group_role_ids", || Err::<(), _>(Fault("must hold at most 500 groups")));
        return groups;
    }
    for (at, (name, list)) in given.into_iter().enumerate() {
        let group = reading.read("group_role_ids", || GroupName::parse(&name));
        let roles = reading
            .list(&format!("group_role_ids.{at}"), &list.role_ids, ROLES, |text: &String| RoleReference::parse(text));
        groups.extend(group.map(|group| (group, roles)));
    }
    groups
}

pub fn read_create(
    request: proto::CreateConnectionRequest,
    allow_http: bool,
) -> Result<(ConnectionKind, ConnectionName, Issuer, ConnectionDraft), Status> {
    let from = required("connection", request.connection)?;
    let mut violations = Violations::default();
    let kind = violations.check("connection.kind", ConnectionKind::read_element(&from.kind));
    let (kind,) = violations.all((kind,))?;
    let (named_saml, named_client) = (from.saml.is_some(), !from.client_id.is_empty());
    let named_secret = !from.client_secret.is_empty();
    let mask = all_of(FIELDS);
    let mut reading = Reading::new("connection", &mask);
    let draft = draft(&mut reading, kind, allow_http, from);
    let mut violations = reading.violations;
    match kind {
        ConnectionKind::Oidc => {
            violations.require(!named_saml, "connection.saml", "is for SAML connections");
        }
        ConnectionKind::Saml => {
            violations.require(!named_client, "connection.client_id", "is for OIDC connections");
            violations.require(!named_secret, "connection.client_secret", "is for OIDC connections");
        }
    }
    let (display_name, issuer) = violations.all((draft.display_name.clone(), draft.issuer.clone()))?;
    Ok((kind, display_name, issuer, draft))
}

/// `kind` is that of the connection that is there: what its fields may be depends on it.
pub fn read_update(
    organization: &str,
    id: ConnectionId,
    kind: ConnectionKind,
    allow_http: bool,
    request: proto::UpdateConnectionRequest,
) -> Result<Update, Status> {
    let mut violations = Violations::default();
    let paths = request.update_mask.unwrap_or_default().paths;
    let mask = violations.check("update_mask", Mask::parse(&paths, &of_kind(kind)));
    violations.require(request.connection.is_some(), "connection", "is required");
    let (mask, from) = violations.all((mask, request.connection))?;
    let mut reading = Reading::new("connection", &mask);
    let same = |given: &str, own: String| given.is_empty() || given == own;
    let fits = same(&from.organization_id, organization.to_owned());
    reading.violations.require(fits, "connection.organization_id", "must be empty or the same as organization_id");
    let fits = same(&from.connection_id, id.to_string());
    reading.violations.require(fits, "connection.connection_id", "must be empty or the same as connection_id");
    let etag = from.etag.clone();
    let draft = draft(&mut reading, kind, allow_http, from);
    reading.violations.finish()?;
    Ok(Update { id, draft, mask, etag })
}

/// The fields that a connection of a kind has.
fn of_kind(kind: ConnectionKind) -> Vec<&'static str> {
    let others: &[&str] = match kind {
        ConnectionKind::Oidc => &["saml", "saml.sign_in_uri", "saml.certificates"],
        ConnectionKind::Saml => &["client_id", "client_secret"],
    };
    FIELDS.iter().copied().filter(|field| !others.contains(field)).collect()
}

pub fn filter(request: &proto::ListConnectionsRequest, violations: &mut Violations) -> Option<Filter> {
    let kind = violations.check("kind", Choice::read(request.kind));
    let state = violations.check("state", Choice::read(request.state));
    Some(Filter { kind: kind?, state: state? })
}
