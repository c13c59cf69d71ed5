//! Resources that move, with all that lies in them.

use serde_json::{Value, json};
use tenancy::RoleId;
use testkit::{Cluster, caller::text};
use tonic::Code;

use crate::changes::{apply, at, bind, may, place, product, register, revision, role};

#[tokio::test]
async fn a_resource_moves_with_all_that_lies_in_it() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &[]).await;
    let editor = RoleId::new();
    let (a, b, c) = (place("folder", "a"), place("folder", "b"), place("folder", "c"));
    let doc = place("document", "42");
    apply(
        &acme,
        &[
            role(&editor, &["document:write"]),
            register(a.clone(), None),
            register(b.clone(), Some(a.clone())),
            register(c.clone(), None),
            register(doc.clone(), Some(b.clone())),
            at(bind(&json!({"member_id": grace.id}), &editor.to_string()), "folder", "a"),
        ],
    )
    .await;
    let mv = |resource: &Value, parent: Option<&Value>| {
        let mut request = json!({"organization_id": acme.id, "resource": resource});
        if let Some(parent) = parent {
            request["parent"] = parent.clone();
        }
        request
    };
    let call = "ResourceService/MoveResource";
    let account = &project.account;
    assert!(may(&acme, &grace.id, "document:write", Some(doc.clone())).await);
    let moved = account.call(call, mv(&b, Some(&c))).await;
    assert_eq!((text(&moved, "parent.id"), text(&moved, "resource.id")), ("c".to_owned(), "b".to_owned()));
    assert!(!may(&acme, &grace.id, "document:write", Some(doc.clone())).await);
    // To where it is: nothing changes. With an etag of before: refused.
    let before = revision(&acme).await;
    assert_eq!(text(&account.call(call, mv(&b, Some(&c))).await, "etag"), text(&moved, "etag"));
    assert_eq!(revision(&acme).await, before);
    let mut guarded = mv(&b, Some(&a));
    guarded["etag"] = json!("0");
    account.refused(call, guarded.clone(), Code::Aborted, "ETAG_MISMATCH").await;
    guarded["etag"] = moved["etag"].clone();
    guarded["request_id"] = json!("once");
    let back = account.call(call, guarded.clone()).await;
    assert_eq!(account.call(call, guarded).await, back);
    assert!(may(&acme, &grace.id, "document:write", Some(doc.clone())).await);

    let failed = Code::FailedPrecondition;
    account.refused(call, mv(&a, Some(&b)), failed, "CYCLE").await;
    account.refused(call, mv(&a, Some(&a)), failed, "CYCLE").await;
    account.refused(call, mv(&a, Some(&doc)), failed, "UNKNOWN_PERMISSION").await;
    account.refused(call, mv(&place("folder", "nowhere"), Some(&a)), Code::NotFound, "NOT_FOUND").await;
    account.refused(call, mv(&place("folder", ""), None), Code::InvalidArgument, "INVALID_FIELDS").await;
    // A parent that is not registered stands directly under the organization.
    account.call(call, mv(&c, Some(&place("folder", "unheard-of")))).await;
    // 30 levels, and with what lies in `a` 33.
    let chain: Vec<Value> = (1..30)
        .map(|n| register(place("folder", &format!("level-{n}")), Some(place("folder", &format!("level-{}", n - 1)))))
        .collect();
    apply(&acme, &chain).await;
    account.refused(call, mv(&a, Some(&place("folder", "level-29"))), failed, "CYCLE").await;
    account.call(call, mv(&a, Some(&place("folder", "level-28")))).await;
    assert!(may(&acme, &grace.id, "document:write", Some(doc)).await);
}
