//! Three ways to build on Guildhall, as one would use Clerk: for consumers, each with an organization of their own; for businesses
//! whose people share one pool; and as a platform, whose customers' people are strangers to each other.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Project, text, unique},
};
use tonic::Code;

use crate::{
    domains::{BASE, becomes, claim, cluster as with_name_server, prove},
    isolated_pools::{person, platform},
};

const CREATE: &str = "OrganizationService/CreateOrganization";
const LOOKUP: &str = "OrganizationService/LookupOrganization";
const SIGN_IN: &str = "AuthenticationService/SignInWithPassword";
const UPDATE: &str = "OrganizationService/UpdateOrganization";

async fn update(organization: &Organization<'_>, fields: Value, mask: &str) -> Value {
    let request = json!({"organization_id": organization.id, "organization": fields, "update_mask": mask});
    organization.project.account.call(UPDATE, request).await
}

/// A consumer who has signed up: an organization for this person alone, by the product's own id of them.
async fn consumer(project: &Project<'_>, name: &str) -> (Value, Value, String) {
    let email = unique(name) + "@home.test";
    let organization = json!({"organization": {"display_name": name, "kind": "ORGANIZATION_KIND_PERSONAL",
        "external_id": format!("user-{email}")}});
    let made = project.account.call(CREATE, organization).await;
    let member = json!({"organization_id": made["organization_id"], "roles": ["owner"],
        "member": {"email_address": email, "untrusted_metadata": {"theme": name}}});
    let member = project.account.call("MemberService/CreateMember", member).await;
    let set = json!({"organization_id": made["organization_id"], "member_id": member["member_id"],
        "password": format!("{name} has a long password")});
    project.account.call("CredentialService/SetPassword", set).await;
    let sign_in = json!({"email_address": email, "password": format!("{name} has a long password"),
        "organization_id": made["organization_id"]});
    let signed = project.anyone().call(SIGN_IN, sign_in).await;
    (made, member, text(&signed, "access_token"))
}

#[tokio::test]
async fn consumers_have_an_organization_each_and_see_nobody_else() {
    let cluster = Cluster::shared().await;
    let app = cluster.project().await;
    let (ada, grace) = (consumer(&app, "ada").await, consumer(&app, "grace").await);
    for ((own, member, token), (others, stranger, _)) in [(&ada, &grace), (&grace, &ada)] {
        let caller = cluster.bearer(token);
        let mine = json!({"organization_id": own["organization_id"]});
        let members = caller.call("MemberService/ListMembers", mine.clone()).await;
        assert_eq!(members["members"].as_array().unwrap().len(), 1);
        assert_eq!(members["members"][0]["untrusted_metadata"], member["untrusted_metadata"]);
        let theirs = json!({"organization_id": others["organization_id"]});
        caller.refused("MemberService/ListMembers", theirs, Code::NotFound, "NOT_FOUND").await;
        let smuggled = json!({"organization_id": own["organization_id"], "member_id": stranger["member_id"]});
        caller.refused("MemberService/GetMember", smuggled, Code::NotFound, "NOT_FOUND").await;
        // The product finds them by its own id.
        let found = app.account.call(LOOKUP, json!({"external_id": own["external_id"]})).await;
        assert_eq!(found["organization_id"], own["organization_id"]);
    }
    let personal = json!({"kind": "ORGANIZATION_KIND_PERSONAL"});
    let listed = app.account.call("OrganizationService/ListOrganizations", personal).await;
    assert_eq!(listed["organizations"].as_array().unwrap().len(), 2);

    // Ada takes Grace in: hers becomes a team, and Grace keeps her own.
    let (home, _, token) = &ada;
    let invite = json!({"organization_id": home["organization_id"], "roles": ["member"],
        "invitation": {"email_address": grace.1["email_address"]}});
    cluster.bearer(token).call("InvitationService/CreateInvitation", invite).await;
    let secret = cluster.mailbox(&text(&grace.1, "email_address")).await[0].token();
    let joined = app.anyone().call("InvitationService/AcceptInvitation", json!({"token": secret})).await;
    assert_eq!(text(&joined, "member.identity_id"), text(&grace.1, "identity_id"));
    let about = json!({"organization_id": home["organization_id"]});
    let team = app.account.call("OrganizationService/GetOrganization", about).await;
    assert_eq!(text(&team, "kind"), "ORGANIZATION_KIND_TEAM");
    let both = json!({"identity_id": grace.1["identity_id"]});
    let memberships = app.account.call("IdentityService/ListMemberships", both).await;
    assert_eq!(memberships["members"].as_array().unwrap().len(), 2);
    let about = json!({"organization_id": grace.0["organization_id"]});
    let own = app.account.call("OrganizationService/GetOrganization", about).await;
    assert_eq!(text(&own, "kind"), "ORGANIZATION_KIND_PERSONAL");
}

#[tokio::test]
async fn businesses_share_a_pool_so_one_password_serves_a_person_everywhere() {
    let cluster = Cluster::shared().await;
    let app = cluster.project().await;
    let (acme, globex) = (app.organization("acme").await, app.organization("globex").await);
    let ada = acme.join("ada", &["admin"]).await;
    let secret = globex.invite(&ada.email, &["member"]).await;
    let joined = app.anyone().call("InvitationService/AcceptInvitation", json!({"token": secret})).await;
    // She was known already: nothing is to be set up, and she comes in by what she has.
    globex.sign_in(&ada.email, &ada.password).await.unwrap();
    let about = json!({"organization_id": acme.id, "member_id": ada.id});
    let there = app.account.call("MemberService/GetMember", about).await;
    assert_eq!(text(&there, "identity_id"), text(&joined, "member.identity_id"));
    // A new password is new in both.
    let set = json!({"organization_id": globex.id, "member_id": joined["member"]["member_id"],
        "password": "one word for all of it"});
    app.account.call("CredentialService/SetPassword", set).await;
    for organization in [&acme, &globex] {
        organization.sign_in(&ada.email, "one word for all of it").await.unwrap();
        assert_eq!(organization.sign_in(&ada.email, &ada.password).await.unwrap_err().reason, "SIGN_IN_FAILED");
    }
}

#[tokio::test]
async fn a_platforms_customers_have_people_who_are_strangers_to_each_other() {
    let cluster = Cluster::shared().await;
    let platform = platform(cluster).await;
    let (acme, globex) = (platform.organization("acme").await, platform.organization("globex").await);
    let email = unique("ada") + "@people.test";
    let (here, there) = ("the word for acme", "the word for globex");
    let (ours, one) = person(&acme, &email, here).await;
    let (theirs, other) = person(&globex, &email, there).await;
    let mut sessions = Vec::new();
    for (organization, right, wrong) in [(&acme, here, there), (&globex, there, here)] {
        sessions.push(organization.sign_in(&email, right).await.unwrap());
        assert_eq!(organization.sign_in(&email, wrong).await.unwrap_err().reason, "SIGN_IN_FAILED");
    }
    // Whatever one customer, or its Ada, can read says nothing of the other's.
    let of_others = [text(&theirs, "member_id"), other.clone(), globex.id.clone(), globex.slug.clone()];
    let ada = cluster.bearer(&sessions[0].access);
    for (method, request) in [
        ("AuthenticationService/WhoAmI", json!({})),
        ("MemberService/GetMember", json!({"organization_id": acme.id, "member_id": ours["member_id"]})),
    ] {
        let answer = ada.call(method, request).await.to_string();
        assert!(of_others.iter().all(|id| !answer.contains(id)), "{method}: {answer}");
    }
    let owner = &acme.owner().caller;
    for method in ["MemberService/ListMembers", "SessionService/ListSessions", "EventService/ListEvents"] {
        let answer = owner.call(method, json!({"organization_id": acme.id, "page_size": 500})).await.to_string();
        assert!(of_others.iter().all(|id| !answer.contains(id)), "{method}: {answer}");
    }
    // Nor does it show that somebody of that address is known elsewhere: for one who is, and one who is not, the same.
    let known = unique("known") + "@people.test";
    person(&globex, &known, there).await;
    let mut answers = Vec::new();
    for address in [known, unique("unknown") + "@people.test"] {
        let member = json!({"organization_id": acme.id, "member": {"email_address": address}});
        let mut made = platform.account.call("MemberService/CreateMember", member).await;
        assert_eq!(made["email_verified"], false);
        for own in ["member_id", "identity_id", "email_address", "etag", "create_time", "update_time"] {
            made[own] = Value::Null;
        }
        answers.push(made);
    }
    assert_eq!(answers[0], answers[1]);
    let of_one = platform.account.call("IdentityService/ListMemberships", json!({"identity_id": one})).await;
    assert_eq!(of_one["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn each_customer_of_a_platform_shows_its_own_face_and_sets_its_own_rules() {
    let cluster = Cluster::shared().await;
    let platform = platform(cluster).await;
    let (acme, globex) = (platform.organization("acme").await, platform.organization("globex").await);
    let face = |name: &str, color: &str| {
        json!({"display_name": name, "branding": {"primary_color": color,
            "logo_uri": format!("https://{name}.test/logo.png"), "sender_name": format!("{name} people")}})
    };
    update(&acme, face("acme", "#aa0000"), "displayName,branding").await;
    update(&globex, face("globex", "#0000bb"), "displayName,branding").await;
    let (email, mut seen) = (unique("ada") + "@people.test", 0);
    for (organization, own, foreign) in [
        (&acme, ["acme.test", "#aa0000"], ["globex", "#0000bb"]),
        (&globex, ["globex.test", "#0000bb"], ["acme", "#aa0000"]),
    ] {
        organization.invite(&email, &["member"]).await;
        seen += 1;
        let mails = cluster.mails(&email, seen).await;
        let (slug, mail) = (&organization.slug, mails.last().unwrap());
        assert!(own.iter().all(|own| mail.html.contains(own)), "{slug}: {}", mail.html);
        let all = format!("{} {} {}", mail.subject, mail.text, mail.html);
        assert!(foreign.iter().all(|foreign| !all.contains(foreign)), "{slug}: {all}");
    }

    // How one signs in is each customer's own.
    let strict = json!({"settings": {"auth_methods": "AUTH_METHODS_POLICY_RESTRICTED",
        "allowed_auth_methods": ["AUTH_METHOD_EMAIL_CODE"], "mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL",
        "session_lifetime": "3600s"}});
    let mask = "settings.authMethods,settings.allowedAuthMethods,settings.mfaPolicy,settings.sessionLifetime";
    update(&acme, strict, mask).await;
    let effective = async |organization: &Organization<'_>| {
        let about = json!({"organization_id": organization.id});
        organization.owner().caller.call("OrganizationService/GetEffectiveSettings", about).await["settings"].clone()
    };
    let (ours, theirs) = (effective(&acme).await, effective(&globex).await);
    assert_eq!(ours["allowed_auth_methods"], json!(["AUTH_METHOD_EMAIL_CODE"]));
    assert_eq!(
        (text(&ours, "auth_methods"), text(&ours, "mfa_policy"), text(&ours, "session_lifetime")),
        ("AUTH_METHODS_POLICY_RESTRICTED".into(), "MFA_POLICY_REQUIRED_FOR_ALL".into(), "3600s".into())
    );
    assert_eq!(
        (text(&theirs, "auth_methods"), text(&theirs, "mfa_policy")),
        ("AUTH_METHODS_POLICY_ALL_ALLOWED".into(), "MFA_POLICY_OPTIONAL".into())
    );
}

#[tokio::test]
async fn a_plan_says_how_many_people_a_customer_may_have() {
    let cluster = Cluster::shared().await;
    let platform = platform(cluster).await;
    let plans = json!({"project_id": platform.id, "update_mask": "limits.plans",
        "project": {"limits": {"plans": {"free": {"max_members": 2}, "pro": {"max_members": 3}}}}});
    cluster.operator().await.call("ProjectService/UpdateProject", plans).await;
    let (acme, globex) = (platform.organization("acme").await, platform.organization("globex").await);
    update(&acme, json!({"plan": "free"}), "plan").await;
    let hire = async |organization: &Organization<'_>| {
        let member = json!({"organization_id": organization.id,
            "member": {"email_address": unique("new") + "@people.test"}});
        platform.account.try_call("MemberService/CreateMember", member).await
    };
    hire(&acme).await.unwrap();
    let refused = hire(&acme).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "LIMIT_REACHED"));
    assert_eq!(refused.message, "max_members is reached: 2 of 2");
    let own = json!({"organization_id": acme.id, "organization": {"plan": "pro"}, "update_mask": "plan"});
    acme.owner().caller.refused(UPDATE, own, Code::PermissionDenied, "WRONG_AUDIENCE").await;

    let upgraded = update(&acme, json!({"plan": "pro"}), "plan").await;
    assert_eq!(upgraded["limits"]["max_members"]["value"], 3);
    assert_eq!(text(&upgraded, "limits.max_members.source"), "LIMIT_SOURCE_PLAN");
    hire(&acme).await.unwrap();
    let about = json!({"organization_id": acme.id});
    let counted = platform.account.call("OrganizationService/GetOrganization", about).await;
    assert_eq!(counted["limits"]["max_members"]["used"], 3);
    assert_eq!(hire(&acme).await.unwrap_err().message, "max_members is reached: 3 of 3");
    // One customer's plan is no other's; and back to the smaller one, nobody is thrown out.
    for _ in 0..3 {
        hire(&globex).await.unwrap();
    }
    update(&acme, json!({"plan": "free"}), "plan").await;
    assert_eq!(hire(&acme).await.unwrap_err().message, "max_members is reached: 3 of 2");
    acme.sign_in(&acme.owner().email, &acme.owner().password).await.unwrap();
}

#[tokio::test]
async fn a_customer_is_found_by_its_vanity_host_and_by_a_host_of_its_own() {
    let (cluster, server) = with_name_server().await;
    let (platform, other) = (platform(cluster).await, cluster.project().await);
    let (acme, globex) = (platform.organization("acme").await, platform.organization("globex").await);
    let own = format!("people.{}.test", unique("acme"));
    let domain = claim(&acme, &own, "DOMAIN_PURPOSE_HOST").await;
    // Claimed is not proven.
    platform.account.refused(LOOKUP, json!({"host": own}), Code::NotFound, "NOT_FOUND").await;
    prove(server, &domain);
    becomes(&acme, &domain, "DOMAIN_STATE_VERIFIED").await;
    for (host, organization) in [
        (own.clone(), &acme),
        (own.to_uppercase(), &acme),
        (format!("{}.{BASE}", acme.slug), &acme),
        (format!("{}.{BASE}", globex.slug), &globex),
    ] {
        let found = platform.account.call(LOOKUP, json!({"host": host})).await;
        assert_eq!(text(&found, "organization_id"), organization.id, "{host}");
        other.account.refused(LOOKUP, json!({"host": host}), Code::NotFound, "NOT_FOUND").await;
    }
    let nobodys = json!({"host": format!("www.{own}")});
    platform.account.refused(LOOKUP, nobodys, Code::NotFound, "NOT_FOUND").await;
    server.remove(&text(&domain, "challenge.record_name"));
}
