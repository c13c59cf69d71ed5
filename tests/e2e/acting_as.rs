//! Whoever gets a key of a service account can do all that the account can: so they must hold it all.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text},
};
use tonic::Code;

const CHECK_GRANT: &str = "SubjectService/CheckGrant";

struct Setting<'c> {
    acme: Organization<'c>,
    account: String,
    admin: String,
    editor: String,
}

async fn setting(cluster: &Cluster) -> Setting<'_> {
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let catalog = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read", "write"]}]}});
    project.account.call("CatalogService/UpdateCatalog", catalog).await;
    let role = json!({"organization_id": acme.id,
        "role": {"key": "editor", "display_name": "Editor", "permissions": ["document:write"]}});
    let editor = text(&project.account.call("RoleService/CreateRole", role).await, "role_id");
    let account = json!({"organization_id": acme.id, "service_account": {"display_name": "backend"}});
    let account = project.account.call("ServiceAccountService/CreateServiceAccount", account).await;
    let account = text(&account, "service_account_id");
    let admin = acme.join("admin", &["admin"]).await.id;
    Setting { acme, account, admin, editor }
}

impl Setting<'_> {
    fn question(&self, grantor: Value, more: Value) -> Value {
        let mut request = json!({"organization_id": self.acme.id, "project_id": self.acme.project.id,
            "grantor": grantor, "acting_as": {"service_account_id": self.account}});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    }

    async fn may(&self, grantor: Value) -> bool {
        let service = self.acme.project.cluster.workload("member-service", "authz-service");
        match service.try_call(CHECK_GRANT, self.question(grantor, json!({}))).await {
            Ok(answer) => {
                assert_eq!(answer["role_ids"], json!([]));
                true
            }
            Err(refused) => {
                let told = (refused.code, refused.reason.as_str());
                assert_eq!(told, (Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR"), "{refused:?}");
                false
            }
        }
    }

    async fn admin_may(&self) -> bool {
        self.may(json!({"member_id": self.admin})).await
    }

    async fn bind(&self, subject: Value, more: Value) -> String {
        let mut binding = json!({"subject": subject, "role_id": self.editor});
        binding.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = json!({"organization_id": self.acme.id, "binding": binding});
        text(&self.acme.project.account.call("BindingService/CreateBinding", request).await, "binding_id")
    }

    async fn unbind(&self, binding: &str) {
        let request = json!({"organization_id": self.acme.id, "binding_id": binding});
        self.acme.project.account.call("BindingService/DeleteBinding", request).await;
    }
}

#[tokio::test]
async fn to_act_as_a_service_account_takes_all_that_it_holds_however_it_holds_it() {
    let cluster = Cluster::shared().await;
    let setting = setting(cluster).await;
    let me = || json!({"service_account_id": setting.account});
    assert!(setting.admin_may().await, "an account that holds nothing gives nothing");
    let one_document = json!({"resource": {"type": "document", "id": "42"}});
    let ways = [
        json!({}),
        one_document.clone(),
        json!({"not_before": "2120-01-01T00:00:00Z"}),
        json!({"expire_time": "2120-01-01T00:00:00Z", "resource": {"type": "document", "id": "42"}}),
    ];
    for way in ways {
        let binding = setting.bind(me(), way.clone()).await;
        assert!(!setting.admin_may().await, "{way}");
        assert!(setting.may(json!({"member_id": setting.acme.owner().id})).await, "an owner holds it");
        assert!(setting.may(json!({"operator": true})).await);
        assert!(setting.may(me()).await, "the account is itself already");
        setting.unbind(&binding).await;
        assert!(setting.admin_may().await, "{way} is gone");
    }

    // By a group in a group, and at a resource.
    let account = &setting.acme.project.account;
    let group = |name: &str| json!({"organization_id": setting.acme.id, "group": {"display_name": name}});
    let inner = text(&account.call("GroupService/CreateGroup", group("inner")).await, "group_id");
    let outer = text(&account.call("GroupService/CreateGroup", group("outer")).await, "group_id");
    let add = |group: &str, subject: Value| json!({"organization_id": setting.acme.id, "group_id": group, "subjects": [subject]});
    account.call("GroupService/AddGroupMembers", add(&inner, me())).await;
    account.call("GroupService/AddGroupMembers", add(&outer, json!({"group_id": inner}))).await;
    let binding = setting.bind(json!({"group_id": outer}), one_document.clone()).await;
    assert!(!setting.admin_may().await);
    // A deny on the account takes nothing off: it may be lifted.
    let deny = json!({"effect": "BINDING_EFFECT_DENY"});
    setting.bind(me(), deny).await;
    assert!(!setting.admin_may().await);
    // Who holds the same at that resource may act as the account.
    setting.bind(json!({"member_id": setting.admin}), one_document).await;
    assert!(setting.admin_may().await);
    setting.unbind(&binding).await;
    assert!(setting.admin_may().await);
}

#[tokio::test]
async fn only_a_member_or_service_account_that_is_there_can_be_acted_as() {
    let cluster = Cluster::shared().await;
    let setting = setting(cluster).await;
    let service = cluster.workload("member-service", "authz-service");
    let admin = || json!({"member_id": setting.admin});
    for named in [json!({"all_members": true}), json!({})] {
        let request = setting.question(admin(), json!({"acting_as": named}));
        let refused = service.refused(CHECK_GRANT, request, Code::InvalidArgument, "INVALID_FIELDS").await;
        assert_eq!(refused.fields, ["acting_as"]);
    }
    let gone = json!({"organization_id": setting.acme.id, "project_id": setting.acme.project.id,
        "subject": {"service_account_id": setting.account}, "member_revision": 1_000_000});
    service.call("SubjectService/RemoveSubject", gone).await;
    service.refused(CHECK_GRANT, setting.question(admin(), json!({})), Code::NotFound, "NOT_FOUND").await;
}
