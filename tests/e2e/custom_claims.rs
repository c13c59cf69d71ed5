//! Claims of a project's own: from trusted metadata, by declaration, within bounds, and never in the place of another claim.

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Organization, text},
};
use tonic::Code;

use crate::oauth::{ACCESS_TOKEN, EXCHANGE, claims, post, post_as, robot_of_project, token_settings};

const MASK: &str = "tokenSettings.customClaims";

async fn metadata(acme: &Organization<'_>, of_member: Value, of_organization: Value) {
    let account = &acme.project.account;
    let member = json!({"organization_id": acme.id, "member": {"member_id": acme.owner().id, "trusted_metadata": of_member,
        "untrusted_metadata": {"plan": "forged"}}});
    account.call("MemberService/UpdateMember", member).await;
    let organization = json!({"organization_id": acme.id, "organization": {"organization_id": acme.id,
        "trusted_metadata": of_organization}, "update_mask": "trustedMetadata"});
    account.call("OrganizationService/UpdateOrganization", organization).await;
}

async fn declared(acme: &Organization<'_>, claims: Value) {
    token_settings(&acme.project, json!({"custom_claims": claims}), MASK).await;
}

async fn signed_in(acme: &Organization<'_>) -> String {
    acme.sign_in(&acme.owner().email, &acme.owner().password).await.unwrap().access
}

#[tokio::test]
async fn a_token_says_what_the_project_declared_and_its_metadata_hold() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    metadata(&acme, json!({"seat": {"number": 7, "tags": ["a", "b"]}, "gone": null}), json!({"plan": "gold"})).await;
    declared(
        &acme,
        json!([
            {"name": "https://acme.test/seat", "source": "member.trusted_metadata.seat.number"},
            {"name": "tags", "source": "member.trusted_metadata.seat.tags"},
            {"name": "plan", "source": "organization.trusted_metadata.plan"},
            {"name": "gone", "source": "member.trusted_metadata.gone"},
            {"name": "absent", "source": "organization.trusted_metadata.seat.number"},
        ]),
    )
    .await;
    let token = signed_in(&acme).await;
    let told = |token: &str| {
        let said = claims(token);
        assert_eq!(
            (&said["https://acme.test/seat"], &said["tags"], &said["plan"]),
            (&json!(7), &json!(["a", "b"]), &json!("gold")),
            "{said}"
        );
        assert!(said.get("gone").is_none() && said.get("absent").is_none(), "{said}");
        assert_eq!(said["org_id"], acme.id.as_str());
    };
    told(&token);
    // It is good, by whatever way it comes, and introspection says the same.
    cluster.bearer(&token).call("OrganizationService/GetOrganization", json!({"organization_id": acme.id})).await;
    let refreshed =
        post(cluster, "token", &[("grant_type", "refresh_token"), ("refresh_token", &acme.owner().tokens.refresh)])
            .await;
    told(&refreshed.token());
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &token),
        ("subject_token_type", ACCESS_TOKEN),
        ("scope", "guildhall.member:read"),
    ];
    told(&post(cluster, "token", &form).await.token());
    let robot = robot_of_project(&project).await;
    let described = post_as(cluster, "introspect", Some(&robot.basic()), &[("token", &token)]).await;
    assert_eq!(described.body["plan"], "gold");
}

#[tokio::test]
async fn what_is_too_large_is_left_out_and_the_token_stays_within_4_kib() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let acme = project.organization("acme").await;
    let mut of_member = json!({"large": "x".repeat(600)});
    for n in 0..15 {
        of_member[format!("k{n}")] = "y".repeat(480).into();
    }
    metadata(&acme, of_member, json!({})).await;
    let claim = |name: &str| json!({"name": name, "source": format!("member.trusted_metadata.{name}")});
    let mut all = vec![claim("large")];
    all.extend((0..15).map(|n| claim(&format!("k{n}"))));
    declared(&acme, json!(all)).await;
    let token = signed_in(&acme).await;
    assert!((3000..=4096).contains(&token.len()), "{}", token.len());
    let said = claims(&token);
    assert!(said.get("large").is_none() && said.get("k0").is_some() && said.get("k14").is_none(), "{said}");
    let kept = (0..15).filter(|n| said.get(format!("k{n}")).is_some()).count();
    assert!((0..kept).all(|n| said.get(format!("k{n}")).is_some()), "the last declared go first: {said}");
    cluster.bearer(&token).call("OrganizationService/GetOrganization", json!({"organization_id": acme.id})).await;
}

#[tokio::test]
async fn a_declaration_that_could_be_taken_for_something_else_is_refused() {
    let cluster = Cluster::shared().await;
    let project = cluster.project().await;
    let operator = cluster.operator().await;
    let update = |claims: Value| {
        json!({"project_id": project.id, "project": {"token_settings": {"custom_claims": claims}},
        "update_mask": MASK})
    };
    let good = "member.trusted_metadata.x";
    let mut bad = Vec::new();
    for name in [
        "sub",
        "iss",
        "aud",
        "exp",
        "act",
        "roles",
        "permissions",
        "org_id",
        "project_id",
        "epoch",
        "project_epoch",
        "sid",
        "SUB",
        "email",
        "",
        "a b",
    ] {
        bad.push(json!([{"name": name, "source": good}]));
    }
    for source in [
        "",
        "member.untrusted_metadata.x",
        "member.email_address",
        "identity.trusted_metadata.x",
        "member.trusted_metadata.",
    ] {
        bad.push(json!([{"name": "x", "source": source}]));
    }
    bad.push(json!([{"name": "x", "source": good}, {"name": "x", "source": "member.trusted_metadata.y"}]));
    bad.push(json!((0..17).map(|n| json!({"name": format!("c{n}"), "source": good})).collect::<Vec<_>>()));
    for claims in bad {
        let method = "ProjectService/UpdateProject";
        operator.refused(method, update(claims), Code::InvalidArgument, "INVALID_FIELDS").await;
    }
    let two = json!([{"name": "sub", "source": good}, {"name": "x", "source": "y"}]);
    let method = "ProjectService/UpdateProject";
    let refused = operator.refused(method, update(two), Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields.len(), 2, "{refused:?}");
    let read = operator.call("ProjectService/GetProject", json!({"project_id": project.id})).await;
    assert!(!read.to_string().contains("trusted_metadata"), "{read}");
    let kept = operator.call(method, update(json!([{"name": "x", "source": good}]))).await;
    assert_eq!(text(&kept, "token_settings.custom_claims.0.source"), good);
}
