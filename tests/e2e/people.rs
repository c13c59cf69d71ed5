//! Members: addresses, roles, the last owner, and what a member may do to another.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Cluster, caller::unique};
use tonic::Code;

#[tokio::test]
async fn every_bad_field_is_named_at_once_and_nobody_is_added() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let request = json!({"organization_id": acme.id,
        "member": {"email_address": "no address", "display_name": "x".repeat(5000)}, "roles": ["owner"]});
    let refused =
        project.account.refused("MemberService/CreateMember", request, Code::InvalidArgument, "INVALID_FIELDS").await;
    for field in ["member.email_address", "member.display_name"] {
        assert!(refused.fields.iter().any(|f| f == field), "{field} is not named in {refused:?}");
    }
    let request = json!({"organization_id": acme.id, "member": {"email_address": unique("x") + "@acme.test"}, "roles": ["no-such-role"]});
    let refused = project.account.try_call("MemberService/CreateMember", request).await.unwrap_err();
    assert!(matches!(refused.code, Code::NotFound | Code::InvalidArgument), "{refused:?}");
    let listed = project.account.call("MemberService/ListMembers", json!({"organization_id": acme.id})).await;
    assert_eq!(listed["members"].as_array().unwrap().len(), 1, "the owner alone");
}

#[tokio::test]
async fn one_address_in_many_spellings_is_one_member() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let name = unique("ada");
    let create = |address: String| {
        let request = json!({"organization_id": acme.id, "member": {"email_address": address}});
        project.account.try_call("MemberService/CreateMember", request)
    };
    create(format!("{name}@bücher.test")).await.unwrap();
    let wide: String = name
        .chars()
        .map(|c| char::from_u32(c as u32 + 0xfee0).filter(|_| c.is_ascii_lowercase()).unwrap_or(c))
        .collect();
    for spelling in [
        format!("{name}@bücher.test"),
        format!("{}@BÜCHER.TEST", name.to_uppercase()),
        format!("{name}@xn--bcher-kva.test"),
        format!("{wide}@bücher.test"),
    ] {
        let refused = create(spelling.clone()).await.expect_err(&spelling);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "MEMBER_EMAIL_TAKEN"), "{spelling}");
    }
    for bad in [
        format!("{name}\u{200b}@acme.test"),
        format!("{name}@acme.test."),
        format!(" {name}@acme.test"),
        format!("{name}@acme@test"),
    ] {
        let refused = create(bad.clone()).await.expect_err(&bad);
        assert_eq!(refused.reason, "INVALID_FIELDS", "{bad:?}");
    }
}

#[tokio::test]
async fn an_organization_keeps_its_last_owner() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    let about = json!({"organization_id": acme.id, "member_id": owner.id});
    for caller in [&project.account, &owner.caller] {
        for method in ["MemberService/RemoveMember", "MemberService/SuspendMember"] {
            caller.refused(method, about.clone(), Code::FailedPrecondition, "LAST_OWNER").await;
        }
    }
    // She is as she was.
    owner.caller.call("MemberService/GetMember", about.clone()).await;
    acme.sign_in(&owner.email, &owner.password).await.unwrap();

    let second = acme.join("second", &["owner"]).await;
    let leave = |member: &str| json!({"organization_id": acme.id, "member_id": member});
    let both = futures::future::join(
        owner.caller.try_call("MemberService/RemoveMember", leave(&owner.id)),
        second.caller.try_call("MemberService/RemoveMember", leave(&second.id)),
    )
    .await;
    let refused = [both.0.as_ref().err(), both.1.as_ref().err()];
    assert_eq!(refused.iter().flatten().count(), 1, "exactly one of two owners can leave: {refused:?}");
    assert_eq!(refused.iter().flatten().next().unwrap().reason, "LAST_OWNER");
}

#[tokio::test]
async fn a_member_may_what_her_role_says_and_no_more() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let member = acme.join("member", &["member"]).await;
    let admin = acme.join("admin", &["admin"]).await;
    let invite = |roles: &[&str]| json!({"organization_id": acme.id, "invitation": {"email_address": unique("x") + "@acme.test"}, "roles": roles});
    member
        .caller
        .refused(
            "InvitationService/CreateInvitation",
            invite(&["member"]),
            Code::PermissionDenied,
            "PERMISSION_MISSING",
        )
        .await;
    let remove = json!({"organization_id": acme.id, "member_id": admin.id});
    member.caller.refused("MemberService/RemoveMember", remove, Code::PermissionDenied, "PERMISSION_MISSING").await;
    admin.caller.call("InvitationService/CreateInvitation", invite(&["admin"])).await;
    admin
        .caller
        .refused(
            "InvitationService/CreateInvitation",
            invite(&["owner"]),
            Code::PermissionDenied,
            "GRANT_EXCEEDS_GRANTOR",
        )
        .await;
    let set = json!({"organization_id": acme.id, "member_id": member.id, "password": "not hers to set at all"});
    admin.caller.refused("CredentialService/SetPassword", set, Code::PermissionDenied, "WRONG_AUDIENCE").await;
    // Herself she may see, whatever her role.
    member.caller.call("MemberService/GetMember", json!({"organization_id": acme.id, "member_id": member.id})).await;
}

#[tokio::test]
async fn a_suspended_member_is_out_at_once_and_back_when_reactivated() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let member = acme.join("grace", &["admin"]).await;
    let about = json!({"organization_id": acme.id, "member_id": member.id});
    acme.owner().caller.call("MemberService/SuspendMember", about.clone()).await;
    let refused = acme.sign_in(&member.email, &member.password).await.unwrap_err();
    assert_eq!(refused.reason, "SIGN_IN_FAILED");
    let refresh = json!({"refresh_token": member.tokens.refresh});
    project
        .anyone()
        .refused("AuthenticationService/RefreshSession", refresh, Code::Unauthenticated, "REFRESH_TOKEN_REFUSED")
        .await;
    // The rights are gone from the same moment, whatever her token says.
    let list = json!({"organization_id": acme.id});
    let refused = member.caller.try_call("MemberService/ListMembers", list.clone()).await.unwrap_err();
    assert!(["PERMISSION_MISSING", "CREDENTIAL_REVOKED"].contains(&refused.reason.as_str()), "{refused:?}");

    acme.owner().caller.call("MemberService/ReactivateMember", about).await;
    let tokens = acme.sign_in(&member.email, &member.password).await.unwrap();
    // The gateway has heard of it within a second.
    let again = project.cluster.bearer(&tokens.access);
    let deadline = Instant::now() + Duration::from_secs(1);
    while let Err(refused) = again.try_call("MemberService/ListMembers", list.clone()).await {
        assert_eq!(refused.reason, "CREDENTIAL_REVOKED");
        assert!(Instant::now() < deadline, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
