//! From a proven address to a session in an organization: choosing, being let in, going from one to another, signing up.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Project, Refused, text, unique},
};
use tonic::Code;

pub const SIGN_IN: &str = "AuthenticationService/SignInWithPassword";
pub const START: &str = "AuthenticationService/StartEmailSignIn";
pub const COMPLETE: &str = "AuthenticationService/CompleteEmailSignIn";
pub const CHOICES: &str = "AuthenticationService/ListOrganizations";
pub const SELECT: &str = "AuthenticationService/SelectOrganization";
pub const SWITCH: &str = "AuthenticationService/SwitchOrganization";
pub const SIGN_UP: &str = "AuthenticationService/SignUp";

/// Proves an address by the code that is mailed to it: `to` says where to, besides.
pub async fn prove(project: &Project<'_>, email: &str, to: Value) -> Result<Value, Refused> {
    let before = project.cluster.delivered(email).len();
    let mut start = json!({"email_address": email});
    start.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
    let challenge = project.anyone().call(START, start).await;
    let code = project.cluster.mails(email, before + 1).await.last().unwrap().code();
    let complete = json!({"challenge_id": text(&challenge, "challenge_id"), "code": code});
    project.anyone().try_call(COMPLETE, complete).await
}

fn uuid(session: &str) -> String {
    session.parse::<tenancy::SessionId>().unwrap().uuid().to_string()
}

pub fn intermediate(answer: &Value) -> String {
    assert!(answer["access_token"].as_str().is_none_or(str::is_empty), "no token before an organization: {answer}");
    text(answer, "intermediate_session.intermediate_session_token")
}

/// Somebody whose address is proven, in no organization yet.
pub async fn somebody(project: &Project<'_>, email: &str) -> String {
    intermediate(&prove(project, email, json!({"sign_up": true})).await.unwrap())
}

/// A second factor is asked for, and nothing given.
pub fn asked(answer: &Value) {
    assert!(answer["mfa_required"].is_object(), "{answer}");
    let none = |field: &str| answer[field].as_str().is_none_or(str::is_empty);
    assert!(none("access_token") && none("refresh_token"), "{answer}");
}

pub fn select(organization: &Organization<'_>, token: &str) -> Value {
    json!({"organization_id": organization.id, "intermediate_session_token": token})
}

pub async fn settings(organization: &Organization<'_>, settings: Value) {
    let camel = |key: &String| {
        let mut words = key.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
    };
    let mask: Vec<String> =
        settings.as_object().unwrap().keys().map(|key| format!("settings.{}", camel(key))).collect();
    let request = json!({"organization_id": organization.id, "organization": {"settings": settings},
        "update_mask": mask.join(",")});
    organization.project.account.call("OrganizationService/UpdateOrganization", request).await;
}

/// How they may enter which organizations, in the order of the list.
pub async fn choices(project: &Project<'_>, token: &str, page_size: i32) -> Vec<(String, String)> {
    let (mut found, mut page) = (Vec::new(), String::new());
    loop {
        let request = json!({"intermediate_session_token": token, "page_size": page_size, "page_token": page});
        let listed = project.anyone().call(CHOICES, request).await;
        let organizations = listed["organizations"].as_array().cloned().unwrap_or_default();
        found.extend(organizations.iter().map(|o| (text(o, "access"), text(o, "organization_id"))));
        page = listed["next_page_token"].as_str().unwrap_or_default().to_owned();
        if page.is_empty() {
            return found;
        }
    }
}

#[tokio::test]
async fn whoever_names_no_organization_chooses_one() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex, initech) = (
        project.organization("acme").await,
        project.organization("globex").await,
        project.organization("initech").await,
    );
    let ada = acme.join("ada", &["admin"]).await;
    let other = json!({"organization_id": globex.id, "member": {"email_address": ada.email}, "roles": ["member"]});
    let second = project.account.call("MemberService/CreateMember", other).await;
    acme.owner().caller.call("MemberService/GetMember", json!({"organization_id": acme.id, "member_id": ada.id})).await;
    initech.invite(&ada.email, &["member"]).await;

    // A password proves who she is and not that the address is hers: an invitation is for who has proven that.
    let known = project.anyone().call(SIGN_IN, json!({"email_address": ada.email, "password": ada.password})).await;
    let token = intermediate(&known);
    assert_eq!(text(&known, "intermediate_session.email_address"), ada.email);
    let member = |o: &Organization<'_>| ("ORGANIZATION_ACCESS_MEMBER".to_owned(), o.id.clone());
    assert_eq!(choices(&project, &token, 50).await, [member(&acme), member(&globex)]);
    let refused =
        project.anyone().refused(SELECT, select(&initech, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let nowhere = json!({"organization_slug": unique("nowhere"), "intermediate_session_token": token});
    let same = project.anyone().refused(SELECT, nowhere, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    assert_eq!(refused.bytes(), same.bytes());

    // A code does, and every page size gives the same list.
    let token = intermediate(&prove(&project, &ada.email, json!({})).await.unwrap());
    let invited = ("ORGANIZATION_ACCESS_INVITED".to_owned(), initech.id.clone());
    for page_size in [1, 2, 3, 50] {
        assert_eq!(choices(&project, &token, page_size).await, [member(&acme), member(&globex), invited.clone()]);
    }
    let foreign = json!({"intermediate_session_token": token, "page_token": "bm9uZQ"});
    project.anyone().refused(CHOICES, foreign, Code::InvalidArgument, "INVALID_PAGE_TOKEN").await;

    // What she enters uses it up; of two at once one comes in.
    let both = futures::future::join(
        project.anyone().try_call(SELECT, select(&globex, &token)),
        project.anyone().try_call(SELECT, select(&acme, &token)),
    )
    .await;
    let entered: Vec<_> = [both.0, both.1].into_iter().filter_map(Result::ok).collect();
    assert_eq!(entered.len(), 1);
    project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    project
        .anyone()
        .refused(CHOICES, json!({"intermediate_session_token": token}), Code::Unauthenticated, "SIGN_IN_FAILED")
        .await;

    // An invitation is accepted by it, once.
    let token = intermediate(&prove(&project, &ada.email, json!({})).await.unwrap());
    let joined = project.anyone().call(SELECT, select(&initech, &token)).await;
    assert_eq!(joined["member_session"]["roles"], json!(["member"]));
    let id = text(&joined, "member_session.member_id");
    let there = initech
        .owner()
        .caller
        .call("MemberService/GetMember", json!({"organization_id": initech.id, "member_id": id}))
        .await;
    assert_eq!(text(&there, "identity_id"), text(&second, "identity_id"), "one person");
    assert_eq!(there["roles"][0]["sources"], json!(["ROLE_SOURCE_INVITATION"]));

    // Another project's door opens to none of it.
    let token = intermediate(&prove(&project, &ada.email, json!({})).await.unwrap());
    let elsewhere = cluster.project().await;
    elsewhere.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    // Suspended in an organization, or herself, she is let in by nothing.
    let about = json!({"organization_id": initech.id, "member_id": id});
    initech.owner().caller.call("MemberService/SuspendMember", about).await;
    project.anyone().refused(SELECT, select(&initech, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    assert_eq!(choices(&project, &token, 50).await, [member(&acme), member(&globex)]);
    let suspended = json!({"identity": {"identity_id": second["identity_id"], "state": "IDENTITY_STATE_SUSPENDED"}});
    project.account.call("IdentityService/UpdateIdentity", suspended).await;
    project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
}

#[tokio::test]
async fn an_intermediate_session_is_probed_twenty_times_and_no_more() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let ada = acme.join("ada", &["member"]).await;
    let token = intermediate(
        &project.anyone().call(SIGN_IN, json!({"email_address": ada.email, "password": ada.password})).await,
    );
    for _ in 0..20 {
        let nowhere = json!({"organization_slug": unique("nowhere"), "intermediate_session_token": token});
        project.anyone().refused(SELECT, nowhere, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    }
    project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    for bad in ["", "ghs_", "nonsense", &token[..token.len() - 1], &ada.tokens.refresh] {
        let refused = project.anyone().try_call(SELECT, select(&acme, bad)).await.unwrap_err();
        assert!(["SIGN_IN_FAILED", "INVALID_FIELDS"].contains(&refused.reason.as_str()), "{refused:?}");
    }
    // One that a sign-in bound to an organization opens that one alone, though she is a member of another.
    let globex = project.organization("globex").await;
    let gateway = project.cluster.workload("gateway", "member-service");
    let named = json!({"project_id": project.id, "organization_id": globex.id, "email_address": ada.email, "password": ada.password});
    let bound = gateway.call("CredentialService/VerifyPassword", named).await;
    let bound = text(&bound, "intermediate_session.token");
    assert!(choices(&project, &bound, 50).await.is_empty());
    project.anyone().refused(SELECT, select(&acme, &bound), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    // It is no credential.
    let bearer = project.cluster.bearer(&token);
    bearer.refused("AuthenticationService/WhoAmI", json!({}), Code::Unauthenticated, "UNAUTHENTICATED").await;
}

#[tokio::test]
async fn what_an_organization_asks_for_is_asked_wherever_it_is_entered() {
    let project = Cluster::shared().await.project().await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let ada = acme.join("ada", &["member"]).await;
    let other = json!({"organization_id": globex.id, "member": {"email_address": ada.email}, "roles": ["member"]});
    project.account.call("MemberService/CreateMember", other).await;
    let session = project.cluster.bearer(&acme.sign_in(&ada.email, &ada.password).await.unwrap().access);

    let restricted =
        json!({"auth_methods": "AUTH_METHODS_POLICY_RESTRICTED", "allowed_auth_methods": ["AUTH_METHOD_EMAIL_CODE"]});
    settings(&globex, restricted).await;
    let by_password = |to: &Organization<'_>| json!({"email_address": ada.email, "password": ada.password, "organization_slug": to.slug});
    let refused =
        project.anyone().refused(SIGN_IN, by_password(&globex), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    assert_eq!(refused.said("allowed_auth_methods"), "EMAIL_CODE");
    session
        .refused(SWITCH, json!({"organization_id": globex.id}), Code::FailedPrecondition, "METHOD_NOT_ALLOWED")
        .await;
    let token = intermediate(
        &project.anyone().call(SIGN_IN, json!({"email_address": ada.email, "password": ada.password})).await,
    );
    project.anyone().refused(SELECT, select(&globex, &token), Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    // Only who has the password is told.
    let wrong = json!({"email_address": ada.email, "password": "not her password", "organization_slug": globex.slug});
    project.anyone().refused(SIGN_IN, wrong, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    prove(&project, &ada.email, json!({"organization_slug": globex.slug})).await.unwrap();
    // The same sign-in is good for the organization that allows it.
    project.anyone().call(SELECT, select(&acme, &token)).await;

    // The key behind the glass is a password, and no way round the second factor.
    let owner = globex.owner();
    project
        .anyone()
        .refused(
            SIGN_IN,
            json!({"email_address": owner.email, "password": owner.password, "organization_slug": globex.slug}),
            Code::FailedPrecondition,
            "METHOD_NOT_ALLOWED",
        )
        .await;
    let glass = json!({"organization_id": globex.id, "member": {"member_id": owner.id, "is_breakglass": true}, "update_mask": "isBreakglass"});
    project.account.call("MemberService/UpdateMember", glass).await;
    globex.sign_in(&owner.email, &owner.password).await.unwrap();
    settings(&globex, json!({"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL", "allowed_mfa_methods": ["MFA_METHOD_TOTP"]}))
        .await;
    let owners = json!({"email_address": owner.email, "password": owner.password, "organization_slug": globex.slug});
    asked(&project.anyone().call(SIGN_IN, owners).await);
    asked(&prove(&project, &ada.email, json!({"organization_slug": globex.slug})).await.unwrap());
    let token = intermediate(&prove(&project, &ada.email, json!({})).await.unwrap());
    asked(&project.anyone().call(SELECT, select(&globex, &token)).await);
    // Whoever is invited does not become a member first.
    let grace = unique("grace") + "@people.test";
    globex.owner().caller.try_call("MemberService/ListMembers", json!({"organization_id": globex.id})).await.unwrap();
    let invite = json!({"organization_id": globex.id, "invitation": {"email_address": grace}, "roles": ["member"]});
    project.account.call("InvitationService/CreateInvitation", invite).await;
    project.cluster.mailbox(&grace).await;
    let token = somebody(&project, &grace).await;
    asked(&project.anyone().call(SELECT, select(&globex, &token)).await);
    let lookup = json!({"organization_id": globex.id, "email_address": grace});
    project.account.refused("MemberService/LookupMember", lookup, Code::NotFound, "NOT_FOUND").await;
}

#[tokio::test]
async fn a_member_goes_from_one_organization_to_another_and_proves_nothing_anew() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let (acme, globex, initech) = (
        project.organization("acme").await,
        project.organization("globex").await,
        project.organization("initech").await,
    );
    let ada = acme.join("ada", &["admin"]).await;
    let other = json!({"organization_id": globex.id, "member": {"email_address": ada.email}, "roles": ["member"]});
    project.account.call("MemberService/CreateMember", other).await;
    initech.invite(&ada.email, &["member"]).await;

    let there = ada.caller.call(SWITCH, json!({"organization_slug": globex.slug})).await;
    assert_eq!(there["member_session"]["roles"], json!(["member"]));
    let in_globex = cluster.bearer(&text(&there, "access_token"));
    let me = in_globex.call("AuthenticationService/WhoAmI", json!({})).await;
    assert_eq!(text(&me, "organization_id"), globex.id);
    // The first session goes on, and no other ends later, however often she goes to and fro.
    let first = text(&ada.caller.call("AuthenticationService/WhoAmI", json!({})).await, "session_id");
    let back = in_globex.call(SWITCH, json!({"organization_id": acme.id})).await;
    let mut database = crate::tenant_walls::superuser(cluster).await;
    let ends: Vec<(String, String)> = sqlx::query_as(
        "select latest_time::text, auth_factors #>> '{0,time}' from member.session where session_id::text = any ($1)",
    )
    .bind(
        [&first, &text(&there, "member_session.session_id"), &text(&back, "member_session.session_id")]
            .map(|id| uuid(id)),
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|end| *end == ends[0]), "the proof is as old as it was: {ends:?}");

    // Invited is not a member, and what is not hers is not there.
    for to in [&initech, &cluster.project().await.organization("elsewhere").await] {
        let refused = ada.caller.refused(SWITCH, json!({"organization_id": to.id}), Code::NotFound, "NOT_FOUND").await;
        assert_eq!(refused.said("resource"), "organization");
    }
    ada.caller.refused(SWITCH, json!({"organization_slug": unique("nowhere")}), Code::NotFound, "NOT_FOUND").await;
    project
        .account
        .refused(SWITCH, json!({"organization_id": acme.id}), Code::PermissionDenied, "WRONG_AUDIENCE")
        .await;
    // An ended session leads nowhere, whatever its access token says.
    let gateway = cluster.workload("gateway", "member-service");
    let exchange = json!({"project_id": project.id, "organization_id": globex.id,
        "source_organization_id": acme.id, "source_session_id": first});
    gateway.call("SessionService/ExchangeSession", exchange.clone()).await;
    ada.caller.call("AuthenticationService/SignOut", json!({})).await;
    gateway.refused("SessionService/ExchangeSession", exchange, Code::Unauthenticated, "CREDENTIAL_REVOKED").await;
}

/// From organization to organization: whoever had the first token had all that came of it.
#[tokio::test]
async fn what_came_of_a_session_ends_when_that_is_ended() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let mut organizations = Vec::new();
    for name in ["acme", "globex", "initech"] {
        organizations.push(project.organization(name).await);
    }
    let [acme, globex, initech] = &organizations[..] else { panic!() };
    let ada = acme.join("ada", &["member"]).await;
    for other in [globex, initech] {
        let create = json!({"organization_id": other.id, "member": {"email_address": ada.email}, "roles": ["member"]});
        project.account.call("MemberService/CreateMember", create).await;
    }
    let (refresh, who) = ("AuthenticationService/RefreshSession", "AuthenticationService/WhoAmI");
    let switch = async |from: &str, to: &Organization<'_>| {
        let there = cluster.bearer(from).call(SWITCH, json!({"organization_id": to.id})).await;
        (text(&there, "access_token"), text(&there, "refresh_token"))
    };
    let is_over = async |(access, token): &(String, String)| {
        let begun = std::time::Instant::now();
        while cluster.bearer(access).try_call(who, json!({})).await.is_ok() {
            assert!(
                begun.elapsed() < std::time::Duration::from_secs(3),
                "what came of an ended session is good for seconds"
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let refused = json!({"refresh_token": token});
        project.anyone().refused(refresh, refused, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    };

    // Signing out where one went to ends what came of that, and not what it came of.
    let second = switch(&ada.tokens.access, globex).await;
    let third = switch(&second.0, initech).await;
    cluster.bearer(&second.0).call("AuthenticationService/SignOut", json!({})).await;
    is_over(&second).await;
    is_over(&third).await;
    ada.caller.call(who, json!({})).await;

    // By whomever the first is ended: by its organization, or because one of its tokens was used twice.
    let second = switch(&ada.tokens.access, globex).await;
    let back = switch(&second.0, acme).await;
    let owner = &acme.owner().caller;
    let session = text(&ada.caller.call(who, json!({})).await, "session_id");
    let revoke = json!({"organization_id": acme.id, "session_id": session});
    owner.call("SessionService/RevokeSession", revoke).await;
    for gone in [&second, &back] {
        is_over(gone).await;
    }
    let ada = acme.again(&ada).await;
    let second = switch(&ada.tokens.access, globex).await;
    let traded = project.anyone().call(refresh, json!({"refresh_token": ada.tokens.refresh})).await;
    project.anyone().call(refresh, json!({"refresh_token": text(&traded, "refresh_token")})).await;
    let used = json!({"refresh_token": ada.tokens.refresh});
    project.anyone().refused(refresh, used, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED").await;
    is_over(&second).await;
}

#[tokio::test]
async fn isolated_pools_are_entered_by_name_only() {
    let cluster = Cluster::shared().await;
    let project = crate::isolated_pools::platform(cluster).await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let ada = acme.join("ada", &["member"]).await;
    let refused = project
        .anyone()
        .refused(
            SIGN_IN,
            json!({"email_address": ada.email, "password": ada.password}),
            Code::InvalidArgument,
            "INVALID_FIELDS",
        )
        .await;
    assert_eq!(refused.fields, ["organization_id"]);
    project.anyone().refused(START, json!({"email_address": ada.email}), Code::InvalidArgument, "INVALID_FIELDS").await;
    ada.caller.refused(SWITCH, json!({"organization_id": globex.id}), Code::NotFound, "NOT_FOUND").await;
    // To sign up is to name one that is not there yet: it is all that the proof is good for.
    let token = somebody(&project, &ada.email).await;
    assert!(choices(&project, &token, 50).await.is_empty());
    project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let own = json!({"intermediate_session_token": token, "organization": {"display_name": "Ada's"}});
    let signed_up = project.anyone().call(SIGN_UP, own).await;
    let (id, member) =
        (text(&signed_up, "member_session.organization_id"), text(&signed_up, "member_session.member_id"));
    let made =
        project.account.call("MemberService/GetMember", json!({"organization_id": id, "member_id": member})).await;
    let first =
        project.account.call("MemberService/GetMember", json!({"organization_id": acme.id, "member_id": ada.id})).await;
    assert_ne!(made["identity_id"], first["identity_id"], "two strangers with one address");
}
