//! Becoming a member just in time: by proving an address under a domain that the organization has verified.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::caller::{Organization, Project, text, unique};
use tokio::time::sleep;
use tonic::Code;

use crate::{
    domains::{about, becomes, claim, cluster, prove as publish},
    entering::{SELECT, SIGN_IN, START, choices, intermediate, prove, select, settings, somebody},
    name_server::NameServer,
};

/// An organization that has verified a domain and lets in who proves an address under it.
pub async fn with_domain<'c>(
    project: &Project<'c>,
    server: &NameServer,
    name: &str,
) -> (Organization<'c>, String, Value) {
    let organization = project.organization(name).await;
    let domain = unique(name) + ".test";
    let claimed = claim(&organization, &domain, "DOMAIN_PURPOSE_EMAIL").await;
    publish(server, &claimed);
    let verified = becomes(&organization, &claimed, "DOMAIN_STATE_VERIFIED").await;
    let let_in = json!({"email_jit_provisioning": "EMAIL_JIT_PROVISIONING_POLICY_RESTRICTED", "allowed_email_domains": [domain]});
    settings(&organization, let_in).await;
    (organization, domain, verified)
}

pub async fn member(organization: &Organization<'_>, email: &str) -> Option<Value> {
    let lookup = json!({"organization_id": organization.id, "email_address": email});
    organization.project.account.try_call("MemberService/LookupMember", lookup).await.ok()
}

/// The keys of the roles that a member holds, with where each comes from.
pub fn roles(member: &Value) -> Vec<(String, Vec<String>)> {
    let roles = member["roles"].as_array().cloned().unwrap_or_default();
    let sources = |role: &Value| {
        let sources = role["sources"].as_array().cloned().unwrap_or_default();
        sources.iter().map(|s| s.as_str().unwrap().trim_start_matches("ROLE_SOURCE_").to_owned()).collect()
    };
    roles.iter().map(|role| (text(role, "key"), sources(role))).collect()
}

fn held(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    expected.iter().map(|(key, from)| ((*key).to_owned(), from.iter().map(|f| (*f).to_owned()).collect())).collect()
}

/// No mail comes of it, however long one waits: the next that does come is to somebody else.
async fn unmailed(project: &Project<'_>, organization: &Organization<'_>, email: &str) {
    let start = |email: &str| json!({"email_address": email, "organization_slug": organization.slug});
    let before = project.cluster.delivered(email).len();
    project.anyone().call(START, start(email)).await;
    let owner = &organization.owner().email;
    let seen = project.cluster.delivered(owner).len();
    project.anyone().call(START, start(owner)).await;
    project.cluster.mails(owner, seen + 1).await;
    assert_eq!(project.cluster.delivered(email).len(), before, "{email}");
}

#[tokio::test]
async fn a_proven_address_under_a_verified_domain_is_let_in_with_the_roles_of_the_policy() {
    let (cluster, server) = cluster().await;
    let project = cluster.project().await;
    let (acme, domain, _) = with_domain(&project, server, "acme").await;
    let roles_of_policy = json!({"jit_role_ids": ["member", "gone"],
        "domain_role_ids": {domain.clone(): {"role_ids": ["admin", "member", "never-was"]}}});
    settings(&acme, roles_of_policy).await;

    // By the name of the organization. A role that is not there keeps nobody out.
    let ada = format!("ada@{domain}");
    let signed_in = prove(&project, &ada, json!({"organization_slug": acme.slug})).await.unwrap();
    assert_eq!(signed_in["member_session"]["roles"], json!(["admin", "member"]));
    let made = member(&acme, &ada).await.unwrap();
    assert_eq!(roles(&made), held(&[("admin", &["EMAIL_DOMAIN"]), ("member", &["JIT", "EMAIL_DOMAIN"])]));
    assert!(cluster.log().iter().any(|line| line.contains("a policy gives a role that is not there")));
    let events = json!({"organization_id": acme.id, "page_size": 500});
    let events = project.account.call("EventService/ListEvents", events).await.to_string();
    assert!(events.contains("member.created") && events.contains(&text(&made, "member_id")));
    // The second time she is one.
    let again = prove(&project, &ada, json!({"organization_slug": acme.slug})).await.unwrap();
    assert_eq!(text(&again, "member_session.member_id"), text(&made, "member_id"));

    // Having chosen it.
    let grace = format!("grace@{domain}");
    let token = intermediate(&prove(&project, &grace, json!({})).await.unwrap());
    assert_eq!(choices(&project, &token, 50).await, [("ORGANIZATION_ACCESS_JOINABLE".to_owned(), acme.id.clone())]);
    assert!(member(&acme, &grace).await.is_none(), "to look is not to join");
    project.anyone().call(SELECT, select(&acme, &token)).await;
    assert!(member(&acme, &grace).await.is_some());

    // Several times at once she is one member.
    let eve = format!("eve@{domain}");
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(somebody(&project, &eve).await);
    }
    let outcomes = futures::future::join_all(tokens.iter().map(|token| {
        let (anyone, request) = (project.anyone(), select(&acme, token));
        async move { anyone.insist(SELECT, request).await }
    }))
    .await;
    let ids: std::collections::BTreeSet<String> =
        outcomes.iter().map(|o| text(o.as_ref().unwrap(), "member_session.member_id")).collect();
    assert_eq!(ids.len(), 1, "{outcomes:?}");

    // A suspended member stays out; a removed one comes back as anybody, for the domain still vouches for them.
    let about = json!({"organization_id": acme.id, "member_id": ids.first().unwrap()});
    acme.owner().caller.call("MemberService/SuspendMember", about.clone()).await;
    unmailed(&project, &acme, &eve).await;
    project
        .anyone()
        .refused(SELECT, select(&acme, &somebody(&project, &eve).await), Code::Unauthenticated, "SIGN_IN_FAILED")
        .await;
    acme.owner().caller.call("MemberService/RemoveMember", about).await;
    project.anyone().call(SELECT, select(&acme, &somebody(&project, &eve).await)).await;

    // Seats are counted, and somebody else's address is none of it.
    let full = json!({"organization_id": acme.id, "organization": {"limits": {"max_members": {"value": 4}}}, "update_mask": "limits.maxMembers"});
    project.account.call("OrganizationService/UpdateOrganization", full).await;
    let late = format!("late@{domain}");
    let token = somebody(&project, &late).await;
    let refused =
        project.anyone().refused(SELECT, select(&acme, &token), Code::ResourceExhausted, "LIMIT_REACHED").await;
    assert!(refused.message.contains("4 of 4"), "{refused:?}");
    for stranger in [format!("x@sub.{domain}"), format!("x@not{domain}"), unique("x") + "@elsewhere.test"] {
        unmailed(&project, &acme, &stranger).await;
        let token = somebody(&project, &stranger).await;
        assert!(choices(&project, &token, 50).await.is_empty());
        project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    }
}

#[tokio::test]
async fn an_address_that_is_not_proven_opens_nothing_and_a_policy_that_is_shut_neither() {
    let (cluster, server) = cluster().await;
    let project = cluster.project().await;
    let (acme, domain, verified) = with_domain(&project, server, "acme").await;
    let globex = project.organization("globex").await;

    // Somebody was added elsewhere with an address at Acme, and a password that whoever added them knows.
    let ada = format!("ada@{domain}");
    let create = json!({"organization_id": globex.id, "member": {"email_address": ada}, "roles": ["member"]});
    let made = project.account.call("MemberService/CreateMember", create).await;
    let set =
        json!({"organization_id": globex.id, "member_id": made["member_id"], "password": "a horse of no battery"});
    project.account.call("CredentialService/SetPassword", set).await;
    let by_password = |to: Value| {
        let mut request = json!({"email_address": ada, "password": "a horse of no battery"});
        request.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
        request
    };
    let named = by_password(json!({"organization_slug": acme.slug}));
    project.anyone().refused(SIGN_IN, named.clone(), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let token = intermediate(&project.anyone().call(SIGN_IN, by_password(json!({}))).await);
    assert_eq!(choices(&project, &token, 50).await.len(), 1, "Globex alone");
    project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    let found = json!({"intermediate_session_token": token, "organization": {"display_name": "Mine"}});
    project.anyone().refused(crate::entering::SIGN_UP, found, Code::Unauthenticated, "SIGN_IN_FAILED").await;
    // Once she has proven it, the password will do.
    prove(&project, &ada, json!({"organization_slug": globex.slug})).await.unwrap();
    project.anyone().call(SIGN_IN, named).await;

    // The policy shuts; then the domain is gone.
    let bob = format!("bob@{domain}");
    settings(&acme, json!({"email_jit_provisioning": "EMAIL_JIT_PROVISIONING_POLICY_NOT_ALLOWED"})).await;
    unmailed(&project, &acme, &bob).await;
    settings(&acme, json!({"email_jit_provisioning": "EMAIL_JIT_PROVISIONING_POLICY_RESTRICTED"})).await;
    let token = somebody(&project, &bob).await;
    assert_eq!(choices(&project, &token, 50).await.len(), 1);
    acme.owner().caller.call("DomainService/DeleteDomain", about(&verified)).await;
    assert!(choices(&project, &token, 50).await.is_empty(), "asked at each use");
    project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
}

async fn become_so(organization: &Organization<'_>, email: &str, expected: &[(String, Vec<String>)]) {
    let begun = Instant::now();
    loop {
        let now = roles(&member(organization, email).await.unwrap());
        if now == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{now:?} and not {expected:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn roles_by_email_domain_are_held_while_the_domain_is_the_organizations() {
    let (cluster, server) = cluster().await;
    let project = cluster.project().await;
    let (acme, domain, verified) = with_domain(&project, server, "acme").await;
    // Ada is a member by hand, her address proven; Bob's is not.
    let (ada, bob) = (format!("ada@{domain}"), format!("bob@{domain}"));
    for email in [&ada, &bob] {
        let create = json!({"organization_id": acme.id, "member": {"email_address": email}, "roles": ["member"]});
        project.account.call("MemberService/CreateMember", create).await;
    }
    prove(&project, &ada, json!({"organization_slug": acme.slug})).await.unwrap();

    settings(&acme, json!({"domain_role_ids": {domain.clone(): {"role_ids": ["admin"]}}})).await;
    let without = held(&[("member", &["DIRECT"])]);
    let with = held(&[("admin", &["EMAIL_DOMAIN"]), ("member", &["DIRECT"])]);
    become_so(&acme, &ada, &with).await;
    become_so(&acme, &bob, &without).await;
    // Bob proves his, and has them with the session that begins.
    let signed_in = prove(&project, &bob, json!({"organization_slug": acme.slug})).await.unwrap();
    assert_eq!(signed_in["member_session"]["roles"], json!(["admin", "member"]));

    // The record stays away, or the claim is given up: what came by the domain goes with it, and nothing else.
    server.remove(&text(&verified, "challenge.record_name"));
    becomes(&acme, &verified, "DOMAIN_STATE_FAILED").await;
    become_so(&acme, &ada, &without).await;
    become_so(&acme, &bob, &without).await;
    publish(server, &verified);
    becomes(&acme, &verified, "DOMAIN_STATE_VERIFIED").await;
    become_so(&acme, &ada, &with).await;
    acme.owner().caller.call("DomainService/DeleteDomain", about(&verified)).await;
    become_so(&acme, &ada, &without).await;
    let chain = project.account.call("EventService/VerifyChain", json!({"organization_id": acme.id})).await;
    assert_eq!(chain["valid"], true, "{chain}");
}

#[tokio::test]
async fn an_organization_with_people_of_its_own_lets_in_by_its_domain_too() {
    let (cluster, server) = cluster().await;
    let project = crate::isolated_pools::platform(cluster).await;
    let (acme, domain, _) = with_domain(&project, server, "acme").await;
    let globex = project.organization("globex").await;
    let ada = format!("ada@{domain}");
    unmailed(&project, &globex, &ada).await;
    let signed_in = prove(&project, &ada, json!({"organization_slug": acme.slug})).await.unwrap();
    assert_eq!(signed_in["member_session"]["roles"], json!(["member"]));
    let made = member(&acme, &ada).await.unwrap();
    let identity = json!({"identity_id": made["identity_id"]});
    let identity = project.account.call("IdentityService/GetIdentity", identity).await;
    assert_eq!(text(&identity, "pool.organization_id"), acme.id);
    assert_eq!(identity["email_verified"], true);
}

/// A domain vouches for people where its record says so, and for as long: not where it was only claimed, not where another was first, and
/// not after the record is gone, whoever stands at the door by then.
#[tokio::test]
async fn a_claim_that_is_not_proven_comes_second_or_went_stale_opens_nothing() {
    let (cluster, server) = cluster().await;
    let project = cluster.project().await;
    let (acme, domain, verified) = with_domain(&project, server, "acme").await;
    let policy = json!({"email_jit_provisioning": "EMAIL_JIT_PROVISIONING_POLICY_RESTRICTED", "allowed_email_domains": [domain]});
    let (late, elsewhere) =
        (project.organization("late").await, cluster.project().await.organization("elsewhere").await);
    for organization in [&late, &elsewhere] {
        // Claimed, with the same policy, and not proven.
        let claimed = claim(organization, &domain, "DOMAIN_PURPOSE_EMAIL").await;
        settings(organization, policy.clone()).await;
        assert_eq!(text(&claimed, "state"), "DOMAIN_STATE_PENDING");
        let eve = format!("{}@{domain}", unique("eve"));
        let token = somebody(&organization.project, &eve).await;
        let choices = choices(&organization.project, &token, 50).await;
        assert!(choices.iter().all(|(_, id)| *id != organization.id), "{choices:?}");
        let entered = select(organization, &token);
        organization.project.anyone().refused(SELECT, entered, Code::Unauthenticated, "SIGN_IN_FAILED").await;
        assert!(member(organization, &eve).await.is_none());
    }
    // Proven beside another's, it stays the other's.
    let second = json!({"organization_id": late.id});
    let second = late.owner().caller.call("DomainService/ListDomains", second).await["domains"][0].clone();
    let (name, one, other) = (
        text(&verified, "challenge.record_name"),
        text(&verified, "challenge.record_value"),
        text(&second, "challenge.record_value"),
    );
    server.set(&name, &[&one, &other]);
    let look = late.owner().caller.try_call("DomainService/VerifyDomain", about(&second)).await;
    assert!(look.is_err() || text(&look.unwrap(), "state") != "DOMAIN_STATE_VERIFIED", "verified twice");
    let eve = format!("{}@{domain}", unique("eve"));
    let token = somebody(&project, &eve).await;
    project.anyone().refused(SELECT, select(&late, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    // Whoever stood at the door when the record went is not let in by what it said before.
    server.remove(&name);
    becomes(&acme, &verified, "DOMAIN_STATE_FAILED").await;
    project.anyone().refused(SELECT, select(&acme, &token), Code::Unauthenticated, "SIGN_IN_FAILED").await;
    assert!(choices(&project, &token, 50).await.is_empty());
    assert!(member(&acme, &eve).await.is_none());
}

/// As by another replica: what is known changes while members are looked at, everybody is looked at anew by what it is now, and only then
/// does the first come to its end, with what it knew.
#[tokio::test]
async fn members_are_looked_at_once_more_behind_whoever_still_did_so_by_what_was_known_before() {
    let cluster = testkit::Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let domain = acme.owner().email.split_once('@').unwrap().1.to_owned();
    let mut database = crate::tenant_walls::superuser(&cluster).await;
    let counted = "create table public.begun (n int);
         create function public.count_begun() returns trigger language plpgsql security definer
             as $$ begin insert into public.begun values (1); return null; end $$;
         create trigger begun after insert on member.domain_review for each row execute function public.count_begun()";
    sqlx::raw_sql(counted).execute(&mut database).await.unwrap();
    // It is taken, and stands still where it asks for the roles.
    cluster.stop("authz-service");
    let begin = "insert into member.domain_review (organization_id, project_id, domain)
         select organization_id, project_id, $2 from member.head where organization_id = $1::uuid";
    let organization = acme.id.parse::<tenancy::OrganizationId>().unwrap().uuid().to_string();
    sqlx::query(begin).bind(&organization).bind(&domain).execute(&mut database).await.unwrap();
    let taken = "select next_try_time > now() from member.domain_review where domain = $1";
    let begun = Instant::now();
    while !sqlx::query_scalar::<_, bool>(taken).bind(&domain).fetch_one(&mut database).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody takes it");
        sleep(Duration::from_millis(5)).await;
    }
    sqlx::query("delete from member.domain_review").execute(&mut database).await.unwrap();
    cluster.go_on("authz-service");
    let begun = Instant::now();
    let count = "select count(*) from public.begun";
    while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut database).await.unwrap() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "what it gave by what was known before stays");
        sleep(Duration::from_millis(20)).await;
    }
}
