//! Bad input at every method that takes its kind: which methods those are, the contracts say. Foreign ids, ids of the wrong kind, stale
//! etags, unknown masks, page tokens of other queries, names that would mislead who reads them.

use std::collections::BTreeMap;

use api::{Audience, METHODS, Method};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Refused, text, unique},
};
use tonic::Code;

use crate::tenant_walls::children;

/// What an organization has, by the field that names it.
pub type Children = BTreeMap<&'static str, String>;

/// A method that is about one organization or about the caller's project, with the message that it takes.
pub struct Door {
    pub method: &'static Method,
    pub input: MessageDescriptor,
}

fn doors() -> Vec<Door> {
    let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).unwrap();
    METHODS
        .iter()
        .filter(|method| matches!(method.audience, Audience::Organization | Audience::Project))
        .filter(|method| method.served && !method.client_streaming && !method.server_streaming)
        .map(|method| Door { method, input: pool.get_message_by_name(method.input).unwrap() })
        .collect()
}

impl Door {
    pub fn name(&self) -> String {
        format!("{}/{}", self.method.service, self.method.name)
    }

    fn has(&self, field: &str) -> bool {
        self.input.get_field_by_name(field).is_some()
    }

    fn is_of_an_organization(&self) -> bool {
        self.input.get_field(1).is_some_and(|field| field.name() == "organization_id")
    }

    /// What is made or changed: the field of the input that is a message with an etag.
    fn resource(&self) -> Option<(String, MessageDescriptor)> {
        self.input.fields().find_map(|field| match field.kind() {
            Kind::Message(message) if !field.is_list() && message.get_field_by_name("etag").is_some() => {
                Some((field.name().to_owned(), message))
            }
            _ => None,
        })
    }

    /// The places where the message names a child of an organization: fields by themselves, in subjects, and in lists of both.
    fn places(&self, own: &Children) -> Vec<Place> {
        let mut places = Vec::new();
        let id = |field: &FieldDescriptor| own.get_key_value(field.name()).map(|(name, _)| *name);
        for field in self.input.fields() {
            match field.kind() {
                Kind::String => places.extend(id(&field).map(|name| Place { within: None, name, list: false })),
                Kind::Message(message) if message.full_name() == "guildhall.authz.v1.Subject" => {
                    let (within, list) = (Some(field.name().to_owned()), field.is_list());
                    places.extend(message.fields().filter_map(|inner| id(&inner)).map(|name| Place {
                        within: within.clone(),
                        name,
                        list,
                    }));
                }
                _ => {}
            }
        }
        places
    }

    /// A request that names one's own things wherever it names any.
    pub fn honest(&self, organization: &Organization<'_>, own: &Children) -> Map<String, Value> {
        let mut request = Map::new();
        if self.is_of_an_organization() {
            request.insert("organization_id".to_owned(), json!(organization.id));
        }
        let mut chosen = Vec::new();
        for field in self.input.fields() {
            // Of a oneof, one.
            if let Some(oneof) = field.containing_oneof() {
                if chosen.contains(&oneof.name().to_owned()) {
                    continue;
                }
                chosen.push(oneof.name().to_owned());
            }
            let name = field.name();
            let value = match (name, field.kind()) {
                ("permission", _) => json!("guildhall.member:read"),
                ("subject", Kind::Message(_)) => json!({"member_id": own["member_id"]}),
                ("subjects", Kind::Message(_)) => json!([{"member_id": own["member_id"]}]),
                ("api_key", _) => json!({}),
                ("binding", _) => json!({"subject": {"member_id": own["member_id"]}, "role_id": "member"}),
                (_, Kind::String) => match own.get(name) {
                    Some(id) => json!(id),
                    None => continue,
                },
                _ => continue,
            };
            request.insert(name.to_owned(), value);
        }
        request
    }
}

struct Place {
    within: Option<String>,
    name: &'static str,
    list: bool,
}

impl Place {
    fn set(&self, request: &mut Map<String, Value>, id: &str, own: &Children) {
        let (place, value) = match &self.within {
            None => (self.name, json!(id)),
            Some(within) if self.list => (within.as_str(), json!([{"member_id": own["member_id"]}, {self.name: id}])),
            Some(within) => (within.as_str(), json!({self.name: id})),
        };
        request.insert(place.to_owned(), value);
    }
}

/// The other things that an organization has; the first came from the test of the walls.
pub async fn all_children(organization: &Organization<'_>) -> Children {
    let mut all = children(organization).await;
    let (owner, id) = (&organization.owner().caller, &organization.id);
    let domain = json!({"organization_id": id,
        "domain": {"name": unique("d") + ".test", "purpose": "DOMAIN_PURPOSE_EMAIL"}});
    all.insert("domain_id", text(&owner.call("DomainService/CreateDomain", domain).await, "domain_id"));
    let connection = json!({"organization_id": id, "connection": {"kind": "CONNECTION_KIND_OIDC",
        "display_name": "idp", "issuer": "https://idp.example.test", "client_id": "guildhall",
        "client_secret": "hush-hush-0123456789"}});
    let connection = owner.call("ConnectionService/CreateConnection", connection).await;
    all.insert("connection_id", text(&connection, "connection_id"));
    let key = json!({"organization_id": id, "service_account_id": all["service_account_id"], "api_key": {}});
    let key = organization.project.account.call("ServiceAccountService/CreateApiKey", key).await;
    all.insert("api_key_id", text(&key, "api_key_id"));
    let about = json!({"organization_id": id, "member_id": all["member_id"]});
    let person = text(&owner.call("MemberService/GetMember", about).await, "identity_id");
    all.insert("identity_id", person);
    all
}

/// Everything that a method of the organization lists.
async fn everything(organization: &Organization<'_>, own: &Children) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for door in doors().iter().filter(|door| door.is_of_an_organization() && door.has("page_token")) {
        if door.method.name != "ListEvents" {
            let request = Value::Object(door.honest(organization, own));
            let answer = organization.project.account.call(&door.name(), request).await;
            all.insert(door.name(), answer);
        }
    }
    assert!(all.len() > 8, "{:?}", all.keys());
    all
}

/// An id that nobody has, of the same kind.
fn nobodys(id: &str) -> String {
    format!("{}_01h455vb4pex5vsknk084sn02q", id.rsplit_once('_').unwrap().0)
}

#[tokio::test]
async fn a_foreign_id_is_nobodys_wherever_it_stands() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, sister) = (project.organization("acme").await, project.organization("sister").await);
    let (own, foreign) = (all_children(&acme).await, all_children(&sister).await);
    let before = everything(&sister, &foreign).await;
    let (mut tried, mut missing) = (0, 0);
    for door in doors().iter().filter(|door| door.is_of_an_organization()) {
        for place in door.places(&own) {
            let ask = async |id: &str| {
                let mut request = door.honest(&acme, &own);
                place.set(&mut request, id, &own);
                project.account.try_call(&door.name(), Value::Object(request)).await
            };
            let theirs = ask(&foreign[place.name]).await;
            let nobody = ask(&nobodys(&foreign[place.name])).await;
            tried += 1;
            let where_it_is = format!("{} {}", door.name(), place.name);
            match (theirs, nobody) {
                (Err(theirs), Err(nobody)) => {
                    assert_eq!(theirs.bytes(), nobody.bytes(), "{where_it_is}: {theirs:?} and {nobody:?}");
                    let expected =
                        [Code::NotFound, Code::InvalidArgument, Code::FailedPrecondition, Code::Unimplemented];
                    assert!(expected.contains(&theirs.code), "{where_it_is}: {theirs:?}");
                    missing += usize::from(theirs.code == Code::NotFound);
                }
                // Nothing is found, or what is gone already is removed: for both alike.
                (Ok(theirs), Ok(nobody)) => {
                    let same = theirs.to_string().replace(&foreign[place.name], "it").len()
                        == nobody.to_string().replace(&nobodys(&foreign[place.name]), "it").len();
                    assert!(same || !door.method.read_only, "{where_it_is}: {theirs} and {nobody}");
                }
                (theirs, nobody) => panic!("{where_it_is} tells a foreign id from none: {theirs:?} and {nobody:?}"),
            }
        }
    }
    assert!(tried > 40 && missing > 25, "{missing} of {tried}: the contracts are not seen");
    assert_eq!(everything(&sister, &foreign).await, before, "something foreign was changed");

    // In a batch one foreign id spoils all of it.
    let group = json!({"organization_id": acme.id, "group": {"display_name": "own"}});
    let group = text(&project.account.call("GroupService/CreateGroup", group).await, "group_id");
    let add = json!({"organization_id": acme.id, "group_id": group,
        "subjects": [{"member_id": own["member_id"]}, {"service_account_id": own["service_account_id"]},
            {"group_id": foreign["group_id"]}]});
    project.account.refused("GroupService/AddGroupMembers", add, Code::NotFound, "NOT_FOUND").await;
    let list = json!({"organization_id": acme.id, "group_id": group});
    let listed = project.account.call("GroupService/ListGroupMembers", list).await;
    assert_eq!(listed["members"].as_array().or(listed["memberships"].as_array()).map(Vec::len), Some(0), "{listed}");
}

#[tokio::test]
async fn an_id_of_another_kind_is_no_id() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let own = all_children(&acme).await;
    let before = everything(&acme, &own).await;
    let mut tried = 0;
    for door in doors() {
        let ask = async |request: Map<String, Value>| {
            let outcome = project.account.try_call(&door.name(), Value::Object(request)).await;
            let refused = outcome.expect_err(&door.name());
            let expected = [Code::InvalidArgument, Code::NotFound, Code::Unimplemented];
            assert!(expected.contains(&refused.code) && !refused.reason.is_empty(), "{}: {refused:?}", door.name());
            assert!(refused.message.len() < 1000, "{}: what was sent comes back", door.name());
            refused
        };
        if door.is_of_an_organization() {
            for bad in
                [&own["member_id"], "org_", "org_01H455VB4PEX5VSKNK084SN02Q", "' or true --", &"x".repeat(10_000)]
            {
                let mut request = door.honest(&acme, &own);
                request.insert("organization_id".to_owned(), json!(bad));
                let refused = ask(request).await;
                let named = refused.fields.iter().any(|field| field == "organization_id");
                assert!(named || refused.code == Code::Unimplemented, "{}: {refused:?}", door.name());
            }
        }
        for place in door.places(&own) {
            // A role may also be named by its key.
            let key = place.name == "role_id";
            for bad in [acme.id.as_str(), "no id", "member_01h455vb4pex5vsknk084sn02", "\u{202e}", &"x".repeat(10_000)]
            {
                let mut request = door.honest(&acme, &own);
                place.set(&mut request, bad, &own);
                let refused = ask(request).await;
                let expected = refused.code != Code::NotFound || key;
                assert!(expected, "{} {} {bad:.40}: {refused:?}", door.name(), place.name);
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
    assert_eq!(everything(&acme, &own).await, before, "something was changed");
}

#[tokio::test]
async fn a_page_token_serves_its_own_query_alone() {
    let cluster = Cluster::shared().await;
    let (project, elsewhere) = (cluster.project().await, cluster.project().await);
    let (acme, sister) = (project.organization("acme").await, project.organization("sister").await);
    acme.join("grace", &["member"]).await;
    sister.join("grace", &["member"]).await;
    let own = all_children(&acme).await;
    let first = async |organization: &Organization<'_>| {
        let list = json!({"organization_id": organization.id, "page_size": 1});
        text(&project.account.call("MemberService/ListMembers", list).await, "next_page_token")
    };
    let (ours, theirs) = (first(&acme).await, first(&sister).await);
    let cut = ours[..ours.len() - 2].to_owned();
    let mut tried = 0;
    for door in doors().iter().filter(|door| door.has("page_token")) {
        let members = door.method.name == "ListMembers" && door.method.service.ends_with("MemberService");
        let tokens = ["nonsense", "%%%", &"A".repeat(5000), &cut, &theirs, &ours];
        for token in tokens.into_iter().filter(|token| !members || **token != ours) {
            let mut request = door.honest(&acme, &own);
            request.insert("page_token".to_owned(), json!(token));
            let refused = project.account.try_call(&door.name(), Value::Object(request)).await;
            let refused = refused.expect_err(&door.name());
            let told = (refused.code, refused.reason.as_str());
            let expected = told == (Code::InvalidArgument, "INVALID_PAGE_TOKEN") || refused.code == Code::Unimplemented;
            // The project has no such list.
            assert!(expected || refused.reason == "NOT_FOUND", "{} {token:.20}: {refused:?}", door.name());
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    let list = "MemberService/ListMembers";
    for more in [json!({"state": "MEMBER_STATE_SUSPENDED"}), json!({"email_address_prefix": "g"})] {
        let mut request = json!({"organization_id": acme.id, "page_token": ours});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        project.account.refused(list, request, Code::InvalidArgument, "INVALID_PAGE_TOKEN").await;
    }
    let same = json!({"organization_id": acme.id, "page_token": ours});
    elsewhere.account.refused(list, same.clone(), Code::NotFound, "NOT_FOUND").await;
    project.account.call(list, same).await;
}

#[tokio::test]
async fn a_stale_etag_changes_nothing_and_an_unknown_field_is_none() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    acme.join("second", &["owner"]).await;
    let own = all_children(&acme).await;
    let before = everything(&acme, &own).await;
    let (mut stale, mut masks, mut faults) = (0, 0, Vec::new());
    // A resource is named by its type and the caller's own id: it has its own story in `moving`.
    let named_by_us = |door: &&Door| door.is_of_an_organization() && !door.name().ends_with("/MoveResource");
    for door in doors().iter().filter(named_by_us) {
        let mut request = door.honest(&acme, &own);
        let resource = door.resource().filter(|_| door.has("update_mask"));
        if let Some((name, message)) = &resource {
            let id = format!("{name}_id");
            let mut body = json!({"etag": "ffff", "display_name": "changed"});
            if let Some(child) = own.get(id.as_str()).filter(|_| message.get_field_by_name(&id).is_some()) {
                body[id.as_str()] = json!(child);
            }
            if message.get_field_by_name("display_name").is_none() {
                body.as_object_mut().unwrap().remove("display_name");
            }
            request.insert(name.clone(), body);
            for mask in ["noSuchField", "etag,noSuchField", "updateTime", "displayName.length", "organizationId"] {
                let mut request = request.clone();
                request.insert("update_mask".to_owned(), json!(mask));
                let refused = project.account.try_call(&door.name(), Value::Object(request)).await;
                let refused = refused.expect_err(&door.name());
                if refused.reason != "INVALID_FIELDS" || !refused.fields.iter().any(|field| field == "update_mask") {
                    faults.push(format!("{} {mask}: {refused:?}", door.name()));
                }
                masks += 1;
            }
            let mask = if message.get_field_by_name("display_name").is_some() { "displayName" } else { "expireTime" };
            request.insert("update_mask".to_owned(), json!(mask));
        } else if door.has("etag") {
            request.insert("etag".to_owned(), json!("ffff"));
        } else {
            continue;
        }
        match project.account.try_call(&door.name(), Value::Object(request)).await {
            Err(Refused { code: Code::Aborted, reason, .. }) if reason == "ETAG_MISMATCH" => stale += 1,
            outcome => faults.push(format!("{}: {outcome:?}", door.name())),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(stale > 12 && masks > 20, "{stale} and {masks}");
    assert_eq!(everything(&acme, &own).await, before, "something was changed");
}

/// Whoever reads a list of names sees no name that pretends to be another, and no line that is none. The plain marks of direction stay:
/// names in Hebrew and Arabic are written with them.
#[tokio::test]
async fn a_name_holds_no_control_and_no_override_of_direction() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let own = all_children(&acme).await;
    let (mut tried, mut faults) = (0, Vec::new());
    for door in doors().iter().filter(|door| door.method.name.starts_with("Create") || door.has("update_mask")) {
        let named = |message: &MessageDescriptor| message.get_field_by_name("display_name").is_some();
        let Some((name, _)) = door.resource().filter(|(_, message)| named(message)) else { continue };
        let ask = async |display_name: &str| {
            let mut request = door.honest(&acme, &own);
            let mut body = json!({"display_name": display_name});
            if name == "connection" {
                body["kind"] = json!("CONNECTION_KIND_OIDC");
            }
            request.insert(name.clone(), body);
            if door.has("update_mask") {
                request.insert("update_mask".to_owned(), json!("displayName"));
            }
            project.account.try_call(&door.name(), Value::Object(request)).await
        };
        let field = format!("{name}.display_name");
        let long = "x".repeat(10_000);
        for bad in ["bell\u{7}", "line\nline", "a\u{202e}b", "a\u{2066}b", "a\u{2028}b", "\u{85}", &long] {
            match ask(bad).await {
                Err(refused) if refused.fields.contains(&field) => {
                    assert!(!refused.message.contains(bad), "{}: it comes back", door.name());
                }
                outcome => faults.push(format!("{} {bad:.9?}: {outcome:?}", door.name())),
            }
            tried += 1;
        }
        if let Err(Refused { fields, .. }) = ask("\u{5d0}\u{200f}b").await
            && fields.contains(&field)
        {
            faults.push(format!("{} refuses a mark of direction", door.name()));
        }
        let refused = ask("a\u{0}b").await.expect_err("U+0000");
        assert_eq!(refused.code, Code::InvalidArgument, "{}: {refused:?}", door.name());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(tried > 60, "{tried}");
}
