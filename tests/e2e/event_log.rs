//! Reading a long audit log from outside: large events, rare ones, many readers.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text},
};

const UPDATES: usize = 48;

/// Events that are as large as they get: the metadata before and after.
async fn large_updates(acme: &Organization<'_>) {
    let account = &acme.project.account;
    for n in 0..UPDATES {
        // Close to the 16 KiB that metadata may hold, in the form that grows most as a message.
        let digits: Vec<usize> = (0..3_900).map(|m| (m + n) % 10).collect();
        let update = json!({
            "organization_id": acme.id,
            "organization": {"organization_id": acme.id, "trusted_metadata": {"digits": digits}},
            "update_mask": "trustedMetadata",
        });
        account.call("OrganizationService/UpdateOrganization", update).await;
    }
}

#[tokio::test]
async fn pages_of_large_events_are_short_and_leave_nothing_out() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    large_updates(&acme).await;
    let (mut token, mut pages, mut updates, mut last) = (String::new(), 0, 0, None::<String>);
    loop {
        let request = json!({"organization_id": acme.id, "page_size": 500, "page_token": token});
        let page = project.account.call("EventService/ListEvents", request).await;
        let events = page["events"].as_array().unwrap();
        // In JSON each digit takes two letters, as a message eleven bytes.
        assert!(events.len() < UPDATES, "{} events in one page", events.len());
        assert!(page.to_string().len() < 1024 * 1024);
        for event in events {
            let time = text(event, "time");
            assert!(last.as_ref().is_none_or(|last| *last >= time), "newest first");
            last = Some(time);
            updates += usize::from(event["kind"] == "organization.updated");
        }
        pages += 1;
        token = text(&page, "next_page_token");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(updates, UPDATES);
    assert!(pages > 2, "{pages} pages");
    let chain = project.account.call("EventService/VerifyChain", json!({"organization_id": acme.id})).await;
    assert_eq!(chain["valid"], json!(true), "{chain}");
}

#[tokio::test]
async fn pages_of_large_organizations_are_short_too() {
    let project = Cluster::shared().await.project().await;
    for n in 0..40 {
        let metadata = json!({"text": "x".repeat(16_000)});
        let organization = json!({"display_name": format!("Acme {n}"), "trusted_metadata": metadata});
        project.account.call("OrganizationService/CreateOrganization", json!({"organization": organization})).await;
    }
    let (mut token, mut found) = (String::new(), Vec::new());
    loop {
        let request = json!({"page_size": 500, "page_token": token});
        let page = project.account.call("OrganizationService/ListOrganizations", request).await;
        let organizations: &Vec<Value> = page["organizations"].as_array().unwrap();
        assert!(organizations.len() < 40);
        found.extend(organizations.iter().map(|organization| text(organization, "organization_id")));
        token = text(&page, "next_page_token");
        if token.is_empty() {
            break;
        }
    }
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 40);
}

#[tokio::test]
async fn many_readers_of_one_log_are_served_or_told_to_come_again() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let calls = (0..24).map(|n| {
        let caller = project.account.clone();
        let method = if n % 2 == 0 { "EventService/ListEvents" } else { "EventService/VerifyChain" };
        let request = json!({"organization_id": acme.id});
        async move { caller.try_call(method, request).await }
    });
    let mut served = 0;
    for answer in futures::future::join_all(calls).await {
        match answer {
            Ok(_) => served += 1,
            Err(refused) => {
                assert_eq!(refused.reason, "OVERLOADED", "{refused:?}");
                assert!(refused.retry_after.is_some());
            }
        }
    }
    assert!(served > 0);
    // A neighbour notices nothing.
    project.organization("globex").await;
}
