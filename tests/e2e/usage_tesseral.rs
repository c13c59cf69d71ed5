//! How it is used where every person belongs to an organization from the first moment, and the product bills by the seat.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{text, unique},
};
use tonic::Code;

use crate::entering::{SELECT, SIGN_IN, SIGN_UP, choices, intermediate, prove, settings, somebody};

#[tokio::test]
async fn a_product_whose_people_all_belong_to_an_organization_and_pay_by_the_seat() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let account = &project.account;

    // The product has organizations made by themselves, and sells three seats by default.
    let operator = cluster.operator().await;
    let automatic = json!({"project_id": project.id, "update_mask": "autoCreateOrganization,limits.organization.maxMembers",
        "project": {"auto_create_organization": true, "limits": {"organization": {"max_members": 3}}}});
    operator.call("ProjectService/UpdateProject", automatic).await;

    // There is no member outside an organization, and no way to make one.
    let nowhere = json!({"member": {"email_address": "ada@people.test"}});
    account.refused("MemberService/CreateMember", nowhere, Code::InvalidArgument, "INVALID_FIELDS").await;
    let unknown = json!({"organization_id": tenancy::OrganizationId::new().to_string(), "member": {"email_address": "ada@people.test"}});
    account.refused("MemberService/CreateMember", unknown, Code::NotFound, "NOT_FOUND").await;

    // Ada signs up by proving her address. She is asked nothing; an organization is there, and she owns it.
    let ada = unique("ada") + "@people.test";
    let token = somebody(&project, &ada).await;
    let signed_up =
        project.anyone().call(SIGN_UP, json!({"intermediate_session_token": token, "display_name": "Ada"})).await;
    assert_eq!(signed_up["member_session"]["roles"], json!(["owner"]));
    let id = text(&signed_up, "member_session.organization_id");
    let as_ada = cluster.bearer(&text(&signed_up, "access_token"));
    let read = || as_ada.call("OrganizationService/GetOrganization", json!({"organization_id": id}));
    let own = read().await;
    assert_eq!(
        (text(&own, "kind"), text(&own, "display_name")),
        ("ORGANIZATION_KIND_PERSONAL".to_owned(), "Ada".to_owned())
    );
    assert_eq!(text(&own, "slug"), id, "unseen, it is called by its id");

    // The bill: seats used and allowed, and from where the number comes.
    let seats = |organization: &Value| organization["limits"]["max_members"].clone();
    let bill = seats(&own);
    assert_eq!((&bill["used"], &bill["value"]), (&json!(1), &json!(3)), "{bill}");
    let invite =
        |email: &str| json!({"organization_id": id, "invitation": {"email_address": email}, "roles": ["member"]});
    let (grace, eve, late) =
        (unique("grace") + "@people.test", unique("eve") + "@people.test", unique("late") + "@people.test");
    for email in [&grace, &eve, &late] {
        as_ada.call("InvitationService/CreateInvitation", invite(email)).await;
        cluster.mailbox(email).await;
    }
    assert_eq!(text(&read().await, "kind"), "ORGANIZATION_KIND_TEAM", "it is seen from the first invitation on");
    let mut sessions = Vec::new();
    for email in [&grace, &eve] {
        let token = intermediate(&prove(&project, email, json!({})).await.unwrap());
        assert_eq!(choices(&project, &token, 50).await, [("ORGANIZATION_ACCESS_INVITED".to_owned(), id.clone())]);
        let request = json!({"organization_id": id, "intermediate_session_token": token});
        sessions.push(project.anyone().call(SELECT, request).await);
    }
    assert_eq!(seats(&read().await)["used"], json!(3));
    let token = intermediate(&prove(&project, &late, json!({})).await.unwrap());
    let request = json!({"organization_id": id, "intermediate_session_token": token});
    let refused = project.anyone().refused(SELECT, request.clone(), Code::ResourceExhausted, "LIMIT_REACHED").await;
    assert_eq!(refused.message, "max_members is reached: 3 of 3");
    // She pays for a fourth, and the same sign-in goes on.
    let more = json!({"organization_id": id, "organization": {"limits": {"max_members": {"value": 4}}}, "update_mask": "limits.maxMembers"});
    account.call("OrganizationService/UpdateOrganization", more).await;
    project.anyone().call(SELECT, request).await;
    assert_eq!((seats(&read().await)["used"].clone(), seats(&read().await)["value"].clone()), (json!(4), json!(4)));
    // Who leaves makes room.
    let about = json!({"organization_id": id, "member_id": sessions[0]["member_session"]["member_id"]});
    as_ada.call("MemberService/RemoveMember", about).await;
    assert_eq!(seats(&read().await)["used"], json!(3));

    // Policies hold for all of its members, and for nobody elsewhere.
    let acme = project.organization("acme").await;
    let same = json!({"organization_id": id, "member": {"email_address": acme.owner().email}, "roles": ["member"]});
    account.call("MemberService/CreateMember", same).await;
    let by_code =
        json!({"auth_methods": "AUTH_METHODS_POLICY_RESTRICTED", "allowed_auth_methods": ["AUTH_METHOD_EMAIL_CODE"]});
    let restrict = json!({"organization_id": id, "organization": {"settings": by_code}, "update_mask": "settings.authMethods,settings.allowedAuthMethods"});
    as_ada.call("OrganizationService/UpdateOrganization", restrict).await;
    let owner = acme.owner();
    let password = json!({"email_address": owner.email, "password": owner.password, "organization_id": id});
    project.anyone().refused(SIGN_IN, password, Code::FailedPrecondition, "METHOD_NOT_ALLOWED").await;
    acme.sign_in(&owner.email, &owner.password).await.unwrap();
    prove(&project, &ada, json!({"organization_id": id})).await.unwrap();

    // The product sets one for all organizations that say nothing themselves.
    let everywhere = json!({"project_id": project.id, "update_mask": "organizationDefaults.mfaPolicy",
        "project": {"organization_defaults": {"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL"}}});
    operator.call("ProjectService/UpdateProject", everywhere).await;
    let by_password = json!({"email_address": owner.email, "password": owner.password, "organization_id": acme.id});
    let asked = project.anyone().call(SIGN_IN, by_password).await;
    assert!(asked["access_token"] == "" && asked["mfa_required"].is_object(), "{asked}");
    settings(&acme, json!({"mfa_policy": "MFA_POLICY_OPTIONAL"})).await;
    acme.sign_in(&owner.email, &owner.password).await.unwrap();

    // The last owner cannot leave it to nobody.
    let leave = json!({"organization_id": id, "member_id": signed_up["member_session"]["member_id"]});
    as_ada.refused("MemberService/RemoveMember", leave, Code::FailedPrecondition, "LAST_OWNER").await;
}
