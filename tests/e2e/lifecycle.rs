//! The life of an organization: deleted, brought back, read by its project meanwhile; and what it inherits from its project.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

#[tokio::test]
async fn a_deleted_organization_is_shut_within_a_second_and_comes_back_as_it_was() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let owner = acme.owner();
    let about = json!({"organization_id": acme.id});
    let deleted = owner
        .caller
        .call("OrganizationService/DeleteOrganization", json!({"organization_id": acme.id, "reason": "closed"}))
        .await;
    assert_eq!(text(&deleted, "state"), "ORGANIZATION_STATE_DELETED");
    assert!(!text(&deleted, "purge_time").is_empty());
    owner.caller.is_out_within_a_second().await;
    let refused = acme.sign_in(&owner.email, &owner.password).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "SIGN_IN_FAILED"));

    // The project reads it, and changes nothing in it.
    let seen = project.account.call("OrganizationService/GetOrganization", about.clone()).await;
    assert_eq!(seen["purge_time"], deleted["purge_time"]);
    project.account.call("OrganizationService/GetEffectiveSettings", about.clone()).await;
    for method in ["OrganizationService/SuspendOrganization", "OrganizationService/ReactivateOrganization"] {
        project.account.refused(method, about.clone(), Code::FailedPrecondition, "ORGANIZATION_STATE").await;
    }
    let update =
        json!({"organization_id": acme.id, "organization": {"display_name": "x"}, "update_mask": "displayName"});
    project.account.refused("OrganizationService/UpdateOrganization", update, Code::NotFound, "NOT_FOUND").await;
    project.account.refused("MemberService/ListMembers", about.clone(), Code::NotFound, "NOT_FOUND").await;
    let again = project.account.call("OrganizationService/DeleteOrganization", about.clone()).await;
    assert_eq!((&again["purge_time"], &again["etag"]), (&deleted["purge_time"], &deleted["etag"]), "nothing changed");
    let check = json!({"organization_id": acme.id, "subject": {"member_id": owner.id},
        "permission": "guildhall.member:read", "consistency": {"fully_consistent": true}});
    let checked = project.account.try_call("AuthorizationService/Check", check.clone()).await;
    assert!(checked.is_err() || checked.unwrap()["allowed"] == false);

    let back = project.account.call("OrganizationService/UndeleteOrganization", about.clone()).await;
    assert_eq!((text(&back, "state"), &back["purge_time"]), ("ORGANIZATION_STATE_ACTIVE".into(), &Value::Null));
    let unchanged = project.account.call("OrganizationService/UndeleteOrganization", about.clone()).await;
    assert_eq!(unchanged["etag"], back["etag"]);
    acme.sign_in(&owner.email, &owner.password).await.unwrap();
    assert_eq!(project.account.call("AuthorizationService/Check", check).await["allowed"], true);
    project
        .anyone()
        .refused(
            "AuthenticationService/RefreshSession",
            json!({"refresh_token": owner.tokens.refresh}),
            Code::Unauthenticated,
            "REFRESH_TOKEN_REFUSED",
        )
        .await;
    let events = project.account.call("EventService/ListEvents", about).await;
    let kinds: Vec<String> = events["events"].as_array().unwrap().iter().map(|event| text(event, "kind")).collect();
    for kind in ["organization.deleted", "organization.undeleted"] {
        assert!(kinds.iter().any(|k| k == kind), "no {kind} among {kinds:?}");
    }
}

#[tokio::test]
async fn a_suspended_organization_comes_back_from_deletion_suspended() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let about = json!({"organization_id": acme.id});
    for (step, state) in [
        ("SuspendOrganization", "ORGANIZATION_STATE_SUSPENDED"),
        ("DeleteOrganization", "ORGANIZATION_STATE_DELETED"),
        ("UndeleteOrganization", "ORGANIZATION_STATE_SUSPENDED"),
        ("ReactivateOrganization", "ORGANIZATION_STATE_ACTIVE"),
    ] {
        let after = project.account.call(&format!("OrganizationService/{step}"), about.clone()).await;
        assert_eq!(text(&after, "state"), state, "{step}");
    }
    acme.sign_in(&acme.owner().email, &acme.owner().password).await.unwrap();
}

#[tokio::test]
async fn a_deletion_needs_the_permission_and_the_etag() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let member = acme.join("grace", &["member"]).await;
    let delete = "OrganizationService/DeleteOrganization";
    let about = json!({"organization_id": acme.id});
    member.caller.refused(delete, about.clone(), Code::PermissionDenied, "PERMISSION_MISSING").await;
    acme.owner()
        .caller
        .refused("OrganizationService/UndeleteOrganization", about, Code::PermissionDenied, "WRONG_AUDIENCE")
        .await;
    let stale = json!({"organization_id": acme.id, "etag": "ffff"});
    project.account.refused(delete, stale, Code::Aborted, "ETAG_MISMATCH").await;
    let other = Cluster::shared().await.project().await;
    for method in [delete, "OrganizationService/UndeleteOrganization", "OrganizationService/GetEffectiveSettings"] {
        other.account.refused(method, json!({"organization_id": acme.id}), Code::NotFound, "NOT_FOUND").await;
    }
    acme.sign_in(&member.email, &member.password).await.unwrap();
}

#[tokio::test]
async fn a_batch_is_read_whole_and_in_order_or_not_at_all() {
    let cluster = Cluster::shared().await;
    let (project, other) = (cluster.project().await, cluster.project().await);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let request = json!({"organization": {"display_name": "Acme"}});
        ids.push(text(
            &project.account.call("OrganizationService/CreateOrganization", request).await,
            "organization_id",
        ));
    }
    ids.reverse();
    let batch = "OrganizationService/BatchGetOrganizations";
    let read = project.account.call(batch, json!({"organization_ids": ids})).await;
    let read: Vec<String> =
        read["organizations"].as_array().unwrap().iter().map(|o| text(o, "organization_id")).collect();
    assert_eq!(read, ids);
    let foreign = other
        .account
        .call("OrganizationService/CreateOrganization", json!({"organization": {"display_name": "Foreign"}}))
        .await;
    let mut with_foreign = ids.clone();
    with_foreign.insert(3, text(&foreign, "organization_id"));
    let mut with_nobody = ids.clone();
    with_nobody.insert(3, tenancy::OrganizationId::new().to_string());
    let refusals = [
        project.account.try_call(batch, json!({"organization_ids": with_foreign})).await.unwrap_err(),
        project.account.try_call(batch, json!({"organization_ids": with_nobody})).await.unwrap_err(),
    ];
    for refused in &refusals {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{refused:?}");
    }
    assert_eq!(refusals[0].message, refusals[1].message);
    let twice = json!({"organization_ids": [ids[0], ids[0], "no id"]});
    let refused = project.account.refused(batch, twice, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["organization_ids[1]", "organization_ids[2]"]);
    project.account.refused(batch, json!({}), Code::InvalidArgument, "INVALID_FIELDS").await;
}

#[tokio::test]
async fn what_a_project_sets_holds_at_once_for_organizations_that_chose_nothing() {
    let cluster = Cluster::shared().await;
    let (operator, project, other) = (cluster.operator().await, cluster.project().await, cluster.project().await);
    let acme = project.organization("acme").await;
    let effective = async |organization: &Organization<'_>| {
        let about = json!({"organization_id": organization.id});
        organization.project.account.call("OrganizationService/GetEffectiveSettings", about).await
    };
    let before = effective(&acme).await;
    assert_eq!(text(&before, "settings.mfa_policy"), "MFA_POLICY_OPTIONAL");
    assert_eq!(before["settings_sources"]["mfa_policy"], "SETTING_SOURCE_INSTALLATION");

    let own = json!({"organization_id": acme.id, "organization": {"settings": {"email_invites": "EMAIL_INVITES_POLICY_NOT_ALLOWED"}},
        "update_mask": "settings.emailInvites"});
    project.account.call("OrganizationService/UpdateOrganization", own).await;
    let update = json!({"project_id": project.id, "update_mask": "organizationDefaults,branding.primaryColor,limits.plans",
        "project": {"organization_defaults": {"mfa_policy": "MFA_POLICY_REQUIRED_FOR_ALL",
                "email_invites": "EMAIL_INVITES_POLICY_RESTRICTED", "session_lifetime": "3600s"},
            "branding": {"primary_color": "#AABBCC", "sender_name": "not named"},
            "limits": {"plans": {"pro": {"max_members": 7}}}}});
    let updated = operator.call("ProjectService/UpdateProject", update.clone()).await;
    assert_eq!(text(&updated, "branding.sender_name"), "");
    let after = effective(&acme).await;
    for (field, value, source) in [
        ("mfa_policy", "MFA_POLICY_REQUIRED_FOR_ALL", "SETTING_SOURCE_PROJECT"),
        ("email_invites", "EMAIL_INVITES_POLICY_NOT_ALLOWED", "SETTING_SOURCE_ORGANIZATION"),
        ("session_lifetime", "3600s", "SETTING_SOURCE_PROJECT"),
        ("session_idle_timeout", "3600s", "SETTING_SOURCE_INSTALLATION"),
        ("auth_methods", "AUTH_METHODS_POLICY_ALL_ALLOWED", "SETTING_SOURCE_INSTALLATION"),
    ] {
        let told = (text(&after, &format!("settings.{field}")), text(&after, &format!("settings_sources.{field}")));
        assert_eq!(told, (value.to_owned(), source.to_owned()), "{field}");
    }
    assert_eq!(text(&after, "branding.primary_color"), "#aabbcc");
    assert_eq!(text(&after, "branding_sources.primary_color"), "SETTING_SOURCE_PROJECT");
    // A member reads it too; and the limits of a plan hold with the plan.
    acme.owner().caller.call("OrganizationService/GetEffectiveSettings", json!({"organization_id": acme.id})).await;
    let plan = json!({"organization_id": acme.id, "organization": {"plan": "pro"}, "update_mask": "plan"});
    let planned = project.account.call("OrganizationService/UpdateOrganization", plan).await;
    assert_eq!(planned["limits"]["max_members"]["value"], 7);
    assert_eq!(text(&planned, "limits.max_members.source"), "LIMIT_SOURCE_PLAN");
    // What the other services are told is the same.
    let gateway = cluster.workload("gateway", "org-service");
    let entry = gateway
        .call("guildhall.org.v1.DirectoryService/ResolveOrganization", json!({"organization_id": acme.id}))
        .await;
    assert_eq!(text(&entry, "settings.mfa_policy"), "MFA_POLICY_REQUIRED_FOR_ALL");
    assert_eq!(text(&entry, "branding.primary_color"), "#aabbcc");
    assert_eq!(entry["limits"]["max_members"], 7);

    // Another project's organizations know nothing of it.
    let elsewhere = other.organization("acme").await;
    assert_eq!(text(&effective(&elsewhere).await, "settings.mfa_policy"), "MFA_POLICY_OPTIONAL");
    // Stale etags, unknown fields, the field that is chosen for good.
    let stale =
        json!({"project_id": project.id, "project": {"display_name": "x", "etag": "1"}, "update_mask": "displayName"});
    operator.refused("ProjectService/UpdateProject", stale, Code::Aborted, "ETAG_MISMATCH").await;
    for mask in ["userPool", "noSuchField", "state"] {
        let bad = json!({"project_id": project.id, "project": {}, "update_mask": mask});
        let refused =
            operator.refused("ProjectService/UpdateProject", bad, Code::InvalidArgument, "INVALID_FIELDS").await;
        assert_eq!(refused.fields, ["update_mask"], "{mask}");
    }
    let longer = json!({"project_id": project.id, "update_mask": "organizationDefaults.sessionIdleTimeout",
        "project": {"organization_defaults": {"session_idle_timeout": "7200s"}}});
    let refused =
        operator.refused("ProjectService/UpdateProject", longer, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["project.organization_defaults.session_idle_timeout"]);
    let nobody = json!({"project_id": tenancy::ProjectId::new().to_string(), "project": {"display_name": "x"},
        "update_mask": "displayName"});
    operator.refused("ProjectService/UpdateProject", nobody, Code::NotFound, "NOT_FOUND").await;
    project.account.refused("ProjectService/UpdateProject", update, Code::PermissionDenied, "WRONG_AUDIENCE").await;
}

#[tokio::test]
async fn a_list_is_narrowed_by_state_kind_plan_and_name_together() {
    let project = Cluster::shared().await.project().await;
    let mut made = Vec::new();
    for (name, kind, plan) in [
        ("Acme One", "ORGANIZATION_KIND_TEAM", "pro"),
        ("acme two", "ORGANIZATION_KIND_PERSONAL", ""),
        ("Acme_Three", "ORGANIZATION_KIND_TEAM", ""),
        ("Zeta", "ORGANIZATION_KIND_TEAM", "pro"),
    ] {
        let organization = json!({"display_name": name, "kind": kind, "plan": plan, "external_id": unique(name)});
        let answer =
            project.account.call("OrganizationService/CreateOrganization", json!({"organization": organization})).await;
        made.push(answer);
    }
    let id = |at: usize| text(&made[at], "organization_id");
    project.account.call("OrganizationService/SuspendOrganization", json!({"organization_id": id(0)})).await;
    project.account.call("OrganizationService/DeleteOrganization", json!({"organization_id": id(3)})).await;
    for (filter, expected) in [
        (json!({}), vec!["Acme One", "acme two", "Acme_Three"]),
        (json!({"state": "ORGANIZATION_STATE_ACTIVE"}), vec!["acme two", "Acme_Three"]),
        (json!({"state": "ORGANIZATION_STATE_SUSPENDED"}), vec!["Acme One"]),
        (json!({"state": "ORGANIZATION_STATE_DELETED"}), vec!["Zeta"]),
        (json!({"kind": "ORGANIZATION_KIND_PERSONAL"}), vec!["acme two"]),
        (json!({"plan": "pro"}), vec!["Acme One"]),
        (json!({"plan": ""}), vec!["acme two", "Acme_Three"]),
        (json!({"display_name_prefix": "ACME"}), vec!["Acme One", "acme two", "Acme_Three"]),
        (json!({"display_name_prefix": "acme_"}), vec!["Acme_Three"]),
        (json!({"display_name_prefix": "acme", "kind": "ORGANIZATION_KIND_TEAM", "plan": ""}), vec!["Acme_Three"]),
        (json!({"display_name_prefix": "%"}), vec![]),
    ] {
        let listed = project.account.call("OrganizationService/ListOrganizations", filter.clone()).await;
        let names: Vec<String> =
            listed["organizations"].as_array().unwrap().iter().map(|o| text(o, "display_name")).collect();
        assert_eq!(names, expected, "{filter}");
    }
    // Any state is looked up, by either key; a former slug and another project's find nothing.
    let other = Cluster::shared().await.project().await;
    for one in &made {
        for key in ["slug", "external_id"] {
            let lookup = json!({key: text(one, key)});
            let found = project.account.call("OrganizationService/LookupOrganization", lookup.clone()).await;
            assert_eq!(found["organization_id"], one["organization_id"]);
            other.account.refused("OrganizationService/LookupOrganization", lookup, Code::NotFound, "NOT_FOUND").await;
        }
    }
    let renamed = json!({"organization_id": id(1), "organization": {"slug": unique("renamed")}, "update_mask": "slug"});
    project.account.call("OrganizationService/UpdateOrganization", renamed).await;
    let former = json!({"slug": text(&made[1], "slug")});
    project.account.refused("OrganizationService/LookupOrganization", former, Code::NotFound, "NOT_FOUND").await;
}
