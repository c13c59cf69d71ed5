//! An organization's whole authorization, out of it and into another; and the policy tests that say whether it is the same.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text},
};
use tonic::Code;

const EXPORT: &str = "AuthorizationService/ExportOrganization";
const ASSERT: &str = "AuthorizationService/RunAssertions";

async fn product(organization: &Organization<'_>) {
    let catalog = json!({"catalog": {"resource_types": [
        {"name": "folder", "parent_types": ["folder"], "verbs": ["read", "write"]},
        {"name": "document", "parent_types": ["folder"], "verbs": ["read", "write"]}]}});
    organization.project.account.call("CatalogService/UpdateCatalog", catalog).await;
}

/// What the owner makes: the answer.
async fn made(organization: &Organization<'_>, method: &str, mut request: Value) -> Value {
    request["organization_id"] = json!(organization.id);
    organization.owner().caller.call(method, request).await
}

/// One kind of the records of an export.
fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().map(|message| &message["record"][kind]).filter(|record| !record.is_null()).collect()
}

/// An organization with something of every kind: what it was made of, by name.
async fn furnished(organization: &Organization<'_>, grace: &str) -> Value {
    product(organization).await;
    let template = json!({"role": {"key": "viewer", "display_name": "Viewer", "permissions": ["document:read"]}});
    let viewer = text(&organization.project.account.call("RoleService/CreateRole", template).await, "role_id");
    let role = |key: &str, permissions: Value, included: Value| json!({"role": {"key": key, "display_name": key, "permissions": permissions, "included_role_ids": included}});
    let editor = text(
        &made(organization, "RoleService/CreateRole", role("editor", json!([]), json!([viewer]))).await,
        "role_id",
    );
    // Made first, includes later: the order of its making is not the order in which it can be taken over.
    let chief = role("chief", json!(["folder:*"]), json!([editor]));
    let chief = text(&made(organization, "RoleService/CreateRole", chief).await, "role_id");
    let writer = role("writer", json!(["document:write"]), json!([]));
    let writer = text(&made(organization, "RoleService/CreateRole", writer).await, "role_id");
    let more = json!({"role": {"role_id": editor, "included_role_ids": [viewer, writer]}});
    made(organization, "RoleService/UpdateRole", more).await;

    let group = |name: &str| json!({"group": {"display_name": name, "external_id": name}});
    let inner = text(&made(organization, "GroupService/CreateGroup", group("inner")).await, "group_id");
    let outer = text(&made(organization, "GroupService/CreateGroup", group("outer")).await, "group_id");
    let add = |group: &str, subject: Value| json!({"group_id": group, "subjects": [subject]});
    made(organization, "GroupService/AddGroupMembers", add(&inner, json!({"member_id": grace}))).await;
    made(organization, "GroupService/AddGroupMembers", add(&outer, json!({"group_id": inner}))).await;

    let at = |kind: &str, id: &str| json!({"type": kind, "id": id});
    let resources = json!({"resources": [
        {"resource": at("folder", "root")},
        {"resource": at("folder", "below"), "parent": at("folder", "root")},
        {"resource": at("document", "42"), "parent": at("folder", "below")}]});
    made(organization, "ResourceService/RegisterResources", resources).await;

    let bind = |subject: Value, role: &str, resource: Value, effect: &str| json!({"binding": {"subject": subject, "role_id": role, "resource": resource, "effect": effect}});
    let allow = "BINDING_EFFECT_ALLOW";
    let of_group = bind(json!({"group_id": outer}), &chief, at("folder", "root"), allow);
    let bound = made(organization, "BindingService/CreateBinding", of_group).await;
    let secret = bind(json!({"member_id": grace}), &writer, at("document", "secret"), "BINDING_EFFECT_DENY");
    made(organization, "BindingService/CreateBinding", secret).await;
    let everyone = bind(json!({"all_members": true}), &viewer, at("folder", "public"), allow);
    let last = made(organization, "BindingService/CreateBinding", everyone).await;
    json!({"viewer": viewer, "editor": editor, "chief": chief, "writer": writer, "inner": inner, "outer": outer,
        "binding": bound["binding_id"], "revision": last["revision"]})
}

#[tokio::test]
async fn an_export_is_everything_that_decides_in_an_order_that_can_be_followed() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    let names = furnished(&acme, &grace.id).await;
    let request = json!({"organization_id": acme.id, "consistency": {"at_least_as_fresh": names["revision"]}});
    let records = acme.owner().caller.try_all(EXPORT, request.clone()).await.unwrap();

    let order = ["role", "group", "membership", "resource", "binding"];
    let kinds: Vec<usize> = records
        .iter()
        .map(|message| order.iter().position(|kind| !message["record"][kind].is_null()).unwrap())
        .collect();
    assert!(kinds.is_sorted(), "{kinds:?}");
    let revisions: Vec<String> = records.iter().map(|message| text(message, "revision")).collect();
    assert!(revisions.iter().all(|revision| *revision == revisions[0]) && !revisions[0].is_empty());

    let roles = of_kind(&records, "role");
    let keys: Vec<String> = roles.iter().map(|role| text(role, "key")).collect();
    assert_eq!(keys, ["viewer", "writer", "editor", "chief"], "each behind what it includes, the project's first");
    assert_eq!(text(roles[0], "organization_id"), "");
    assert_eq!(of_kind(&records, "group").len(), 2);
    let memberships = of_kind(&records, "membership");
    let members: Vec<&Value> = memberships.iter().map(|membership| &membership["subject"]).collect();
    assert!(members.contains(&&json!({"member_id": grace.id})) && members.len() == 2, "{members:?}");
    let resources: Vec<String> =
        of_kind(&records, "resource").iter().map(|resource| text(resource, "resource.id")).collect();
    assert_eq!(resources, ["42", "below", "root"], "by type and id");
    // Those of the owner and of grace as members are among them.
    let bindings = of_kind(&records, "binding");
    assert_eq!(bindings.len(), 5);
    let of_group = bindings.iter().find(|binding| binding["binding_id"] == names["binding"]).unwrap();
    assert_eq!(
        (&of_group["role_id"], &of_group["subject"]["group_id"], &of_group["resource"]["id"]),
        (&names["chief"], &names["outer"], &json!("root"))
    );

    // Nothing has changed: the same again, to the byte.
    assert_eq!(acme.owner().caller.try_all(EXPORT, request).await.unwrap(), records);
    let globex = project.organization("globex").await;
    let foreign = json!({"organization_id": globex.id, "consistency": {"at_least_as_fresh": names["revision"]}});
    project.account.refused(EXPORT, foreign, Code::InvalidArgument, "INVALID_REVISION_TOKEN").await;
    acme.owner().caller.refused(EXPORT, json!({"organization_id": globex.id}), Code::NotFound, "NOT_FOUND").await;
    let of_grace = json!({"organization_id": acme.id});
    grace.caller.refused(EXPORT, of_grace, Code::PermissionDenied, "PERMISSION_MISSING").await;
}

#[tokio::test]
async fn a_policy_test_says_of_each_case_what_is_and_what_was_expected() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    let names = furnished(&acme, &grace.id).await;
    let case = |name: &str, permission: &str, id: &str, expected: &str| {
        json!({"name": name, "expected": expected, "check": {"subject": {"member_id": grace.id},
            "permission": permission, "resource": {"type": "document", "id": id}}})
    };
    let request = |cases: Vec<Value>| json!({"organization_id": acme.id, "assertions": cases, "consistency": {"at_least_as_fresh": names["revision"]}});
    let (allowed, denied) = ("DECISION_ALLOWED", "DECISION_DENIED");
    let cases = vec![
        case("through two groups and two folders", "document:write", "42", allowed),
        case("not everywhere", "document:write", "43", denied),
        case("denied by name", "document:write", "secret", denied),
    ];
    let owner = &acme.owner().caller;
    let answer = owner.call(ASSERT, request(cases.clone())).await;
    assert_eq!(answer["passed"], true, "{answer}");
    assert!(!text(&answer, "revision").is_empty());

    let mut wrong = cases;
    wrong.insert(1, case("a mistake", "document:read", "42", denied));
    let answer = owner.call(ASSERT, request(wrong)).await;
    assert_eq!(answer["passed"], false);
    let results: Vec<(String, bool)> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (text(result, "name"), result["passed"].as_bool().unwrap()))
        .collect();
    assert_eq!(results.iter().map(|(_, passed)| *passed).collect::<Vec<_>>(), [true, false, true, true], "in order");
    assert_eq!(results[1].0, "a mistake");
    assert_eq!(text(&answer, "results.1.actual.decision"), allowed);

    // Every fault at once, under the case that it is in.
    let mut faulty = vec![
        case("good", "document:read", "42", allowed),
        case("", "document", "", "DECISION_UNSPECIFIED"),
        case(&"x".repeat(201), "document:read", "42", allowed),
        json!({}),
    ];
    faulty[2]["check"]["subject"] = json!({"group_id": names["outer"]});
    let refused = owner.refused(ASSERT, request(faulty), Code::InvalidArgument, "INVALID_FIELDS").await;
    for field in [
        "assertions[1].check.permission",
        "assertions[1].check.resource.id",
        "assertions[1].expected",
        "assertions[2].check.subject",
        "assertions[2].name",
        "assertions[3].check.subject",
        "assertions[3].check.permission",
        "assertions[3].expected",
    ] {
        assert!(refused.fields.iter().any(|named| named == field), "{field} is not in {:?}", refused.fields);
    }
    assert!(!refused.fields.iter().any(|field| field.starts_with("assertions[0]")), "{:?}", refused.fields);
    owner.refused(ASSERT, request(vec![]), Code::InvalidArgument, "INVALID_FIELDS").await;
    let many = vec![case("", "document:read", "42", denied); 1001];
    owner.refused(ASSERT, request(many), Code::InvalidArgument, "INVALID_FIELDS").await;
    let unknown = request(vec![case("", "document:sign", "42", denied)]);
    owner.refused(ASSERT, unknown, Code::FailedPrecondition, "UNKNOWN_PERMISSION").await;
}
