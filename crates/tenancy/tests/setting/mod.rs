//! A service's schema on a real PostgreSQL, with no tables but those that every service has.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{sync::Arc, time::Duration};

use local_postgres::ServiceUrls;
use serde_json::json;
use sqlx::migrate::Migrator;
use tenancy::{
    Actor, Database, DatabaseOptions, NewEvent, OrganizationId, OrganizationScope, OrganizationState, Origin,
    ProjectId, Sealer, migration::Migrations,
};
use testkit::postgres::{TestDatabase, template};

static NOTHING_OF_ITS_OWN: Migrator = Migrator::DEFAULT;

pub struct Setting {
    pub database: Database,
    /// Dropped after it: it takes the database along.
    pub test: TestDatabase,
    pub project: ProjectId,
}

pub async fn setting() -> Setting {
    setting_of(|_| {}).await
}

/// The same by other options.
pub async fn setting_of(change: impl FnOnce(&mut DatabaseOptions)) -> Setting {
    let prepared = template("tenancy", async |urls: ServiceUrls| {
        Migrations::of(&NOTHING_OF_ITS_OWN).apply(&urls.org.owner.into(), "guildhall_org").await
    })
    .await;
    let test = TestDatabase::new(&prepared).await;
    let sealer = Sealer::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
    let mut options = DatabaseOptions::new(test.urls.org.runtime.clone().into());
    options.acquire_timeout = Duration::from_secs(20);
    change(&mut options);
    let database = Database::new(&options, Arc::new(sealer)).unwrap();
    Setting { database, test, project: ProjectId::new() }
}

impl Setting {
    pub async fn organization(&self) -> OrganizationScope {
        let id = OrganizationId::new();
        self.database.admit(self.project, id, OrganizationState::Active, 1).await.unwrap();
        OrganizationScope::granted(self.project, id)
    }

    pub async fn write(&self, scope: OrganizationScope, text: &str) -> i64 {
        let mut tx = self.database.write(scope, &origin(), None).await.unwrap();
        tx.append(event(text));
        let revision = tx.revision();
        tx.commit(revision).await.unwrap()
    }
}

pub fn origin() -> Origin {
    Origin { actor: Actor::Operator, on_behalf_of: None, request_id: "r".into(), trace_id: String::new() }
}

pub fn event(text: &str) -> NewEvent {
    NewEvent::new("thing.done", vec![text.to_owned()], &json!({"after": text}))
}
