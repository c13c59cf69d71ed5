//! Passwords, and what guards them: which are taken, what another one ends, how often one may guess, and that nobody learns who is there.

use std::time::{Duration, Instant};

use api::gateway::v1::{SignInWithPasswordRequest, authentication_service_client::AuthenticationServiceClient};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Project, text, unique},
};
use tonic::{Code, transport::Endpoint};

use crate::{
    entering::{SIGN_IN, START, SWITCH, asked, settings},
    half_states::eventually,
    mfa::{App, COMPLETE_MFA, complete},
    tenant_walls::superuser,
};

const SET: &str = "CredentialService/SetPassword";
const REFRESH: &str = "AuthenticationService/RefreshSession";

fn set(organization: &Organization<'_>, member: &str, password: &str) -> Value {
    json!({"organization_id": organization.id, "member_id": member, "password": password})
}

#[tokio::test]
async fn a_password_alone_has_fifteen_characters_of_whatever_kind() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    for weak in ["fourteen chars", "passwordpassword", "qwertyuiopasdfghjkl", "123456789012345", "abcabcabcabcabcabc"] {
        project.account.refused(SET, set(&acme, &ada.id, weak), Code::InvalidArgument, "PASSWORD_TOO_WEAK").await;
    }
    let address = set(&acme, &ada.id, &ada.email.to_uppercase());
    project.account.refused(SET, address, Code::InvalidArgument, "PASSWORD_TOO_WEAK").await;
    acme.sign_in(&ada.email, &ada.password).await.unwrap();
    // Of one kind of characters, of many words, of any script; 64 and more.
    let long: String = "some horse, a battery, and the staple that holds them ".repeat(4);
    for good in ["fifteen chars !", &long[..200], "лошадь и аккумулятор", "🐴🔋📎✅🐴🔋✅📎🔋🐴📎✅📎🔋🐴"]
    {
        project.account.call(SET, set(&acme, &ada.id, good)).await;
        acme.sign_in(&ada.email, good).await.unwrap();
    }
    // However the keyboard composes it, it is the same password.
    project.account.call(SET, set(&acme, &ada.id, "Ångström und Ärger ﬁt")).await;
    for typed in ["Ångström und Ärger ﬁt", "A\u{30a}ngstro\u{308}m und A\u{308}rger fit"] {
        acme.sign_in(&ada.email, typed).await.unwrap();
    }
    assert!(acme.sign_in(&ada.email, "Angstrom und Arger fit").await.is_err());
}

#[tokio::test]
async fn eight_characters_are_enough_beside_a_second_factor_and_nowhere_without() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let ada = acme.join("ada", &["member"]).await;
    let other = json!({"organization_id": globex.id, "member": {"email_address": ada.email}, "roles": ["member"]});
    project.account.call("MemberService/CreateMember", other).await;
    settings(&acme, json!({"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL"})).await;
    project.account.refused(SET, set(&acme, &ada.id, "7 chars"), Code::InvalidArgument, "PASSWORD_TOO_WEAK").await;
    project.account.call(SET, set(&acme, &ada.id, "8 chars.")).await;
    let sign_in = |organization: &Organization<'_>| json!({"email_address": ada.email, "password": "8 chars.", "organization_id": organization.id});
    // The other organization asks nobody for a second factor; a password that cannot stand alone does.
    let required = project.anyone().call(SIGN_IN, sign_in(&globex)).await;
    asked(&required);
    let signed = project.anyone().call(COMPLETE_MFA, complete(&required, &App::of(&required).code().await)).await;
    assert_eq!(text(&signed, "member_session.organization_id"), globex.id);
    asked(&project.anyone().call(SIGN_IN, sign_in(&acme)).await);
}

#[tokio::test]
async fn another_password_ends_every_session_of_the_person_everywhere() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let ada = acme.join("ada", &["member"]).await;
    let other = json!({"organization_id": globex.id, "member": {"email_address": ada.email}, "roles": ["member"]});
    project.account.call("MemberService/CreateMember", other).await;
    let over = ada.caller.call(SWITCH, json!({"organization_id": globex.id})).await;
    let by_old = json!({"email_address": ada.email, "password": ada.password});
    let waiting = project.anyone().call(SIGN_IN, by_old.clone()).await;
    let grace = acme.join("grace", &["member"]).await;

    project.account.call(SET, set(&acme, &ada.id, "another horse altogether")).await;
    for refresh in [ada.tokens.refresh.clone(), text(&over, "refresh_token")] {
        let refresh = json!({"refresh_token": refresh});
        project.anyone().refused(REFRESH, refresh, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    }
    for (caller, organization) in
        [(&ada.caller, &acme), (&project.cluster.bearer(&text(&over, "access_token")), &globex)]
    {
        eventually("the access token is refused", || async {
            let request = json!({"organization_id": organization.id});
            caller.try_call("OrganizationService/GetOrganization", request).await.err()
        })
        .await;
        let request = json!({"organization_id": organization.id, "member_id": ada.id});
        let listed = project.account.try_call("SessionService/ListSessions", request).await;
        assert!(listed.is_err() || listed.unwrap()["sessions"].as_array().is_none_or(Vec::is_empty));
    }
    // A sign-in that was under way with the old one leads nowhere.
    let token = text(&waiting, "intermediate_session.intermediate_session_token");
    let select = json!({"organization_id": acme.id, "intermediate_session_token": token});
    project
        .anyone()
        .refused("AuthenticationService/SelectOrganization", select, Code::Unauthenticated, "SIGN_IN_FAILED")
        .await;
    project.anyone().refused(SIGN_IN, by_old, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    acme.sign_in(&ada.email, "another horse altogether").await.unwrap();
    grace.caller.call("OrganizationService/GetOrganization", json!({"organization_id": acme.id})).await;
    let events = json!({"organization_id": acme.id, "page_size": 200});
    let events = project.account.call("EventService/ListEvents", events).await;
    let reasons: Vec<_> =
        events["events"].as_array().unwrap().iter().filter_map(|e| e["session"]["end_reason"].as_str()).collect();
    assert!(reasons.contains(&"SESSION_END_REASON_PASSWORD_CHANGED"), "{reasons:?}");
}

#[tokio::test]
async fn guessing_is_shut_out_for_longer_each_time_and_let_in_by_who_may() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let nobody = format!("{}@{}.test", unique("nobody"), acme.slug);
    let minutes = async |email: &str| {
        for _ in 0..10 {
            assert_eq!(acme.sign_in(email, "some wrong guess").await.unwrap_err().reason, "SIGN_IN_FAILED");
        }
        let refused = acme.sign_in(email, &ada.password).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
        refused.retry_after.unwrap().as_secs().div_ceil(60)
    };
    // Whoever is nobody is shut out in the same way.
    for email in [&ada.email, &nobody] {
        for expected in [15, 30] {
            assert_eq!(minutes(email).await, expected);
            sqlx::query("update member.attempt set window_end = now() where tries > 10 and project_id = $1")
                .bind(project.id.parse::<tenancy::ProjectId>().unwrap().uuid())
                .execute(&mut superuser(project.cluster).await)
                .await
                .unwrap();
        }
    }
    // She gets in by a right one, and the next window is a first one.
    acme.sign_in(&ada.email, &ada.password).await.unwrap();
    assert_eq!(minutes(&ada.email).await, 15);
    let identity = project.account.call("IdentityService/LookupIdentity", json!({"email_address": ada.email})).await;
    let unlock = json!({"identity": {"identity_id": text(&identity, "identity_id"), "state": "IDENTITY_STATE_ACTIVE"},
        "update_mask": "state"});
    project.account.call("IdentityService/UpdateIdentity", unlock).await;
    acme.sign_in(&ada.email, &ada.password).await.unwrap();
}

/// How likely one of these takes longer than one of those: one half where nobody can tell them apart.
fn longer(these: &[Duration], those: &[Duration]) -> f64 {
    let wins = these.iter().flat_map(|a| {
        those.iter().map(move |b| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        })
    });
    wins.sum::<f64>() / (these.len() * those.len()) as f64
}

/// Each in turn, the order changing: what else the machine does falls on both alike.
async fn times(project: &Project<'_>, method: &str, pairs: &[[Value; 2]]) -> [Vec<Duration>; 2] {
    let anyone = project.anyone();
    let mut taken = [Vec::new(), Vec::new()];
    for (round, pair) in pairs.iter().enumerate() {
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let begun = Instant::now();
            let _ = anyone.try_call(method, pair[at].clone()).await;
            taken[at].push(begun.elapsed());
        }
    }
    taken
}

/// With 40 samples of each the middle is missed by a quarter once in some ten thousand runs by chance, and a password that is not hashed, or
/// a mail that is not written, for nobody is far outside of it.
#[tokio::test]
async fn nobody_learns_by_waiting_who_is_there() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let mut people = Vec::new();
    for name in ["ada", "grace", "linus", "alan", "edsger", "barbara", "donald", "tony"] {
        people.push(acme.join(name, &["member"]).await.email);
    }
    let strangers: Vec<String> = (0..8).map(|_| format!("{}@{}.test", unique("nobody"), acme.slug)).collect();
    let pairs = |request: &dyn Fn(&str) -> Value| -> Vec<[Value; 2]> {
        (0..40).map(|at| [&people[at % 8], &strangers[at % 8]].map(|email| request(email))).collect()
    };
    let wrong =
        |email: &str| json!({"email_address": email, "password": "some wrong guess", "organization_id": acme.id});
    let start = |email: &str| json!({"email_address": email, "organization_id": acme.id});
    for (method, pairs) in [(SIGN_IN, pairs(&wrong)), (START, pairs(&start))] {
        let [known, unknown] = times(&project, method, &pairs).await;
        let tells = longer(&known, &unknown);
        assert!((0.25..=0.75).contains(&tells), "{method}: {tells} of the time longer for somebody who is there");
    }
}

#[tokio::test]
async fn a_call_to_an_organization_s_own_name_means_that_organization() {
    let (cluster, _) = crate::domains::cluster().await;
    let project = crate::isolated_pools::platform(cluster).await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let owner = acme.owner();
    let at = async |host: String| {
        let endpoint = Endpoint::from_shared(format!("http://{}", cluster.access().gateway)).unwrap();
        let channel = endpoint.origin(format!("http://{host}:8080").parse().unwrap()).connect().await.unwrap();
        let request = SignInWithPasswordRequest {
            organization: None,
            email_address: owner.email.clone(),
            password: owner.password.clone(),
        };
        AuthenticationServiceClient::new(channel).sign_in_with_password(request).await
    };
    // Neither the project nor the organization is said but by the name.
    let signed = at(format!("{}.{}", acme.slug, crate::domains::BASE)).await.unwrap().into_inner();
    assert!(!signed.access_token.is_empty(), "{signed:?}");
    let there = at(format!("{}.{}", globex.slug, crate::domains::BASE)).await.unwrap_err();
    assert_eq!(there.code(), Code::Unauthenticated);
    let nowhere = at(format!("nobody.{}", crate::domains::BASE)).await.unwrap_err();
    assert_ne!(nowhere.code(), Code::Ok);
}
