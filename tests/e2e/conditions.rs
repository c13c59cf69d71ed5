//! Bindings with conditions, bindings for one question, and what callers make of both.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Member, Organization, text},
};
use tokio::time::timeout;
use tonic::Code;

const CHECK: &str = "AuthorizationService/Check";
const CREATE: &str = "BindingService/CreateBinding";
const UPDATE: &str = "BindingService/UpdateBinding";

async fn product(organization: &Organization<'_>) {
    let catalog = json!({"catalog": {"resource_types": [
        {"name": "folder", "verbs": ["read"]},
        {"name": "document", "parent_types": ["folder"], "verbs": ["read", "write"]}]}});
    organization.project.account.call("CatalogService/UpdateCatalog", catalog).await;
    let role = json!({"organization_id": organization.id,
        "role": {"key": "editor", "display_name": "Editor", "permissions": ["document:*"]}});
    organization.owner().caller.call("RoleService/CreateRole", role).await;
}

fn request(organization: &Organization<'_>, subject: &Value, condition: &str, more: Value) -> Value {
    let mut binding = json!({"subject": subject, "role_id": "editor", "condition": condition});
    binding.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"organization_id": organization.id, "binding": binding})
}

async fn bind(organization: &Organization<'_>, subject: &Value, condition: &str, more: Value) -> Value {
    let request = request(organization, subject, condition, more);
    organization.owner().caller.call(CREATE, request).await
}

fn question(organization: &Organization<'_>, subject: &Value, context: Value) -> Value {
    json!({"organization_id": organization.id, "subject": subject, "permission": "document:write",
        "resource": {"type": "document", "id": "42"}, "context": context, "consistency": {"fully_consistent": true}})
}

/// The decision without its prefix, and what is missing.
async fn decided(organization: &Organization<'_>, subject: &Value, context: Value) -> (String, Vec<String>) {
    let answer = organization.project.account.call(CHECK, question(organization, subject, context)).await;
    let decision = text(&answer, "decision").trim_start_matches("DECISION_").to_owned();
    assert_eq!(answer["allowed"].as_bool().unwrap_or_default(), decision == "ALLOWED");
    (decision, strings(&answer["missing_context"]))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn conditional(names: &[&str]) -> (String, Vec<String>) {
    ("CONDITIONAL".to_owned(), names.iter().map(|name| (*name).to_owned()).collect())
}

fn plainly(decision: &str) -> (String, Vec<String>) {
    (decision.to_owned(), Vec::new())
}

fn member(person: &Member) -> Value {
    json!({"member_id": person.id})
}

#[tokio::test]
async fn a_right_in_office_hours_from_the_office_network() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = member(&acme.join("grace", &["member"]).await);
    let condition = "context.ip.in_cidr('10.0.0.0/8') && context.at_work && now.getHours('Europe/Berlin') >= 0";
    let made = bind(&acme, &grace, condition, json!({})).await;
    assert_eq!(text(&made, "condition"), condition);
    let at = |ip: &str, at_work: bool| json!({"ip": ip, "at_work": at_work});
    assert_eq!(decided(&acme, &grace, at("10.1.2.3", true)).await, plainly("ALLOWED"));
    assert_eq!(decided(&acme, &grace, at("::ffff:10.1.2.3", true)).await, plainly("ALLOWED"));
    assert_eq!(decided(&acme, &grace, at("10.1.2.3", false)).await, plainly("DENIED"));
    assert_eq!(decided(&acme, &grace, at("192.0.2.1", true)).await, plainly("DENIED"));
    assert_eq!(decided(&acme, &grace, json!({})).await, conditional(&["at_work", "ip"]));
    assert_eq!(decided(&acme, &grace, json!({"ip": "10.1.2.3"})).await, conditional(&["at_work"]));
    assert_eq!(decided(&acme, &grace, json!({"at_work": false})).await, plainly("DENIED"), "whatever the address");
    assert_eq!(decided(&acme, &grace, at("nowhere", true)).await, plainly("DENIED"), "an error never allows");
    // It is one of her roles, but not one that she holds.
    let asked = json!({"organization_id": acme.id, "subjects": [grace]});
    let roles = Cluster::shared().await.workload("member-service", "authz-service");
    let roles = roles.call("SubjectService/BatchGetSubjectRoles", asked).await;
    assert!(!roles.to_string().contains("editor"), "{roles}");
    // Once something else allows, nothing is asked.
    bind(&acme, &grace, "", json!({})).await;
    assert_eq!(decided(&acme, &grace, json!({})).await, plainly("ALLOWED"));
}

#[tokio::test]
async fn a_deny_with_a_condition_denies_when_it_fails_and_is_open_when_it_lacks() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = member(&acme.join("grace", &["member"]).await);
    bind(&acme, &grace, "", json!({})).await;
    let deny = json!({"effect": "BINDING_EFFECT_DENY"});
    bind(&acme, &grace, "int(context.risk) > 5", deny).await;
    assert_eq!(decided(&acme, &grace, json!({"risk": 9})).await, plainly("DENIED"));
    assert_eq!(decided(&acme, &grace, json!({"risk": 1})).await, plainly("ALLOWED"));
    assert_eq!(decided(&acme, &grace, json!({})).await, conditional(&["risk"]));
    assert_eq!(decided(&acme, &grace, json!({"risk": "much"})).await, plainly("DENIED"), "it fails, so it applies");
    let ada = member(&acme.join("ada", &["member"]).await);
    assert_eq!(decided(&acme, &ada, json!({})).await, plainly("DENIED"), "nothing would allow");
    let batch = json!({"organization_id": acme.id, "consistency": {"fully_consistent": true}, "checks": [
        {"subject": grace, "permission": "document:read", "context": {"risk": 1}},
        {"subject": grace, "permission": "document:read", "context": {"risk": 9}},
        {"subject": grace, "permission": "document:read"}]});
    let answer = project.account.call("AuthorizationService/BatchCheck", batch).await;
    let decisions: Vec<&str> = (0..3).map(|at| answer["results"][at]["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions, ["DECISION_ALLOWED", "DECISION_DENIED", "DECISION_CONDITIONAL"]);
    assert_eq!(strings(&answer["results"][2]["missing_context"]), ["risk"]);
    let list = json!({"organization_id": acme.id, "subject": grace, "resource": {"type": "document", "id": "1"},
        "consistency": {"fully_consistent": true}});
    let answer = project.account.call("AuthorizationService/ListPermissions", list).await;
    assert_eq!(strings(&answer["conditional_permissions"]), ["document:read", "document:write"]);
    assert!(strings(&answer["permissions"]).is_empty());
}

#[tokio::test]
async fn an_explanation_says_what_each_condition_comes_to() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = member(&acme.join("grace", &["member"]).await);
    let explain = |context: Value, extra: Value| {
        let mut asked = question(&acme, &grace, context);
        asked["contextual_bindings"] = extra;
        asked
    };
    let made = bind(&acme, &grace, "context.level == 1", json!({})).await;
    let owner = &acme.owner().caller;
    let answer = owner.call("AuthorizationService/Explain", explain(json!({}), json!([]))).await;
    assert_eq!(
        (text(&answer, "decision"), text(&answer, "cause")),
        ("DECISION_CONDITIONAL".into(), "CAUSE_MISSING_CONTEXT".into())
    );
    assert_eq!(strings(&answer["missing_context"]), ["level"]);
    let derivation = &answer["derivations"][0];
    assert_eq!(text(derivation, "outcome"), "DERIVATION_OUTCOME_MISSING_CONTEXT");
    assert_eq!(strings(&derivation["missing_context"]), ["level"]);
    assert_eq!(derivation["binding"]["binding_id"], made["binding_id"]);
    let answer = owner.call("AuthorizationService/Explain", explain(json!({"level": 2}), json!([]))).await;
    assert_eq!(text(&answer["derivations"][0], "outcome"), "DERIVATION_OUTCOME_CONDITION_FALSE");
    assert_eq!(text(&answer["near_misses"][0]["inactive"], "outcome"), "DERIVATION_OUTCOME_CONDITION_FALSE");
    let failing = json!([{"subject": grace, "role_id": "editor", "condition": "1 / int(context.level - 2.0) == 1"}]);
    let answer = owner.call("AuthorizationService/Explain", explain(json!({"level": 2}), failing)).await;
    let failed =
        answer["derivations"].as_array().unwrap().iter().find(|one| one["condition_error"].is_string()).unwrap();
    assert_eq!(text(failed, "outcome"), "DERIVATION_OUTCOME_CONDITION_FAILED");
    assert!(text(failed, "condition_error").contains("division by zero"), "{failed}");
    assert_eq!(failed["binding"]["binding_id"].as_str().unwrap_or_default(), "", "one for this question only");
    let answer = owner.call("AuthorizationService/Explain", explain(json!({"level": 1}), json!([]))).await;
    assert_eq!(
        (text(&answer, "cause"), text(&answer["derivations"][0], "outcome")),
        ("CAUSE_GRANTED".into(), "DERIVATION_OUTCOME_APPLIES".into())
    );
}

#[tokio::test]
async fn bindings_for_one_question_count_there_and_nowhere_else() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = member(&acme.join("grace", &["member"]).await);
    let with = |bindings: Value| {
        let mut asked = question(&acme, &grace, json!({"level": 1}));
        asked["contextual_bindings"] = bindings;
        asked
    };
    let grant = json!({"subject": grace, "role_id": "editor", "resource": {"type": "document", "id": "42"}});
    let deny = json!({"subject": {"all_members": true}, "role_id": "editor", "effect": "BINDING_EFFECT_DENY",
        "condition": "context.level == 1"});
    let asked = |bindings: Value| project.account.call(CHECK, with(bindings));
    assert_eq!(text(&asked(json!([grant])).await, "decision"), "DECISION_ALLOWED");
    assert_eq!(text(&asked(json!([grant, deny])).await, "decision"), "DECISION_DENIED");
    assert_eq!(decided(&acme, &grace, json!({})).await, plainly("DENIED"), "nothing is kept");
    let listed = json!({"organization_id": acme.id, "subject": grace, "resource": {"type": "document", "id": "42"},
        "contextual_bindings": [grant]});
    let listed = project.account.call("AuthorizationService/ListPermissions", listed).await;
    assert_eq!(strings(&listed["permissions"]), ["document:read", "document:write"]);
    let batch = json!({"organization_id": acme.id, "contextual_bindings": [grant],
        "checks": [{"subject": grace, "permission": "document:read", "resource": {"type": "document", "id": "42"}},
            {"subject": grace, "permission": "document:read", "resource": {"type": "document", "id": "43"}}]});
    let batch = project.account.call("AuthorizationService/BatchCheck", batch).await;
    assert_eq!(
        (batch["results"][0]["allowed"].as_bool(), batch["results"][1]["allowed"].as_bool().unwrap_or_default()),
        (Some(true), false)
    );

    let faulty = json!([{"subject": grace, "role_id": "Editor!", "condition": "contxt.a"}, {"role_id": "editor"}]);
    let refused = project.account.refused(CHECK, with(faulty), Code::InvalidArgument, "INVALID_FIELDS").await;
    for field in
        ["contextual_bindings[0].role_id", "contextual_bindings[0].condition", "contextual_bindings[1].subject"]
    {
        assert!(refused.fields.contains(&field.to_owned()), "{field}: {refused:?}");
    }
    let unknown = json!([{"subject": grace, "role_id": "nobodys"}]);
    project.account.refused(CHECK, with(unknown), Code::NotFound, "NOT_FOUND").await;
    let undeclared = json!([{"subject": grace, "role_id": "editor", "resource": {"type": "planet", "id": "1"}}]);
    project.account.refused(CHECK, with(undeclared), Code::FailedPrecondition, "UNKNOWN_PERMISSION").await;
    project.account.refused(CHECK, with(json!(vec![grant; 101])), Code::InvalidArgument, "INVALID_FIELDS").await;
}

/// About themselves anybody may ask. What they could do if they were somebody else is a question about the organization.
#[tokio::test]
async fn who_may_not_ask_about_others_asks_about_no_other_self() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let person = acme.join("grace", &["member"]).await;
    let (grace, asks) = (member(&person), &person.caller);
    let resource = json!({"type": "document", "id": "42"});
    let questions = [
        (CHECK, question(&acme, &grace, json!({}))),
        (
            "AuthorizationService/ListPermissions",
            json!({"organization_id": acme.id, "subject": grace, "resource": resource}),
        ),
        (
            "AuthorizationService/ListResources",
            json!({"organization_id": acme.id, "subject": grace, "permission": "document:read", "resource_type": "document"}),
        ),
    ];
    for (method, mut asked) in questions {
        asks.call(method, asked.clone()).await;
        asked["contextual_bindings"] = json!([{"subject": grace, "role_id": "owner"}]);
        asks.refused(method, asked.clone(), Code::PermissionDenied, "PERMISSION_MISSING").await;
        acme.owner().caller.call(method, asked).await;
    }
}

#[tokio::test]
async fn an_update_changes_when_a_binding_applies_and_is_judged_as_a_grant() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = member(&acme.join("grace", &["member"]).await);
    let owner = &acme.owner().caller;
    let made = bind(&acme, &grace, "context.level == 1", json!({})).await;
    let id = text(&made, "binding_id");
    let update = |binding: Value, mask: &str| {
        let mut binding = binding;
        binding["binding_id"] = json!(id);
        json!({"organization_id": acme.id, "binding": binding, "update_mask": mask})
    };
    let changed =
        owner.call(UPDATE, update(json!({"condition": "context.level == 2", "etag": made["etag"]}), "condition")).await;
    assert_eq!(decided(&acme, &grace, json!({"level": 2})).await, plainly("ALLOWED"));
    assert_eq!(decided(&acme, &grace, json!({"level": 1})).await, plainly("DENIED"));
    let stale = update(json!({"condition": "", "etag": made["etag"]}), "condition");
    owner.refused(UPDATE, stale, Code::Aborted, "ETAG_MISMATCH").await;
    assert_ne!(changed["etag"], made["etag"]);
    owner.call(UPDATE, update(json!({}), "condition")).await;
    assert_eq!(decided(&acme, &grace, json!({})).await, plainly("ALLOWED"), "without a condition");
    owner.call(UPDATE, update(json!({"expire_time": "2020-01-01T00:00:00Z"}), "expireTime")).await;
    assert_eq!(decided(&acme, &grace, json!({})).await, plainly("DENIED"), "expired");
    let reversed = update(json!({"not_before": "2021-01-01T00:00:00Z"}), "notBefore");
    let refused = owner.refused(UPDATE, reversed, Code::InvalidArgument, "INVALID_FIELDS").await;
    assert_eq!(refused.fields, ["binding.expire_time"]);
    for (binding, mask) in
        [(json!({"condition": "1 +"}), "condition"), (json!({"role_id": "owner"}), "roleId"), (json!({}), "")]
    {
        owner.refused(UPDATE, update(binding, mask), Code::InvalidArgument, "INVALID_FIELDS").await;
    }
    // Whoever may update bindings but lacks the permissions cannot open one, and may close it.
    let clerk = json!({"organization_id": acme.id, "role": {"key": "clerk", "display_name": "Clerk",
        "permissions": ["guildhall.binding:update", "guildhall.binding:create"]}});
    owner.call("RoleService/CreateRole", clerk).await;
    let clerk = acme.join("clerk", &["clerk"]).await.caller;
    let opened = update(json!({}), "expireTime");
    clerk.refused(UPDATE, opened.clone(), Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    clerk.call(UPDATE, update(json!({"condition": "context.level == 3"}), "condition")).await;
    owner.call(UPDATE, opened).await;
    let loosened = update(json!({"condition": "true"}), "condition");
    clerk.refused(UPDATE, loosened, Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    clerk
        .refused(CREATE, request(&acme, &grace, "false", json!({})), Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR")
        .await;
    // A deny is loosened by whoever holds what it forbids.
    let deny = bind(&acme, &grace, "", json!({"effect": "BINDING_EFFECT_DENY"})).await;
    let loosened = json!({"organization_id": acme.id, "update_mask": "condition",
        "binding": {"binding_id": deny["binding_id"], "condition": "false"}});
    clerk.refused(UPDATE, loosened.clone(), Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    owner.call(UPDATE, loosened).await;
}

#[tokio::test]
async fn what_is_held_under_a_condition_is_not_held() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let owner = &acme.owner().caller;
    let clerk = json!({"organization_id": acme.id, "role": {"key": "clerk", "display_name": "Clerk",
        "permissions": ["guildhall.binding:create"]}});
    owner.call("RoleService/CreateRole", clerk).await;
    let clerk = acme.join("clerk", &["clerk"]).await;
    bind(&acme, &member(&clerk), "true", json!({})).await;
    assert_eq!(decided(&acme, &member(&clerk), json!({})).await, plainly("ALLOWED"));
    let grace = member(&acme.join("grace", &["member"]).await);
    let onward = request(&acme, &grace, "true", json!({}));
    clerk.caller.refused(CREATE, onward, Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR").await;
    // The last owner stays one without a condition, and no deny takes it, whatever its condition.
    let asked = json!({"organization_id": acme.id, "subject": member(acme.owner())});
    let listed = owner.call("BindingService/ListBindings", asked).await;
    let mine = text(&listed["bindings"][0], "binding_id");
    let limited = json!({"organization_id": acme.id, "update_mask": "condition",
        "binding": {"binding_id": mine, "condition": "context.never"}});
    owner.refused(UPDATE, limited, Code::FailedPrecondition, "LAST_OWNER").await;
    let mut deny = request(&acme, &json!({"all_members": true}), "false", json!({"effect": "BINDING_EFFECT_DENY"}));
    deny["binding"]["role_id"] = json!("owner");
    owner.refused(CREATE, deny, Code::FailedPrecondition, "LAST_OWNER").await;
    let second = json!({"organization_id": acme.id,
        "binding": {"subject": grace, "role_id": "owner", "condition": "context.never"}});
    owner.call(CREATE, second).await;
    let delete = json!({"organization_id": acme.id, "binding_id": mine});
    owner.refused("BindingService/DeleteBinding", delete, Code::FailedPrecondition, "LAST_OWNER").await;
}

#[tokio::test]
async fn hostile_expressions_and_contexts_are_refused_or_answered_in_time() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = member(&acme.join("grace", &["member"]).await);
    let owner = &acme.owner().caller;
    let full = |part: &str| part.repeat(4096 / part.len());
    for (source, said) in [
        ("contxt.a && foo(1)".to_owned(), "line 1, column 1"),
        ("true &&\n  foo(1)".to_owned(), "line 2, column 3"),
        (full("("), "levels"),
        (full("["), "levels"),
        (full("!"), "levels"),
        (full("true?true:"), "levels"),
        (format!("1{} > 0", "+1".repeat(1000)), "levels"),
        (format!("true{}", "||true".repeat(600)), "parts"),
        (format!("'{}' == ''", "x".repeat(5000)), "4096 bytes"),
        ("context.a.matches('(a{1000}){1000}')".to_owned(), "pattern"),
        ("\u{202e}".to_owned(), "line 1, column 1"),
        ("b'x' == b'x'".to_owned(), "bytes"),
    ] {
        let refused = owner
            .refused(CREATE, request(&acme, &grace, &source, json!({})), Code::InvalidArgument, "INVALID_FIELDS")
            .await;
        assert!(refused.fields.contains(&"binding.condition".to_owned()), "{refused:?}");
        assert!(refused.message.contains(said), "{said}: {refused:?}");
    }
    let cubed = "context.many.all(a, context.many.all(b, context.many.all(c, a == b)))";
    bind(&acme, &grace, cubed, json!({})).await;
    // It would take hours.
    let cut_off = decided(&acme, &grace, json!({"many": vec![1; 3000]}));
    assert_eq!(timeout(Duration::from_secs(20), cut_off).await.expect("it is not cut off"), plainly("DENIED"));
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"x": inner}));
    for context in [json!({"text": "x".repeat(16 * 1024)}), nested(9), json!({"x".repeat(300): 1})] {
        let refused = project
            .account
            .refused(CHECK, question(&acme, &grace, context), Code::InvalidArgument, "INVALID_FIELDS")
            .await;
        assert_eq!(refused.fields, ["context"]);
    }
    assert_eq!(decided(&acme, &grace, nested(8)).await, conditional(&["many"]));
    // Many that take long each are refused together.
    let one = json!({"subject": grace, "permission": "document:read", "context": {"many": vec![1; 1000]}});
    let batch = json!({"organization_id": acme.id, "checks": vec![one; 100]});
    project.account.refused("AuthorizationService/BatchCheck", batch, Code::ResourceExhausted, "LIMIT_REACHED").await;
}
