//! Signing in at identity providers: an organization's own, by a real provider beside the cluster.

use std::{collections::BTreeMap, sync::OnceLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::{
    Cluster,
    caller::{Organization, Project, Refused, text, unique},
};
use tokio::sync::OnceCell;
use tonic::Code;

use crate::{
    entering::settings,
    identity_provider::{CALLBACK, IdentityProvider},
    joining::{member, roles, with_domain},
    name_server::NameServer,
};

pub const START: &str = "AuthenticationService/StartSsoSignIn";
pub const COMPLETE: &str = "AuthenticationService/CompleteSsoSignIn";

/// A cluster that asks this process's name server, and providers on this machine.
pub async fn cluster() -> (&'static Cluster, &'static NameServer) {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    static SERVER: OnceLock<(NameServer, std::net::SocketAddr)> = OnceLock::new();
    let (server, address) = SERVER.get_or_init(NameServer::start);
    let address = address.to_string();
    let told = [
        ("GUILDHALL_DNS_SERVERS", address.as_str()),
        ("GUILDHALL_DOMAIN_FIRST_LOOK", "1"),
        ("GUILDHALL_ALLOW_PRIVATE_ISSUERS", "true"),
    ];
    (CLUSTER.get_or_init(|| Cluster::start_with(&told)).await, server)
}

/// A project that lets providers send browsers back to its page.
pub async fn project(cluster: &'static Cluster) -> Project<'static> {
    let project = cluster.project().await;
    allow(cluster, &project.id).await;
    project
}

pub async fn allow(cluster: &Cluster, project: &str) {
    let request =
        json!({"project_id": project, "project": {"redirect_uris": [CALLBACK]}, "update_mask": "redirectUris"});
    cluster.operator().await.call("ProjectService/UpdateProject", request).await;
}

/// The organization believes a provider from now on.
pub async fn connect(organization: &Organization<'_>, idp: &IdentityProvider, client: &str, more: Value) -> Value {
    let mut connection = idp.connection(client);
    connection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = json!({"organization_id": organization.id, "connection": connection});
    organization.owner().caller.call("ConnectionService/CreateConnection", request).await
}

/// A sign-in under way.
pub struct Begun {
    pub uri: String,
    pub state: String,
    pub verifier: String,
}

pub fn start_request(at: Value, verifier: &str) -> Value {
    let challenge = URL_SAFE_NO_PAD.encode(tenancy::event::sha256(verifier.as_bytes()));
    let mut request = json!({"redirect_uri": CALLBACK, "code_challenge": challenge});
    request.as_object_mut().unwrap().extend(at.as_object().unwrap().clone());
    request
}

pub async fn begin(project: &Project<'_>, at: Value) -> Begun {
    let verifier = unique("verifier") + "-0123456789012345678901234567890123456789";
    let started = project.anyone().call(START, start_request(at, &verifier)).await;
    Begun { uri: text(&started, "authorization_uri"), state: text(&started, "state"), verifier }
}

pub fn completion(begun: &Begun, back: &BTreeMap<String, String>) -> Value {
    let code = back.get("code").unwrap_or_else(|| panic!("no code came back: {back:?}"));
    json!({"state": back["state"], "code": code, "code_verifier": begun.verifier, "issuer": back.get("iss")})
}

/// The whole way, as whoever types in this login.
pub async fn sign_in(project: &Project<'_>, idp: &IdentityProvider, at: Value, login: &str) -> Result<Value, Refused> {
    let begun = begin(project, at).await;
    let back = idp.sign_in(&begun.uri, login).await;
    assert_eq!(back["state"], begun.state);
    project.anyone().try_call(COMPLETE, completion(&begun, &back)).await
}

/// Refused, because the provider may not sign in somebody (yet).
#[track_caller]
pub fn why(refused: Result<Value, Refused>) -> String {
    let refused = refused.expect_err("somebody was signed in");
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "PROVIDER_ACCOUNT_REFUSED"),
        "{refused:?}"
    );
    refused.said("why")
}

#[track_caller]
pub fn failed(refused: Result<Value, Refused>, what: &str) {
    let refused = refused.expect_err(what);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Unauthenticated, "SIGN_IN_FAILED"),
        "{what}: {refused:?}"
    );
}

pub fn at(organization: &Organization<'_>) -> Value {
    json!({"organization_slug": organization.slug})
}

pub async fn add(organization: &Organization<'_>, email: &str) -> Value {
    let create = json!({"organization_id": organization.id, "member": {"email_address": email}, "roles": ["member"]});
    organization.project.account.call("MemberService/CreateMember", create).await
}

pub fn held(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    expected.iter().map(|(key, from)| ((*key).to_owned(), from.iter().map(|f| (*f).to_owned()).collect())).collect()
}

#[tokio::test]
async fn a_provider_signs_in_its_members_and_lets_in_new_people_with_the_roles_of_their_groups() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (cluster, server) = cluster().await;
    let project = project(cluster).await;
    let (acme, domain, _) = with_domain(&project, server, "acme").await;
    let groups = json!({"group_role_ids": {"engineers": {"role_ids": ["admin"]}},
        "attribute_mapping": {"external_id": "employee"}});
    connect(&acme, &idp, "acme", groups).await;

    // A member is found by their address once, for it is verified and its domain is Acme's.
    let ada = add(&acme, &format!("ada@{domain}")).await;
    let claims = |name: &str, more: Value| {
        let mut claims = json!({"email": format!("{name}@{domain}"), "email_verified": true, "name": name});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    idp.account("a-1", claims("ada", json!({"groups": ["engineers", "others"]}))).await;
    let signed_in = sign_in(&project, &idp, at(&acme), "a-1").await.unwrap();
    assert_eq!(text(&signed_in, "member_session.member_id"), text(&ada, "member_id"));
    assert_eq!(signed_in["member_session"]["roles"], json!(["admin", "member"]));
    let now = member(&acme, &format!("ada@{domain}")).await.unwrap();
    assert_eq!(roles(&now), held(&[("admin", &["CONNECTION_GROUP"]), ("member", &["DIRECT"])]));
    let listed = json!({"organization_id": acme.id, "member_id": ada["member_id"]});
    let sessions = acme.owner().caller.call("SessionService/ListSessions", listed).await;
    assert_eq!(text(&sessions, "sessions.0.auth_factors.0.method"), "AUTH_FACTOR_METHOD_OIDC");
    let whoami =
        cluster.bearer(&text(&signed_in, "access_token")).call("AuthenticationService/WhoAmI", json!({})).await;
    assert_eq!(text(&whoami, "organization_id"), acme.id);

    // Then by who she is there, whatever her address; and roles go with the group.
    idp.account("a-1", json!({"email": "somebody@else.test", "email_verified": false, "groups": []})).await;
    let again = sign_in(&project, &idp, at(&acme), "a-1").await.unwrap();
    assert_eq!(text(&again, "member_session.member_id"), text(&ada, "member_id"));
    assert_eq!(again["member_session"]["roles"], json!(["member"]));

    // Nobody new, until the organization says so.
    idp.account("b-2", claims("bob", json!({"groups": ["engineers"], "employee": "E-2"}))).await;
    assert_eq!(why(sign_in(&project, &idp, at(&acme), "b-2").await), "PROVISIONING_NOT_ALLOWED");
    assert!(member(&acme, &format!("bob@{domain}")).await.is_none());
    // But whoever is invited.
    acme.invite(&format!("grace@{domain}"), &["member"]).await;
    idp.account("g-3", claims("grace", json!({}))).await;
    sign_in(&project, &idp, at(&acme), "g-3").await.unwrap();
    let grace = member(&acme, &format!("grace@{domain}")).await.unwrap();
    assert_eq!(roles(&grace), held(&[("member", &["INVITATION"])]));

    settings(&acme, json!({"sso_jit_provisioning": "SSO_JIT_PROVISIONING_POLICY_RESTRICTED"})).await;
    let bob = sign_in(&project, &idp, at(&acme), "b-2").await.unwrap();
    let now = member(&acme, &format!("bob@{domain}")).await.unwrap();
    assert_eq!(roles(&now), held(&[("admin", &["CONNECTION_GROUP"]), ("member", &["JIT"])]));
    assert_eq!((text(&now, "external_id"), text(&now, "display_name")), ("E-2".to_owned(), "bob".to_owned()));
    assert_eq!(now["email_verified"], true, "Acme has proven the domain");
    idp.account("s-4", json!({"email": "sam@elsewhere.test", "email_verified": true})).await;
    assert_eq!(why(sign_in(&project, &idp, at(&acme), "s-4").await), "DOMAIN_NOT_ALLOWED");
    settings(&acme, json!({"sso_jit_provisioning": "SSO_JIT_PROVISIONING_POLICY_ALL_ALLOWED"})).await;
    sign_in(&project, &idp, at(&acme), "s-4").await.unwrap();
    let sam = member(&acme, "sam@elsewhere.test").await.unwrap();
    assert_ne!(sam["email_verified"], true, "by a provider that need not be right about it");
    idp.account("n-5", json!({"name": "nobody"})).await;
    assert_eq!(why(sign_in(&project, &idp, at(&acme), "n-5").await), "EMAIL_MISSING");

    // A suspended member stays out, a full organization takes nobody, and the policy is met before anybody becomes a member.
    let about = json!({"organization_id": acme.id, "member_id": bob["member_session"]["member_id"]});
    acme.owner().caller.call("MemberService/SuspendMember", about).await;
    failed(sign_in(&project, &idp, at(&acme), "b-2").await, "a suspended member");
    idp.account("l-6", claims("late", json!({}))).await;
    let full = |seats: i32| json!({"organization_id": acme.id, "organization": {"limits": {"max_members": {"value": seats}}}, "update_mask": "limits.maxMembers"});
    project.account.call("OrganizationService/UpdateOrganization", full(5)).await;
    assert_eq!(sign_in(&project, &idp, at(&acme), "l-6").await.unwrap_err().reason, "LIMIT_REACHED");
    project.account.call("OrganizationService/UpdateOrganization", full(50)).await;
    let by_code =
        json!({"auth_methods": "AUTH_METHODS_POLICY_RESTRICTED", "allowed_auth_methods": ["AUTH_METHOD_EMAIL_CODE"]});
    settings(&acme, by_code).await;
    assert_eq!(sign_in(&project, &idp, at(&acme), "l-6").await.unwrap_err().reason, "METHOD_NOT_ALLOWED");
    assert!(member(&acme, &format!("late@{domain}")).await.is_none());
    settings(&acme, json!({"allowed_auth_methods": ["AUTH_METHOD_SSO"]})).await;
    sign_in(&project, &idp, at(&acme), "l-6").await.unwrap();

    let events = json!({"organization_id": acme.id, "page_size": 500});
    let events = project.account.call("EventService/ListEvents", events).await.to_string();
    assert!(events.contains("provider_account.created") && events.contains(&text(&ada, "identity_id")));
    assert!(!events.contains("the secret of acme"));
    let chain = project.account.call("EventService/VerifyChain", json!({"organization_id": acme.id})).await;
    assert_eq!(chain["valid"], true, "{chain}");
}

/// An organization with a provider, where somebody has signed in: what is refused afterwards is not refused for another reason.
pub async fn ready(idp: &IdentityProvider, name: &str) -> (Project<'static>, Organization<'static>, String, Value) {
    let (cluster, server) = cluster().await;
    let project = project(cluster).await;
    let (organization, domain, _) = with_domain(&project, server, name).await;
    let connection = connect(&organization, idp, "acme", json!({})).await;
    add(&organization, &format!("ada@{domain}")).await;
    let claims = json!({"email": format!("ada@{domain}"), "email_verified": true});
    idp.account("ada", claims).await;
    sign_in(&project, idp, at(&organization), "ada").await.unwrap();
    (project, organization, domain, connection)
}

#[tokio::test]
async fn what_came_back_is_good_once_and_for_whoever_was_sent() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (project, acme, ..) = ready(&idp, "acme").await;
    let anyone = project.anyone();

    // Once, of ten at once too.
    let begun = begin(&project, at(&acme)).await;
    let request = completion(&begun, &idp.sign_in(&begun.uri, "ada").await);
    let all = futures::future::join_all((0..10).map(|_| anyone.insist(COMPLETE, request.clone()))).await;
    assert_eq!(all.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{all:?}");
    failed(anyone.try_call(COMPLETE, request).await, "a second time");

    // A stranger's state and code are worth nothing in another browser, and nothing afterwards.
    let begun = begin(&project, at(&acme)).await;
    let good = completion(&begun, &idp.sign_in(&begun.uri, "ada").await);
    let mut other = good.clone();
    other["code_verifier"] = json!("another-verifier-0123456789012345678901234567890");
    // In another project there is no such sign-in.
    let elsewhere = project.cluster.project().await;
    failed(elsewhere.anyone().try_call(COMPLETE, good.clone()).await, "another project");
    failed(anyone.try_call(COMPLETE, other).await, "another verifier");
    failed(anyone.try_call(COMPLETE, good).await, "after another verifier");

    // Somebody else's code, somebody else's issuer, another nonce.
    let (mine, theirs) = (begin(&project, at(&acme)).await, begin(&project, at(&acme)).await);
    let mut mixed = completion(&mine, &idp.sign_in(&mine.uri, "ada").await);
    mixed["code"] = json!(idp.sign_in(&theirs.uri, "ada").await["code"]);
    failed(anyone.try_call(COMPLETE, mixed).await, "the code of another sign-in");
    let begun = begin(&project, at(&acme)).await;
    let mut mixed = completion(&begun, &idp.sign_in(&begun.uri, "ada").await);
    mixed["issuer"] = json!("https://idp.evil.test");
    failed(anyone.try_call(COMPLETE, mixed).await, "another issuer");
    let begun = begin(&project, at(&acme)).await;
    let (before, rest) = begun.uri.split_once("nonce=").unwrap();
    let rest = rest.split_once('&').map_or("", |(_, rest)| rest);
    let bent = format!("{before}nonce=another&{rest}");
    failed(anyone.try_call(COMPLETE, completion(&begun, &idp.sign_in(&bent, "ada").await)).await, "another nonce");

    // Ten minutes, and no more.
    let begun = begin(&project, at(&acme)).await;
    let late = completion(&begun, &idp.sign_in(&begun.uri, "ada").await);
    let mut database = PgConnection::connect(&project.cluster.access().database_url).await.unwrap();
    let id = tenancy::secret::parse(tenancy::secret::SecretKind::SsoState, &begun.state).unwrap().id;
    let aged = sqlx::query("update member.sso_sign_in set expire_time = now() where sso_sign_in_id = $1").bind(id);
    assert_eq!(aged.execute(&mut database).await.unwrap().rows_affected(), 1);
    failed(anyone.try_call(COMPLETE, late).await, "too late");
    let kept = "select count(*) from member.sso_sign_in where position('the secret' in encode(secrets, 'escape')) > 0";
    assert_eq!(sqlx::query_scalar::<_, i64>(kept).fetch_one(&mut database).await.unwrap(), 0);

    // What is wrong from the beginning is told.
    let request = |more: Value| {
        let mut request = start_request(at(&acme), "x");
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    for uri in ["https://app.example.test/callback/", "https://app.example.test/callback?x", "https://evil.test/", ""] {
        let refused =
            anyone.refused(START, request(json!({"redirect_uri": uri})), Code::InvalidArgument, "INVALID_FIELDS").await;
        assert_eq!(refused.fields, ["redirect_uri"]);
    }
    let bad = json!({"code_challenge": "short", "redirect_uri": ""});
    let refused = anyone.refused(START, request(bad), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields.len(), 2);
    let nowhere = start_request(json!({"organization_slug": unique("nowhere")}), "x");
    anyone.refused(START, nowhere, Code::NotFound, "NOT_FOUND").await;
    let nothing = start_request(json!({"connection_id": tenancy::ConnectionId::new().to_string()}), "x");
    anyone.refused(START, nothing, Code::NotFound, "NOT_FOUND").await;
    let saml = json!({"state": begun.state, "saml_response": "PHNhbWw+", "code_verifier": begun.verifier});
    anyone.refused(COMPLETE, saml, Code::FailedPrecondition, "PROTOCOL_NOT_SERVED").await;
    for bad in [begun.state.clone() + "A", "gho_nonsense".to_owned(), "x".to_owned()] {
        let request = json!({"state": bad, "code": "x", "code_verifier": begun.verifier});
        failed(anyone.try_call(COMPLETE, request).await, &bad);
    }
}

#[tokio::test]
async fn an_id_token_is_believed_to_the_letter_of_the_standard() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (project, acme, ..) = ready(&idp, "acme").await;
    let now =
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let bad = [
        ("another client's", json!({"claims": {"aud": "globex"}})),
        ("for two clients", json!({"claims": {"aud": ["acme", "globex"]}})),
        ("another party's", json!({"claims": {"azp": "globex"}})),
        ("another issuer's", json!({"claims": {"iss": "https://idp.evil.test"}})),
        ("expired", json!({"claims": {"exp": now - 1}})),
        ("old", json!({"claims": {"iat": now - 3600}})),
        ("of tomorrow", json!({"claims": {"iat": now + 3600, "exp": now + 7200}})),
        ("another sign-in's", json!({"claims": {"nonce": "another"}})),
        ("of no sign-in", json!({"claims": {"nonce": null}})),
        ("of nobody", json!({"claims": {"sub": null}})),
        ("unsigned", json!({"alg": "none"})),
        ("signed with our secret", json!({"alg": "HS256", "secret": "the secret of acme"})),
        ("signed by somebody else", json!({"foreign": true})),
        ("not with this access token", json!({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}})),
        ("another person's than the userinfo", json!({"claims": {"sub": "somebody else"}})),
    ];
    for (what, how) in bad {
        let begun = begin(&project, at(&acme)).await;
        let back = idp.sign_in(&begun.uri, "ada").await;
        idp.next_token(how).await;
        failed(project.anyone().try_call(COMPLETE, completion(&begun, &back)).await, what);
    }
    // As it is, and signed again as it was.
    for how in [json!(null), json!({"claims": {"azp": "acme"}})] {
        let begun = begin(&project, at(&acme)).await;
        let back = idp.sign_in(&begun.uri, "ada").await;
        idp.next_token(how.clone()).await;
        let signed_in = project.anyone().try_call(COMPLETE, completion(&begun, &back)).await;
        assert!(signed_in.is_ok(), "{how}: {signed_in:?}");
    }
}

#[tokio::test]
async fn a_tenants_provider_gains_nothing_in_another_tenant() {
    let Some(idp) = IdentityProvider::start() else { return };
    let (project, acme, domain, _) = ready(&idp, "acme").await;
    let (_, server) = cluster().await;
    let (evil, own, _) = with_domain(&project, server, "evil").await;
    let theirs = connect(&evil, &idp, "globex", json!({})).await;
    settings(&evil, json!({"sso_jit_provisioning": "SSO_JIT_PROVISIONING_POLICY_ALL_ALLOWED"})).await;
    let by_theirs = json!({"connection_id": theirs["connection_id"]});

    // It says to be Acme's Ada, in every spelling.
    for email in [format!("ada@{domain}"), format!("ADA@{}", domain.to_uppercase())] {
        idp.account("mallory", json!({"email": email, "email_verified": true})).await;
        assert_eq!(why(sign_in(&project, &idp, by_theirs.clone(), "mallory").await), "ADDRESS_IN_USE");
    }
    assert!(member(&evil, &format!("ada@{domain}")).await.is_none());
    // Subjects are a provider's own: the same one by another connection is somebody else.
    idp.account("ada", json!({"email": format!("eve@{own}"), "email_verified": true})).await;
    let eve = sign_in(&project, &idp, by_theirs.clone(), "ada").await.unwrap();
    assert_eq!(text(&eve, "member_session.organization_id"), evil.id);
    let ada = member(&acme, &format!("ada@{domain}")).await.unwrap();
    let made = member(&evil, &format!("eve@{own}")).await.unwrap();
    assert_ne!(text(&made, "identity_id"), text(&ada, "identity_id"));

    // Whoever nobody knows yet, at Acme's domain, is somebody at Evil alone, and their address is not proven by it.
    acme.invite(&format!("new@{domain}"), &["admin"]).await;
    idp.account("squatter", json!({"email": format!("new@{domain}"), "email_verified": true})).await;
    let squatter = sign_in(&project, &idp, by_theirs.clone(), "squatter").await.unwrap();
    assert_eq!(text(&squatter, "member_session.organization_id"), evil.id);
    assert_ne!(member(&evil, &format!("new@{domain}")).await.unwrap()["email_verified"], true);
    assert!(member(&acme, &format!("new@{domain}")).await.is_none());
    let switch = json!({"organization_id": acme.id});
    let session = project.cluster.bearer(&text(&squatter, "access_token"));
    let switched = session.try_call("AuthenticationService/SwitchOrganization", switch.clone()).await;
    assert!(switched.is_err(), "{switched:?}");

    // Somebody who is a member of both: at Evil by its provider, and not a step further.
    let pat = format!("pat@{own}");
    add(&evil, &pat).await;
    add(&acme, &pat).await;
    idp.account("pat", json!({"email": pat, "email_verified": true})).await;
    let signed_in = sign_in(&project, &idp, by_theirs.clone(), "pat").await.unwrap();
    assert_eq!(text(&signed_in, "member_session.organization_id"), evil.id);
    let session = project.cluster.bearer(&text(&signed_in, "access_token"));
    session
        .refused("AuthenticationService/SwitchOrganization", switch, Code::FailedPrecondition, "METHOD_NOT_ALLOWED")
        .await;
    // Nor may Acme's provider stand for its own member with Evil's domain, or with an address that it has not verified.
    idp.account("p-2", json!({"email": pat, "email_verified": true})).await;
    assert_eq!(why(sign_in(&project, &idp, at(&acme), "p-2").await), "DOMAIN_NOT_VERIFIED");
    let bea = add(&acme, &format!("bea@{domain}")).await;
    idp.account("b-2", json!({"email": text(&bea, "email_address"), "email_verified": false})).await;
    assert_eq!(why(sign_in(&project, &idp, at(&acme), "b-2").await), "EMAIL_NOT_VERIFIED");
    idp.account("b-2", json!({"email": text(&bea, "email_address"), "email_verified": "yes"})).await;
    assert!(sign_in(&project, &idp, at(&acme), "b-2").await.is_err());

    // Who may change the organization's connections is not for that its owner.
    let admin = acme.join("admin", &["admin"]).await.caller;
    let request = json!({"organization_id": acme.id, "connection": idp.connection("globex")});
    let create = "ConnectionService/CreateConnection";
    admin.refused(create, request, Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    let mut inactive = idp.connection("globex");
    inactive["state"] = json!("CONNECTION_STATE_INACTIVE");
    let made = admin.call(create, json!({"organization_id": acme.id, "connection": inactive})).await;
    let activate = json!({"organization_id": acme.id, "connection_id": made["connection_id"],
        "connection": {"state": "CONNECTION_STATE_ACTIVE"}, "update_mask": "state"});
    let update = "ConnectionService/UpdateConnection";
    admin.refused(update, activate.clone(), Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    let by_it = json!({"connection_id": made["connection_id"]});
    project.anyone().refused(START, start_request(by_it, "x"), Code::NotFound, "NOT_FOUND").await;
    // With two, the organization alone does not say which.
    acme.owner().caller.call(update, activate).await;
    let refused =
        project.anyone().refused(START, start_request(at(&acme), "x"), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["connection_id"]);
}
