//! Second factors: asked for wherever a session would begin, enrolled on the way, used once, and stood in for by recovery codes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, Member, Organization, Project, text, unique},
};
use tonic::Code;
use totp_rs::{Builder, Secret};

use crate::{
    entering::{SELECT, SIGN_IN, SIGN_UP, SWITCH, asked, intermediate, prove, select, settings, somebody},
    isolated_pools::{person, platform},
    tenant_walls::superuser,
};

pub const COMPLETE_MFA: &str = "AuthenticationService/CompleteMfa";
const ENROLL: &str = "CredentialService/EnrollTotp";
const CONFIRM: &str = "CredentialService/ConfirmTotp";
const REGENERATE: &str = "CredentialService/RegenerateRecoveryCodes";

/// An authenticator app, as another program computes it. It shows each code once.
pub struct App {
    secret: String,
    last: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl App {
    pub fn new(secret: String) -> Self {
        Self { secret, last: 0 }
    }

    pub fn of(required: &Value) -> Self {
        Self::new(text(required, "mfa_required.totp_enrollment.secret"))
    }

    fn at(&self, step: u64) -> String {
        let totp = Builder::new().with_secret(Secret::try_from_base32(&self.secret).unwrap()).build().unwrap();
        totp.generate(step * 30).to_string()
    }

    /// The oldest code that was not shown yet and counts for ten seconds more.
    pub async fn code(&mut self) -> String {
        let step = ((now() - 20) / 30).max(self.last + 1);
        while now() / 30 + 1 < step {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.last = step;
        self.at(step)
    }

    /// A code of six digits that is certainly none of those that count.
    fn wrong(&self) -> String {
        let step = now() / 30;
        let right: Vec<_> = (step - 2..=step + 3).map(|step| self.at(step)).collect();
        (0..).map(|n: u32| format!("{n:06}")).find(|code| !right.contains(code)).unwrap()
    }
}

pub fn complete(required: &Value, code: &str) -> Value {
    let token = text(required, "mfa_required.intermediate_session_token");
    json!({"intermediate_session_token": token, "totp_code": code})
}

fn recover(required: &Value, code: &str) -> Value {
    let token = text(required, "mfa_required.intermediate_session_token");
    json!({"intermediate_session_token": token, "recovery_code": code})
}

fn claims(answer: &Value) -> Value {
    let token = text(answer, "access_token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

async fn sign_in(organization: &Organization<'_>, member: &Member) -> Value {
    let request =
        json!({"email_address": member.email, "password": member.password, "organization_slug": organization.slug});
    organization.project.anyone().call(SIGN_IN, request).await
}

async fn ask_everybody(organization: &Organization<'_>) {
    settings(organization, json!({"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL"})).await;
}

fn codes(answer: &Value) -> Vec<String> {
    answer["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// A member enrols an app for herself.
pub async fn enroll(caller: &Caller) -> (App, Vec<String>) {
    let shown = caller.call(ENROLL, json!({})).await;
    assert!(text(&shown, "provisioning_uri").starts_with("otpauth://totp/"), "{shown}");
    let mut app = App::new(text(&shown, "secret"));
    let confirmed = caller.call(CONFIRM, json!({"code": app.code().await})).await;
    (app, codes(&confirmed))
}

async fn failed(project: &Project<'_>, request: Value) {
    project.anyone().refused(COMPLETE_MFA, request, Code::Unauthenticated, "SIGN_IN_FAILED").await;
}

#[tokio::test]
async fn an_organization_that_asks_everybody_enrols_who_has_none() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    ask_everybody(&acme).await;

    let required = sign_in(&acme, &ada).await;
    asked(&required);
    assert_eq!(text(&required, "mfa_required.organization_id"), acme.id);
    assert_eq!(text(&required, "mfa_required.organization_slug"), acme.slug);
    assert!(text(&required, "mfa_required.totp_enrollment.uri").contains("%40"), "{required}");
    let mut app = App::of(&required);
    failed(&project, complete(&required, &app.wrong())).await;
    let signed = project.anyone().call(COMPLETE_MFA, complete(&required, &app.code().await)).await;
    assert_eq!(text(&signed, "member_session.member_id"), ada.id);
    let (given, said) = (codes(&signed), claims(&signed));
    assert_eq!(given.len(), 10);
    assert_eq!(said["amr"], json!(["pwd", "otp", "mfa"]), "{said}");
    project.cluster.bearer(&text(&signed, "access_token")).call("AuthenticationService/WhoAmI", json!({})).await;

    // From now on it is asked for, not enrolled anew; and what was proven stays proven over a refresh.
    let again = sign_in(&acme, &ada).await;
    assert_eq!(again["mfa_required"]["enrolled_methods"], json!(["MFA_METHOD_TOTP"]), "{again}");
    assert!(again["mfa_required"]["totp_enrollment"].is_null(), "{again}");
    let signed = project.anyone().call(COMPLETE_MFA, complete(&again, &app.code().await)).await;
    assert!(signed["recovery_codes"].as_array().is_none_or(Vec::is_empty), "{signed}");
    let refresh = json!({"refresh_token": text(&signed, "refresh_token")});
    let refreshed = project.anyone().call("AuthenticationService/RefreshSession", refresh).await;
    assert_eq!(claims(&refreshed)["amr"], json!(["pwd", "otp", "mfa"]));
}

#[tokio::test]
async fn whoever_has_an_app_is_asked_for_it_where_nobody_must() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let (mut app, given) = enroll(&ada.caller).await;
    let required = sign_in(&acme, &ada).await;
    let signed = project.anyone().call(COMPLETE_MFA, complete(&required, &app.code().await)).await;
    assert_eq!(claims(&signed)["amr"], json!(["pwd", "otp", "mfa"]));
    // By whichever way she comes.
    let required = prove(&project, &ada.email, json!({"organization_id": acme.id})).await.unwrap();
    let used =
        project.anyone().call(COMPLETE_MFA, recover(&required, &given[0].to_uppercase().replace('-', " "))).await;
    assert_eq!(claims(&used)["amr"], json!(["otp", "mfa"]));

    // An organization that takes no such factor does not ask for it; one that takes no other is not entered.
    settings(&acme, json!({"allowed_mfa_methods": ["MFA_METHOD_PASSKEY"]})).await;
    assert_eq!(text(&sign_in(&acme, &ada).await, "member_session.member_id"), ada.id);
    ada.caller.refused(ENROLL, json!({}), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    ask_everybody(&acme).await;
    let request = json!({"email_address": ada.email, "password": ada.password, "organization_slug": acme.slug});
    let refused = project.anyone().refused(SIGN_IN, request, Code::FailedPrecondition, "MFA_REQUIRED").await;
    assert_eq!(refused.said("allowed_mfa_methods"), "PASSKEY");
}

#[tokio::test]
async fn a_code_lets_one_in_of_fifty_at_once() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let (mut app, given) = enroll(&ada.caller).await;
    // Each has a sign-in of its own under way, and all the same code.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(sign_in(&acme, &ada).await);
    }
    let code = app.code().await;
    let anyone = project.anyone();
    let at_once = waiting.iter().map(|required| anyone.insist(COMPLETE_MFA, complete(required, &code)));
    let signed = futures::future::join_all(at_once).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(signed, 1, "a code works once");
    let at_once = waiting.iter().map(|required| anyone.insist(COMPLETE_MFA, recover(required, &given[3])));
    let signed = futures::future::join_all(at_once).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(signed, 1, "a recovery code works once");
    // Nor does one from before the last that worked.
    let required = sign_in(&acme, &ada).await;
    let earlier = app.at(app.last - 1);
    failed(&project, complete(&required, &earlier)).await;
    // An intermediate session opens one session.
    let request = complete(&required, &app.code().await);
    anyone.call(COMPLETE_MFA, request.clone()).await;
    failed(&project, request).await;
}

#[tokio::test]
async fn five_wrong_codes_end_the_sign_in_and_shut_out_for_a_while() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let (mut app, given) = enroll(&ada.caller).await;
    let required = sign_in(&acme, &ada).await;
    for _ in 0..5 {
        failed(&project, complete(&required, &app.wrong())).await;
    }
    let fresh = sign_in(&acme, &ada).await;
    for request in [complete(&fresh, &app.code().await), recover(&fresh, &given[0])] {
        let refused = project.anyone().refused(COMPLETE_MFA, request, Code::ResourceExhausted, "RATE_LIMITED").await;
        assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(600)), "{refused:?}");
    }
    // Somebody who may lets her in again; the sign-in that was spent stays spent.
    let identity = project.account.call("IdentityService/LookupIdentity", json!({"email_address": ada.email})).await;
    let unlock = json!({"identity": {"identity_id": text(&identity, "identity_id"), "state": "IDENTITY_STATE_ACTIVE"},
        "update_mask": "state"});
    project.account.call("IdentityService/UpdateIdentity", unlock).await;
    failed(&project, complete(&required, &app.at(app.last))).await;
    let code = app.at(app.last);
    project.anyone().call(COMPLETE_MFA, complete(&fresh, &code)).await;
}

#[tokio::test]
async fn going_over_asks_for_what_the_session_lacks() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let ada = acme.join("ada", &["member"]).await;
    project
        .account
        .call(
            "MemberService/CreateMember",
            json!({"organization_id": globex.id, "member": {"email_address": ada.email}, "roles": ["member"]}),
        )
        .await;
    ask_everybody(&globex).await;
    let required = ada.caller.call(SWITCH, json!({"organization_id": globex.id})).await;
    assert_eq!(text(&required, "mfa_required.organization_id"), globex.id);
    let mut app = App::of(&required);
    let signed = project.anyone().call(COMPLETE_MFA, complete(&required, &app.code().await)).await;
    assert_eq!(text(&signed, "member_session.organization_id"), globex.id);
    assert_eq!(claims(&signed)["amr"], json!(["pwd", "otp", "mfa"]));
    // What was proven travels back and forth, and need not be proven again.
    let there = project.cluster.bearer(&text(&signed, "access_token"));
    let back = there.call(SWITCH, json!({"organization_id": acme.id})).await;
    assert_eq!(claims(&back)["amr"], json!(["pwd", "otp", "mfa"]));
    // The session that she came with still lacks it.
    let again = ada.caller.call(SWITCH, json!({"organization_id": globex.id})).await;
    assert!(again["mfa_required"].is_object(), "{again}");
    // A session that came of going over ends no later than the one it came from, also by the way round.
    let ends = "select distinct s.latest_time::text from member.session s
        join member.identity i on i.identity_id = s.identity_id where i.email_address = $1";
    let ends: Vec<String> =
        sqlx::query_scalar(ends).bind(&ada.email).fetch_all(&mut superuser(project.cluster).await).await.unwrap();
    assert_eq!(ends.len(), 1, "three sessions: {ends:?}");
}

#[tokio::test]
async fn choosing_an_organization_and_joining_one_ask_first() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    ask_everybody(&acme).await;
    // Somebody new, invited: no member before the second factor is there.
    let email = format!("{}@new.test", unique("eve"));
    acme.owner()
        .caller
        .call(
            "InvitationService/CreateInvitation",
            json!({"organization_id": acme.id, "invitation": {"email_address": email}, "roles": ["member"]}),
        )
        .await;
    project.cluster.mailbox(&email).await;
    let token = somebody(&project, &email).await;
    let required = project.anyone().call(SELECT, select(&acme, &token)).await;
    let members = json!({"organization_id": acme.id});
    let listed = project.account.call("MemberService/ListMembers", members.clone()).await;
    assert_eq!(listed["members"].as_array().unwrap().len(), 1, "the owner alone");
    // It is bound: good for this organization and for nothing else.
    let bound = text(&required, "mfa_required.intermediate_session_token");
    let globex = project.organization("globex").await;
    project.anyone().refused(SELECT, select(&globex, &bound), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let again = project.anyone().call(SELECT, select(&acme, &bound)).await;
    assert!(again["mfa_required"].is_object(), "nothing but the factor leads on: {again}");
    let signed = project.anyone().call(COMPLETE_MFA, complete(&required, &App::of(&required).code().await)).await;
    assert_eq!(text(&signed, "member_session.organization_id"), acme.id);
    assert_eq!(codes(&signed).len(), 10);
    let listed = project.account.call("MemberService/ListMembers", members).await;
    assert_eq!(listed["members"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_sign_up_under_the_project_s_policy_asks_its_founder() {
    let project = Cluster::shared().await.project().await;
    let defaults = json!({"project_id": project.id, "project": {
        "organization_defaults": {"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL"}}, "update_mask": "organizationDefaults"});
    project.cluster.operator().await.call("ProjectService/UpdateProject", defaults).await;
    let token = somebody(&project, &format!("{}@new.test", unique("eve"))).await;
    let request = json!({"intermediate_session_token": token, "organization": {"display_name": "Acme"}});
    let required = project.anyone().call(SIGN_UP, request).await;
    let signed = project.anyone().call(COMPLETE_MFA, complete(&required, &App::of(&required).code().await)).await;
    assert_eq!(signed["member_session"]["roles"], json!(["owner"]), "{signed}");
}

#[tokio::test]
async fn in_isolated_pools_a_factor_is_one_organization_s() {
    let cluster = Cluster::shared().await;
    let project = platform(cluster).await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let email = format!("{}@people.test", unique("ada"));
    let password = "the same horse in both of them";
    for organization in [&acme, &globex] {
        person(organization, &email, password).await;
    }
    let asked = |slug: &str| json!({"email_address": email, "password": password, "organization_slug": slug});
    let signed = project.anyone().call(SIGN_IN, asked(&acme.slug)).await;
    enroll(&cluster.bearer(&text(&signed, "access_token"))).await;
    assert!(project.anyone().call(SIGN_IN, asked(&acme.slug)).await["mfa_required"].is_object());
    assert!(project.anyone().call(SIGN_IN, asked(&globex.slug)).await["member_session"].is_object());
}

#[tokio::test]
async fn an_app_is_replaced_by_who_has_it_and_taken_away_by_the_project() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    ada.caller.refused(CONFIRM, json!({"code": "123456"}), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let (mut app, first) = enroll(&ada.caller).await;
    // A session that the app has not proven replaces nothing: whoever stole it has the password at most.
    ada.caller.refused(ENROLL, json!({}), Code::FailedPrecondition, "MFA_REQUIRED").await;
    let required = sign_in(&acme, &ada).await;
    let signed = project.anyone().call(COMPLETE_MFA, complete(&required, &app.code().await)).await;
    let proven = project.cluster.bearer(&text(&signed, "access_token"));

    // New recovery codes end the old ones; the same request has the same answer.
    ada.caller.refused(REGENERATE, json!({"code": app.wrong()}), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let request = json!({"code": app.code().await, "request_id": unique("r")});
    let second = codes(&ada.caller.call(REGENERATE, request.clone()).await);
    assert_eq!(codes(&ada.caller.call(REGENERATE, request).await), second);
    assert!(second.iter().all(|code| !first.contains(code)));
    let used = json!({"code": app.at(app.last)});
    ada.caller.refused(REGENERATE, used, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let required = sign_in(&acme, &ada).await;
    failed(&project, recover(&required, &first[0])).await;
    project.anyone().call(COMPLETE_MFA, recover(&required, &second[0])).await;

    // Another app in its place: the first counts until the other is confirmed, and not a moment longer.
    let (other, third) = enroll(&proven).await;
    assert_ne!(other.secret, app.secret);
    let required = sign_in(&acme, &ada).await;
    failed(&project, complete(&required, &app.at(now() / 30 + 1))).await;
    failed(&project, recover(&required, &second[1])).await;
    project.anyone().call(COMPLETE_MFA, recover(&required, &third[0])).await;

    // Lost with its codes, it is taken away.
    let lookup = json!({"email_address": ada.email});
    let identity = project.account.call("IdentityService/LookupIdentity", lookup.clone()).await;
    assert_eq!(identity["mfa_methods"], json!(["AUTH_FACTOR_METHOD_TOTP"]));
    let reset = |methods: Value| json!({"identity": {"identity_id": text(&identity, "identity_id"), "mfa_methods": methods}, "update_mask": "mfaMethods"});
    let refused = project
        .account
        .refused(
            "IdentityService/UpdateIdentity",
            reset(json!(["AUTH_FACTOR_METHOD_TOTP"])),
            Code::InvalidArgument,
            "INVALID_FIELDS",
        )
        .await;
    assert_eq!(refused.fields, ["identity.mfa_methods"]);
    project.account.call("IdentityService/UpdateIdentity", reset(json!([]))).await;
    assert_eq!(text(&sign_in(&acme, &ada).await, "member_session.member_id"), ada.id);
    let events = json!({"page_size": 100});
    let listed = project.account.call("EventService/ListEvents", events).await.to_string();
    for secret in [&other.secret, &third[1], &first[0]] {
        assert!(!listed.contains(secret.as_str()), "no event shows a secret");
    }
}

#[tokio::test]
async fn what_is_no_code_is_named_and_costs_nothing() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let refused =
        project.anyone().refused(COMPLETE_MFA, json!({"totp_code": ""}), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["intermediate_session_token", "totp_code"]);
    let nobody = json!({"intermediate_session_token": "ghs_nothing", "totp_code": "123456"});
    failed(&project, nobody).await;
    // One that waits for no second factor takes none.
    let request = json!({"email_address": ada.email, "password": ada.password});
    let token = intermediate(&project.anyone().call(SIGN_IN, request).await);
    failed(&project, json!({"intermediate_session_token": token, "totp_code": "123456"})).await;
    // Nor does another project's.
    let (mut app, _) = enroll(&ada.caller).await;
    let required = sign_in(&acme, &ada).await;
    let request = complete(&required, &app.code().await);
    let elsewhere = project.cluster.project().await;
    failed(&elsewhere, request.clone()).await;
    project.anyone().call(COMPLETE_MFA, request).await;
    project.account.refused(ENROLL, json!({}), Code::PermissionDenied, "WRONG_AUDIENCE").await;
}
