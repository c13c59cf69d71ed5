//! What changes would do is what they do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tenancy::{GroupId, RoleId};
use testkit::{
    Cluster,
    caller::{Organization, text, unique},
};
use tonic::Code;

use crate::changes::{apply, at, batch, bind, deny, group, join, place, product, register, revision, role};

const SIMULATE: &str = "AuthorizationService/Simulate";

async fn simulate(organization: &Organization<'_>, changes: &[Value]) -> Value {
    let answer = organization.project.account.call(SIMULATE, batch(organization, changes)).await;
    assert_eq!(answer["truncated"], false);
    answer
}

/// What a simulation says: who, what and where, and whether they may afterwards.
type Told = BTreeMap<(String, String, String), bool>;

fn told(answer: &Value) -> Told {
    let line = |line: &Value| {
        let subject = line["subject"].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        let gained = line["after"] == "DECISION_ALLOWED";
        assert_eq!(line["before"], if gained { "DECISION_DENIED" } else { "DECISION_ALLOWED" });
        ((subject, text(line, "permission"), line["resource"].to_string()), gained)
    };
    let lines = answer["differences"].as_array().unwrap();
    let told: Told = lines.iter().map(line).collect();
    assert_eq!(told.len(), lines.len(), "no line is there twice");
    told
}

#[tokio::test]
async fn it_says_who_gains_and_who_loses_and_changes_nothing() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let (grace, ada) = (acme.join("grace", &[]).await, acme.join("ada", &[]).await);
    let (editor, staff) = (RoleId::new(), GroupId::new());
    let made = [
        role(&editor, &["document:write"]),
        group(&staff),
        join(&staff, &json!({"member_id": grace.id})),
        at(bind(&json!({"group_id": staff.to_string()}), &editor.to_string()), "folder", "plans"),
        register(place("folder", "plans"), None),
        register(place("document", "42"), None),
    ];
    apply(&acme, &made).await;
    let before = revision(&acme).await;
    let changes = [
        json!({"remove_group_member": {"group_id": staff.to_string(), "subject": {"member_id": grace.id}}}),
        join(&staff, &json!({"member_id": ada.id})),
        json!({"move_resource": {"resource": place("document", "42"), "parent": place("folder", "plans")}}),
    ];
    let answer = simulate(&acme, &changes).await;
    let (plans, document) = (place("folder", "plans").to_string(), place("document", "42").to_string());
    let line =
        |who: &str, place: &str, gained| ((who.to_owned(), "document:write".to_owned(), place.to_owned()), gained);
    let expected = [line(&grace.id, &plans, false), line(&ada.id, &plans, true), line(&ada.id, &document, true)];
    assert_eq!(told(&answer), expected.into_iter().collect());
    assert_eq!(text(&answer, "revision"), before);
    assert_eq!(revision(&acme).await, before, "nothing was changed");
    // Of those who are asked about only.
    let mut request = batch(&acme, &changes);
    request["subjects"] = json!([{"member_id": grace.id}]);
    let answer = project.account.call(SIMULATE, request).await;
    assert_eq!(told(&answer), [line(&grace.id, &plans, false)].into_iter().collect());
}

#[tokio::test]
async fn what_depends_on_inputs_is_said_to() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let grace = acme.join("grace", &[]).await;
    let editor = RoleId::new();
    apply(&acme, &[role(&editor, &["document:write"])]).await;
    let mut change = bind(&json!({"member_id": grace.id}), &editor.to_string());
    change["create_binding"]["condition"] = json!("context.hour < 18");
    for (context, after) in [
        (json!({}), "DECISION_CONDITIONAL"),
        (json!({"hour": 9}), "DECISION_ALLOWED"),
        (json!({"hour": 20}), "nothing"),
    ] {
        let mut request = batch(&acme, &[change.clone()]);
        request["context"] = context;
        let answer = project.account.call(SIMULATE, request).await;
        let told: Vec<&Value> = answer["differences"].as_array().unwrap().iter().map(|line| &line["after"]).collect();
        assert_eq!(told, if after == "nothing" { vec![] } else { vec![after] }, "{answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_applied_cannot_be_simulated() {
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    let admin = acme.join("admin", &["admin"]).await;
    let me = json!({"member_id": admin.id});
    let owner = json!({"organization_id": acme.id, "subject": {"member_id": acme.owner().id}});
    let owner = project.account.call("BindingService/ListBindings", owner).await;
    let leave = json!({"delete_binding_id": text(&owner, "bindings.0.binding_id")});
    let lost = json!({"delete_group_id": GroupId::new().to_string()});
    for (changes, code, reason) in [
        (vec![bind(&me, "owner")], Code::PermissionDenied, "GRANT_EXCEEDS_GRANTOR"),
        (vec![leave], Code::FailedPrecondition, "LAST_OWNER"),
        (vec![group(&GroupId::new()), lost], Code::NotFound, "NOT_FOUND"),
        (vec![json!({})], Code::InvalidArgument, "INVALID_FIELDS"),
        (vec![], Code::InvalidArgument, "INVALID_FIELDS"),
    ] {
        let simulated = admin.caller.refused(SIMULATE, batch(&acme, &changes), code, reason).await;
        let applied = admin.caller.refused("BindingService/ApplyChanges", batch(&acme, &changes), code, reason).await;
        assert_eq!(simulated.fields, applied.fields);
    }
    // Whoever may simulate need not be able to make each change alone.
    let auditor = RoleId::new();
    let grace = acme.join("grace", &[]).await;
    let auditing = ["guildhall.authorization:simulate", "guildhall.member:read"];
    apply(&acme, &[role(&auditor, &auditing), bind(&json!({"member_id": grace.id}), &auditor.to_string())]).await;
    let reader =
        json!({"create_role": {"key": unique("role"), "display_name": "x", "permissions": ["guildhall.member:read"]}});
    grace.caller.call(SIMULATE, batch(&acme, &[reader])).await;
    let member = acme.join("member", &["member"]).await;
    let request = batch(&acme, &[group(&GroupId::new())]);
    member.caller.refused(SIMULATE, request, Code::PermissionDenied, "PERMISSION_MISSING").await;
}

/// A small generator: the same histories each time, different ones each round.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

struct World<'c> {
    acme: Organization<'c>,
    members: Vec<Value>,
    groups: Vec<GroupId>,
    roles: Vec<RoleId>,
    folders: Vec<Value>,
    bindings: BTreeSet<String>,
}

const PERMISSIONS: [&str; 5] =
    ["document:read", "document:write", "folder:read", "folder:write", "guildhall.event:read"];

impl World<'_> {
    fn subject(&self, dice: &mut Dice) -> Value {
        match dice.roll(5) {
            0 => json!({"group_id": self.groups[dice.roll(self.groups.len())].to_string()}),
            1 => json!({"all_members": true}),
            _ => self.members[dice.roll(self.members.len())].clone(),
        }
    }

    fn change(&self, dice: &mut Dice) -> Value {
        let group = self.groups[dice.roll(self.groups.len())];
        let role = self.roles[dice.roll(self.roles.len())].to_string();
        let member = &self.members[dice.roll(self.members.len())];
        let folder = self.folders[dice.roll(self.folders.len())].clone();
        let subject = self.subject(dice);
        let change = if dice.roll(4) == 0 { deny(&subject, &role) } else { bind(&subject, &role) };
        match dice.roll(9) {
            0 => change,
            1 | 2 => at(change, "folder", folder["id"].as_str().unwrap()),
            3 => json!({"delete_binding_id": self.bindings.iter().nth(dice.roll(self.bindings.len().max(1)))}),
            4 => join(&group, member),
            5 => json!({"remove_group_member": {"group_id": group.to_string(), "subject": member}}),
            6 => {
                let inner = self.groups[dice.roll(self.groups.len())];
                join(&group, &json!({"group_id": inner.to_string()}))
            }
            7 => {
                let some: Vec<&str> = PERMISSIONS.iter().filter(|_| dice.roll(2) == 0).copied().collect();
                json!({"replace_role": {"role_id": role, "display_name": "x", "permissions": some}})
            }
            _ => {
                let mut registration = json!({"resource": folder});
                if dice.roll(3) > 0 {
                    registration["parent"] = self.folders[dice.roll(self.folders.len())].clone();
                }
                json!({"move_resource": registration})
            }
        }
    }

    /// Every decision about everybody, everywhere.
    async fn decisions(&self) -> BTreeMap<(String, String, String), bool> {
        let places: Vec<Value> = std::iter::once(Value::Null).chain(self.folders.iter().cloned()).collect();
        let (mut checks, mut keys) = (Vec::new(), Vec::new());
        for member in &self.members {
            for permission in PERMISSIONS {
                for at in &places {
                    let mut check = json!({"subject": member, "permission": permission});
                    if !at.is_null() {
                        check["resource"] = at.clone();
                    }
                    checks.push(check);
                    keys.push((text(member, "member_id"), permission.to_owned(), at.to_string()));
                }
            }
        }
        let request =
            json!({"organization_id": self.acme.id, "checks": checks, "consistency": {"fully_consistent": true}});
        let answer = self.acme.project.account.call("AuthorizationService/BatchCheck", request).await;
        let allowed = answer["results"].as_array().unwrap().iter().map(|result| result["allowed"] == true);
        keys.into_iter().zip(allowed).collect()
    }

    /// What each folder lies in, nearest first.
    async fn above(&self, folder: &str) -> Vec<String> {
        let mut parents: BTreeMap<String, String> = BTreeMap::new();
        for parent in &self.folders {
            let request = json!({"organization_id": self.acme.id, "parent": parent});
            let children = self.acme.project.account.call("ResourceService/ListChildren", request).await;
            for child in children["resources"].as_array().unwrap() {
                parents.insert(child["resource"].to_string(), parent.to_string());
            }
        }
        std::iter::successors(parents.get(folder), |at| parents.get(*at)).cloned().collect()
    }
}

#[tokio::test]
async fn what_is_simulated_is_what_happens() {
    const ROUNDS: u64 = 40;
    let project = Cluster::shared().await.project().await;
    let acme = project.organization("acme").await;
    product(&acme).await;
    let mut members = Vec::new();
    for name in ["grace", "ada", "alan"] {
        members.push(json!({"member_id": acme.join(name, &[]).await.id}));
    }
    let groups: Vec<GroupId> = (0..3).map(|_| GroupId::new()).collect();
    let roles: Vec<RoleId> = (0..3).map(|_| RoleId::new()).collect();
    let folders: Vec<Value> = (0..4).map(|n| place("folder", &n.to_string())).collect();
    let mut made: Vec<Value> = groups.iter().map(group).collect();
    made.extend(roles.iter().zip(PERMISSIONS).map(|(id, permission)| role(id, &[permission])));
    made.extend(folders.iter().map(|folder| register(folder.clone(), None)));
    apply(&acme, &made).await;
    let mut world = World { acme, members, groups, roles, folders, bindings: BTreeSet::new() };
    let (mut applied, mut changed) = (0, 0);
    for round in 0..ROUNDS {
        let mut dice = Dice(round);
        let changes: Vec<Value> = (0..=dice.roll(6)).map(|_| world.change(&mut dice)).collect();
        let changes: Vec<Value> = changes
            .into_iter()
            .filter(|change| !change["delete_binding_id"].is_null() || change.get("delete_binding_id").is_none())
            .collect();
        let request = batch(&world.acme, &changes);
        let account = &world.acme.project.account;
        let before = world.decisions().await;
        let simulated = account.try_call(SIMULATE, request.clone()).await;
        let outcome = account.try_call("BindingService/ApplyChanges", request).await;
        let (simulated, outcome) = match (simulated, outcome) {
            (Ok(simulated), Ok(outcome)) => (simulated, outcome),
            (Err(simulated), Err(outcome)) => {
                assert_eq!(
                    (simulated.code, simulated.reason, simulated.fields),
                    (outcome.code, outcome.reason, outcome.fields)
                );
                continue;
            }
            (simulated, outcome) => panic!("round {round}: simulated {simulated:?}, applied {outcome:?}"),
        };
        applied += 1;
        for (change, id) in changes.iter().zip(outcome["created_ids"].as_array().unwrap()) {
            if let Some(gone) = change["delete_binding_id"].as_str() {
                world.bindings.remove(gone);
            }
            world.bindings.extend(id.as_str().filter(|id| id.starts_with("binding_")).map(str::to_owned));
        }
        let after = world.decisions().await;
        let told = told(&simulated);
        for (question, gained) in &told {
            if let (Some(was), Some(is)) = (before.get(question), after.get(question)) {
                assert_eq!((*was, *is), (!gained, *gained), "round {round}: {question:?} of {changes:?}");
            }
        }
        for (question, is) in &after {
            if before[question] == *is {
                continue;
            }
            changed += 1;
            let (who, what, place) = question;
            let mut places = vec![place.clone()];
            places.extend(world.above(place).await);
            places.push("null".to_owned());
            let is_told = places.into_iter().any(|at| told.contains_key(&(who.clone(), what.clone(), at)));
            assert!(is_told, "round {round}: {question:?} became {is} by {changes:?}, and was not told");
        }
    }
    assert!(applied > 10 && changed > 30, "{applied} batches were applied and {changed} decisions changed");
}
