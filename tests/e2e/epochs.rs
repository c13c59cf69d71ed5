//! Nothing revoked stays in force: each way to take a token back, at each door that believes tokens, within a second.

use std::time::{Duration, Instant};

use client::{
    Client,
    offline::{Caller as Verified, OfflineOptions, OfflineVerifier, Unverified},
};
use serde_json::{Value, json};
use testkit::{
    Cluster,
    bounds::{SECOND, ends_within},
    caller::{Member, Organization, Project, Tokens, patiently, text},
};
use tokio::time::sleep;

use crate::oauth::robot_of;

const PATIENCE: Duration = Duration::from_secs(20);
const SERVICES: [(&str, &str); 4] = [
    ("gateway", "OrganizationService/GetOrganization"),
    ("org-service", "OrganizationService/GetOrganization"),
    ("member-service", "MemberService/ListMembers"),
    ("authz-service", "RoleService/ListRoles"),
];

/// Everybody who believes tokens.
pub struct Doors<'c> {
    cluster: &'c Cluster,
    pub verifier: OfflineVerifier,
}

pub fn options(project: &Project<'_>) -> OfflineOptions {
    OfflineOptions::new(&format!("http://{}", project.cluster.access().gateway), &project.id)
}

pub async fn offline(project: &Project<'_>) -> OfflineVerifier {
    let client = Client::new(&format!("http://{}", project.cluster.access().gateway), Default::default()).unwrap();
    client.set_token(project.token.clone().into());
    let verifier = client.offline_verifier(options(project));
    tokio::time::timeout(PATIENCE, verifier.ready()).await.unwrap();
    verifier
}

impl<'c> Doors<'c> {
    pub async fn of(project: &Project<'c>) -> Self {
        Self { cluster: project.cluster, verifier: offline(project).await }
    }

    /// Who still believes the token, of those who can tell: whoever is behind with the news on a starved machine refuses it, and is asked
    /// again until it is not.
    async fn that_believe(&self, token: &str, organization: &str) -> Vec<&'static str> {
        let about = json!({"organization_id": organization});
        let asked = SERVICES.map(|(door, method)| {
            let (caller, about) = (self.cluster.bearer_at(self.cluster.door(door), Some(token)), about.clone());
            async move {
                let refused = caller.insist(method, about).await.err();
                (door, refused.is_none_or(|refused| refused.reason != "CREDENTIAL_REVOKED"))
            }
        });
        let answers = futures::future::join_all(asked).await;
        let mut believe: Vec<_> = answers.into_iter().filter(|(_, believes)| *believes).map(|(door, _)| door).collect();
        let verify = || self.verifier.verify(token);
        match patiently(verify, |verified| matches!(verified, Err(Unverified::Unknown))).await {
            Ok(_) => believe.push("the client"),
            Err(Unverified::Outdated) => {}
            Err(other) => panic!("the client says {other:?}"),
        }
        believe
    }

    async fn all_believe(&self, token: &str, organization: &str) {
        let believe = self.that_believe(token, organization).await;
        assert_eq!(believe.len(), SERVICES.len() + 1, "only {believe:?} believe a good token");
    }

    /// Everybody refuses the token, and nobody believed it a second after it was taken back, which was before this call.
    async fn none_believe(&self, what: &str, token: &str, organization: &str) {
        let believe = async || Some(self.that_believe(token, organization).await).filter(|believe| !believe.is_empty());
        ends_within(Instant::now(), SECOND, what, believe).await;
    }
}

async fn refreshed(organization: &Organization<'_>, tokens: &Tokens) -> Tokens {
    let request = json!({"refresh_token": tokens.refresh});
    let answer = organization.project.anyone().call("AuthenticationService/RefreshSession", request).await;
    Tokens { access: text(&answer, "access_token"), refresh: text(&answer, "refresh_token") }
}

fn about(organization: &Organization<'_>, member: &Member) -> Value {
    json!({"organization_id": organization.id, "member_id": member.id})
}

#[tokio::test]
async fn whoever_is_put_out_is_out_everywhere_within_a_second() {
    let project = Cluster::shared().await.project().await;
    let (acme, doors) = (project.organization("acme").await, Doors::of(&project).await);
    let owner = &acme.owner().caller;
    for what in ["removed", "suspended", "signed out", "session revoked", "all sessions revoked", "person suspended"] {
        let ada = acme.join("ada", &["admin"]).await;
        doors.all_believe(&ada.tokens.access, &acme.id).await;
        let Ok(Verified::Member(told)) = doors.verifier.verify(&ada.tokens.access).await else { panic!("no member") };
        assert_eq!(
            (&told.member_id, &told.organization_id, &told.roles),
            (&ada.id, &acme.id, &vec!["admin".to_owned()])
        );
        match what {
            "removed" => owner.call("MemberService/RemoveMember", about(&acme, &ada)).await,
            "suspended" => owner.call("MemberService/SuspendMember", about(&acme, &ada)).await,
            "signed out" => ada.caller.call("AuthenticationService/SignOut", json!({})).await,
            "session revoked" => {
                let request = json!({"organization_id": acme.id, "session_id": told.session_id});
                owner.call("SessionService/RevokeSession", request).await
            }
            "all sessions revoked" => owner.call("SessionService/RevokeMemberSessions", about(&acme, &ada)).await,
            _ => {
                let member = project.account.call("MemberService/GetMember", about(&acme, &ada)).await;
                let identity = json!({"identity_id": member["identity_id"], "state": "IDENTITY_STATE_SUSPENDED"});
                let request = json!({"identity": identity, "update_mask": "state"});
                project.account.call("IdentityService/UpdateIdentity", request).await
            }
        };
        doors.none_believe(what, &ada.tokens.access, &acme.id).await;
    }
    // Nobody else is troubled.
    doors.all_believe(&acme.owner().tokens.access, &acme.id).await;
}

#[tokio::test]
async fn roles_that_were_taken_are_in_no_token_that_is_believed() {
    let project = Cluster::shared().await.project().await;
    let (acme, doors) = (project.organization("acme").await, Doors::of(&project).await);
    let (account, member_role) = (&project.account, json!("member"));
    let bind = |subject: Value| {
        let binding = json!({"subject": subject, "role_id": "admin"});
        json!({"organization_id": acme.id, "binding": binding})
    };
    let unbind = |binding: &Value| json!({"organization_id": acme.id, "binding_id": binding["binding_id"]});
    let ada = acme.join("ada", &["member"]).await;
    // What is given outdates nothing.
    let given = account.call("BindingService/CreateBinding", bind(json!({"member_id": ada.id}))).await;
    sleep(SECOND).await;
    doors.all_believe(&ada.tokens.access, &acme.id).await;
    let tokens = refreshed(&acme, &ada.tokens).await;
    account.call("BindingService/DeleteBinding", unbind(&given)).await;
    doors.none_believe("a role was taken", &tokens.access, &acme.id).await;
    // The session goes on, with the roles of now.
    let tokens = refreshed(&acme, &tokens).await;
    doors.all_believe(&tokens.access, &acme.id).await;
    let Ok(Verified::Member(told)) = doors.verifier.verify(&tokens.access).await else { panic!("no member") };
    assert_eq!(json!(told.roles), json!([member_role]));

    // By a group.
    let group = json!({"organization_id": acme.id, "group": {"display_name": "admins"}});
    let group = account.call("GroupService/CreateGroup", group).await;
    let membership =
        json!({"organization_id": acme.id, "group_id": group["group_id"], "subjects": [{"member_id": ada.id}]});
    account.call("GroupService/AddGroupMembers", membership.clone()).await;
    let binding = account.call("BindingService/CreateBinding", bind(json!({"group_id": group["group_id"]}))).await;
    let tokens = refreshed(&acme, &tokens).await;
    account.call("GroupService/RemoveGroupMembers", membership.clone()).await;
    doors.none_believe("out of a group", &tokens.access, &acme.id).await;
    account.call("GroupService/AddGroupMembers", membership).await;
    let tokens = refreshed(&acme, &tokens).await;
    account.call("BindingService/DeleteBinding", unbind(&binding)).await;
    doors.none_believe("a group lost a role", &tokens.access, &acme.id).await;
    doors.all_believe(&refreshed(&acme, &tokens).await.access, &acme.id).await;
}

#[tokio::test]
async fn permissions_that_a_role_lost_are_listed_in_no_token_that_is_believed() {
    let project = Cluster::shared().await.project().await;
    let (acme, doors) = (project.organization("acme").await, Doors::of(&project).await);
    let account = &project.account;
    let all = json!(["guildhall.organization:read", "guildhall.member:read", "guildhall.role:read"]);
    let less = json!(["guildhall.organization:read"]);
    let ada = acme.join("ada", &["member"]).await;
    for owner in [json!({"organization_id": acme.id}), json!({})] {
        let of = |mut request: Value| {
            request.as_object_mut().unwrap().extend(owner.as_object().unwrap().clone());
            request
        };
        let key = if owner == json!({}) { "of-project" } else { "of-acme" };
        let role = json!({"key": key, "display_name": "Reader", "permissions": all});
        let made = account.call("RoleService/CreateRole", of(json!({"role": role}))).await;
        let update = |field: &str, value: &Value| {
            of(json!({"role": {"role_id": made["role_id"], field: value}, "update_mask": field}))
        };
        let robot = robot_of(&acme).await;
        for subject in [json!({"member_id": ada.id}), json!({"service_account_id": robot.id})] {
            let binding = json!({"subject": subject, "role_id": made["role_id"]});
            let request = json!({"organization_id": acme.id, "binding": binding});
            account.call("BindingService/CreateBinding", request).await;
        }
        let plain = acme.again(&ada).await.tokens;
        let listing = async |grant: Value| {
            let mut request = json!({"permissions": all});
            request.as_object_mut().unwrap().extend(grant.as_object().unwrap().clone());
            text(&project.anyone().call("TokenService/ExchangeToken", request).await, "access_token")
        };
        let of_robot = json!({"client_id": robot.id, "client_secret": robot.secret});
        let tokens = [
            listing(json!({"refresh_token": {"refresh_token": plain.refresh}})).await,
            listing(json!({"token_exchange": {"subject_token": plain.access}})).await,
            listing(json!({"client_credentials": of_robot.clone()})).await,
        ];
        let unlisted = robot.token(project.cluster).await;
        // Its name is nobody's right.
        account.call("RoleService/UpdateRole", update("displayName", &json!("Readers"))).await;
        sleep(SECOND).await;
        for token in &tokens {
            doors.all_believe(token, &acme.id).await;
        }
        account.call("RoleService/UpdateRole", update("permissions", &less)).await;
        for token in &tokens {
            doors.none_believe(key, token, &acme.id).await;
        }
        doors.all_believe(&plain.access, &acme.id).await;
        doors.all_believe(&unlisted, &acme.id).await;
        // What is asked for again is what is held now, and is believed.
        account.call("RoleService/UpdateRole", update("permissions", &all)).await;
        let token = listing(json!({"client_credentials": of_robot})).await;
        doors.all_believe(&token, &acme.id).await;
    }
}

#[tokio::test]
async fn an_organization_s_tokens_go_with_it_and_old_ones_do_not_come_back() {
    let project = Cluster::shared().await.project().await;
    let (acme, doors) = (project.organization("acme").await, Doors::of(&project).await);
    let (about, owner) = (json!({"organization_id": acme.id}), acme.owner());
    project.account.call("OrganizationService/SuspendOrganization", about.clone()).await;
    doors.none_believe("suspended", &owner.tokens.access, &acme.id).await;
    project.account.call("OrganizationService/ReactivateOrganization", about).await;
    // A token of the second in which it was suspended cannot be told from one of before.
    sleep(Duration::from_secs(2)).await;
    doors.none_believe("suspended, and back", &owner.tokens.access, &acme.id).await;
    let tokens = acme.again(owner).await.tokens;
    let begun = Instant::now();
    while doors.that_believe(&tokens.access, &acme.id).await.len() <= SERVICES.len() {
        assert!(begun.elapsed() < PATIENCE, "a new token is not believed");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_service_account_s_tokens_end_with_its_key_and_with_itself() {
    let project = Cluster::shared().await.project().await;
    let (acme, doors) = (project.organization("acme").await, Doors::of(&project).await);
    let owner = &acme.owner().caller;
    for what in ["key revoked", "suspended", "deleted"] {
        let robot = json!({"organization_id": acme.id, "service_account": {"display_name": "robot"}});
        let robot = text(&owner.call("ServiceAccountService/CreateServiceAccount", robot).await, "service_account_id");
        let named = json!({"organization_id": acme.id, "service_account_id": robot});
        let key = owner.call("ServiceAccountService/CreateApiKey", named.clone()).await;
        let token = project.cluster.client_credentials(&robot, &text(&key, "secret")).await.unwrap();
        doors.all_believe(&token, &acme.id).await;
        match what {
            "key revoked" => {
                let mut key_of = named.clone();
                key_of["api_key_id"] = key["api_key_id"].clone();
                owner.call("ServiceAccountService/RevokeApiKey", key_of).await
            }
            "suspended" => {
                let state = json!({"service_account_id": robot, "state": "SERVICE_ACCOUNT_STATE_SUSPENDED"});
                let update = json!({"organization_id": acme.id, "service_account": state, "update_mask": "state"});
                owner.call("ServiceAccountService/UpdateServiceAccount", update).await
            }
            _ => owner.call("ServiceAccountService/DeleteServiceAccount", named).await,
        };
        doors.none_believe(what, &token, &acme.id).await;
    }
}

#[tokio::test]
async fn whoever_starts_anew_knows_what_was_revoked_before() {
    let cluster = Cluster::start().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let (ada, grace) = (acme.join("ada", &["admin"]).await, acme.join("grace", &["admin"]).await);
    acme.owner().caller.call("MemberService/RemoveMember", about(&acme, &ada)).await;
    Doors::of(&project).await.none_believe("removed", &ada.tokens.access, &acme.id).await;
    for process in ["gateway", "org-service", "member-service", "authz-service"] {
        let pid = cluster.kill(process);
        cluster.restarted(process, pid).await;
        // From its first answer on: until then nobody is let in.
        let (door, method) = SERVICES.into_iter().find(|(door, _)| *door == process).unwrap();
        let (request, begun) = (json!({"organization_id": acme.id}), Instant::now());
        let [hers, other] = [&ada, &grace].map(|who| cluster.bearer_at(cluster.door(door), Some(&who.tokens.access)));
        loop {
            let refused = hers.try_call(method, request.clone()).await.expect_err("a removed member is let in");
            let known = refused.reason == "CREDENTIAL_REVOKED";
            assert!(known || refused.code == tonic::Code::Unavailable, "{process}: {refused:?}");
            if known && other.try_call(method, request.clone()).await.is_ok() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{process} does not come back");
            sleep(Duration::from_millis(5)).await;
        }
    }
    // So does a verifier.
    Doors::of(&project).await.none_believe("removed before it began", &ada.tokens.access, &acme.id).await;
}

#[tokio::test]
async fn a_service_that_hears_nothing_lets_nobody_in_who_can_be_revoked() {
    let cluster = Cluster::start_with(&[("GUILDHALL_REVOCATION_LAG", "2")]).await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let token = &acme.owner().tokens.access;
    cluster.stop("member-service");
    for (door, method) in SERVICES.into_iter().filter(|(door, _)| *door != "member-service") {
        let (caller, begun) = (cluster.bearer_at(cluster.door(door), Some(token)), Instant::now());
        while caller.try_call(method, json!({"organization_id": acme.id})).await.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(5), "{door} believes on");
            sleep(Duration::from_millis(50)).await;
        }
        let refused = caller.try_call(method, json!({"organization_id": acme.id})).await.unwrap_err();
        assert_eq!(refused.code, tonic::Code::Unavailable, "{door}: {refused:?}");
    }
    cluster.go_on("member-service");
}
