//! Organizations: bad input names every fault and changes nothing; states; etags; lists.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Project, text, unique},
};
use tonic::Code;

async fn slugs(project: &Project<'_>) -> Vec<String> {
    let listed = project.account.call("OrganizationService/ListOrganizations", json!({"page_size": 500})).await;
    listed["organizations"].as_array().unwrap().iter().map(|o| text(o, "slug")).collect()
}

#[tokio::test]
async fn every_bad_field_is_named_at_once_and_nothing_is_made() {
    let project = Cluster::shared().await.project().await;
    let refused = project
        .account
        .refused(
            "OrganizationService/CreateOrganization",
            json!({"organization": {"display_name": "a\u{202e}b", "slug": "No Such Slug", "external_id": "x".repeat(1000)}}),
            Code::InvalidArgument,
            "INVALID_FIELDS",
        )
        .await;
    for field in ["organization.display_name", "organization.slug", "organization.external_id"] {
        assert!(refused.fields.iter().any(|f| f == field), "{field} is not named in {refused:?}");
    }
    assert!(!refused.message.contains('\u{202e}'));
    project
        .account
        .refused("OrganizationService/CreateOrganization", json!({}), Code::InvalidArgument, "INVALID_FIELDS")
        .await;
    assert_eq!(slugs(&project).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_slug_is_taken_once_in_a_project_and_free_in_another() {
    let cluster = Cluster::shared().await;
    let (one, other) = (cluster.project().await, cluster.project().await);
    let slug = unique("acme");
    let request = json!({"organization": {"display_name": "Acme", "slug": slug}});
    one.account.call("OrganizationService/CreateOrganization", request.clone()).await;
    one.account
        .refused("OrganizationService/CreateOrganization", request.clone(), Code::AlreadyExists, "SLUG_TAKEN")
        .await;
    other.account.call("OrganizationService/CreateOrganization", request).await;
}

/// Nobody comes to another's old links: neither by the slug of one who is deleted nor by one that was given up.
#[tokio::test]
async fn a_slug_that_was_used_is_nobodys_again() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let account = &project.account;
    let about = json!({"organization_id": acme.id});
    account.call("OrganizationService/DeleteOrganization", about).await;
    let rename =
        |slug: &str| json!({"organization_id": globex.id, "organization": {"slug": slug}, "update_mask": "slug"});
    account.call("OrganizationService/UpdateOrganization", rename(&unique("other"))).await;
    for slug in [&acme.slug, &globex.slug] {
        let create = json!({"organization": {"display_name": "Heir", "slug": slug}});
        let method = "OrganizationService/CreateOrganization";
        account.refused(method, create, Code::AlreadyExists, "SLUG_TAKEN").await;
    }
    let method = "OrganizationService/UpdateOrganization";
    account.refused(method, rename(&acme.slug), Code::AlreadyExists, "SLUG_TAKEN").await;
    // One's own may be taken up again.
    account.call(method, rename(&globex.slug)).await;
}

/// Names are for all of a project, and nobody gets one back: one organization cannot take them all.
#[tokio::test]
async fn an_organization_may_have_had_twenty_slugs() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let update = "OrganizationService/UpdateOrganization";
    let to = |slug: &str| json!({"organization_id": acme.id, "organization": {"slug": slug}, "update_mask": "slug"});
    for _ in 1..20 {
        acme.owner().caller.call(update, to(&unique("name"))).await;
    }
    let last = unique("name");
    let refused = acme.owner().caller.refused(update, to(&last), Code::ResourceExhausted, "LIMIT_REACHED").await;
    assert!(refused.message.contains("max_slugs"), "{refused:?}");
    // What it had is its own, and what it did not get is free.
    acme.owner().caller.call(update, to(&acme.slug)).await;
    let made = json!({"organization": {"display_name": "x", "slug": last}});
    project.account.call("OrganizationService/CreateOrganization", made).await;
}

/// As large as they may be, and of what takes most memory for its length.
#[tokio::test]
async fn large_organizations_come_in_short_pages_and_not_in_one_answer() {
    let project = Cluster::shared().await.project().await;
    let numbers = vec![1; 8_000];
    let mut ids = Vec::new();
    for n in 0..80 {
        let organization = json!({"display_name": format!("large {n}"), "slug": unique("large"),
            "trusted_metadata": {"numbers": numbers}, "untrusted_metadata": {"numbers": numbers}});
        let made =
            project.account.call("OrganizationService/CreateOrganization", json!({"organization": organization}));
        ids.push(text(&made.await, "organization_id"));
    }
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let request = json!({"page_size": 500, "page_token": token});
        let page = project.account.call("OrganizationService/ListOrganizations", request).await;
        let found = page["organizations"].as_array().unwrap();
        assert!((1..=16).contains(&found.len()), "{}", found.len());
        listed.extend(found.iter().map(|organization| text(organization, "organization_id")));
        token = text(&page, "next_page_token");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let batch = "OrganizationService/BatchGetOrganizations";
    let all = json!({"organization_ids": ids});
    project.account.refused(batch, all, Code::InvalidArgument, "INVALID_FIELDS").await;
    let some = project.account.call(batch, json!({"organization_ids": ids[..50]})).await;
    assert_eq!(some["organizations"].as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn fifty_at_once_take_a_slug_once() {
    let project = Cluster::shared().await.project().await;
    let request = json!({"organization": {"display_name": "Acme", "slug": unique("acme")}});
    let outcomes = futures::future::join_all(
        (0..50).map(|_| project.account.insist("OrganizationService/CreateOrganization", request.clone())),
    )
    .await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "SLUG_TAKEN"));
    }
}

#[tokio::test]
async fn an_update_sets_what_its_mask_names_and_a_stale_etag_changes_nothing() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let read = || project.account.call("OrganizationService/GetOrganization", json!({"organization_id": acme.id}));
    let first = read().await;
    let update = |name: &str, etag: &str, paths: Value| {
        json!({"organization_id": acme.id,
            "organization": {"organization_id": acme.id, "display_name": name, "slug": "ignored", "etag": etag},
            "update_mask": paths})
    };
    let updated = acme
        .owner()
        .caller
        .call("OrganizationService/UpdateOrganization", update("Acme Inc", &text(&first, "etag"), json!("displayName")))
        .await;
    assert_eq!((text(&updated, "display_name"), text(&updated, "slug")), ("Acme Inc".into(), acme.slug.clone()));
    assert_ne!(updated["etag"], first["etag"]);
    acme.owner()
        .caller
        .refused(
            "OrganizationService/UpdateOrganization",
            update("Stale", &text(&first, "etag"), json!("displayName")),
            Code::Aborted,
            "ETAG_MISMATCH",
        )
        .await;
    let refused = acme
        .owner()
        .caller
        .refused(
            "OrganizationService/UpdateOrganization",
            update("x", "", json!("displayName,noSuchField")),
            Code::InvalidArgument,
            "INVALID_FIELDS",
        )
        .await;
    assert_eq!(refused.fields, ["update_mask"]);
    assert_eq!(text(&read().await, "display_name"), "Acme Inc");
}

#[tokio::test]
async fn what_only_the_project_may_write_an_owner_may_not() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let update = json!({"organization_id": acme.id,
        "organization": {"organization_id": acme.id, "trusted_metadata": {"plan": "free for ever"}}, "update_mask": "trustedMetadata"});
    acme.owner()
        .caller
        .refused("OrganizationService/UpdateOrganization", update.clone(), Code::PermissionDenied, "WRONG_AUDIENCE")
        .await;
    let updated = project.account.call("OrganizationService/UpdateOrganization", update).await;
    assert_eq!(updated["trusted_metadata"]["plan"], "free for ever");
}

#[tokio::test]
async fn a_list_goes_through_every_page_once_and_its_token_serves_no_other_query() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let mut made = Vec::new();
    for _ in 0..7 {
        let slug = unique("acme");
        let request = json!({"organization": {"display_name": "Acme", "slug": slug}});
        project.account.call("OrganizationService/CreateOrganization", request).await;
        made.push(slug);
    }
    let list = "OrganizationService/ListOrganizations";
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = project.account.call(list, json!({"page_size": 3, "page_token": token})).await;
        seen.extend(page["organizations"].as_array().unwrap().iter().map(|o| text(o, "slug")));
        pages += 1;
        let next = text(&page, "next_page_token");
        if next.is_empty() {
            break;
        }
        for stolen in
            [other.account.refused(list, json!({"page_token": next}), Code::InvalidArgument, "INVALID_PAGE_TOKEN")]
        {
            stolen.await;
        }
        let filtered = json!({"page_token": next, "display_name_prefix": "A"});
        project.account.refused(list, filtered, Code::InvalidArgument, "INVALID_PAGE_TOKEN").await;
        let bent = format!("{next}A");
        project.account.refused(list, json!({"page_token": bent}), Code::InvalidArgument, "INVALID_PAGE_TOKEN").await;
        token = next;
    }
    seen.sort();
    made.sort();
    assert_eq!((seen, pages), (made, 3));
}
