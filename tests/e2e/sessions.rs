//! Signing in, refreshing, signing out.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::json;
use sqlx::Connection as _;
use testkit::{
    Cluster,
    caller::{text, unique},
};
use tonic::Code;

use crate::tenant_walls::superuser;

const REFRESH: &str = "AuthenticationService/RefreshSession";
const SIGN_IN: &str = "AuthenticationService/SignInWithPassword";

#[tokio::test]
async fn a_failed_sign_in_tells_nothing() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let globex = project.organization("globex").await;
    let owner = acme.owner();
    let attempt = |email: &str, password: &str, slug: &str| {
        let request = json!({"email_address": email, "password": password, "organization_slug": slug});
        let anyone = project.anyone();
        async move { anyone.refused(SIGN_IN, request, Code::Unauthenticated, "SIGN_IN_FAILED").await.bytes() }
    };
    let wrong = attempt(&owner.email, "not the password", &acme.slug).await;
    assert_eq!(attempt(&(unique("nobody") + "@acme.test"), "not the password", &acme.slug).await, wrong);
    assert_eq!(attempt(&owner.email, &owner.password, &globex.slug).await, wrong, "no member there");
    assert_eq!(attempt(&owner.email, &owner.password, &unique("nowhere")).await, wrong, "no such organization");
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down_and_says_for_how_long() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    let mut last = None;
    for _ in 0..30 {
        let refused = acme.sign_in(&owner.email, "a wrong guess").await.unwrap_err();
        if refused.reason == "RATE_LIMITED" {
            last = Some(refused);
            break;
        }
    }
    let refused = last.expect("thirty wrong guesses in a row are too many");
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert!(refused.retry_after.is_some_and(|after| after > Duration::ZERO), "{refused:?}");
}

#[tokio::test]
async fn a_hundred_who_send_one_refresh_token_at_once_go_on_with_one() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let anyone = project.anyone();
    let first = acme.owner().tokens.refresh.clone();
    let begun = Instant::now();
    let answers = join_all((0..100).map(|_| anyone.insist(REFRESH, json!({"refresh_token": first})))).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "so late the token is used up, and its use an alarm");
    let children: BTreeSet<String> =
        answers.into_iter().map(|answer| text(&answer.unwrap(), "refresh_token")).collect();
    assert_eq!(children.len(), 1);
    let child = children.first().unwrap();
    let next = text(&anyone.call(REFRESH, json!({"refresh_token": child})).await, "refresh_token");
    // Now that it was used, the first is nobody's lost answer any more.
    for late in [&first, &next] {
        let late = json!({"refresh_token": late});
        anyone.refused(REFRESH, late, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    }
}

#[tokio::test]
async fn a_refresh_that_waited_takes_back_nothing_that_others_did_meanwhile() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (mut others, mut watcher) = (superuser(cluster).await, superuser(cluster).await);
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut others).await.unwrap();
    let mut meanwhile = others.begin().await.unwrap();
    let twice = "update member.session set refresh_hash = sha256('third'), previous_hash = sha256('second'),
        rotation = rotation + 2, rotate_time = now() where organization_slug = $1";
    let changed = sqlx::query(twice).bind(&acme.slug).execute(&mut *meanwhile).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);

    let (anyone, first) = (project.anyone(), json!({"refresh_token": acme.owner().tokens.refresh}));
    let refused = anyone.refused(REFRESH, first, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED");
    let goes_on = async {
        let waits = "select exists (select from pg_stat_activity where $1 = any (pg_blocking_pids(pid)))";
        while !sqlx::query_scalar::<_, bool>(waits).bind(pid).fetch_one(&mut watcher).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        meanwhile.commit().await.unwrap();
    };
    let both = async { tokio::join!(refused, goes_on) };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("it waits for what others do");
    let still = "select refresh_hash = sha256('third') from member.session where organization_slug = $1";
    let still: bool = sqlx::query_scalar(still).bind(&acme.slug).fetch_one(&mut watcher).await.unwrap();
    assert!(still, "the session goes on with the token that was given last");
}

#[tokio::test]
async fn a_session_that_is_over_is_swept_away_and_no_other() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let mut database = superuser(cluster).await;
    // In the hour that has not ended as well.
    let over = "update member.session set expire_time = now() - interval '1 second' where organization_slug = $1";
    sqlx::query(over).bind(&acme.slug).execute(&mut database).await.unwrap();
    let soon = "update member.session set expire_time = now() + interval '4 minutes' where organization_slug = $1";
    sqlx::query(soon).bind(&globex.slug).execute(&mut database).await.unwrap();
    let count = "select count(*) from member.session where organization_slug = $1";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(count).bind(&acme.slug).fetch_one(&mut database).await.unwrap() > 0 {
        // It is looked for once a minute.
        assert!(begun.elapsed() < Duration::from_secs(180), "it is not swept away");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left: i64 = sqlx::query_scalar(count).bind(&globex.slug).fetch_one(&mut database).await.unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_refresh_token_is_used_once_and_a_second_use_ends_the_session() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let first = acme.owner().tokens.refresh.clone();
    let anyone = project.anyone();
    let refresh = |token: &str| anyone.try_call(REFRESH, json!({"refresh_token": token}));
    let second = text(&refresh(&first).await.unwrap(), "refresh_token");
    // A lost answer may be asked for again for a short while, and is the same.
    let again = text(&refresh(&first).await.unwrap(), "refresh_token");
    assert_eq!(again, second);
    let third = text(&refresh(&again).await.unwrap(), "refresh_token");
    // The first is now two rotations old: whoever shows it has stolen it, or was stolen from.
    let refused = refresh(&first).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "REFRESH_TOKEN_REFUSED"));
    let refused = refresh(&third).await.unwrap_err();
    assert_eq!(refused.reason, "REFRESH_TOKEN_REFUSED", "the whole family is over");
}

#[tokio::test]
async fn a_made_up_refresh_token_ends_nobodys_session() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let token = &acme.owner().tokens.refresh;
    for wrong in
        ["", "ghr_x", &token[..token.len() - 2], &token.replacen("ghr_", "ghi_", 1), &acme.owner().tokens.access]
    {
        let refused = project.anyone().try_call(REFRESH, json!({"refresh_token": wrong})).await.unwrap_err();
        assert!(["REFRESH_TOKEN_REFUSED", "INVALID_FIELDS"].contains(&refused.reason.as_str()), "{refused:?}");
    }
    project.anyone().call(REFRESH, json!({"refresh_token": token})).await;
}

#[tokio::test]
async fn signing_out_ends_the_session_and_its_tokens() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    owner.caller.call("AuthenticationService/SignOut", json!({})).await;
    owner.caller.is_out_within_a_second().await;
    project
        .anyone()
        .refused(
            REFRESH,
            json!({"refresh_token": owner.tokens.refresh}),
            Code::Unauthenticated,
            "REFRESH_TOKEN_REFUSED",
        )
        .await;
    acme.sign_in(&owner.email, &owner.password).await.unwrap();
}

#[tokio::test]
async fn a_mailed_code_is_good_once_and_for_five_tries() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    let start = json!({"email_address": owner.email, "organization_slug": acme.slug});
    let complete = "AuthenticationService/CompleteEmailSignIn";
    let challenge =
        text(&project.anyone().call("AuthenticationService/StartEmailSignIn", start.clone()).await, "challenge_id");
    let code = project.cluster.mails(&owner.email, 1).await[0].code();
    project.anyone().call(complete, json!({"challenge_id": challenge, "code": code})).await;
    let again = json!({"challenge_id": challenge, "code": code});
    project.anyone().refused(complete, again, Code::Unauthenticated, "SIGN_IN_FAILED").await;

    let challenge = text(&project.anyone().call("AuthenticationService/StartEmailSignIn", start).await, "challenge_id");
    let code = project.cluster.mails(&owner.email, 2).await[1].code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        let guess = json!({"challenge_id": challenge, "code": wrong});
        project.anyone().refused(complete, guess, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    }
    let late = json!({"challenge_id": challenge, "code": code});
    project.anyone().refused(complete, late, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    // For an address that nobody has, everything looks the same, and no mail goes out.
    let nobody = unique("nobody") + "@acme.test";
    let start = json!({"email_address": nobody, "organization_slug": acme.slug});
    let challenge = text(&project.anyone().call("AuthenticationService/StartEmailSignIn", start).await, "challenge_id");
    let guess = json!({"challenge_id": challenge, "code": "123456"});
    project.anyone().refused(complete, guess, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    assert!(project.cluster.delivered(&nobody).is_empty());
}

/// However many organizations there are at which a code for an address can be asked for.
#[tokio::test]
async fn the_codes_of_all_organizations_for_one_address_have_ten_tries_together() {
    let project = Cluster::shared().await.project().await;
    let email = unique("grace") + "@acme.test";
    let (start, complete) = ("AuthenticationService/StartEmailSignIn", "AuthenticationService/CompleteEmailSignIn");
    let mut challenges = Vec::new();
    for at in 0..3 {
        let organization = project.organization("acme").await;
        let create = json!({"organization_id": organization.id, "member": {"email_address": email}});
        project.account.call("MemberService/CreateMember", create).await;
        let at_it = json!({"email_address": email, "organization_slug": organization.slug});
        let challenge = text(&project.anyone().call(start, at_it).await, "challenge_id");
        let code = project.cluster.mails(&email, at + 1).await[at].code();
        challenges.push(json!({"challenge_id": challenge, "code": code}));
    }
    // Three were begun: seven are left.
    for (challenge, tries) in [(0, 5), (1, 2)] {
        let mut guess = challenges[challenge].clone();
        guess["code"] = json!(if guess["code"] == "000000" { "000001" } else { "000000" });
        for _ in 0..tries {
            project.anyone().refused(complete, guess.clone(), Code::Unauthenticated, "SIGN_IN_FAILED").await;
        }
    }
    for right in &challenges {
        project.anyone().refused(complete, right.clone(), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    }
}

/// The moment from which sessions count is in the new row, and the new row is not there yet.
#[tokio::test]
async fn nobody_signs_in_by_a_password_while_another_is_being_set() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (grace, other) = (acme.join("grace", &["member"]).await, acme.join("other", &["member"]).await);
    let mut database = superuser(cluster).await;
    let set = "update member.identity set sessions_from = clock_timestamp(),
             password_hash = (select password_hash from member.identity where email_address = $2)
         where email_address = $1";
    sqlx::query("begin").execute(&mut database).await.unwrap();
    sqlx::query(set).bind(&grace.email).bind(&other.email).execute(&mut database).await.unwrap();
    let signed_in = acme.sign_in(&grace.email, &grace.password);
    let commit = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        sqlx::query("commit").execute(&mut database).await.unwrap();
    };
    let (signed_in, ()) = futures::future::join(signed_in, commit).await;
    let refused = signed_in.expect_err("whoever knew the password before is out");
    assert_eq!(refused.reason, "SIGN_IN_FAILED", "{refused:?}");
    acme.sign_in(&grace.email, &other.password).await.unwrap();
}
