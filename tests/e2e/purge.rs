//! A purged organization leaves nothing behind but what proves that it was: its head, the skeleton of its chain, its slugs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tenancy::{Database, DatabaseOptions, OrganizationScope, Sealer};
use testkit::{
    Cluster,
    caller::{Caller, Organization, Project, text, unique},
};
use tonic::Code;

/// The schemas that are looked through.
pub const SCHEMAS: [&str; 3] = ["org", "member", "authz"];
const PATIENCE: Duration = Duration::from_secs(60);

async fn superuser(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.access().database_url).await.unwrap()
}

/// The id as the database has it.
fn uuid(id: &str) -> String {
    let id: tenancy::OrganizationId = id.parse().unwrap();
    id.uuid().to_string()
}

/// Its grace is over now.
pub async fn expire(database: &mut PgConnection, id: &str) {
    let statement = format!(
        "update org.organization set purge_time = now() - interval '1 s' where organization_id = '{}' and state = 'DELETED'",
        uuid(id)
    );
    let expired = sqlx::query(AssertSqlSafe(statement)).execute(database).await.unwrap();
    assert_eq!(expired.rows_affected(), 1);
}

/// What is left of an organization, by table: every table of the schemas that names an organization.
async fn remains(database: &mut PgConnection, id: &str) -> Vec<(String, i64)> {
    let tables = sqlx::query(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
             join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
         where n.nspname = any ($1) and c.relkind in ('r', 'p') order by 1",
    )
    .bind(SCHEMAS.as_slice())
    .fetch_all(&mut *database)
    .await
    .unwrap();
    assert!(tables.len() > 12, "the catalog names only {} tables", tables.len());
    let mut left = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        // An event that keeps its payload counts; the last says nothing.
        let counted =
            if table.ends_with(".event") { "payload is not null and kind <> 'organization.purged'" } else { "true" };
        let statement = format!("select count(*) from {table} where organization_id = '{}' and {counted}", uuid(id));
        let count: i64 = sqlx::query(AssertSqlSafe(statement)).fetch_one(&mut *database).await.unwrap().get(0);
        if count > 0 {
            left.push((table, count));
        }
    }
    left
}

/// The same, once nothing more comes of what was done to it: services hear of each other's writes a little later.
async fn settled(database: &mut PgConnection, id: &str) -> Vec<(String, i64)> {
    let begun = Instant::now();
    let mut last = remains(&mut *database, id).await;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = remains(&mut *database, id).await;
        if now == last {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "{id} goes on changing: {last:?}, {now:?}");
        last = now;
    }
}

/// Where a text stands in clear, whoever's row it is.
async fn found_anywhere(database: &mut PgConnection, wanted: &str) -> Vec<String> {
    let tables = sqlx::query(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('org', 'member', 'authz') and c.relkind in ('r', 'p')",
    )
    .fetch_all(&mut *database)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let statement = format!("select exists (select 1 from {table} t where strpos(t::text, $1) > 0)");
        let is: bool =
            sqlx::query(AssertSqlSafe(statement)).bind(wanted).fetch_one(&mut *database).await.unwrap().get(0);
        if is {
            found.push(table);
        }
    }
    found
}

const STAYS: [&str; 4] = ["authz.head", "member.head", "org.head", "org.used_slug"];

pub async fn purged(database: &mut PgConnection, id: &str) {
    let begun = Instant::now();
    loop {
        let left = remains(&mut *database, id).await;
        if left.iter().all(|(table, _)| STAYS.contains(&table.as_str())) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{id} leaves {left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Something of every kind that an organization can hold.
async fn fill(organization: &Organization<'_>) {
    let (project, owner, id) = (&organization.project, organization.owner(), &organization.id);
    let member = organization.join("grace", &["member"]).await;
    organization.invite(&format!("{}@waiting.test", unique("ada")), &["member"]).await;
    let account = owner
        .caller
        .call(
            "ServiceAccountService/CreateServiceAccount",
            json!({"organization_id": id, "service_account": {"display_name": "robot"}}),
        )
        .await;
    owner
        .caller
        .call(
            "ServiceAccountService/CreateApiKey",
            json!({"organization_id": id, "service_account_id": text(&account, "service_account_id"),
                "api_key": {"display_name": "key"}}),
        )
        .await;
    // A wrong password, a code under way, an answer that is kept.
    organization.sign_in(&member.email, "wrong and wrong again").await.unwrap_err();
    let code = json!({"email_address": member.email, "organization_slug": organization.slug});
    project.anyone().call("AuthenticationService/StartEmailSignIn", code).await;
    let update = json!({"organization_id": id, "request_id": unique("update"), "update_mask": "untrustedMetadata",
        "organization": {"untrusted_metadata": {"note": "secret plans"}}});
    owner.caller.call("OrganizationService/UpdateOrganization", update).await;
}

/// Two refusals that nobody can tell apart.
async fn same_refusal(caller: &Caller, method: &str, one: Value, other: Value) {
    let one = caller.try_call(method, one).await.unwrap_err();
    let other = caller.try_call(method, other).await.unwrap_err();
    assert_eq!((one.code, one.reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{method}: {one:?}");
    assert_eq!(
        (one.code, &one.reason, &one.message, &one.fields),
        (other.code, &other.reason, &other.message, &other.fields),
        "{method}"
    );
}

async fn isolated(cluster: &Cluster) -> Project<'_> {
    let operator = cluster.operator().await;
    let made = json!({"project": {"display_name": unique("platform"), "user_pool": "USER_POOL_ISOLATED"}});
    let id = text(&operator.call("ProjectService/CreateProject", made).await, "project_id");
    let account = json!({"project_id": id, "service_account": {"display_name": "backend"}});
    let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
    let token = cluster
        .client_credentials(&text(&account, "client_id"), &text(&account, "client_secret"))
        .await
        .unwrap_or_else(|refused| panic!("no token: {refused:?}"));
    Project { cluster, id, account: cluster.bearer(&token), token }
}

#[tokio::test]
async fn a_purged_organization_leaves_its_heads_its_slug_and_a_silent_chain() {
    let cluster = Cluster::shared().await;
    let mut database = superuser(cluster).await;
    for project in [cluster.project().await, isolated(cluster).await] {
        let (acme, neighbour) = (project.organization("acme").await, project.organization("beside").await);
        fill(&acme).await;
        let about = json!({"organization_id": acme.id});
        let beside = settled(&mut database, &neighbour.id).await;
        project.account.call("OrganizationService/DeleteOrganization", about.clone()).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        project.account.call("OrganizationService/GetOrganization", about.clone()).await;

        expire(&mut database, &acme.id).await;
        // Too late, whether the purge was faster or not.
        let late =
            project.account.try_call("OrganizationService/UndeleteOrganization", about.clone()).await.unwrap_err();
        assert!(["ORGANIZATION_STATE", "NOT_FOUND"].contains(&late.reason.as_str()), "{late:?}");
        purged(&mut database, &acme.id).await;

        // Nobody tells it from one that never was.
        let stranger = tenancy::OrganizationId::new().to_string();
        let nobody = json!({"organization_id": stranger});
        for method in [
            "OrganizationService/GetOrganization",
            "OrganizationService/GetEffectiveSettings",
            "OrganizationService/DeleteOrganization",
            "OrganizationService/UndeleteOrganization",
            "OrganizationService/SuspendOrganization",
            "MemberService/ListMembers",
            "InvitationService/ListInvitations",
            "ServiceAccountService/ListServiceAccounts",
            "EventService/ListEvents",
        ] {
            same_refusal(&project.account, method, about.clone(), nobody.clone()).await;
        }
        let batch = |id: &str| json!({"organization_ids": [id]});
        let unknown = batch(&stranger);
        same_refusal(&project.account, "OrganizationService/BatchGetOrganizations", batch(&acme.id), unknown).await;
        let slug = json!({"slug": acme.slug});
        project.account.refused("OrganizationService/LookupOrganization", slug, Code::NotFound, "NOT_FOUND").await;
        let refused = acme.sign_in(&acme.owner().email, &acme.owner().password).await.unwrap_err();
        assert_eq!(refused.reason, "SIGN_IN_FAILED");
        let states = json!({"state": "ORGANIZATION_STATE_DELETED"});
        let listed = project.account.call("OrganizationService/ListOrganizations", states).await;
        assert_eq!(listed["organizations"].as_array().unwrap().len(), 0);
        // Its slug leads nowhere, for good.
        let again = json!({"organization": {"display_name": "Acme", "slug": acme.slug}});
        project
            .account
            .refused("OrganizationService/CreateOrganization", again, Code::AlreadyExists, "SLUG_TAKEN")
            .await;
        // The chains hold, and end with the purge.
        for schema in SCHEMAS {
            assert_eq!(chain(cluster, schema, &project.id, &acme.id).await, None, "the chain of {schema} is broken");
            let last = format!(
                "select kind from {schema}.event where organization_id = '{}' order by revision desc, ordinal desc limit 1",
                uuid(&acme.id)
            );
            let last: String = sqlx::query(AssertSqlSafe(last)).fetch_one(&mut database).await.unwrap().get(0);
            assert_eq!(last, "organization.purged", "{schema}");
        }
        assert_eq!(settled(&mut database, &neighbour.id).await, beside, "its neighbour is untouched");
        neighbour.sign_in(&neighbour.owner().email, &neighbour.owner().password).await.unwrap();
        let left = found_anywhere(&mut database, &acme.owner().email).await;
        let expected: &[&str] = if text(&pool(cluster, &project).await, "user_pool").ends_with("SHARED") {
            // A shared pool's identities are the project's, and so are their events.
            &["member.event", "member.identity"]
        } else {
            &[]
        };
        assert!(left.iter().all(|table| expected.contains(&table.as_str())), "her address is in {left:?}");
    }
}

/// Where the chain is broken, as a service would find: nobody else is let in any more.
async fn chain(cluster: &Cluster, schema: &str, project: &str, organization: &str) -> Option<tenancy::event::Break> {
    let url = cluster.access().service_database_urls[schema].runtime.clone();
    let sealer = Sealer::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
    let options = DatabaseOptions { acquire_timeout: PATIENCE, ..DatabaseOptions::new(url.into()) };
    let database = Database::new(&options, Arc::new(sealer)).unwrap();
    let organization = organization.parse().unwrap();
    let scope = OrganizationScope::granted(project.parse().unwrap(), organization);
    let check = tenancy::feed::verify_chain(&database, scope.into(), organization, None).await.unwrap();
    assert!(check.events > 3, "{schema} has {} events", check.events);
    check.broken
}

async fn pool(cluster: &Cluster, project: &Project<'_>) -> Value {
    cluster.operator().await.call("ProjectService/GetProject", json!({"project_id": project.id})).await
}

/// How often a service erased an organization.
pub async fn purges(database: &mut PgConnection, schema: &str, id: &str) -> i64 {
    let statement = format!(
        "select count(*) from {schema}.event where organization_id = '{}' and kind = 'organization.purged'",
        uuid(id)
    );
    sqlx::query(AssertSqlSafe(statement)).fetch_one(database).await.unwrap().get(0)
}
