//! What authz-service keeps of an organization that org-service has purged: its head and a chain of events that say nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row, types::Uuid};
use tenancy::{MemberId, OrganizationId};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

use crate::tenant_walls::superuser;

/// Something of everything that can be kept.
async fn fill(acme: &Organization<'_>) {
    let account = &acme.project.account;
    let catalog = json!({"catalog": {"resource_types": [
        {"name": "folder", "verbs": ["read"]}, {"name": "document", "parent_types": ["folder"], "verbs": ["read"]}]}});
    account.call("CatalogService/UpdateCatalog", catalog).await;
    let grace = acme.join("grace", &["member"]).await.id;
    let role = json!({"organization_id": acme.id, "request_id": unique("once"),
        "role": {"key": "reader", "display_name": "Reader", "permissions": ["document:read"]}});
    let role = text(&account.call("RoleService/CreateRole", role).await, "role_id");
    let group = |name: &str| json!({"organization_id": acme.id, "group": {"display_name": name}});
    let inner = text(&account.call("GroupService/CreateGroup", group("inner")).await, "group_id");
    let outer = text(&account.call("GroupService/CreateGroup", group("outer")).await, "group_id");
    for (group, subject) in [(&inner, json!({"member_id": grace})), (&outer, json!({"group_id": inner}))] {
        let add = json!({"organization_id": acme.id, "group_id": group, "subjects": [subject]});
        account.call("GroupService/AddGroupMembers", add).await;
    }
    let register = json!({"organization_id": acme.id, "resources": [
        {"resource": {"type": "folder", "id": "plans"}},
        {"resource": {"type": "document", "id": "42"}, "parent": {"type": "folder", "id": "plans"}}]});
    account.call("ResourceService/RegisterResources", register).await;
    let binding = json!({"organization_id": acme.id, "request_id": unique("once"), "binding": {
        "subject": {"group_id": outer}, "role_id": role, "resource": {"type": "folder", "id": "plans"}}});
    account.call("BindingService/CreateBinding", binding).await;
    let suspend = json!({"organization_id": acme.id, "member_id": grace});
    account.call("MemberService/SuspendMember", suspend).await;
}

/// How many rows each table of the schema has of the organization; tables without any are left out.
async fn rows(database: &mut PgConnection, organization: Uuid) -> Vec<(String, i64)> {
    let tables = sqlx::query(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id'
         where n.nspname = 'authz' and c.relkind in ('r', 'p') order by 1",
    )
    .fetch_all(&mut *database)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let count = format!("select count(*) from authz.{table} where organization_id = $1");
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(count)).bind(organization).fetch_one(&mut *database).await.unwrap();
        if count > 0 {
            found.push((table, count));
        }
    }
    found
}

/// As org-service tells of a purge in its feed.
async fn tell_of_purge(database: &mut PgConnection, organization: Uuid, later: i64) {
    let told = sqlx::query(
        "insert into org.event (organization_id, project_id, revision, ordinal, event_id, kind, actor, subject_ids, payload,
             payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction)
         select organization_id, project_id, revision + $2, 0, gen_random_uuid(), 'organization.purged',
             'workload:org-service', '{}', '{\"before\":null,\"after\":null}', '', '', '', now(), event_hash, event_hash,
             greatest(feed_transaction,
                 (select transactions_before from org.history) + pg_current_xact_id()::text::bigint)
         from org.head where organization_id = $1",
    )
    .bind(organization)
    .bind(later)
    .execute(database)
    .await
    .unwrap();
    assert_eq!(told.rows_affected(), 1);
}

async fn purged(database: &mut PgConnection, organization: Uuid) -> i64 {
    sqlx::query_scalar("select count(*) from authz.event where organization_id = $1 and kind = 'organization.purged'")
        .bind(organization)
        .fetch_one(database)
        .await
        .unwrap()
}

async fn wait_for(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_purged_organization_leaves_its_head_and_a_silent_chain() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    fill(&acme).await;
    fill(&globex).await;
    let id = |organization: &Organization<'_>| organization.id.parse::<OrganizationId>().unwrap().uuid();
    let (gone, kept) = (id(&acme), id(&globex));
    let mut database = superuser(cluster).await;
    let full: Vec<String> = rows(&mut database, gone).await.into_iter().map(|(table, _)| table).collect();
    let every =
        ["answer", "binding", "event", "group_member", "head", "resource", "role", "subject_state", "user_group"];
    assert_eq!(full, every, "a table that is new must be filled here, and be erased");

    tell_of_purge(&mut database, gone, 1).await;
    wait_for("the purge is done", async || purged(&mut database, gone).await == 1).await;
    let left = |rows: Vec<(String, i64)>| rows.into_iter().map(|(table, _)| table).collect::<Vec<_>>();
    assert_eq!(left(rows(&mut database, gone).await), ["event", "head"]);
    assert_eq!(left(rows(&mut database, kept).await), every, "the other organization lost something");

    // Told again, nothing happens again: the third organization shows that the feed was read beyond it.
    tell_of_purge(&mut database, gone, 2).await;
    let probe = project.organization("probe").await;
    tell_of_purge(&mut database, id(&probe), 1).await;
    wait_for("the probe is purged", async || purged(&mut database, id(&probe)).await == 1).await;
    assert_eq!(purged(&mut database, gone).await, 1);
    let chain = sqlx::query(
        "select revision, ordinal, kind, payload, hash, previous_hash,
             lag(hash) over (order by revision, ordinal) as before, (select event_hash from authz.head h where h.organization_id = $1)
         from authz.event where organization_id = $1 order by revision, ordinal",
    )
    .bind(gone)
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert!(chain.len() > 10);
    for (at, event) in chain.iter().enumerate() {
        let last = at + 1 == chain.len();
        assert_eq!(event.get::<Option<String>, _>("payload").is_some(), last, "{}", event.get::<String, _>("kind"));
        if at > 0 {
            assert_eq!(event.get::<Vec<u8>, _>("previous_hash"), event.get::<Vec<u8>, _>("before"));
        }
        if last {
            assert_eq!(event.get::<Vec<u8>, _>("hash"), event.get::<Vec<u8>, _>(7), "the head ends elsewhere");
            assert_eq!(event.get::<String, _>("kind"), "organization.purged");
        }
    }

    // Whoever asks, there is no such organization, and nothing about it can be written.
    let named = |more: Value| {
        let mut request = json!({"organization_id": acme.id});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let check = || named(json!({"subject": {"member_id": acme.owner().id}, "permission": "guildhall.member:read"}));
    for (method, request) in [
        ("AuthorizationService/Check", check()),
        ("RoleService/ListRoles", named(json!({}))),
        ("BindingService/ListBindings", named(json!({}))),
        ("GroupService/CreateGroup", named(json!({"group": {"display_name": "x"}}))),
    ] {
        project.account.refused(method, request, Code::NotFound, "NOT_FOUND").await;
    }
    let member = |more: Value| {
        let mut request =
            named(json!({"project_id": project.id, "subject": {"member_id": MemberId::new().to_string()}}));
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let told = json!({"member_revision": 9_000_000});
    let service = cluster.workload("member-service", "authz-service");
    for (method, request) in [
        ("AuthorizationService/Check", check()),
        ("SubjectService/RemoveSubject", member(told.clone())),
        (
            "SubjectService/SetSubjectState",
            member(json!({"status": "SUBJECT_STATUS_ACTIVE", "member_revision": 9_000_000})),
        ),
        (
            "SubjectService/SetSubjectRoles",
            member(json!({"roles": ["owner"], "source": "ROLE_SOURCE_DIRECT", "grantor": {"operator": true}})),
        ),
        ("SubjectService/BatchGetSubjectRoles", named(json!({"subjects": [{"member_id": acme.owner().id}]}))),
    ] {
        service.refused(method, request, Code::NotFound, "NOT_FOUND").await;
    }
    let back =
        named(json!({"project_id": project.id, "state": "ORGANIZATION_STATE_ACTIVE", "org_revision": 9_000_000}));
    let org = cluster.workload("org-service", "authz-service");
    org.refused("SubjectService/SetOrganizationState", back, Code::NotFound, "NOT_FOUND").await;
    assert_eq!(org.call("SubjectService/GetUsage", named(json!({}))).await["custom_roles"], 0);
    assert_eq!(left(rows(&mut database, gone).await), ["event", "head"]);
}
