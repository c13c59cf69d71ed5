//! Two sides: whoever attacks, with an organization of their own, and tenants that are none of their business. Everything that a tenant has
//! bears its mark, so that it is known wherever it turns up.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::caller::{Member, Organization, Project, text, unique};

/// What can be named of a tenant, and by what.
pub type Things = BTreeMap<&'static str, String>;

pub struct Tenant<'c> {
    pub organization: Organization<'c>,
    pub things: Things,
    /// In all by which it can be asked for: addresses, keys, names of hosts.
    pub mark: String,
    /// In what can only be read: display names, messages, metadata. No attack says it.
    hidden: String,
    /// Ids that no attack names.
    unnamed: Vec<String>,
    /// Somebody who is looked at, and does nothing themselves.
    pub pawn: Member,
    /// Of each of its lists the token of the second page, by the path of the method; of streams the cursor.
    pub pages: BTreeMap<&'static str, String>,
}

/// Who calls, as the attacks tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Nobody,
    Owner,
    Robot,
    Project,
}

/// A project's catalogue: what there is to have rights on.
pub async fn catalog(project: &Project<'_>) {
    let types = json!([{"name": "folder", "verbs": ["read"]},
        {"name": "document", "verbs": ["read"], "parent_types": ["folder"]}]);
    project.account.call("CatalogService/UpdateCatalog", json!({"catalog": {"resource_types": types}})).await;
}

impl<'c> Tenant<'c> {
    /// With two of everything, so that every list has a second page.
    pub async fn new(project: &Project<'c>) -> Self {
        // None is the beginning of another.
        let mark = unique("zzmark") + "z";
        let organization = project.organization(&mark).await;
        let pawn = organization.join(&mark, &["member"]).await;
        let mut tenant = Self {
            organization,
            things: Things::new(),
            mark,
            hidden: unique("zzhidden") + "z",
            unnamed: Vec::new(),
            pawn,
            pages: BTreeMap::new(),
        };
        tenant.name().await;
        for _ in 0..2 {
            tenant.people().await;
            tenant.rights().await;
            tenant.doors().await;
        }
        tenant.turn_pages().await;
        tenant
    }

    pub fn id(&self) -> &str {
        &self.organization.id
    }

    /// What nobody else may be told. Whoever attacks has never said any of it, nor written it down in what is their own.
    pub fn secrets(&self) -> Vec<String> {
        self.unnamed.iter().cloned().chain([self.hidden.clone()]).collect()
    }

    /// By what its rows are known: its uuid, and its mark.
    pub fn known_by(&self, uuid: &str) -> [String; 2] {
        [uuid.to_owned(), self.mark.clone()]
    }

    async fn call(&self, method: &str, mut request: Value) -> Value {
        request["organization_id"] = json!(self.organization.id);
        self.organization.project.account.call(method, request).await
    }

    fn thing(&mut self, kind: &'static str, from: &Value, path: &str) -> String {
        let id = text(from, path);
        self.unnamed.extend(self.things.insert(kind, id.clone()));
        id
    }

    async fn name(&mut self) {
        let mark = self.mark.clone();
        let hidden = self.hidden.clone();
        let named = json!({"external_id": format!("{mark}-external"), "display_name": hidden, "trusted_metadata": {"note": hidden},
            "untrusted_metadata": {"note": hidden}});
        let mask = "displayName,externalId,trustedMetadata,untrustedMetadata";
        self.call("OrganizationService/UpdateOrganization", json!({"organization": named, "update_mask": mask})).await;
        let pawn = json!({"member_id": self.pawn.id, "external_id": format!("{mark}-member"), "trusted_metadata": {"note": hidden}});
        let update = json!({"member": pawn, "update_mask": "externalId,trustedMetadata"});
        let pawn = self.call("MemberService/UpdateMember", update).await;
        self.thing("identity_id", &pawn, "identity_id");
        let sessions = self.call("SessionService/ListSessions", json!({"member_id": self.pawn.id})).await;
        self.thing("session_id", &sessions, "sessions.0.session_id");
        self.organization.again(&self.pawn).await;
        let organization = &self.organization;
        self.things.extend([
            ("organization_id", organization.id.clone()),
            ("project_id", organization.project.id.clone()),
            ("member_id", self.pawn.id.clone()),
            ("slug", organization.slug.clone()),
            ("external_id", format!("{mark}-external")),
            ("member_external_id", format!("{mark}-member")),
            ("email_address", self.pawn.email.clone()),
        ]);
    }

    async fn people(&mut self) {
        let mark = self.mark.clone();
        let email = format!("{}@{mark}.test", unique("guest"));
        let invitation = json!({"invitation": {"email_address": email, "message": self.hidden}, "roles": ["member"]});
        let invitation = self.call("InvitationService/CreateInvitation", invitation).await;
        self.thing("invitation_id", &invitation, "invitation_id");
        self.things.insert("guest_address", email);
        let account = json!({"service_account": {"display_name": self.hidden}});
        let account = self.call("ServiceAccountService/CreateServiceAccount", account).await;
        let account = self.thing("service_account_id", &account, "service_account_id");
        for _ in 0..2 {
            let key = json!({"service_account_id": account, "api_key": {"display_name": self.hidden}});
            let key = self.call("ServiceAccountService/CreateApiKey", key).await;
            self.thing("api_key_id", &key, "api_key_id");
        }
    }

    async fn rights(&mut self) {
        let mark = self.mark.clone();
        let role = json!({"role": {"key": unique(&mark), "display_name": self.hidden, "permissions": ["guildhall.member:read"]}});
        let role = self.call("RoleService/CreateRole", role).await;
        let role = self.thing("role_id", &role, "role_id");
        let external = unique(&format!("{mark}-group"));
        let group = json!({"group": {"display_name": self.hidden, "external_id": external}});
        let group = self.call("GroupService/CreateGroup", group).await;
        let group = self.thing("group_id", &group, "group_id");
        self.things.insert("group_external_id", external);
        let account = self.things["service_account_id"].clone();
        let subjects = json!([{"member_id": self.pawn.id}, {"service_account_id": account}]);
        self.call("GroupService/AddGroupMembers", json!({"group_id": group, "subjects": subjects})).await;
        let folder = json!({"type": "folder", "id": unique(&mark)});
        let document = json!({"type": "document", "id": unique(&mark)});
        let sister = json!({"type": "document", "id": unique(&mark)});
        self.things.insert("folder_id", text(&folder, "id"));
        self.things.insert("resource_id", text(&document, "id"));
        let resources = json!([{"resource": folder}, {"resource": document, "parent": folder}, {"resource": sister, "parent": folder}]);
        self.call("ResourceService/RegisterResources", json!({"resources": resources})).await;
        let binding =
            json!({"binding": {"subject": {"member_id": self.pawn.id}, "role_id": role, "resource": document}});
        let binding = self.call("BindingService/CreateBinding", binding).await;
        self.thing("binding_id", &binding, "binding_id");
    }

    async fn doors(&mut self) {
        let mark = self.mark.clone();
        let name = unique(&mark) + ".test";
        let domain = json!({"domain": {"name": name, "purpose": "DOMAIN_PURPOSE_EMAIL"}});
        let domain = self.call("DomainService/CreateDomain", domain).await;
        self.thing("domain_id", &domain, "domain_id");
        self.things.insert("email_domain", name);
        let connection = json!({"connection": {"kind": "CONNECTION_KIND_OIDC", "display_name": self.hidden,
            "issuer": format!("https://{mark}.example.test"), "client_id": mark, "client_secret": format!("{mark}-0123456789")}});
        let connection = self.call("ConnectionService/CreateConnection", connection).await;
        self.thing("connection_id", &connection, "connection_id");
    }

    async fn turn_pages(&mut self) {
        for method in api::METHODS.iter().filter(|method| method.audience == api::Audience::Organization) {
            let input = crate::form::message(method.input);
            let lists = input.get_field_by_name("page_token").is_some();
            let streams = input.get_field_by_name("cursor").is_some() && method.name != "WatchEvents";
            if !lists && !streams {
                continue;
            }
            let mut request = json!({"organization_id": self.organization.id});
            for (name, value) in [
                ("page_size", json!(1)),
                ("member_id", json!(self.pawn.id)),
                ("service_account_id", json!(self.things["service_account_id"])),
                ("group_id", json!(self.things["group_id"])),
                ("parent", json!({"type": "folder", "id": self.things["folder_id"]})),
                ("permission", json!("guildhall.member:read")),
                ("subject", json!({"member_id": self.pawn.id})),
                ("resource_type", json!("document")),
            ] {
                let wanted = input.get_field_by_name(name).is_some();
                // A list of bindings is the longer for naming no subject.
                if wanted && (streams || name != "subject") {
                    request[name] = value;
                }
            }
            let name = format!("{}/{}", method.service, method.name);
            let answer = self.organization.project.account.call(&name, request).await;
            let token = if lists { &answer["next_page_token"] } else { &answer["cursor"] };
            if let Some(token) = token.as_str().filter(|token| !token.is_empty()) {
                self.pages.insert(method.path, token.to_owned());
            }
        }
    }
}

/// Somebody's service account with all the rights of an owner, and its secret.
pub async fn robot(organization: &Organization<'_>) -> (String, String) {
    let id = &organization.id;
    let account = json!({"organization_id": id, "service_account": {"display_name": "robot"}});
    let account = organization.project.account.call("ServiceAccountService/CreateServiceAccount", account).await;
    let account = text(&account, "service_account_id");
    let key = json!({"organization_id": id, "service_account_id": account, "api_key": {}});
    let key = organization.project.account.call("ServiceAccountService/CreateApiKey", key).await;
    let roles = organization.project.account.call("RoleService/ListRoles", json!({"organization_id": id})).await;
    let owner = roles["roles"].as_array().unwrap().iter().find(|role| role["key"] == "owner").unwrap();
    let binding = json!({"organization_id": id, "binding": {"subject": {"service_account_id": account}, "role_id": owner["role_id"]}});
    organization.project.account.call("BindingService/CreateBinding", binding).await;
    (account, text(&key, "secret"))
}
