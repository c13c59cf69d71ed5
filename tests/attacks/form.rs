//! Requests from the contracts: one's own things wherever a message can name any, and each place where another's could stand instead.

use std::sync::LazyLock;

use crate::{twin::fresh, world::Things};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use serde_json::json;

static CONTRACTS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap());

/// A message goes this deep into itself, and no deeper: every kind of message is met by then.
const DEPTH: usize = 5;

pub fn message(name: &str) -> MessageDescriptor {
    CONTRACTS.get_message_by_name(name).unwrap()
}

/// A place in a request where something of a tenant's can be named.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: Vec<FieldDescriptor>,
    /// What of a tenant's stands there.
    pub kind: &'static str,
}

impl Place {
    pub fn name(&self) -> String {
        self.path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
    }

    /// Whether more than one can stand there, so that mine and another's can stand side by side.
    pub fn is_many(&self) -> bool {
        self.path.iter().any(|field| field.is_list())
    }
}

/// In whose company a foreign thing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    Alone,
    BehindMine,
    BeforeMine,
}

/// What of a tenant's stands in a field of this name.
fn kind(field: &FieldDescriptor) -> Option<&'static str> {
    let parent = field.parent_message();
    let (parent, name) = (parent.name(), field.name());
    if !matches!(field.kind(), Kind::String) {
        return None;
    }
    // A program's name: a service account's id, but at a provider of somebody else's.
    if name == "client_id" {
        return (parent != "Connection").then_some("service_account_id");
    }
    Some(match (parent, name) {
        ("Resource", "id") => "resource_id",
        ("LookupMemberRequest" | "Member", "external_id") => "member_external_id",
        ("Group" | "ListGroupsRequest", "external_id") => "group_external_id",
        ("Organization" | "LookupOrganizationRequest", "external_id") => "external_id",
        ("Domain", "name") | (_, "email_domain" | "domain" | "allowed_email_domains") => "email_domain",
        ("Invitation", "email_address") => "guest_address",
        // Names of a provider's attributes.
        ("AttributeMapping", _) => return None,
        (_, "email_address" | "email_address_prefix") => "email_address",
        (_, "slug" | "organization_slug") => "slug",
        (_, "organization_id" | "organization_ids" | "source_organization_id") => "organization_id",
        (_, "project_id") => "project_id",
        (_, "member_id" | "subject_member_id" | "subject_id") => "member_id",
        (_, "identity_id") => "identity_id",
        (_, "invitation_id") => "invitation_id",
        (_, "session_id" | "source_session_id") => "session_id",
        (_, "service_account_id") => "service_account_id",
        (_, "api_key_id") => "api_key_id",
        (_, "role_id" | "role_ids" | "included_role_ids" | "jit_role_ids" | "roles" | "delete_role_id") => "role_id",
        (_, "group_id" | "delete_group_id") => "group_id",
        (_, "binding_id" | "delete_binding_id") => "binding_id",
        (_, "domain_id") => "domain_id",
        (_, "connection_id") => "connection_id",
        _ => return None,
    })
}

/// Every such place, however deep.
pub fn places(input: &MessageDescriptor) -> Vec<Place> {
    let mut found = Vec::new();
    search(input, &mut Vec::new(), &mut found);
    found
}

fn search(message: &MessageDescriptor, path: &mut Vec<FieldDescriptor>, found: &mut Vec<Place>) {
    if path.len() >= DEPTH || message.full_name().starts_with("google.") {
        return;
    }
    for field in message.fields() {
        path.push(field.clone());
        if let Some(kind) = kind(&field) {
            found.push(Place { path: path.clone(), kind });
        }
        // A map's value goes by a name that is its owner's to choose.
        let inner = match field.kind() {
            Kind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
                Kind::Message(value) => Some(value),
                _ => None,
            },
            Kind::Message(inner) => Some(inner),
            _ => None,
        };
        if let Some(inner) = inner.filter(|inner| !path.iter().any(|above| above.parent_message() == inner)) {
            search(&inner, path, found);
        }
        path.pop();
    }
}

/// What a message of this kind is when nothing is wrong with it.
fn honest(message: &MessageDescriptor, own: &Things) -> DynamicMessage {
    let (member, role, group) = (&own["member_id"], &own["role_id"], &own["group_id"]);
    let document = json!({"type": "document", "id": own["resource_id"]});
    let address = || fresh("somebody") + "@people.test";
    let invitation = || json!({"email_address": address()});
    let newcomer = || json!({"email_address": address(), "display_name": "x", "member_id": member});
    let question = json!({"subject": {"member_id": member}, "permission": "guildhall.member:read"});
    let plain = match message.full_name().trim_start_matches("guildhall.") {
        "org.v1.Organization" => json!({"display_name": "x"}),
        "org.v1.Domain" => json!({"name": fresh("d") + ".test", "purpose": "DOMAIN_PURPOSE_EMAIL"}),
        "org.v1.Connection" => json!({"kind": "CONNECTION_KIND_OIDC", "display_name": "x",
            "issuer": "https://idp.example.test", "client_id": "guildhall", "client_secret": "hush-hush-0123456789"}),
        "member.v1.Member" => newcomer(),
        "member.v1.NewMember" => json!({"member": newcomer(), "roles": ["member"]}),
        "member.v1.Invitation" => invitation(),
        "member.v1.NewInvitation" => json!({"invitation": invitation(), "roles": ["member"]}),
        "member.v1.Identity" => {
            json!({"identity_id": own["identity_id"], "display_name": "x", "email_address": address()})
        }
        "member.v1.ServiceAccount" => json!({"service_account_id": own["service_account_id"], "display_name": "x"}),
        "authz.v1.Subject" | "event.v1.Actor" => json!({"member_id": member}),
        "authz.v1.Resource" => document,
        "authz.v1.ResourceRegistration" => json!({"resource": {"type": "document", "id": fresh("r")}}),
        "authz.v1.Binding" => {
            json!({"binding_id": own["binding_id"], "subject": {"member_id": member}, "role_id": role})
        }
        "authz.v1.Role" => {
            json!({"role_id": role, "key": fresh("role"), "display_name": "x", "permissions": ["guildhall.member:read"]})
        }
        "authz.v1.Group" => json!({"group_id": group, "display_name": "x"}),
        "authz.v1.GroupMembership" => json!({"group_id": group, "subject": {"member_id": member}}),
        "authz.v1.CheckQuestion" => question,
        "authz.v1.Assertion" => json!({"name": "x", "check": question, "expected": "DECISION_ALLOWED"}),
        "authz.v1.SubjectReplacement" => {
            json!({"subject": {"member_id": member}, "replacement": {"member_id": member}})
        }
        "authz.v1.SubjectGrant" => json!({"subject": {"member_id": member}, "roles": ["member"]}),
        "authz.v1.AuthorizationChange" => json!({"create_group": {"display_name": fresh("g")}}),
        "authz.v1.Precondition" => json!({"resource_absent": {"type": "document", "id": fresh("absent")}}),
        "authz.v1.AuthorizationRecord" => json!({"group": {"group_id": group, "display_name": "x"}}),
        "gateway.v1.ClientCredentialsGrant" => {
            json!({"client_id": own["service_account_id"], "client_secret": "not it"})
        }
        "gateway.v1.TokenExchangeGrant" => json!({"subject_token": own["token"]}),
        _ => json!({}),
    };
    DynamicMessage::deserialize(message.clone(), plain).unwrap()
}

/// What nobody has to say to be understood.
const LEFT_OUT: [&str; 9] = [
    "consistency",
    "context",
    "contextual_bindings",
    "preconditions",
    "actor",
    "settings",
    "start_time",
    "end_time",
    "expire_time",
];

/// A request in which all is one's own. What it changes it changes by name.
pub fn request(input: &MessageDescriptor, own: &Things) -> DynamicMessage {
    let mut request = DynamicMessage::new(input.clone());
    let mut chosen: Vec<String> = Vec::new();
    for field in input.fields().filter(|field| !LEFT_OUT.contains(&field.name())) {
        if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
            if chosen.contains(&oneof.name().to_owned()) {
                continue;
            }
            chosen.push(oneof.name().to_owned());
        }
        let value = match field.kind() {
            Kind::Message(inner) if inner.full_name() == "google.protobuf.FieldMask" => {
                request.set_field(&field, Value::Message(mask("display_name")));
                continue;
            }
            Kind::Message(inner) if inner.full_name().starts_with("google.") => continue,
            Kind::Message(inner) if !field.is_map() => Value::Message(honest(&inner, own)),
            Kind::String => match text(&field, own) {
                Some(text) => Value::String(text),
                None => continue,
            },
            _ => continue,
        };
        request.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
    }
    if input.name() == "UpdateBindingRequest" {
        point_at(&mut request, "expire_time");
    }
    request
}

fn text(field: &FieldDescriptor, own: &Things) -> Option<String> {
    let known = match field.name() {
        "permission" => "guildhall.member:read",
        "resource_type" => "document",
        "password" => "a horse and a long battery",
        "redirect_uri" => "https://app.example.test/back",
        "code_challenge" | "code_verifier" => "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code" | "totp_code" => "123456",
        "email_address" => return Some(fresh("nobody") + "@people.test"),
        "roles" => "member",
        "intermediate_session_token" => return own.get("intermediate").cloned(),
        // A filter, which would only hide what a leak would show.
        "subject_id" | "external_id" | "email_address_prefix" => return None,
        _ => return own.get(kind(field)?).cloned(),
    };
    Some(known.to_owned())
}

fn mask(path: &str) -> DynamicMessage {
    DynamicMessage::deserialize(message("google.protobuf.FieldMask"), serde_json::Value::String(camel(path))).unwrap()
}

/// As masks are spelled in JSON.
fn camel(path: &str) -> String {
    let mut upper = false;
    path.chars()
        .filter_map(|c| {
            let put = if upper { c.to_ascii_uppercase() } else { c };
            upper = c == '_';
            (c != '_').then_some(put)
        })
        .collect()
}

fn point_at(request: &mut DynamicMessage, path: &str) {
    if request.descriptor().get_field_by_name("update_mask").is_some() {
        request.set_field_by_name("update_mask", Value::Message(mask(path)));
    }
}

/// The same request with `id` at the place.
pub fn with(request: &DynamicMessage, place: &Place, id: &str, company: Company, own: &Things) -> DynamicMessage {
    let mut request = request.clone();
    put(&mut request, &place.path, id, company, own);
    // What is to be changed is what is there, unless it is what says of whom.
    if let [resource, field, ..] = place.path.as_slice()
        && field.name() != format!("{}_id", resource.name())
        && field.name() != "organization_id"
        && request.descriptor().get_field_by_name("update_mask").is_some()
    {
        let until_many = place.path[1..].iter().take_while(|field| !field.is_map()).map(FieldDescriptor::name);
        let mut path: Vec<_> = until_many.collect();
        if let Some(map) = place.path[1..].iter().find(|field| field.is_map()) {
            path.push(map.name());
        }
        point_at(&mut request, &path.join("."));
    }
    request
}

fn put(message: &mut DynamicMessage, path: &[FieldDescriptor], id: &str, company: Company, own: &Things) {
    let Some((field, rest)) = path.split_first() else { return };
    let foreign = |message: Option<&DynamicMessage>, kind: Kind| match kind {
        Kind::Message(inner) if !rest.is_empty() => {
            let mut inner = message.cloned().unwrap_or_else(|| honest(&inner, own));
            // What is made has no id yet.
            if let Some(made) = field.name().strip_prefix("create_") {
                inner.clear_field_by_name(&format!("{made}_id"));
            }
            put(&mut inner, rest, id, company, own);
            Value::Message(inner)
        }
        _ => Value::String(id.to_owned()),
    };
    let value = if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return };
        let value = foreign(None, entry.map_entry_value_field().kind());
        Value::Map([(MapKey::String("people.test".to_owned()), value)].into())
    } else if field.is_list() {
        let mine = match field.kind() {
            Kind::Message(inner) => Value::Message(honest(&inner, own)),
            _ => Value::String(text(field, own).unwrap_or_default()),
        };
        let foreign = foreign(None, field.kind());
        Value::List(match company {
            Company::Alone => vec![foreign],
            Company::BehindMine => vec![mine, foreign],
            Company::BeforeMine => vec![foreign, mine],
        })
    } else {
        let there = message.has_field(field).then(|| message.get_field(field).into_owned());
        foreign(there.as_ref().and_then(Value::as_message), field.kind())
    };
    message.set_field(field, value);
}

/// The same request with a text in a field of its own.
pub fn set(request: &DynamicMessage, field: &str, text: &str) -> DynamicMessage {
    let mut request = request.clone();
    request.set_field_by_name(field, Value::String(text.to_owned()));
    request
}

/// What is called an id and names nothing of a tenant's: a call's own, a proof's, or what a server alone says.
const NO_THING: [&str; 7] =
    ["request_id", "trace_id", "event_id", "challenge_id", "token_id", "assertion_key_id", "client_id"];

/// A field that a contract gains tomorrow is attacked tomorrow, or this says that nobody knows what it names.
#[test]
fn every_id_that_a_request_can_name_is_known() {
    let (mut unknown, mut seen) = (std::collections::BTreeSet::new(), 0);
    for method in api::METHODS {
        let mut all = vec![message(method.input)];
        let mut met: Vec<MessageDescriptor> = Vec::new();
        while let Some(next) = all.pop() {
            if met.contains(&next) || next.full_name().starts_with("google.") {
                continue;
            }
            for field in next.fields() {
                if let Kind::Message(inner) = field.kind() {
                    all.push(inner);
                }
                let is_id = matches!(field.kind(), Kind::String)
                    && (field.name().ends_with("_id") || field.name().ends_with("_ids") || field.name() == "id");
                if is_id
                    && kind(&field).is_none()
                    && !NO_THING.contains(&field.name())
                    && next.name() != "AttributeMapping"
                {
                    unknown.insert(format!("{} of {}", field.name(), next.full_name()));
                }
                seen += usize::from(is_id);
            }
            met.push(next);
        }
    }
    assert!(unknown.is_empty(), "nobody knows what these name: {unknown:?}");
    assert!(seen > 300, "{seen}");
}
