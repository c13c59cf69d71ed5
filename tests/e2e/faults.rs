//! Processes are killed as the kernel kills them, in the middle of writes. What was acknowledged is there, once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, text},
};

/// Sends a write with its request_id until it is answered.
async fn insist(caller: &Caller, method: &str, request: &Value) -> Value {
    let begun = Instant::now();
    loop {
        match caller.try_call(method, request.clone()).await {
            Ok(answer) => return answer,
            Err(refused) => {
                assert!(begun.elapsed() < Duration::from_secs(60), "{method} was never answered: {refused:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn everything(
    caller: &Caller,
    method: &str,
    organization: Option<&str>,
    plural: &str,
    field: &str,
) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let mut request = json!({"page_size": 500, "page_token": token});
        if let Some(organization) = organization {
            request["organization_id"] = json!(organization);
        }
        let page = insist(caller, method, &request).await;
        all.extend(page[plural].as_array().unwrap().iter().map(|row| text(row, field)));
        token = text(&page, "next_page_token");
        if token.is_empty() {
            return all;
        }
    }
}

/// Four writers at once, each child killed three times meanwhile.
async fn acknowledged_writes_survive(victim: &str) {
    let cluster = Arc::new(Cluster::start().await);
    let project = cluster.project().await;
    let made = project
        .account
        .call(
            "OrganizationService/CreateOrganization",
            json!({"organization": {"display_name": "Acme", "slug": "acme"}}),
        )
        .await;
    let acme = text(&made, "organization_id");
    let account = project.account.clone();
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (account, acme, over) = (account.clone(), acme.clone(), over.clone());
            let answered = answered.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("w{writer}-{n}");
                    let member = json!({"organization_id": acme, "request_id": name,
                        "member": {"email_address": format!("{name}@acme.test")}, "roles": ["member"]});
                    let member = insist(&account, "MemberService/CreateMember", &member).await;
                    let organization =
                        json!({"organization": {"display_name": name, "slug": name}, "request_id": name});
                    let organization = insist(&account, "OrganizationService/CreateOrganization", &organization).await;
                    acknowledged.push((text(&member, "member_id"), text(&organization, "organization_id")));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    // As many answers between two deaths as make the writers come round, however fast the machine is.
    let progress = async || {
        let (begun, before) = (Instant::now(), answered.load(Ordering::Relaxed));
        while answered.load(Ordering::Relaxed) < before + 4 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is answered any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for _ in 0..3 {
        progress().await;
        let pid = cluster.kill(victim);
        cluster.restarted(victim, pid).await;
    }
    progress().await;
    over.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }

    let members = everything(&account, "MemberService/ListMembers", Some(&acme), "members", "member_id").await;
    let addresses = everything(&account, "MemberService/ListMembers", Some(&acme), "members", "email_address").await;
    let organizations =
        everything(&account, "OrganizationService/ListOrganizations", None, "organizations", "organization_id").await;
    assert_eq!(addresses.len(), addresses.iter().collect::<BTreeSet<_>>().len(), "a member was made twice");
    for (member, organization) in &acknowledged {
        assert_eq!(members.iter().filter(|id| *id == member).count(), 1, "{member} was acknowledged and is lost");
        assert_eq!(organizations.iter().filter(|id| *id == organization).count(), 1, "{organization} is lost");
        let check = json!({"organization_id": acme, "subject": {"member_id": member},
            "permission": "guildhall.member:read", "consistency": {"fully_consistent": true}});
        assert_eq!(
            insist(&account, "AuthorizationService/Check", &check).await["allowed"],
            true,
            "{member} lost her role"
        );
    }
    let chain = insist(&account, "EventService/VerifyChain", &json!({"organization_id": acme})).await;
    assert_eq!(chain["valid"], true, "{chain}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_the_death_of_org_service() {
    acknowledged_writes_survive("org-service").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_the_death_of_member_service() {
    acknowledged_writes_survive("member-service").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_the_death_of_authz_service() {
    acknowledged_writes_survive("authz-service").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_the_death_of_the_gateway() {
    acknowledged_writes_survive("gateway").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_the_death_of_postgresql() {
    if std::env::var_os("DATABASE_URL").is_some() {
        // Somebody else's server is not ours to kill.
        return;
    }
    acknowledged_writes_survive("postgres").await;
}
