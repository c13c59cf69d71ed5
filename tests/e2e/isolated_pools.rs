//! The platform: each organization has its own people. The same address in two of them is two strangers.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, Project, text, unique},
};
use tonic::Code;

const GET: &str = "IdentityService/GetIdentity";
const LOOKUP: &str = "IdentityService/LookupIdentity";
const UPDATE: &str = "IdentityService/UpdateIdentity";

pub async fn platform(cluster: &Cluster) -> Project<'_> {
    let operator = cluster.operator().await;
    let project = json!({"project": {"display_name": unique("platform"), "user_pool": "USER_POOL_ISOLATED"}});
    let id = text(&operator.call("ProjectService/CreateProject", project).await, "project_id");
    let account = json!({"project_id": id, "service_account": {"display_name": "backend"}});
    let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
    let secret = text(&account, "client_secret");
    let token = cluster.client_credentials(&text(&account, "client_id"), &secret).await.unwrap();
    Project { cluster, id, account: cluster.bearer(&token), token }
}

/// A member with this address and password, and the identity behind them.
pub async fn person(organization: &Organization<'_>, email: &str, password: &str) -> (Value, String) {
    let account = &organization.project.account;
    let create = json!({"organization_id": organization.id, "member": {"email_address": email}, "roles": ["member"]});
    let member = account.call("MemberService/CreateMember", create).await;
    let set = json!({"organization_id": organization.id, "member_id": member["member_id"], "password": password});
    account.call("CredentialService/SetPassword", set).await;
    let identity = text(&member, "identity_id");
    (member, identity)
}

#[tokio::test]
async fn one_address_in_two_organizations_is_two_people_with_nothing_between_them() {
    let cluster = Cluster::shared().await;
    let project = platform(cluster).await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let email = unique("ada") + "@people.test";
    let (here, there) = ("engine of analysis", "notes on the sketch");
    let ((ours, one), (theirs, other)) = (person(&acme, &email, here).await, person(&globex, &email, there).await);
    assert_ne!(one, other);
    assert_ne!(ours["member_id"], theirs["member_id"]);

    // Each password opens its own organization, and the other is refused as any wrong one is.
    acme.sign_in(&email, here).await.unwrap();
    globex.sign_in(&email, there).await.unwrap();
    let crossed = globex.sign_in(&email, here).await.unwrap_err();
    let nobodys = globex.sign_in(&(unique("nobody") + "@people.test"), here).await.unwrap_err();
    assert_eq!(crossed.bytes(), nobodys.bytes(), "{crossed:?}");

    for (organization, identity) in [(&acme, &one), (&globex, &other)] {
        let found = project.account.call(GET, json!({"identity_id": identity})).await;
        assert_eq!(text(&found, "pool.organization_id"), organization.id);
        let lookup = json!({"organization_id": organization.id, "email_address": email});
        assert_eq!(text(&project.account.call(LOOKUP, lookup).await, "identity_id"), *identity);
        let listed = project.account.call("IdentityService/ListMemberships", json!({"identity_id": identity})).await;
        let members = listed["members"].as_array().unwrap();
        assert_eq!((members.len(), text(&members[0], "organization_id")), (1, organization.id.clone()));
        assert!(!found.to_string().contains(if *identity == one { &other } else { &one }));
    }
    project.account.refused(LOOKUP, json!({"email_address": email}), Code::InvalidArgument, "INVALID_FIELDS").await;

    // What befalls one does not befall the other.
    let suspend = json!({"identity": {"identity_id": one, "state": "IDENTITY_STATE_SUSPENDED"}});
    project.account.call(UPDATE, suspend).await;
    assert!(acme.sign_in(&email, here).await.is_err());
    globex.sign_in(&email, there).await.unwrap();
    let new = unique("lovelace") + "@people.test";
    project.account.call(UPDATE, json!({"identity": {"identity_id": other, "email_address": new}})).await;
    let lookup = json!({"organization_id": acme.id, "email_address": email});
    assert_eq!(text(&project.account.call(LOOKUP, lookup).await, "identity_id"), one);
    globex.sign_in(&new, there).await.unwrap();
}

#[tokio::test]
async fn an_import_goes_into_the_pool_that_each_message_names() {
    let cluster = Cluster::shared().await;
    let project = platform(cluster).await;
    let (acme, globex) = (project.organization("acme").await, project.organization("globex").await);
    let foreign = cluster.project().await.organization("foreign").await;
    let email = unique("ada") + "@people.test";
    let message = |organization: &str| json!({"organization_id": organization, "identity": {"email_address": email}});
    let messages = vec![message(&acme.id), message(&globex.id), message(""), message(&foreign.id), message(&acme.id)];
    let answer = project.account.try_stream("IdentityService/ImportIdentities", messages).await.unwrap();
    assert_eq!(
        (text(&answer, "created_count").as_str(), text(&answer, "existing_count").as_str()),
        ("2", "1"),
        "{answer}"
    );
    let refused: Vec<String> = answer["refusals"].as_array().unwrap().iter().map(|r| text(r, "index")).collect();
    assert_eq!(refused, ["2", "3"], "{answer}");
    let lookup = |organization: &Organization<'_>| json!({"organization_id": organization.id, "email_address": email});
    let one = project.account.call(LOOKUP, lookup(&acme)).await;
    let other = project.account.call(LOOKUP, lookup(&globex)).await;
    assert_ne!(one["identity_id"], other["identity_id"]);
    project.account.refused(LOOKUP, lookup(&foreign), Code::NotFound, "NOT_FOUND").await;
}

/// A limit that only organizations have which are there would tell which ones are.
#[tokio::test]
async fn tries_are_counted_where_there_is_no_organization_as_where_there_is_one() {
    let cluster = Cluster::shared().await;
    let project = platform(cluster).await;
    let acme = project.organization("acme").await;
    let mut outcomes = Vec::new();
    for slug in [acme.slug.clone(), unique("nowhere")] {
        let request =
            json!({"email_address": "nobody@people.test", "password": "some guess", "organization_slug": slug});
        let mut reasons = Vec::new();
        for _ in 0..12 {
            let refused = project.anyone().try_call("AuthenticationService/SignInWithPassword", request.clone()).await;
            reasons.push(refused.unwrap_err().reason);
        }
        outcomes.push(reasons);
    }
    assert_eq!(outcomes[0].last().unwrap(), "RATE_LIMITED");
    assert_eq!(outcomes[0], outcomes[1]);
}
