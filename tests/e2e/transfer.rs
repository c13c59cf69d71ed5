//! An organization's whole authorization, out of it and into another; and the policy tests that say whether it is the same.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

const EXPORT: &str = "AuthorizationService/ExportOrganization";
const IMPORT: &str = "AuthorizationService/ImportOrganization";
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

/// The messages of an import of what an export gave.
fn import_of(organization: &Organization<'_>, export: &[Value], request_id: &str, subjects: Value) -> Vec<Value> {
    let record = |message: &Value| json!({"organization_id": organization.id, "record": message["record"]});
    let mut messages: Vec<Value> = export.iter().map(record).collect();
    messages[0]["request_id"] = json!(request_id);
    messages[0]["subjects"] = subjects;
    messages
}

fn called(from: &str, here: &str) -> Value {
    json!({"subject": {"member_id": from}, "replacement": {"member_id": here}})
}

/// What a member may, wherever something is.
async fn decisions(organization: &Organization<'_>, member: &str) -> Vec<String> {
    let places = [None, Some(("folder", "root")), Some(("folder", "below")), Some(("folder", "public"))];
    let documents = ["42", "43", "secret"].map(|id| Some(("document", id)));
    let mut checks = Vec::new();
    for place in places.into_iter().chain(documents) {
        for permission in ["folder:read", "folder:write", "document:read", "document:write", "guildhall.member:read"] {
            let mut check = json!({"subject": {"member_id": member}, "permission": permission});
            if let Some((kind, id)) = place {
                check["resource"] = json!({"type": kind, "id": id});
            }
            checks.push(check);
        }
    }
    let request =
        json!({"organization_id": organization.id, "checks": checks, "consistency": {"fully_consistent": true}});
    let answer = organization.project.account.call("AuthorizationService/BatchCheck", request).await;
    answer["results"].as_array().unwrap().iter().map(|result| text(result, "decision")).collect()
}

#[tokio::test]
async fn what_was_exported_decides_alike_in_another_organization_of_another_project() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    furnished(&acme, &grace.id).await;
    let export = acme.owner().caller.try_all(EXPORT, json!({"organization_id": acme.id})).await.unwrap();

    // The same product: its catalogue and its project's role, whose id is another here.
    let globex = other.organization("globex").await;
    product(&globex).await;
    let here = globex.join("grace", &["member"]).await;
    let subjects = json!([called(&acme.owner().id, &globex.owner().id), called(&grace.id, &here.id)]);
    let messages = import_of(&globex, &export, &unique("import"), subjects);
    let owner = &globex.owner().caller;
    let missing = owner.try_stream(IMPORT, messages.clone()).await.unwrap_err();
    assert_eq!((missing.code, missing.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELDS"), "{missing:?}");
    assert!(missing.message.contains("viewer"), "{missing:?}");
    let template = json!({"role": {"key": "viewer", "display_name": "Viewer", "permissions": ["document:read"]}});
    other.account.call("RoleService/CreateRole", template).await;

    let answer = owner.try_stream(IMPORT, messages.clone()).await.unwrap();
    assert_eq!(text(&answer, "record_count"), export.len().to_string());
    for (there, here) in [(&grace.id, &here.id), (&acme.owner().id, &globex.owner().id)] {
        assert_eq!(decisions(&acme, there).await, decisions(&globex, here).await);
    }
    // As many of each kind, no id twice; the owner's binding, which was there, is there once.
    let again = owner.try_all(EXPORT, json!({"organization_id": globex.id})).await.unwrap();
    for kind in ["role", "group", "membership", "resource", "binding"] {
        assert_eq!(of_kind(&again, kind).len(), of_kind(&export, kind).len(), "{kind}");
    }
    for (kind, id) in [("group", "group_id"), ("binding", "binding_id")] {
        let ids = |records: &[Value]| -> Vec<String> {
            of_kind(records, kind).iter().map(|record| text(record, id)).collect()
        };
        assert!(ids(&again).iter().all(|id| !ids(&export).contains(id)), "{kind}s have ids of their own");
    }
    // It is in force at the revision that the answer named, and in the log, in one revision.
    let at_least = json!({"organization_id": globex.id, "subject": {"member_id": here.id}, "permission": "document:write",
        "resource": {"type": "document", "id": "42"}, "consistency": {"at_least_as_fresh": answer["revision"]}});
    assert_eq!(other.account.call("AuthorizationService/Check", at_least).await["allowed"], true);
    assert_eq!(owner.call("EventService/VerifyChain", json!({"organization_id": globex.id})).await["valid"], true);

    // The same request again is answered as the first was; another finds the organization furnished.
    assert_eq!(owner.try_stream(IMPORT, messages.clone()).await.unwrap(), answer);
    let mut changed = messages.clone();
    changed.pop();
    let refused = owner.try_stream(IMPORT, changed).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"), "{refused:?}");
    let mut anew = messages;
    anew[0]["request_id"] = json!("");
    let refused = owner.try_stream(IMPORT, anew).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "PRECONDITION_NOT_MET"), "{refused:?}");
}

#[tokio::test]
async fn one_faulty_record_keeps_all_of_an_import_out_and_every_one_is_named() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let owner = acme.owner();
    let group = "group_01h455vb4pex5vsknk084sn02q";
    let message = |record: Value| json!({"organization_id": acme.id, "record": record});
    let good = vec![
        message(json!({"group": {"group_id": group, "display_name": "staff"}})),
        message(json!({"membership": {"group_id": group, "subject": {"member_id": owner.id}}})),
        message(
            json!({"resource": {"resource": {"type": "document", "id": "1"}, "parent": {"type": "folder", "id": "a"}}}),
        ),
        message(json!({"resource": {"resource": {"type": "folder", "id": "a"}}})),
        message(json!({"binding": {"subject": {"group_id": group}, "role_id": "admin"}})),
    ];
    let exported = async || owner.caller.try_all(EXPORT, json!({"organization_id": acme.id})).await.unwrap();
    let untouched = exported().await;
    let refused = async |records: Vec<Value>, code: Code, reason: &str, fields: &[&str]| {
        let refused = owner.caller.try_stream(IMPORT, records).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (code, reason), "{refused:?}");
        for field in fields {
            assert!(refused.fields.iter().any(|named| named == field), "{field} is not in {refused:?}");
        }
        assert_eq!(exported().await, untouched, "nothing has changed");
    };
    let with = |more: Vec<Value>| good.iter().cloned().chain(more.into_iter().map(message)).collect::<Vec<_>>();

    // By themselves.
    let faulty = with(vec![
        json!({"group": {"display_name": ""}}),
        json!({"membership": {"group_id": "x", "subject": {"all_members": true}}}),
        json!({}),
    ]);
    let fields = [
        "messages[5].record.group.display_name",
        "messages[6].record.membership.group_id",
        "messages[6].record.membership.subject",
        "messages[7].record",
    ];
    refused(faulty, Code::InvalidArgument, "INVALID_FIELDS", &fields).await;
    let nowhere = json!({"binding": {"subject": {"group_id": "group_01h455vb4pex5vsknk084sn02r"}, "role_id": "admin"}});
    let twice = json!({"group": {"group_id": group, "display_name": "twice"}});
    let fields = ["messages[5].record.binding.subject", "messages[6].record.group.group_id"];
    refused(with(vec![nowhere, twice]), Code::InvalidArgument, "INVALID_FIELDS", &fields).await;
    // By what is here.
    let stranger =
        json!({"binding": {"subject": {"member_id": "member_01h455vb4pex5vsknk084sn02q"}, "role_id": "admin"}});
    let role = json!({"binding": {"subject": {"member_id": owner.id}, "role_id": "nothing"}});
    let fields = ["messages[5].record.binding.subject", "messages[6].record.binding.role_id"];
    refused(with(vec![stranger, role]), Code::NotFound, "NOT_FOUND", &fields).await;
    let undeclared = json!({"resource": {"resource": {"type": "box", "id": "1"}}});
    let fields = ["messages[5].record.resource.resource.type"];
    refused(with(vec![undeclared]), Code::FailedPrecondition, "UNKNOWN_PERMISSION", &fields).await;
    let circle = json!({"membership": {"group_id": group, "subject": {"group_id": group}}});
    let fields = ["messages[5].record.membership.subject"];
    refused(with(vec![circle]), Code::FailedPrecondition, "CYCLE", &fields).await;
    // By the messages.
    let mut foreign = good.clone();
    foreign[3]["organization_id"] = json!(project.organization("globex").await.id);
    foreign[4]["request_id"] = json!("late");
    let fields = ["messages[3].organization_id", "messages[4].request_id"];
    refused(foreign, Code::InvalidArgument, "INVALID_FIELDS", &fields).await;
    // So many that not all fit into an answer: it arrives all the same.
    let many = vec![json!({"group": {"display_name": ""}}); 5_000];
    refused(with(many), Code::InvalidArgument, "INVALID_FIELDS", &["messages[5].record.group.display_name"]).await;

    // Nobody takes in what they could not have made.
    let import_only = json!({"role": {"key": "importer", "display_name": "Importer",
        "permissions": ["guildhall.authorization:import", "guildhall.group:*", "guildhall.resource:*", "guildhall.binding:*"]}});
    let importer = acme.join("importer", &["member"]).await;
    // The project's: an import wants an organization without roles of its own.
    project.account.call("RoleService/CreateRole", import_only).await;
    let bind = json!({"binding": {"subject": {"member_id": importer.id}, "role_id": "importer"}});
    made(&acme, "BindingService/CreateBinding", bind).await;
    let refused = importer.caller.try_stream(IMPORT, good.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR"),
        "{refused:?}"
    );
    assert!(refused.fields.iter().any(|field| field == "messages[4].record.binding"), "{refused:?}");
    let mut roles = good.clone();
    roles.push(message(json!({"role": {"organization_id": acme.id, "key": "new", "display_name": "New"}})));
    let refused = importer.caller.try_stream(IMPORT, roles).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "PERMISSION_MISSING"), "{refused:?}");
}

#[tokio::test]
async fn a_large_organization_goes_out_and_in_again() {
    // A cluster of its own, and past the gateway: while a long transaction writes, the feed of revocations holds back, for all three
    // services share one database here.
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let account = cluster.bearer_at(cluster.door("authz-service"), Some(&project.token));
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    product(&acme).await;
    let grace = acme.join("grace", &["member"]).await;
    let here = globex.join("grace", &["member"]).await;
    let (members, groups): (&str, Vec<String>) =
        (&grace.id, (0..500).map(|_| tenancy::GroupId::new().to_string()).collect());
    let at = |kind: &str, id: usize| json!({"type": kind, "id": id.to_string()});
    let mut records = Vec::new();
    records.extend(groups.iter().map(|id| json!({"group": {"group_id": id, "display_name": id, "external_id": id}})));
    records.extend(groups.iter().map(|id| json!({"membership": {"group_id": id, "subject": {"member_id": members}}})));
    records.extend((0..12_000).map(|n| match n {
        0..100 => json!({"resource": {"resource": at("folder", n)}}),
        _ => json!({"resource": {"resource": at("document", n), "parent": at("folder", n % 100)}}),
    }));
    // Every other document is the member's by some group, one in ten not after all.
    records.extend((0..7_000).map(|n| {
        let effect = if n % 10 == 9 { "BINDING_EFFECT_DENY" } else { "BINDING_EFFECT_ALLOW" };
        json!({"binding": {"subject": {"group_id": groups[n % groups.len()]}, "role_id": "owner",
            "resource": at("document", 100 + n / 10 * 20 + n % 10), "effect": effect}})
    }));
    let total = records.len();
    assert_eq!(total, 20_000);
    let stream = |organization: &Organization<'_>| -> Vec<Value> {
        let id = &organization.id;
        records.iter().map(|record| json!({"organization_id": id, "record": record})).collect()
    };
    let answer = account.try_stream(IMPORT, stream(&acme)).await.unwrap();
    assert_eq!(text(&answer, "record_count"), total.to_string());
    let export = account.try_all(EXPORT, json!({"organization_id": acme.id})).await.unwrap();
    // With what the members were given when they came.
    assert_eq!(export.len(), total + 2);
    let subjects = json!([called(&acme.owner().id, &globex.owner().id), called(&grace.id, &here.id)]);
    account.try_stream(IMPORT, import_of(&globex, &export, "", subjects)).await.unwrap();

    let list = |organization: &str, member: &str| {
        json!({"organization_id": organization, "subject": {"member_id": member}, "permission": "document:write",
            "resource_type": "document", "consistency": {"fully_consistent": true}})
    };
    let lists = "AuthorizationService/ListResources";
    let there = account.try_all(lists, list(&acme.id, &grace.id)).await.unwrap();
    let here = account.try_all(lists, list(&globex.id, &here.id)).await.unwrap();
    let ids = |messages: &[Value]| -> Vec<String> { messages.iter().map(|m| text(m, "resource.id")).collect() };
    assert_eq!(ids(&there), ids(&here));
    assert_eq!(there.len(), 6_300, "nine of ten");
}
