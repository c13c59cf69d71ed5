//! Each rule by one example.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::sync::Arc;

use engine::{
    ADMIN, Binding, BindingId, Catalog, Change, Effect, Group, GroupId, MAX_RESOURCE_DEPTH, MEMBER, Missing, OWNER,
    OrganizationData, PermissionPattern, Resource, ResourceRef, ResourceType, Role, RoleId, Snapshot, SubjectId,
    SubjectState, Verdict,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const ADA: SubjectId = SubjectId::Member(Uuid::from_u128(1));
const GRACE: SubjectId = SubjectId::Member(Uuid::from_u128(2));
const ROBOT: SubjectId = SubjectId::ServiceAccount(Uuid::from_u128(3));
const STAFF: GroupId = GroupId(Uuid::from_u128(4));
const LEADS: GroupId = GroupId(Uuid::from_u128(5));
const EDITOR: RoleId = RoleId(Uuid::from_u128(6));
const READER: RoleId = RoleId(Uuid::from_u128(7));

fn catalog(verbs: &[&str]) -> Arc<Catalog> {
    let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
    Arc::new(Catalog::new(vec![ResourceType { name: "document".to_owned(), verbs, ..Default::default() }]).unwrap())
}

/// Editor is `document:write` and includes reader, which is `document:read`.
fn acme() -> OrganizationData {
    let mut data = OrganizationData::empty(catalog(&["read", "write"]));
    data.roles = vec![role(EDITOR, &["document:write"], &[READER]), role(READER, &["document:read"], &[])];
    data
}

fn role(id: RoleId, permissions: &[&str], included: &[RoleId]) -> Role {
    Role { id, permissions: patterns(permissions), included_role_ids: included.to_vec() }
}

fn patterns(texts: &[&str]) -> Vec<PermissionPattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn resource(text: &str) -> ResourceRef {
    text.parse().unwrap()
}

fn under(child: &str, parent: &str) -> Resource {
    Resource { resource: resource(child), parent: Some(resource(parent)) }
}

/// Adds an allow binding and returns it, for what differs.
fn bind(data: &mut OrganizationData, subject: impl Into<SubjectId>, role: RoleId) -> &mut Binding {
    let id = BindingId(Uuid::from_u128(data.bindings.len() as u128));
    let subject = subject.into();
    data.bindings.push(Binding {
        id,
        subject,
        role,
        resource: None,
        effect: Effect::Allow,
        condition: None,
        not_before: None,
        expire_time: None,
    });
    data.bindings.last_mut().unwrap()
}

fn allowed_at(data: &OrganizationData, subject: SubjectId, permission: &str, on: &str, now: OffsetDateTime) -> bool {
    let resource = (!on.is_empty()).then(|| resource(on));
    Snapshot::build(data).check(&subject, &permission.parse().unwrap(), resource.as_ref(), now).is_allowed()
}

fn allowed(data: &OrganizationData, subject: SubjectId, permission: &str, on: &str) -> bool {
    allowed_at(data, subject, permission, on, NOW)
}

fn holds(data: &OrganizationData, subject: SubjectId, texts: &[&str]) -> bool {
    Snapshot::build(data).holds_all(&subject, &patterns(texts), None, NOW)
}

#[test]
fn nothing_is_allowed_without_a_binding() {
    assert!(!allowed(&acme(), ADA, "document:read", ""));
}

#[test]
fn a_role_grants_what_it_lists_and_what_it_includes() {
    let mut data = acme();
    bind(&mut data, ADA, EDITOR);
    assert!(allowed(&data, ADA, "document:write", "") && allowed(&data, ADA, "document:read", ""));
    assert!(!allowed(&data, ADA, "guildhall.member:read", "") && !allowed(&data, GRACE, "document:read", ""));
}

#[test]
fn deny_wins_from_wherever_it_comes() {
    let mut data = acme();
    data.groups = vec![Group { id: STAFF, members: vec![ADA] }];
    bind(&mut data, ADA, OWNER).resource = Some(resource("document/42"));
    bind(&mut data, STAFF, READER).effect = Effect::Deny;
    assert!(!allowed(&data, ADA, "document:read", "document/42"));
    assert!(allowed(&data, ADA, "document:write", "document/42"), "only what the denied role grants is denied");
}

#[test]
fn a_denial_below_leaves_what_is_above() {
    let mut data = acme();
    data.resources = vec![under("document/42", "folder/1")];
    bind(&mut data, ADA, READER);
    let denial = bind(&mut data, ADA, READER);
    (denial.effect, denial.resource) = (Effect::Deny, Some(resource("document/42")));
    assert!(!allowed(&data, ADA, "document:read", "document/42") && allowed(&data, ADA, "document:read", "folder/1"));
}

#[test]
fn a_window_includes_its_beginning_and_excludes_its_end() {
    let mut data = acme();
    let (from, until) = (NOW + Duration::seconds(10), NOW + Duration::seconds(20));
    let binding = bind(&mut data, ADA, READER);
    (binding.not_before, binding.expire_time) = (Some(from), Some(until));
    let open = |now| allowed_at(&data, ADA, "document:read", "", now);
    let tick = Duration::nanoseconds(1);
    assert_eq!([from - tick, from, until - tick, until].map(open), [false, true, true, false]);
}

#[test]
fn a_denial_ends_with_its_window() {
    let mut data = acme();
    bind(&mut data, ADA, READER);
    let denial = bind(&mut data, ADA, READER);
    (denial.effect, denial.expire_time) = (Effect::Deny, Some(NOW));
    assert!(allowed(&data, ADA, "document:read", ""));
    assert!(!allowed_at(&data, ADA, "document:read", "", NOW - Duration::nanoseconds(1)));
}

#[test]
fn a_resource_inherits_from_its_ancestors_and_the_organization() {
    let mut data = acme();
    data.resources = vec![under("document/42", "folder/2"), under("folder/2", "folder/1")];
    bind(&mut data, ADA, READER).resource = Some(resource("folder/1"));
    bind(&mut data, GRACE, READER);
    for on in ["document/42", "folder/2", "folder/1"] {
        assert!(allowed(&data, ADA, "document:read", on) && allowed(&data, GRACE, "document:read", on), "{on}");
    }
    assert!(!allowed(&data, ADA, "document:read", "folder/3") && !allowed(&data, ADA, "document:read", ""));
}

#[test]
fn an_unregistered_resource_stands_under_the_organization() {
    let mut data = acme();
    bind(&mut data, ADA, READER);
    bind(&mut data, GRACE, READER).resource = Some(resource("document/42"));
    assert!(allowed(&data, ADA, "document:read", "document/43"));
    assert!(
        allowed(&data, GRACE, "document:read", "document/42") && !allowed(&data, GRACE, "document:read", "document/43")
    );
}

#[test]
fn a_cycle_among_resources_denies() {
    let mut data = acme();
    data.resources =
        vec![under("folder/1", "folder/2"), under("folder/2", "folder/1"), under("document/42", "folder/1")];
    bind(&mut data, ADA, OWNER);
    assert!(
        !allowed(&data, ADA, "document:read", "document/42") && allowed(&data, ADA, "document:read", "document/43")
    );
    let snapshot = Snapshot::build(&data);
    let why = snapshot.explain(&ADA, &"document:read".parse().unwrap(), Some(&resource("folder/2")), NOW);
    assert_eq!(why.verdict, Verdict::ResourceMisplaced);
}

#[test]
fn the_deepest_place_is_the_last_that_is_allowed() {
    let mut data = acme();
    data.resources = (1..40).map(|i| under(&format!("folder/{i}"), &format!("folder/{}", i - 1))).collect();
    bind(&mut data, ADA, OWNER);
    // folder/0 is the first level.
    assert!(allowed(&data, ADA, "document:read", &format!("folder/{}", MAX_RESOURCE_DEPTH - 1)));
    assert!(!allowed(&data, ADA, "document:read", &format!("folder/{MAX_RESOURCE_DEPTH}")));
}

#[test]
fn groups_nest_and_cycles_do_not_loop() {
    let mut data = acme();
    data.groups = vec![
        Group { id: STAFF, members: vec![LEADS.into(), ROBOT] },
        Group { id: LEADS, members: vec![ADA, STAFF.into()] },
    ];
    bind(&mut data, STAFF, READER);
    assert!(allowed(&data, ADA, "document:read", "") && allowed(&data, ROBOT, "document:read", ""));
    assert!(allowed(&data, LEADS.into(), "document:read", "") && !allowed(&data, GRACE, "document:read", ""));
}

#[test]
fn roles_that_include_each_other_grant_the_same() {
    let mut data = acme();
    data.roles = vec![role(EDITOR, &["document:write"], &[READER]), role(READER, &["document:read"], &[EDITOR])];
    bind(&mut data, ADA, EDITOR);
    bind(&mut data, GRACE, READER);
    for subject in [ADA, GRACE] {
        assert!(allowed(&data, subject, "document:write", "") && allowed(&data, subject, "document:read", ""));
    }
}

#[test]
fn all_members_are_members_only() {
    let mut data = acme();
    data.groups = vec![Group { id: STAFF, members: vec![SubjectId::AllMembers] }];
    data.members =
        [ADA, GRACE].iter().filter_map(|s| if let SubjectId::Member(id) = s { Some(*id) } else { None }).collect();
    let stranger = SubjectId::Member(Uuid::from_u128(0xf00));
    bind(&mut data, SubjectId::AllMembers, READER);
    bind(&mut data, STAFF, EDITOR);
    assert!(allowed(&data, ADA, "document:read", "") && allowed(&data, ADA, "document:write", ""));
    assert!(!allowed(&data, ROBOT, "document:read", "") && !allowed(&data, LEADS.into(), "document:read", ""));
    assert!(!allowed(&data, stranger, "document:read", ""), "whoever is no member of this organization");
    data.inactive_subjects = vec![(ADA, SubjectState::Removed)];
    assert!(!allowed(&data, ADA, "document:read", "") && allowed(&data, GRACE, "document:read", ""));
}

#[test]
fn who_or_what_is_not_active_may_do_nothing() {
    let mut data = acme();
    bind(&mut data, ADA, OWNER);
    bind(&mut data, GRACE, OWNER);
    data.inactive_subjects = vec![(ADA, SubjectState::Suspended)];
    assert!(!allowed(&data, ADA, "document:read", "") && allowed(&data, GRACE, "document:read", ""));
    assert!(!holds(&data, ADA, &["document:read"]));
    data.active = false;
    assert!(!allowed(&data, GRACE, "document:read", ""));
    assert!(Snapshot::build(&data).list_permissions(&GRACE, None, NOW).is_empty());
}

#[test]
fn an_unknown_permission_is_denied_even_to_an_owner() {
    let mut data = acme();
    bind(&mut data, ADA, OWNER);
    assert!(!allowed(&data, ADA, "document:shred", "") && !allowed(&data, ADA, "paper:read", ""));
    data.catalog = catalog(&["read", "shred"]);
    assert!(allowed(&data, ADA, "document:shred", ""), "a wildcard grows with the catalog");
}

#[test]
fn a_role_that_is_not_there_means_nothing_and_a_builtin_cannot_be_overridden() {
    let mut data = acme();
    data.roles = vec![role(MEMBER, &["*"], &[]), role(READER, &["document:read"], &[EDITOR])];
    bind(&mut data, ADA, EDITOR);
    bind(&mut data, ADA, READER);
    bind(&mut data, GRACE, MEMBER);
    assert!(!allowed(&data, ADA, "document:write", "") && allowed(&data, ADA, "document:read", ""));
    assert!(allowed(&data, GRACE, "guildhall.member:read", "") && !allowed(&data, GRACE, "document:read", ""));
}

#[test]
fn an_admin_runs_the_organization_and_cannot_delete_it() {
    let mut data = acme();
    bind(&mut data, ADA, ADMIN);
    assert!(
        allowed(&data, ADA, "guildhall.member:remove", "") && allowed(&data, ADA, "guildhall.organization:update", "")
    );
    assert!(!allowed(&data, ADA, "guildhall.organization:delete", "") && !allowed(&data, ADA, "document:read", ""));
    assert!(holds(&data, ADA, &["guildhall.member:*"]) && !holds(&data, ADA, &["guildhall.organization:*"]));
    let snapshot = Snapshot::build(&data);
    assert!(snapshot.holds_all(&ADA, &snapshot.patterns_of(MEMBER).unwrap(), None, NOW));
    assert_eq!(snapshot.not_held(&ADA, &snapshot.patterns_of(OWNER).unwrap(), None, NOW), [&PermissionPattern::All]);
}

#[test]
fn a_wildcard_is_not_held_by_holding_all_it_means_today() {
    let mut data = acme();
    bind(&mut data, ADA, EDITOR);
    assert!(holds(&data, ADA, &["document:read", "document:write"]) && !holds(&data, ADA, &["document:*"]));
    bind(&mut data, GRACE, OWNER);
    assert!(holds(&data, GRACE, &["document:*", "*", "paper:*", "paper:read"]), "what does not exist yet included");
    assert!(!holds(&data, ADA, &["paper:read"]));
}

#[test]
fn a_wildcard_is_not_held_with_a_denial_inside_it_even_one_that_means_nothing_yet() {
    let mut data = acme();
    data.roles.push(role(RoleId(Uuid::from_u128(8)), &["document:shred"], &[]));
    bind(&mut data, ADA, OWNER);
    bind(&mut data, ADA, RoleId(Uuid::from_u128(8))).effect = Effect::Deny;
    assert!(holds(&data, ADA, &["document:read", "guildhall.member:*"]));
    assert!(
        !holds(&data, ADA, &["document:*"]) && !holds(&data, ADA, &["*"]) && !holds(&data, ADA, &["document:shred"])
    );
}

#[test]
fn what_is_held_on_a_resource_is_not_held_elsewhere() {
    let mut data = acme();
    bind(&mut data, ADA, OWNER).resource = Some(resource("folder/1"));
    data.resources = vec![under("document/42", "folder/1")];
    let snapshot = Snapshot::build(&data);
    assert!(snapshot.holds_all(&ADA, &patterns(&["*"]), Some(&resource("document/42")), NOW));
    assert!(!snapshot.holds_all(&ADA, &patterns(&["document:read"]), None, NOW));
}

#[test]
fn holders_of_owner_are_found_through_groups_and_including_roles() {
    let mut data = acme();
    let founder = RoleId(Uuid::from_u128(8));
    data.roles.push(role(founder, &[], &[OWNER]));
    data.groups =
        vec![Group { id: STAFF, members: vec![LEADS.into()] }, Group { id: LEADS, members: vec![GRACE, ROBOT] }];
    bind(&mut data, ADA, founder);
    bind(&mut data, STAFF, OWNER);
    bind(&mut data, ROBOT, READER).effect = Effect::Deny;
    let elsewhere = SubjectId::Member(Uuid::from_u128(9));
    bind(&mut data, elsewhere, OWNER).resource = Some(resource("document/42"));
    bind(&mut data, elsewhere, OWNER).expire_time = Some(NOW);
    let holders = Snapshot::build(&data).holders_of(OWNER, NOW);
    let found: Vec<_> = holders
        .iter()
        .map(|holder| (holder.subject, holder.held.role, holder.held.through.clone(), holder.effective))
        .collect();
    let staff = vec![LEADS.into(), STAFF.into()];
    assert_eq!(
        found,
        [(ADA, founder, vec![], true), (GRACE, OWNER, staff.clone(), true), (ROBOT, OWNER, staff, false)]
    );
    data.inactive_subjects = vec![(ADA, SubjectState::Suspended), (GRACE, SubjectState::Removed)];
    assert_eq!(Snapshot::build(&data).holders_of(OWNER, NOW).len(), 1);
}

#[test]
fn an_explanation_names_the_whole_way() {
    let mut data = acme();
    data.groups = vec![Group { id: STAFF, members: vec![LEADS.into()] }, Group { id: LEADS, members: vec![ADA] }];
    data.resources = vec![under("document/42", "folder/1")];
    bind(&mut data, STAFF, EDITOR).resource = Some(resource("folder/1"));
    let snapshot = Snapshot::build(&data);
    let why = snapshot.explain(&ADA, &"document:read".parse().unwrap(), Some(&resource("document/42")), NOW);
    let Verdict::Granted { grants } = &why.verdict else { panic!("{why:?}") };
    assert_eq!(grants[0].subject_path, [ADA, LEADS.into(), STAFF.into()]);
    assert_eq!(grants[0].role_path, [EDITOR, READER]);
    assert_eq!(grants[0].pattern, Some("document:read".parse().unwrap()));
    assert_eq!(grants[0].resource_path, [resource("document/42"), resource("folder/1")]);
}

#[test]
fn a_denial_names_the_nearest_missing_grant() {
    let mut data = acme();
    let missing = |data: &OrganizationData| {
        let why = Snapshot::build(data).explain(&ADA, &"document:write".parse().unwrap(), None, NOW);
        let Verdict::NotGranted { nearest, granting_roles } = why.verdict else { panic!("{why:?}") };
        assert_eq!(granting_roles, [EDITOR, OWNER]);
        nearest.map(|near| near.missing)
    };
    assert_eq!(missing(&data), None);
    bind(&mut data, ADA, READER);
    assert_eq!(missing(&data), Some(Missing::RoleLacksPermission));
    bind(&mut data, ADA, EDITOR).resource = Some(resource("document/42"));
    assert_eq!(missing(&data), Some(Missing::BoundElsewhere));
    bind(&mut data, ADA, EDITOR).expire_time = Some(NOW);
    assert_eq!(missing(&data), Some(Missing::Expired));
    bind(&mut data, ADA, EDITOR).not_before = Some(NOW + Duration::SECOND);
    assert_eq!(missing(&data), Some(Missing::NotYetOpen));
}

#[test]
fn what_came_and_went_leaves_nothing_behind() {
    let mut data = acme();
    bind(&mut data, ADA, EDITOR);
    let first = Snapshot::build(&data);
    let passing = |n: u128| Binding {
        id: BindingId(Uuid::from_u128(1000 + n)),
        subject: SubjectId::ServiceAccount(Uuid::from_u128(n)),
        resource: Some(resource(&format!("document/{n}"))),
        ..data.bindings[0].clone()
    };
    let put: Vec<Change> = (0..10_000).map(|n| Change::PutBinding(passing(n))).collect();
    let dropped: Vec<Change> = (0..10_000).map(|n| Change::DropBinding(passing(n).id)).collect();

    let full = first.apply(&put);
    assert!(full.bytes() > 20 * first.bytes());
    let emptied = full.apply(&dropped);
    assert!(emptied.bytes() < first.bytes() + 100, "{} bytes, first {}", emptied.bytes(), first.bytes());
    assert_eq!(emptied.bindings().count(), 1);
    assert_eq!(full.bindings().count(), 10_001, "what was before is as it was");

    let mut passed = first.clone();
    for (put, dropped) in put.iter().zip(&dropped) {
        passed = passed.apply(std::slice::from_ref(put)).apply(std::slice::from_ref(dropped));
    }
    assert!(passed.bytes() < first.bytes() + 1000, "{} bytes, first {}", passed.bytes(), first.bytes());
}

#[test]
fn who_is_in_many_groups_is_in_each_once() {
    let mut data = acme();
    let groups: Vec<_> = (100..140).map(|n| GroupId(Uuid::from_u128(n))).collect();
    let group = |id: GroupId, members: Vec<SubjectId>| Group { id, members };
    data.groups = groups.iter().map(|id| group(*id, vec![ADA])).collect();
    data.groups[0].members.push(groups[1].into());
    let snapshot = Snapshot::build(&data);
    let mut of_ada = snapshot.groups_of(&ADA);
    of_ada.sort_unstable();
    assert_eq!(of_ada, groups);
}
