//! Signing up: an identity, an organization and its owner, all of it or nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Project, text, unique},
};
use tokio::time::sleep;
use tonic::Code;

use crate::{
    entering::{SELECT, SIGN_IN, SIGN_UP, START, choices, intermediate, prove, somebody},
    half_states::insist,
    purge::{expire, purged},
    tenant_walls::superuser,
};

const PASSWORD: &str = "a horse of her own";

async fn organization(project: &Project<'_>, id: &str) -> Value {
    project.account.call("OrganizationService/GetOrganization", json!({"organization_id": id})).await
}

async fn all(project: &Project<'_>) -> usize {
    let listed = insist(&project.account, "OrganizationService/ListOrganizations", &json!({"page_size": 500})).await;
    listed["organizations"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_new_person_signs_up_with_a_team_of_their_own() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let ada = unique("ada") + "@people.test";
    // Without `sign_up` nobody new is mailed; with an organization it means nothing.
    project.anyone().call(START, json!({"email_address": ada})).await;
    let nowhere = json!({"email_address": ada, "organization_slug": "acme", "sign_up": true});
    let refused = project.anyone().refused(START, nowhere, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["sign_up"]);

    let token = somebody(&project, &ada).await;
    assert_eq!(cluster.delivered(&ada).len(), 1);
    assert!(choices(&project, &token, 50).await.is_empty());
    let lookup = json!({"email_address": ada});
    project.account.refused("IdentityService/LookupIdentity", lookup.clone(), Code::NotFound, "NOT_FOUND").await;

    // Every bad field by the name that the caller gave it; nothing is made of it, and the sign-in goes on.
    let slug = unique("acme");
    let bad = json!({"intermediate_session_token": token, "organization": {"slug": "Not A Slug", "kind": "ORGANIZATION_KIND_TEAM", "display_name": "\u{202e}"}});
    let refused = project.anyone().refused(SIGN_UP, bad, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["organization.slug", "organization.display_name"]);
    let nameless = json!({"intermediate_session_token": token});
    let refused = project.anyone().refused(SIGN_UP, nameless, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["organization.display_name"], "a TEAM has a name");
    let weak =
        json!({"intermediate_session_token": token, "organization": {"display_name": "Acme"}, "password": "password"});
    project.anyone().refused(SIGN_UP, weak, Code::InvalidArgument, "PASSWORD_TOO_WEAK").await;
    project.organization("taken").await;
    let taken = project.organization("taken").await.slug;
    let taken = json!({"intermediate_session_token": token, "organization": {"display_name": "Acme", "slug": taken}});
    project.anyone().refused(SIGN_UP, taken, Code::AlreadyExists, "SLUG_TAKEN").await;
    let before = all(&project).await;

    let request = json!({"intermediate_session_token": token, "display_name": "Ada", "password": PASSWORD, "request_id": unique("r"),
        "organization": {"display_name": "Acme", "slug": slug}});
    let signed_up = project.anyone().call(SIGN_UP, request.clone()).await;
    let (id, member) =
        (text(&signed_up, "member_session.organization_id"), text(&signed_up, "member_session.member_id"));
    assert_eq!(
        (text(&signed_up, "member_session.organization_slug"), &signed_up["member_session"]["roles"]),
        (slug.clone(), &json!(["owner"]))
    );
    let made = organization(&project, &id).await;
    assert_eq!(
        (text(&made, "display_name"), text(&made, "kind")),
        ("Acme".to_owned(), "ORGANIZATION_KIND_TEAM".to_owned())
    );
    let as_ada = cluster.bearer(&text(&signed_up, "access_token"));
    let herself = as_ada.call("MemberService/GetMember", json!({"organization_id": id, "member_id": member})).await;
    assert_eq!((text(&herself, "display_name"), &herself["email_verified"]), ("Ada".to_owned(), &json!(true)));
    as_ada.call("OrganizationService/GetOrganization", json!({"organization_id": id})).await;
    project
        .anyone()
        .call(SIGN_IN, json!({"email_address": ada, "password": PASSWORD, "organization_slug": slug}))
        .await;

    // Repeated, it makes nothing again; changed, it is refused; and the sign-in is used up.
    let again = project.anyone().call(SIGN_UP, request.clone()).await;
    assert_eq!(
        (text(&again, "member_session.organization_id"), text(&again, "member_session.member_id")),
        (id.clone(), member)
    );
    let mut other = request.clone();
    other["organization"]["display_name"] = json!("Another");
    project.anyone().refused(SIGN_UP, other, Code::InvalidArgument, "REQUEST_ID_REUSED").await;
    let mut unkeyed = request.clone();
    unkeyed["request_id"] = json!("");
    project.anyone().refused(SIGN_UP, unkeyed, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let select = json!({"organization_id": id, "intermediate_session_token": token});
    project.anyone().refused(SELECT, select, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    assert_eq!(all(&project).await, before + 1);

    // Another project knows nothing of her; here she is one person with a second organization, and the password she had.
    let elsewhere = cluster.project().await;
    elsewhere.account.refused("IdentityService/LookupIdentity", lookup.clone(), Code::NotFound, "NOT_FOUND").await;
    let token = intermediate(&prove(&project, &ada, json!({"sign_up": true})).await.unwrap());
    let second = json!({"intermediate_session_token": token, "password": "another horse altogether", "organization": {"display_name": "Globex"}});
    let second = project.anyone().call(SIGN_UP, second).await;
    let id = text(&second, "member_session.organization_id");
    let member = json!({"organization_id": id, "member_id": second["member_session"]["member_id"]});
    let member = project.account.call("MemberService/GetMember", member).await;
    assert_eq!(
        (member["identity_id"].clone(), text(&member, "display_name")),
        (herself["identity_id"].clone(), "Ada".to_owned())
    );
    project.anyone().call(SIGN_IN, json!({"email_address": ada, "password": PASSWORD, "organization_id": id})).await;
    // One sign-in makes one organization, however many ask at once.
    let token = somebody(&project, &(unique("eve") + "@people.test")).await;
    let before = all(&project).await;
    let request = json!({"intermediate_session_token": token, "organization": {"display_name": "Initech"}});
    let outcomes = futures::future::join_all((0..4).map(|_| {
        let (anyone, request) = (project.anyone(), request.clone());
        async move { anyone.insist(SIGN_UP, request).await }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(all(&project).await, before + 1);

    let as_owner = cluster.bearer(&text(&second, "access_token"));
    let chain = as_owner.call("EventService/VerifyChain", json!({"organization_id": id})).await;
    assert_eq!(chain["valid"], true, "{chain}");
}

/// A service that died again and again comes back after a longer pause each time, and the gateway has its news later still.
async fn serves_again(project: &Project<'_>) {
    let nobody = json!({"email_address": unique("nobody") + "@people.test", "sign_up": true});
    insist(&project.anyone(), START, &nobody).await;
    insist(&project.account, "ServiceAccountService/ListServiceAccounts", &json!({})).await;
    insist(&project.account, "OrganizationService/ListOrganizations", &json!({})).await;
}

#[tokio::test]
async fn a_sign_up_that_a_crash_cut_off_is_finished_by_whoever_comes_first() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let repeated = [
        ("member-service", "sign-up/written-down"),
        ("member-service", "sign-up/organization-made"),
        ("member-service", "sign-up/identity-made"),
        ("member-service", "sign-up/finished"),
    ];
    let left_alone = [
        ("member-service", "sign-up/written-down"),
        ("org-service", "found-organization/committed"),
        ("member-service", "bind-roles/bound"),
    ];
    let mut signed_up = Vec::new();
    for (repeated, places) in [(true, repeated.as_slice()), (false, left_alone.as_slice())] {
        for &(service, place) in places {
            let email = unique("ada") + "@people.test";
            serves_again(&project).await;
            let token = somebody(&project, &email).await;
            let request = json!({"intermediate_session_token": token, "password": PASSWORD, "request_id": unique("r"),
                "organization": {"display_name": "Acme"}});
            let pid = cluster.pid(service).unwrap();
            cluster.arm(place);
            let _ = project.anyone().try_call(SIGN_UP, request.clone()).await;
            assert!(!cluster.armed(), "never came to {place}");
            cluster.restarted(service, pid).await;
            if repeated {
                let begun = Instant::now();
                let made = loop {
                    match project.anyone().try_call(SIGN_UP, request.clone()).await {
                        Ok(made) => break made,
                        Err(refused) => {
                            assert!(begun.elapsed() < Duration::from_secs(60), "after {place}: {refused:?}")
                        }
                    }
                    sleep(Duration::from_millis(100)).await;
                };
                assert_eq!(made["member_session"]["roles"], json!(["owner"]), "after {place}");
            }
            signed_up.push((email, place));
        }
    }
    serves_again(&project).await;
    let begun = Instant::now();
    let left = signed_up.len();
    while all(&project).await < left {
        assert!(begun.elapsed() < Duration::from_secs(100), "an organization was never made");
        sleep(Duration::from_millis(200)).await;
    }
    for (email, place) in signed_up {
        // Signed up wholly, the one way or the other: in one organization, as its owner, with the password.
        loop {
            let lookup = json!({"email_address": email, "password": PASSWORD});
            let answer = project.anyone().try_call(SIGN_IN, lookup).await;
            let mine = match &answer {
                Ok(known) => choices(&project, &intermediate(known), 50).await,
                Err(_) => Vec::new(),
            };
            if let [(access, id)] = mine.as_slice() {
                assert_eq!(access, "ORGANIZATION_ACCESS_MEMBER");
                let found = json!({"organization_id": id, "email_address": email});
                let owner = insist(&project.account, "MemberService/LookupMember", &found).await;
                assert_eq!(text(&owner, "roles.0.key"), "owner", "after {place}");
                break;
            }
            assert!(
                mine.is_empty() && begun.elapsed() < Duration::from_secs(100),
                "after {place}: {mine:?} {answer:?}"
            );
            // Ten wrong tries in a quarter of an hour are the most.
            sleep(Duration::from_secs(6)).await;
        }
    }
    assert_eq!(all(&project).await, left, "none is there twice, and none is nobody's");
}

/// What a project has done away with is not made again for somebody who had begun to sign up with it.
#[tokio::test]
async fn an_unfinished_sign_up_does_not_bring_back_an_organization_that_was_deleted_or_purged() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let mut database = superuser(&cluster).await;
    for purge in [false, true] {
        let email = unique("ada") + "@people.test";
        serves_again(&project).await;
        let token = somebody(&project, &email).await;
        let request = json!({"intermediate_session_token": token, "request_id": unique("r"), "organization": {"display_name": "Acme"}});
        let pid = cluster.pid("member-service").unwrap();
        cluster.arm("sign-up/organization-made");
        let _ = project.anyone().try_call(SIGN_UP, request.clone()).await;
        assert!(!cluster.armed(), "nothing was begun");
        // No sweep finishes it before it is deleted.
        let begun = "update member.founding set next_try_time = now() + interval '1 hour' where email_address = $1 returning founded_id::text";
        let begun: String = sqlx::query_scalar(begun).bind(&email).fetch_one(&mut database).await.unwrap();
        let id = tenancy::OrganizationId::from_uuid(begun.parse().unwrap()).to_string();
        cluster.restarted("member-service", pid).await;
        insist(&project.account, "OrganizationService/DeleteOrganization", &json!({"organization_id": id})).await;
        if purge {
            expire(&mut database, &id).await;
            purged(&mut database, &id).await;
        }

        serves_again(&project).await;
        project.anyone().refused(SIGN_UP, request.clone(), Code::NotFound, "NOT_FOUND").await;
        let left =
            project.account.try_call("OrganizationService/GetOrganization", json!({"organization_id": id})).await;
        match left {
            Ok(left) if !purge => assert_eq!(left["state"], "ORGANIZATION_STATE_DELETED"),
            Err(refused) if purge => assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "NOT_FOUND")),
            left => panic!("purged: {purge}, {left:?}"),
        }
        // The sign-in is good for another.
        let another = project.anyone().call(SIGN_UP, request).await;
        assert_ne!(text(&another, "member_session.organization_id"), id);
    }
}
