//! The two walls between tenants: statements that name their tenant, and row-level security. What stands here is how they are built; the
//! test binary `attacks` takes each of them down and tries the other.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};

const SCHEMAS: [&str; 3] = ["org", "member", "authz"];

/// Tables that hold no tenant's rows, and why.
const OF_NO_TENANT: [(&str, &str); 3] = [
    ("_sqlx_migrations", "which migrations were applied"),
    ("feed_cursor", "how far the feeds of other services were read"),
    ("history", "where the count of the feed's transactions begins"),
];

pub async fn superuser(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.access().database_url).await.unwrap()
}

async fn runtime_role(cluster: &Cluster, schema: &str) -> PgConnection {
    PgConnection::connect(&cluster.access().service_database_urls[schema].runtime).await.unwrap()
}

async fn tables(connection: &mut PgConnection, schema: &str) -> Vec<String> {
    let rows = sqlx::query("select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind in ('r', 'p') order by 1")
        .bind(schema)
        .fetch_all(connection)
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).filter(|name: &String| !OF_NO_TENANT.iter().any(|(t, _)| t == name)).collect()
}

#[tokio::test]
async fn every_tenant_table_stands_behind_row_level_security() {
    let cluster = Cluster::shared().await;
    let mut database = superuser(cluster).await;
    let mut faults = Vec::new();
    for schema in SCHEMAS {
        let tables = tables(&mut database, schema).await;
        assert!(tables.len() >= 4, "{schema} has only {tables:?}");
        for table in tables {
            let row = sqlx::query(
                "select c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner)::text,
                    (select count(*) from pg_policy p where p.polrelid = c.oid and p.polcmd = '*'
                        and p.polqual is not null and p.polwithcheck is not null),
                    (select count(*) from pg_policy p where p.polrelid = c.oid and p.polcmd <> '*' and p.polcmd <> 'r'),
                    (select count(*) from pg_attribute a where a.attrelid = c.oid and a.attname in ('organization_id', 'project_id') and a.attnotnull),
                    (select a.attname::text from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
                        where i.indrelid = c.oid and i.indisprimary)
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2",
            )
            .bind(schema)
            .bind(&table)
            .fetch_one(&mut database)
            .await
            .unwrap();
            let mut fault = |holds: bool, what: &str| {
                if !holds {
                    faults.push(format!("{schema}.{table}: {what}"));
                }
            };
            fault(row.get(0), "row-level security is off");
            fault(row.get(1), "row-level security is not forced on the owner");
            fault(
                row.get::<String, _>(2) == format!("guildhall_{schema}_owner"),
                "is owned by another than the schema's owner",
            );
            fault(row.get::<i64, _>(3) == 1, "has no policy with USING and WITH CHECK");
            fault(row.get::<i64, _>(4) == 0, "has a policy that lets more be written");
            fault(row.get::<i64, _>(5) == 2, "organization_id and project_id are not both there and not null");
            fault(
                row.get::<Option<String>, _>(6).as_deref() == Some("organization_id"),
                "its primary key does not begin with organization_id",
            );
        }
        let role =
            sqlx::query("select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles where rolname = $1")
                .bind(format!("guildhall_{schema}"))
                .fetch_one(&mut database)
                .await
                .unwrap();
        assert!((0..4).all(|at| !role.get::<bool, _>(at)), "guildhall_{schema} is mightier than it may be");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn without_a_scope_no_row_is_visible_and_none_can_be_written() {
    let cluster = Cluster::shared().await;
    cluster.project().await.organization("acme").await;
    let mut database = superuser(cluster).await;
    let mut filled = 0;
    for schema in SCHEMAS {
        let mut role = runtime_role(cluster, schema).await;
        for table in tables(&mut database, schema).await {
            let count = |query: String| AssertSqlSafe(query);
            let all: i64 = sqlx::query_scalar(count(format!("select count(*) from {schema}.{table}")))
                .fetch_one(&mut database)
                .await
                .unwrap();
            let seen: i64 = sqlx::query_scalar(count(format!("select count(*) from {schema}.{table}")))
                .fetch_one(&mut role)
                .await
                .unwrap();
            assert_eq!(seen, 0, "{schema}.{table} shows rows to a transaction without a scope");
            filled += i64::from(all > 0);
        }
        let insert = "insert into head (organization_id, project_id) values (gen_random_uuid(), gen_random_uuid())";
        let refused = sqlx::query(insert).execute(&mut role).await.unwrap_err();
        assert!(refused.to_string().contains("row-level security"), "{refused}");
    }
    assert!(filled > 10, "only {filled} tables hold rows: the test sees too little");
}

#[tokio::test]
async fn a_services_role_reads_no_other_schema_and_changes_no_history() {
    let cluster = Cluster::shared().await;
    for schema in SCHEMAS {
        let mut role = runtime_role(cluster, schema).await;
        for other in SCHEMAS.iter().filter(|other| **other != schema) {
            let statement = AssertSqlSafe(format!("select count(*) from {other}.head"));
            let refused = sqlx::query(statement).execute(&mut role).await.unwrap_err();
            assert!(refused.to_string().contains("permission denied"), "{schema} reads {other}: {refused}");
        }
        for statement in [
            "delete from event",
            "update event set kind = 'x'",
            "drop table event",
            "truncate event",
            "alter table event disable row level security",
            "create table mine (id int)",
        ] {
            let refused = sqlx::query(statement).execute(&mut role).await.unwrap_err().to_string();
            assert!(
                refused.contains("permission denied") || refused.contains("must be owner"),
                "{schema}: {statement}: {refused}"
            );
        }
    }
}

async fn open(role: &mut PgConnection, scope: &str, project: &str, organization: &str) {
    sqlx::query("begin").execute(&mut *role).await.unwrap();
    sqlx::query("select set_config('guildhall.scope', $1, true), set_config('guildhall.project_id', $2, true), set_config('guildhall.organization_id', $3, true)")
        .bind(scope)
        .bind(project)
        .bind(organization)
        .execute(&mut *role)
        .await
        .unwrap();
}

/// The uuid under an id of ours.
fn uuid<I: std::str::FromStr<Err: std::fmt::Debug>>(id: &str, uuid: impl Fn(I) -> sqlx::types::Uuid) -> String {
    uuid(id.parse().unwrap()).to_string()
}

/// The first wall is down: statements that name no tenant at all. The second alone keeps the rows apart.
#[tokio::test]
async fn statements_that_name_no_tenant_see_one_tenant_only() {
    let cluster = Cluster::shared().await;
    let (one, other) = (cluster.project().await, cluster.project().await);
    let (acme, sister, globex) =
        (one.organization("acme").await, one.organization("sister").await, other.organization("globex").await);
    let id = |organization: &Organization<'_>| uuid(&organization.id, tenancy::OrganizationId::uuid);
    let project = uuid(&one.id, tenancy::ProjectId::uuid);
    let mut role = runtime_role(cluster, "member").await;
    open(&mut role, "organization", &project, &id(&acme)).await;
    let seen: Vec<String> =
        sqlx::query_scalar("select distinct organization_id::text from member").fetch_all(&mut role).await.unwrap();
    assert_eq!(seen, [id(&acme)]);
    for foreign in [&sister, &globex] {
        sqlx::query("savepoint s").execute(&mut role).await.unwrap();
        let theft = sqlx::query("insert into head (organization_id, project_id) values ($1::uuid, $2::uuid)")
            .bind(id(foreign))
            .bind(&project)
            .execute(&mut role)
            .await;
        assert!(theft.unwrap_err().to_string().contains("row-level security"));
        sqlx::query("rollback to s").execute(&mut role).await.unwrap();
        let touched = sqlx::query("update head set revision = revision where organization_id = $1::uuid")
            .bind(id(foreign))
            .execute(&mut role)
            .await
            .unwrap();
        assert_eq!(touched.rows_affected(), 0);
    }
    sqlx::query("rollback").execute(&mut role).await.unwrap();
    // A project sees its organizations and no other's; an organization named with a foreign project sees nothing.
    open(&mut role, "project", &project, "").await;
    let foreign: i64 = sqlx::query_scalar("select count(*) from member where project_id <> $1::uuid")
        .bind(&project)
        .fetch_one(&mut role)
        .await
        .unwrap();
    assert_eq!(foreign, 0);
    sqlx::query("rollback").execute(&mut role).await.unwrap();
    open(&mut role, "organization", &project, &id(&globex)).await;
    let crossed: i64 = sqlx::query_scalar("select count(*) from member").fetch_one(&mut role).await.unwrap();
    assert_eq!(crossed, 0);
    sqlx::query("rollback").execute(&mut role).await.unwrap();
}

/// What an organization has, by the field that names it.
pub async fn children(organization: &Organization<'_>) -> BTreeMap<&'static str, String> {
    let id = &organization.id;
    let owner = organization.owner();
    let invitation = json!({"organization_id": id, "invitation": {"email_address": unique("x") + "@acme.test"}, "roles": ["member"]});
    let invitation = owner.caller.call("InvitationService/CreateInvitation", invitation).await;
    let sessions =
        owner.caller.call("SessionService/ListSessions", json!({"organization_id": id, "member_id": owner.id})).await;
    let account = json!({"organization_id": id, "service_account": {"display_name": "robot"}});
    let account = owner.caller.call("ServiceAccountService/CreateServiceAccount", account).await;
    let role = json!({"organization_id": id, "role": {"key": unique("role"), "display_name": "x", "permissions": ["guildhall.member:read"]}});
    let role = text(&owner.caller.call("RoleService/CreateRole", role).await, "role_id");
    let group = json!({"organization_id": id, "group": {"display_name": "g"}});
    let group = owner.caller.call("GroupService/CreateGroup", group).await;
    let binding = json!({"organization_id": id, "binding": {"subject": {"member_id": owner.id}, "role_id": role}});
    let binding = owner.caller.call("BindingService/CreateBinding", binding).await;
    BTreeMap::from([
        ("member_id", owner.id.clone()),
        ("invitation_id", text(&invitation, "invitation_id")),
        ("session_id", text(&sessions, "sessions.0.session_id")),
        ("service_account_id", text(&account, "service_account_id")),
        ("role_id", role),
        ("group_id", text(&group, "group_id")),
        ("binding_id", text(&binding, "binding_id")),
    ])
}
