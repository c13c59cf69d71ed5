//! The people behind the members.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Project, text, unique},
};
use tonic::Code;

use crate::tenant_walls::superuser;

const IMPORT: &str = "IdentityService/ImportIdentities";
const UPDATE: &str = "IdentityService/UpdateIdentity";
const LOOKUP: &str = "IdentityService/LookupIdentity";
/// "correct horse" as other systems hash it.
const PASSWORD: &str = "correct horse";
const HASHES: [&str; 4] = [
    "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
    "$pbkdf2-sha256$i=10000,l=32$c2l4dGVlbiBieXRlcyBvaw$9GfkGxUjzkHlVrOjDSx6MlY+a2bvyg2mlg1eJTF2YdY",
    "$pbkdf2-sha512$i=10000,l=64$c2l4dGVlbiBieXRlcyBvaw$NmA8NkWTaMOwJFWSjOdKpR9TDi+iucG9ol2IjBF+xegin/1Yt6HdIv9TvtA58arKRgceE9+3EesYM8J8IaQOgw",
    "$scrypt$ln=14,r=8,p=1$c2l4dGVlbiBieXRlcyBvaw$GDUJzPxtY09A5BYXqfZvTIZTbOg7j8iefYQHN+yUGU0",
];

async fn identity_of(organization: &Organization<'_>, member: &str) -> String {
    let get = json!({"organization_id": organization.id, "member_id": member});
    text(&organization.project.account.call("MemberService/GetMember", get).await, "identity_id")
}

async fn member(organization: &Organization<'_>, email: &str) -> Value {
    let create = json!({"organization_id": organization.id, "member": {"email_address": email}, "roles": ["member"]});
    organization.project.account.call("MemberService/CreateMember", create).await
}

async fn update(project: &Project<'_>, identity: &str, fields: Value) -> Value {
    let mut change = json!({"identity_id": identity});
    change.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    project.account.call(UPDATE, json!({"identity": change})).await
}

#[tokio::test]
async fn imported_people_sign_in_with_their_passwords_which_are_then_hashed_as_ours() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let address = |n: usize| format!("n{n}@{}.test", acme.slug);
    let mut messages: Vec<Value> = HASHES
        .iter()
        .enumerate()
        .map(|(n, hash)| json!({"identity": {"email_address": address(n), "email_verified": true}, "password_hash": hash}))
        .collect();
    messages.extend([
        json!({"identity": {"email_address": "no address"}, "password_hash": "$2b$31$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"}),
        json!({"identity": {"email_address": address(9)}, "password_hash": "$argon2id$v=19$m=4194304,t=9,p=4$c2l4dGVlbiBieXRlcyBvaw$GDUJzPxtY09A5BYXqfZvTIZTbOg7j8iefYQHN+yUGU0"}),
        json!({"organization_id": acme.id, "identity": {"email_address": address(9)}}),
        json!({"identity": {"email_address": address(0)}, "password_hash": HASHES[1]}),
        json!({"identity": {"email_address": acme.owner().email}, "password_hash": HASHES[1]}),
    ]);
    let answer = project.account.try_stream(IMPORT, messages.clone()).await.unwrap();
    let counts = |answer: &Value| ["created_count", "existing_count", "refused_count"].map(|count| text(answer, count));
    assert_eq!(counts(&answer), ["4", "2", "3"], "{answer}");
    let refusals = answer["refusals"].as_array().unwrap();
    assert_eq!(refusals.iter().map(|r| text(r, "index")).collect::<Vec<_>>(), ["4", "5", "6"]);
    let faults: Vec<String> = refusals.iter().map(|refusal| refusal["violations"].to_string()).collect();
    assert!(faults[0].contains("identity.email_address: ") && faults[0].contains("password_hash: "), "{faults:?}");
    assert!(faults[2].contains("organization_id: "), "{faults:?}");
    let again = project.account.try_stream(IMPORT, messages).await.unwrap();
    assert_eq!(counts(&again), ["0", "6", "3"], "{again}");
    // Nobody's password was changed by an import.
    acme.sign_in(&acme.owner().email, &acme.owner().password).await.unwrap();

    for (n, hash) in HASHES.iter().enumerate() {
        member(&acme, &address(n)).await;
        let stored = || async {
            sqlx::query_scalar::<_, String>("select password_hash from member.identity where email_address = $1")
                .bind(address(n))
                .fetch_one(&mut superuser(cluster).await)
                .await
                .unwrap()
        };
        assert_eq!(acme.sign_in(&address(n), "Correct horse").await.unwrap_err().reason, "SIGN_IN_FAILED");
        assert_eq!(stored().await, *hash);
        acme.sign_in(&address(n), PASSWORD).await.unwrap_or_else(|refused| panic!("{hash}: {refused:?}"));
        assert!(stored().await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        acme.sign_in(&address(n), PASSWORD).await.unwrap();
        assert!(acme.sign_in(&address(n), "Correct horse").await.is_err());
    }
}

#[tokio::test]
async fn a_new_address_keeps_the_person_and_retires_the_old_one() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    let identity = identity_of(&acme, &grace.id).await;
    let new = unique("hopper") + "@navy.test";
    let before = project.account.call("IdentityService/GetIdentity", json!({"identity_id": identity})).await;
    let spelled = new.to_uppercase();
    let after = update(
        &project,
        &identity,
        json!({"email_address": spelled, "etag": before["etag"],
        "picture_uri": "https://navy.test/g.png", "display_name": "Grace"}),
    )
    .await;
    assert_eq!((text(&after, "identity_id"), text(&after, "email_address")), (identity.clone(), new.clone()));
    assert_eq!(after["retired_email_addresses"], json!([grace.email]));
    assert_eq!(
        (&after["email_verified"], text(&after, "picture_uri").as_str()),
        (&json!(false), "https://navy.test/g.png")
    );
    // Her members show it at once; the old address finds and opens nothing.
    let shown = json!({"organization_id": acme.id, "member_id": grace.id});
    assert_eq!(text(&project.account.call("MemberService/GetMember", shown).await, "email_address"), new);
    assert!(acme.sign_in(&grace.email, &grace.password).await.is_err());
    acme.sign_in(&new, &grace.password).await.unwrap();
    let lookup = |address: &str| json!({"email_address": address});
    project.account.refused(LOOKUP, lookup(&grace.email), Code::NotFound, "NOT_FOUND").await;
    assert_eq!(text(&project.account.call(LOOKUP, lookup(&spelled)).await, "identity_id"), identity);

    let change = |fields: Value| {
        let mut identity = json!({"identity_id": identity});
        identity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"identity": identity})
    };
    let stale = change(json!({"display_name": "x", "etag": before["etag"]}));
    project.account.refused(UPDATE, stale, Code::Aborted, "ETAG_MISMATCH").await;
    let taken = change(json!({"email_address": acme.owner().email}));
    project.account.refused(UPDATE, taken, Code::AlreadyExists, "MEMBER_EMAIL_TAKEN").await;
    let bad = json!({"identity": {"identity_id": identity, "email_address": "no address", "picture_uri": "http://x.test",
        "display_name": "a\u{202e}b"}});
    let refused = project.account.refused(UPDATE, bad, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields.len(), 3, "{refused:?}");
    let mut unknown = change(json!({}));
    unknown["update_mask"] = json!("poolId");
    project.account.refused(UPDATE, unknown, Code::InvalidArgument, "INVALID_FIELDS").await;
}

/// The address is the identity's, and its members have it from there: in every organization at once, with no write of theirs.
#[tokio::test]
async fn a_new_address_is_the_members_in_every_organization_at_once() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let grace = acme.join("grace", &["member"]).await;
    let there = member(&globex, &grace.email).await;
    let identity = text(&there, "identity_id");
    let lookup = |organization: &Organization<'_>, address: &str| json!({"organization_id": organization.id, "email_address": address});
    let find = "MemberService/LookupMember";
    let before = [&acme, &globex].map(|organization| project.account.call(find, lookup(organization, &grace.email)));
    let before = futures::future::join_all(before).await;
    let log = |organization: &Organization<'_>| {
        project.account.call("EventService/ListEvents", json!({"organization_id": organization.id, "page_size": 1}))
    };
    let logs = [log(&acme).await, log(&globex).await];

    let new = unique("hopper") + "@navy.test";
    update(&project, &identity, json!({"email_address": new})).await;
    for (organization, before) in [&acme, &globex].into_iter().zip(&before) {
        let after = project.account.call(find, lookup(organization, &new)).await;
        assert_eq!(
            (&after["member_id"], &after["etag"], &after["update_time"]),
            (&before["member_id"], &before["etag"], &before["update_time"]),
            "the address is no write of the organization's"
        );
        project.account.refused(find, lookup(organization, &grace.email), Code::NotFound, "NOT_FOUND").await;
        let list = json!({"organization_id": organization.id, "email_address_prefix": new});
        let listed = project.account.call("MemberService/ListMembers", list).await;
        assert_eq!(text(&listed, "members.0.email_address"), new);
    }
    assert_eq!([log(&acme).await, log(&globex).await], logs, "no event but the identity's");
    let own = project.account.call("EventService/ListEvents", json!({"subject_id": identity})).await;
    let told =
        own["events"].as_array().unwrap().iter().any(|event| {
            text(event, "kind") == "identity.updated" && text(event, "identity.after.email_address") == new
        });
    assert!(told, "{own}");

    // What she had is somebody else's now, in the organizations too; what she has is hers.
    let heir = member(&globex, &grace.email).await;
    assert_ne!((&heir["member_id"], &heir["identity_id"]), (&there["member_id"], &there["identity_id"]));
    let again = json!({"organization_id": globex.id, "member": {"email_address": new}});
    let create = "MemberService/CreateMember";
    project.account.refused(create, again, Code::AlreadyExists, "MEMBER_EMAIL_TAKEN").await;
    let back = json!({"identity": {"identity_id": identity, "email_address": grace.email}});
    project.account.refused(UPDATE, back, Code::AlreadyExists, "MEMBER_EMAIL_TAKEN").await;
}

/// Found by an address that is changed before the member is written: no member keeps one that their identity no longer has.
#[tokio::test]
async fn whoever_is_added_while_their_address_changes_has_the_address_of_their_identity() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let grace = acme.join("grace", &["member"]).await;
    let identity = identity_of(&acme, &grace.id).await;
    let create = |email: &str, more: Value| {
        let mut request = json!({"organization_id": globex.id, "member": {"email_address": email}});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let repeated = create(&grace.email, json!({"roles": ["member"], "request_id": unique("r")}));
    let batch = json!({"organization_id": globex.id, "members": [{"member": {"email_address": grace.email}}]});

    let mut database = superuser(cluster).await;
    sqlx::query("begin").execute(&mut database).await.unwrap();
    let moved = "update member.identity set email_address = $1 where identity_id = $2::uuid";
    let new = unique("hopper") + "@navy.test";
    let uuid = identity.parse::<tenancy::IdentityId>().unwrap().uuid().to_string();
    sqlx::query(moved).bind(&new).bind(uuid).execute(&mut database).await.unwrap();
    // Both find her by the address that is going, and wait to write it down.
    let one = project.account.try_call("MemberService/CreateMember", repeated.clone());
    let many = project.account.try_call("MemberService/BatchCreateMembers", batch);
    let commit = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        sqlx::query("commit").execute(&mut database).await.unwrap();
    };
    let (one, many, ()) = futures::future::join3(one, many, commit).await;
    for refused in [one.map(drop), many.map(drop)] {
        let refused = refused.expect_err("she has another address");
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UNAVAILABLE"), "{refused:?}");
    }
    let listed = project.account.call("MemberService/ListMembers", json!({"organization_id": globex.id})).await;
    assert_eq!(listed["members"].as_array().unwrap().len(), 1, "the owner alone: {listed}");
    // Tried again, the address is another person's.
    let made = project.account.call("MemberService/CreateMember", repeated).await;
    assert_ne!(text(&made, "identity_id"), identity);
    let shown = json!({"organization_id": acme.id, "member_id": grace.id});
    assert_eq!(text(&project.account.call("MemberService/GetMember", shown).await, "email_address"), new);
}

/// The code is right, and waits to be written down behind another address.
#[tokio::test]
async fn whoever_proves_an_address_has_proven_no_other_that_comes_meanwhile() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    let identity = identity_of(&acme, &grace.id).await.parse::<tenancy::IdentityId>().unwrap().uuid().to_string();
    let new = unique("grace") + "@victim.test";
    let mut database = superuser(cluster).await;
    let start = json!({"email_address": grace.email, "organization_slug": acme.slug});
    let challenge = project.anyone().call(crate::entering::START, start).await;
    let code = cluster.mails(&grace.email, 1).await[0].code();
    let complete = json!({"challenge_id": text(&challenge, "challenge_id"), "code": code});

    // As an update of the identity does it: behind the lock of the pool's head.
    sqlx::query("begin").execute(&mut database).await.unwrap();
    let lock = "select from member.head h join member.identity i on h.organization_id = i.organization_id
         where i.identity_id = $1::uuid for update of h";
    sqlx::query(lock).bind(&identity).execute(&mut database).await.unwrap();
    let moved = "update member.identity set email_address = $1 where identity_id = $2::uuid";
    sqlx::query(moved).bind(&new).bind(&identity).execute(&mut database).await.unwrap();
    let anyone = project.anyone();
    let completed = anyone.try_call(crate::entering::COMPLETE, complete);
    let commit = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        sqlx::query("commit").execute(&mut database).await.unwrap();
    };
    let (completed, ()) = futures::future::join(completed, commit).await;
    let refused = completed.expect_err("the address is hers no more");
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "SIGN_IN_FAILED"), "{refused:?}");
    let proven = "select email_verified from member.identity where identity_id = $1::uuid";
    let proven: bool = sqlx::query_scalar(proven).bind(&identity).fetch_one(&mut database).await.unwrap();
    assert!(!proven, "nobody has proven {new}");
}

#[tokio::test]
async fn a_suspended_person_is_out_everywhere() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let grace = acme.join("grace", &["member"]).await;
    member(&globex, &grace.email).await;
    let there = globex.sign_in(&grace.email, &grace.password).await.unwrap();
    let identity = identity_of(&acme, &grace.id).await;
    update(&project, &identity, json!({"state": "IDENTITY_STATE_SUSPENDED"})).await;
    let begun = Instant::now();
    for tokens in [&grace.tokens, &there] {
        let caller = cluster.bearer(&tokens.access);
        caller.is_out_within_a_second_of(begun).await;
        let refresh = json!({"refresh_token": tokens.refresh});
        project
            .anyone()
            .refused("AuthenticationService/RefreshSession", refresh, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED")
            .await;
    }
    for organization in [&acme, &globex] {
        assert!(organization.sign_in(&grace.email, &grace.password).await.is_err());
    }
    update(&project, &identity, json!({"state": "IDENTITY_STATE_ACTIVE"})).await;
    acme.sign_in(&grace.email, &grace.password).await.unwrap();
}

/// Begun at the same moment as the suspension, or left by one that crashed.
#[tokio::test]
async fn a_session_that_another_password_left_is_refreshed_by_nobody() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    let identity = identity_of(&acme, &grace.id).await.parse::<tenancy::IdentityId>().unwrap().uuid().to_string();
    sqlx::query("update member.identity set sessions_from = now() where identity_id = $1::uuid")
        .bind(identity)
        .execute(&mut superuser(cluster).await)
        .await
        .unwrap();
    let refresh = json!({"refresh_token": grace.tokens.refresh});
    let method = "AuthenticationService/RefreshSession";
    project.anyone().refused(method, refresh, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    acme.sign_in(&grace.email, &grace.password).await.unwrap();
}

#[tokio::test]
async fn a_session_that_a_suspension_left_is_ended_by_the_sweep() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let grace = acme.join("grace", &["member"]).await;
    let identity = identity_of(&acme, &grace.id).await.parse::<tenancy::IdentityId>().unwrap().uuid().to_string();
    sqlx::query("update member.identity set state = 'SUSPENDED' where identity_id = $1::uuid")
        .bind(identity)
        .execute(&mut superuser(cluster).await)
        .await
        .unwrap();
    // Until then nobody goes on with it, and the password opens nothing, at the service's own door neither.
    let refresh = json!({"refresh_token": grace.tokens.refresh});
    let method = "AuthenticationService/RefreshSession";
    project.anyone().refused(method, refresh, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    let verify = json!({"organization_id": acme.id, "project_id": project.id, "email_address": grace.email,
        "password": grace.password});
    let gateway = cluster.workload("gateway", "member-service");
    gateway.refused("CredentialService/VerifyPassword", verify, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let begun = Instant::now();
    while grace.caller.try_call("AuthenticationService/WhoAmI", json!({})).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(15), "the session lives on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn identities_are_the_projects_own_to_see() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let acme = project.organization("acme").await;
    let identity = identity_of(&acme, &acme.owner().id).await;
    let about = json!({"identity_id": identity});
    let change = json!({"identity": {"identity_id": identity, "display_name": "x"}});
    for (method, request) in [
        ("IdentityService/GetIdentity", about.clone()),
        ("IdentityService/ListMemberships", about.clone()),
        (UPDATE, change),
    ] {
        other.account.refused(method, request.clone(), Code::NotFound, "NOT_FOUND").await;
        acme.owner().caller.refused(method, request.clone(), Code::PermissionDenied, "WRONG_AUDIENCE").await;
        cluster.anyone().refused(method, request, Code::Unauthenticated, "UNAUTHENTICATED").await;
    }
    other.account.refused(LOOKUP, json!({"email_address": acme.owner().email}), Code::NotFound, "NOT_FOUND").await;
    let wrong = json!({"identity_id": acme.owner().id});
    project.account.refused("IdentityService/GetIdentity", wrong, Code::InvalidArgument, "INVALID_FIELDS").await;
    // The gateway knows the person alone.
    let gateway = cluster.workload("gateway", "member-service");
    let listed = gateway.call("IdentityService/ListMemberships", about).await;
    assert_eq!(text(&listed, "members.0.member_id"), acme.owner().id);
}

#[tokio::test]
async fn the_memberships_of_a_person_with_two_thousand_come_in_pages() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let identity = identity_of(&acme, &acme.owner().id).await;
    let uuid = identity.parse::<tenancy::IdentityId>().unwrap().uuid().to_string();
    // As 1,999 calls would leave them; and one more, of a deleted organization.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "with heads as (
             insert into member.head (organization_id, project_id, state)
             select gen_random_uuid(), project_id, case when n = 0 then 'DELETED' else 'ACTIVE' end
             from member.identity, generate_series(0, 1999) n where identity_id = '{uuid}'
             returning organization_id, project_id)
         insert into member.member (organization_id, project_id, member_id, identity_id, email_address,
             display_name, revision, create_time, update_time)
         select h.organization_id, h.project_id, gen_random_uuid(), i.identity_id, i.email_address, '', 1, now(), now()
         from heads h, member.identity i where i.identity_id = '{uuid}'"
    )))
    .execute(&mut superuser(cluster).await)
    .await
    .unwrap();
    let (mut seen, mut token, mut pages) = (std::collections::BTreeSet::new(), String::new(), 0);
    loop {
        let list = json!({"identity_id": identity, "page_size": 500, "page_token": token});
        let page = project.account.call("IdentityService/ListMemberships", list).await;
        pages += 1;
        for member in page["members"].as_array().unwrap() {
            assert_eq!(text(member, "identity_id"), identity);
            assert!(seen.insert(text(member, "organization_id")), "twice: {member}");
        }
        token = text(&page, "next_page_token");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (2000, 4));
    // A page of one person is no page of another.
    let first = json!({"identity_id": identity, "page_size": 1});
    let token = text(&project.account.call("IdentityService/ListMemberships", first).await, "next_page_token");
    let grace = acme.join("grace", &["member"]).await;
    let bent = json!({"identity_id": identity_of(&acme, &grace.id).await, "page_size": 1, "page_token": token});
    let list = "IdentityService/ListMemberships";
    project.account.refused(list, bent, Code::InvalidArgument, "INVALID_PAGE_TOKEN").await;
}
