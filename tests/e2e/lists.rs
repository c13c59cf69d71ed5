//! Where somebody may, and who may somewhere: all of it, each once, at one revision, as slowly as the reader likes.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use api::authz::v1::{
    ListResourcesRequest, Subject, authorization_service_client::AuthorizationServiceClient, subject,
};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text},
};
use tonic::{Code, Request, transport::Endpoint};

const RESOURCES: &str = "AuthorizationService/ListResources";
const SUBJECTS: &str = "AuthorizationService/ListSubjects";

async fn product(organization: &Organization<'_>) {
    let catalog = json!({"catalog": {"resource_types": [
        {"name": "folder", "parent_types": ["folder"], "verbs": ["read", "write"]},
        {"name": "document", "parent_types": ["folder"], "verbs": ["read", "write"]}]}});
    organization.project.account.call("CatalogService/UpdateCatalog", catalog).await;
}

async fn made(organization: &Organization<'_>, method: &str, mut request: Value) -> Value {
    request["organization_id"] = json!(organization.id);
    organization.project.account.call(method, request).await
}

async fn bind(organization: &Organization<'_>, subject: Value, role: &str, place: Option<&str>, deny: bool) -> Value {
    let mut binding = json!({"subject": subject, "role_id": role});
    if let Some((kind, id)) = place.and_then(|place| place.split_once('/')) {
        binding["resource"] = json!({"type": kind, "id": id});
    }
    if deny {
        binding["effect"] = json!("BINDING_EFFECT_DENY");
    }
    made(organization, "BindingService/CreateBinding", json!({"binding": binding})).await
}

/// Registers resources in as many calls as it takes: each with what it lies in.
async fn register(organization: &Organization<'_>, resources: impl IntoIterator<Item = (String, Option<&str>)>) {
    let named = |name: &str| {
        let (kind, id) = name.split_once('/').unwrap();
        json!({"type": kind, "id": id})
    };
    let all: Vec<Value> = resources
        .into_iter()
        .map(|(name, parent)| match parent {
            Some(parent) => json!({"resource": named(&name), "parent": named(parent)}),
            None => json!({"resource": named(&name)}),
        })
        .collect();
    for some in all.chunks(1_000) {
        made(organization, "ResourceService/RegisterResources", json!({"resources": some})).await;
    }
}

fn ids(messages: &[Value]) -> Vec<String> {
    messages.iter().map(|message| text(message, "resource.id")).collect()
}

/// One revision in every message, and what it is.
fn revision(messages: &[Value]) -> String {
    let first = text(&messages[0], "revision");
    assert!(messages.iter().all(|message| message["revision"] == first.as_str()));
    first
}

#[tokio::test]
async fn a_hundred_thousand_resources_are_gone_through_exactly_and_taken_up_again_at_the_same_revision() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &["member"]).await;
    let role = json!({"role": {"key": "reader", "display_name": "Reader", "permissions": ["document:read"]}});
    let reader = text(&made(&acme, "RoleService/CreateRole", role).await, "role_id");
    let folders = ["folder/open", "folder/within", "folder/closed", "folder/other"];
    let parents = [None, Some("folder/open"), Some("folder/open"), None];
    register(&acme, folders.map(str::to_owned).into_iter().zip(parents)).await;
    // A sixteenth each lies in what is open and in what is within it; as many in what is closed again.
    let place = |n: usize| match n % 16 {
        0 => Some("folder/open"),
        1 => Some("folder/within"),
        2 => Some("folder/closed"),
        3 => Some("folder/other"),
        _ => None,
    };
    register(&acme, (0..100_000).map(|n| (format!("document/{n:05}"), place(n)))).await;
    let me = || json!({"member_id": grace.id});
    bind(&acme, me(), &reader, Some("folder/open"), false).await;
    bind(&acme, me(), &reader, Some("folder/closed"), true).await;
    for single in ["document/00007", "document/nowhere registered"] {
        bind(&acme, me(), &reader, Some(single), false).await;
    }
    bind(&acme, me(), &reader, Some("document/00016"), true).await;

    let mut expected: BTreeSet<String> = (0..100_000).filter(|n| n % 16 < 2).map(|n| format!("{n:05}")).collect();
    expected.extend(["00007", "nowhere registered"].map(str::to_owned));
    expected.remove("00016");
    let request = json!({"organization_id": acme.id, "subject": me(), "permission": "document:read",
        "resource_type": "document", "consistency": {"fully_consistent": true}});
    let all = project.account.try_all(RESOURCES, request.clone()).await.unwrap();
    assert_eq!(ids(&all), expected.iter().cloned().collect::<Vec<_>>(), "each once, by id");
    assert!(all.iter().all(|message| message["decision"] == "DECISION_ALLOWED"));
    let before = revision(&all);

    // Things change: who reads on does not see it, who begins anew does.
    register(&acme, [("document/00000b".to_owned(), Some("folder/open"))]).await;
    let removed = json!({"resources": [{"type": "document", "id": "99985"}]});
    made(&acme, "ResourceService/RemoveResources", removed).await;
    for at in [0, 4_095, 4_096, 9_000, all.len() - 1] {
        let mut on = request.clone();
        on["cursor"] = all[at]["cursor"].clone();
        let rest = project.account.try_all(RESOURCES, on).await.unwrap();
        assert!(rest == all[at + 1..], "behind message {at}");
    }
    let anew = project.account.try_all(RESOURCES, request.clone()).await.unwrap();
    assert_ne!(revision(&anew), before);
    let now = ids(&anew);
    assert!(now.contains(&"00000b".to_owned()) && !now.contains(&"99985".to_owned()));

    // No faster than it is read, and no longer than the caller waits: most is never made.
    let door = Endpoint::from_shared(format!("http://{}", project.cluster.door("authz-service"))).unwrap();
    let mut client = AuthorizationServiceClient::new(door.connect().await.unwrap());
    let mut slow = Request::new(ListResourcesRequest {
        organization_id: acme.id.clone(),
        subject: Some(Subject { subject: Some(subject::Subject::MemberId(grace.id.clone())) }),
        permission: "document:read".to_owned(),
        resource_type: "document".to_owned(),
        ..Default::default()
    });
    slow.metadata_mut().insert("authorization", format!("Bearer {}", project.token).parse().unwrap());
    slow.metadata_mut().insert("grpc-timeout", "1500m".parse().unwrap());
    let mut stream = client.list_resources(slow).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut read = 1;
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("all {read} were made for one that was read in time"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended}");
    assert!(read < expected.len() / 2, "{read} were made");
}

#[tokio::test]
async fn who_may_is_whom_check_allows() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let role = json!({"role": {"key": "reader", "display_name": "Reader", "permissions": ["document:read"]}});
    let reader = text(&made(&acme, "RoleService/CreateRole", role).await, "role_id");
    register(&acme, [("folder/a".to_owned(), None), ("document/1".to_owned(), Some("folder/a"))]).await;
    let member = async |name: &str| {
        let address = format!("{}@{}.test", testkit::caller::unique(name), acme.slug);
        let request = json!({"member": {"email_address": address, "display_name": name}, "roles": ["member"]});
        text(&made(&acme, "MemberService/CreateMember", request).await, "member_id")
    };
    let mut people = Vec::new();
    for n in 0..12 {
        people.push(member(&format!("person-{n}")).await);
    }
    let account = json!({"service_account": {"display_name": "robot"}});
    let robot = made(&acme, "ServiceAccountService/CreateServiceAccount", account).await;
    let robot = text(&robot, "service_account_id");
    let group = |name: &str| json!({"group": {"display_name": name}});
    let inner = text(&made(&acme, "GroupService/CreateGroup", group("inner")).await, "group_id");
    let outer = text(&made(&acme, "GroupService/CreateGroup", group("outer")).await, "group_id");
    let add = |group: &str, subjects: Value| json!({"group_id": group, "subjects": subjects});
    let some: Vec<Value> = people[..4].iter().map(|id| json!({"member_id": id})).collect();
    made(&acme, "GroupService/AddGroupMembers", add(&inner, json!(some))).await;
    let nested = json!([{"group_id": inner}, {"service_account_id": robot}, {"member_id": people[4]}]);
    made(&acme, "GroupService/AddGroupMembers", add(&outer, nested)).await;
    bind(&acme, json!({"group_id": outer}), &reader, Some("folder/a"), false).await;
    bind(&acme, json!({"member_id": people[5]}), &reader, None, false).await;
    bind(&acme, json!({"member_id": people[6]}), &reader, Some("document/2"), false).await;
    bind(&acme, json!({"member_id": people[1]}), &reader, Some("document/1"), true).await;
    made(&acme, "MemberService/SuspendMember", json!({"member_id": people[2]})).await;

    let whole: Vec<Value> = people
        .iter()
        .chain([&acme.owner().id])
        .map(|id| json!({"member_id": id}))
        .chain([json!({"service_account_id": robot})])
        .collect();
    let agree = async |place: Option<&str>| {
        let mut request = json!({"organization_id": acme.id, "permission": "document:read",
            "consistency": {"fully_consistent": true}});
        if let Some((kind, id)) = place.and_then(|place| place.split_once('/')) {
            request["resource"] = json!({"type": kind, "id": id});
        }
        let listed = project.account.try_all(SUBJECTS, request.clone()).await.unwrap();
        let listed: Vec<Value> = listed.iter().map(|message| message["subject"].clone()).collect();
        let mut allowed = Vec::new();
        for subject in &whole {
            request["subject"] = subject.clone();
            let answer = project.account.call("AuthorizationService/Check", request.clone()).await;
            allowed.extend((answer["allowed"] == true).then(|| subject.clone()));
        }
        assert_eq!(listed.len(), allowed.len(), "{place:?}: {listed:?} {allowed:?}");
        assert!(allowed.iter().all(|subject| listed.contains(subject)), "{place:?}: {listed:?} {allowed:?}");
        let members: Vec<&str> = listed.iter().filter_map(|subject| subject["member_id"].as_str()).collect();
        assert!(members.is_sorted(), "{members:?}");
        listed.len()
    };
    assert_eq!(agree(Some("document/1")).await, 6, "three of the inner group less one, robot, two more, and the owner");
    assert_eq!(agree(None).await, 2);
    assert_eq!(agree(Some("document/2")).await, 3);
    bind(&acme, json!({"all_members": true}), &reader, Some("document/3"), false).await;
    assert_eq!(agree(Some("document/3")).await, 12, "all but the suspended one");
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_request_alone() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    register(&acme, ["a", "b", "c"].map(|id| (format!("document/{id}"), None))).await;
    let request = |permission: &str| {
        json!({"organization_id": acme.id, "subject": {"member_id": acme.owner().id}, "permission": permission,
            "resource_type": "document"})
    };
    let owner = &acme.owner().caller;
    let all = owner.try_all(RESOURCES, request("document:read")).await.unwrap();
    assert_eq!(ids(&all), ["a", "b", "c"]);
    let cursor = text(&all[0], "cursor");
    let with = |mut request: Value, cursor: &str| {
        request["cursor"] = json!(cursor);
        request
    };
    let bent: String = cursor.chars().rev().collect();
    let of_subjects =
        json!({"organization_id": acme.id, "permission": "document:read", "resource": {"type": "document", "id": "a"}});
    let listed = owner.try_all(SUBJECTS, of_subjects.clone()).await.unwrap();
    for (method, wrong) in [
        (RESOURCES, with(request("document:write"), &cursor)),
        (RESOURCES, with(request("document:read"), &bent)),
        (RESOURCES, with(request("document:read"), "x")),
        (RESOURCES, with(request("document:read"), &"x".repeat(5_000))),
        (RESOURCES, with(request("document:read"), &text(&listed[0], "cursor"))),
        (SUBJECTS, with(of_subjects, &cursor)),
    ] {
        let refused = owner.refused(method, wrong, Code::InvalidArgument, "INVALID_PAGE_TOKEN").await;
        assert_eq!(refused.fields, ["cursor"]);
    }
    let globex = project.organization("globex").await;
    let mut foreign = with(request("document:read"), &cursor);
    foreign["organization_id"] = json!(globex.id);
    project.account.refused(RESOURCES, foreign, Code::InvalidArgument, "INVALID_PAGE_TOKEN").await;
    // Nothing has changed: it goes on wherever it is asked, as often as it is asked.
    for _ in 0..2 {
        let rest = owner.try_all(RESOURCES, with(request("document:read"), &cursor)).await.unwrap();
        assert_eq!(ids(&rest), ["b", "c"]);
    }

    let mut faulty = request("document");
    faulty["resource_type"] = json!("No Type");
    faulty["subject"] = json!({"all_members": true});
    let refused = owner.refused(RESOURCES, faulty, Code::InvalidArgument, "INVALID_FIELDS").await;
    for field in ["subject", "permission", "resource_type"] {
        assert!(refused.fields.iter().any(|named| named == field), "{field} is not in {:?}", refused.fields);
    }
    let mut unknown = request("document:read");
    unknown["resource_type"] = json!("box");
    owner.refused(RESOURCES, unknown, Code::FailedPrecondition, "UNKNOWN_PERMISSION").await;

    // About herself anybody may ask, about others not.
    let grace = acme.join("grace", &["member"]).await;
    let mut of_grace = request("document:read");
    of_grace["subject"] = json!({"member_id": grace.id});
    assert_eq!(grace.caller.try_all(RESOURCES, of_grace).await.unwrap(), Vec::<Value>::new());
    let of_ada = request("document:read");
    grace.caller.refused(RESOURCES, of_ada, Code::PermissionDenied, "PERMISSION_MISSING").await;
    let begun = Instant::now();
    let who = json!({"organization_id": acme.id, "permission": "document:read"});
    grace.caller.refused(SUBJECTS, who, Code::PermissionDenied, "PERMISSION_MISSING").await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}
