//! A service dies between any two steps of a write that spans services. After its restart, and at most one pass of a feed or a sweep,
//! nothing half-done can be seen, and the same request makes one of what it asks for.

mod accounts;
mod factors;
mod members;
mod organizations;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Organization, text},
};
use tokio::time::{Instant, sleep};
use tonic::Code;

/// Restarts, each after a longer pause, on a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Sends a write until it is answered.
pub async fn insist(caller: &Caller, method: &str, request: &Value) -> Value {
    eventually(&format!("{method} is answered"), || async { caller.try_call(method, request.clone()).await.ok() }).await
}

pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < BACK_WITHIN, "not within {} s: {what}", BACK_WITHIN.as_secs());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Which service comes to a place, by the word before its slash.
fn victim(place: &str) -> &'static str {
    match place.split_once('/').map_or(place, |(operation, _)| operation) {
        "note-subject" | "drop-subject" | "note-organization" | "give-roles" | "give-roles-to-many"
        | "purge-rights" => "authz-service",
        "complete-mfa" => "gateway",
        operation if operation.ends_with("-organization") => "org-service",
        _ => "member-service",
    }
}

/// Has the service that comes to the place die there while the call is served, whose answer may be lost with it.
async fn die(cluster: &Cluster, place: &str, caller: &Caller, method: &str, request: &Value) {
    let pid = cluster.pid(victim(place)).unwrap();
    cluster.arm(place);
    let begun = Instant::now();
    loop {
        let said = caller.try_call(method, request.clone()).await;
        if !cluster.armed() {
            break;
        }
        // A starved machine may be behind with what was revoked, and refuses unbegun until it is not.
        let is_behind = matches!(&said, Err(refused) if refused.code == Code::Unavailable);
        assert!(is_behind && begun.elapsed() < BACK_WITHIN, "{method} never came to {place}: {said:?}");
        sleep(Duration::from_millis(50)).await;
    }
    cluster.restarted(victim(place), pid).await;
}

/// What is there, or None for what is certainly not.
async fn insist_or_missing(caller: &Caller, method: &str, request: &Value) -> Option<Value> {
    eventually(&format!("{method} is answered"), || async {
        match caller.try_call(method, request.clone()).await {
            Ok(found) => Some(Some(found)),
            Err(refused) => (refused.reason == "NOT_FOUND").then_some(None),
        }
    })
    .await
}

/// Whether authz-service says no to a permission that a member, or the subject that is named, was given.
async fn denied(organization: &Organization<'_>, subject: &Value) -> bool {
    let check = json!({"organization_id": organization.id, "subject": subject, "permission": "guildhall.member:read",
        "consistency": {"fully_consistent": true}});
    let checked = insist(&organization.project.account, "AuthorizationService/Check", &check).await;
    text(&checked, "decision") == "DECISION_DENIED"
}
