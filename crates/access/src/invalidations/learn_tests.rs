use api::{
    authz::v1::{Binding, GroupMembership, Resource},
    event::v1::{BindingChange, GroupMembershipChange, MemberChange, RoleChange},
    member::v1::Member,
};
use outdated::{Bearer, KEEP};
use tenancy::GroupId;

use super::*;

const EPOCH: i64 = 6;

struct World {
    project: ProjectId,
    organization: OrganizationId,
    set: Set,
}

impl World {
    fn new() -> Self {
        Self { project: ProjectId::new(), organization: OrganizationId::new(), set: Set::new(KEEP) }
    }

    fn event(&self, kind: &str, payload: Option<Payload>) -> Event {
        Event {
            kind: kind.to_owned(),
            project_id: self.project.to_string(),
            organization_id: self.organization.to_string(),
            revision: EPOCH + 1,
            payload,
            ..Event::default()
        }
    }

    fn refuses(&self, member: MemberId) -> bool {
        self.refuses_of(member, EPOCH)
    }

    fn refuses_of(&self, member: MemberId, epoch: i64) -> bool {
        let ids = (self.project.uuid(), self.organization.uuid(), member.uuid(), Uuid::now_v7());
        self.set.refuses(&Bearer::member(ids.0, ids.1, ids.2, ids.3, u64::MAX / 1000, epoch))
    }
}

fn subject(holder: Holder) -> Option<authz::Subject> {
    Some(authz::Subject { subject: Some(holder) })
}

#[test]
fn a_removed_member_s_tokens_are_refused_and_the_remover_s_are_not() {
    let (mut world, ada, grace) = (World::new(), MemberId::new(), MemberId::new());
    let before = Some(Member { member_id: grace.to_string(), ..Member::default() });
    let mut event = world.event("member.removed", Some(Payload::Member(MemberChange { before, after: None })));
    event.subject_ids = vec![ada.to_string(), grace.to_string()];
    learn(&mut world.set, Service::Member, &event);
    assert!(world.refuses(grace) && !world.refuses(ada));
    event.payload = None;
    event.revision += 1;
    learn(&mut world.set, Service::Member, &event);
    assert!(world.refuses(ada), "what is erased may have been either");
}

#[test]
fn each_service_is_believed_in_what_is_its_own() {
    let (mut world, ada) = (World::new(), MemberId::new());
    let mut event = world.event("project.archived", None);
    for stranger in [Service::Member, Service::Authz, Service::Gateway] {
        learn(&mut world.set, stranger, &event);
        assert!(!world.refuses(ada), "org-service alone archives");
    }
    event.organization_id = String::new();
    learn(&mut world.set, Service::Org, &event);
    assert!(world.refuses(ada) && !World { project: ProjectId::new(), ..world }.refuses(ada));
}

fn bound(holder: Holder, effect: BindingEffect, kind: &str, resource: Option<Resource>) -> Payload {
    let binding = Binding { subject: subject(holder), effect: effect.into(), resource, ..Binding::default() };
    match kind {
        "binding.deleted" => Payload::Binding(BindingChange { before: Some(binding), after: None }),
        _ => Payload::Binding(BindingChange { before: None, after: Some(binding) }),
    }
}

#[test]
fn what_is_taken_from_somebody_refuses_what_was_read_before() {
    let group = || Holder::GroupId(GroupId::new().to_string());
    for (holder, effect, kind, (hers, others)) in [
        (None, BindingEffect::Allow, "binding.created", (false, false)),
        (None, BindingEffect::Allow, "binding.updated", (true, false)),
        (None, BindingEffect::Allow, "binding.deleted", (true, false)),
        (None, BindingEffect::Deny, "binding.created", (true, false)),
        (None, BindingEffect::Deny, "binding.deleted", (false, false)),
        (Some(group()), BindingEffect::Allow, "binding.deleted", (true, true)),
        (Some(group()), BindingEffect::Allow, "binding.created", (false, false)),
        (Some(Holder::AllMembers(true)), BindingEffect::Allow, "binding.deleted", (true, true)),
    ] {
        let (mut world, ada, grace) = (World::new(), MemberId::new(), MemberId::new());
        let holder = holder.unwrap_or(Holder::MemberId(ada.to_string()));
        let event = world.event(kind, Some(bound(holder, effect, kind, None)));
        assert_eq!(learn(&mut world.set, Service::Authz, &event).len(), usize::from(hers));
        assert_eq!((world.refuses(ada), world.refuses(grace)), (hers, others), "{kind} {effect:?}");
        assert!(!world.refuses_of(ada, EPOCH + 1), "what was read after it");
        assert!(learn(&mut world.set, Service::Authz, &event).is_empty(), "it comes again, and is no news");
    }
}

#[test]
fn a_membership_takes_roles_along_and_what_is_held_of_a_resource_is_in_no_token() {
    let (mut world, ada) = (World::new(), MemberId::new());
    let holder = || Holder::MemberId(ada.to_string());
    let document = Some(Resource { r#type: "document".to_owned(), id: "d1".to_owned() });
    let kind = "binding.deleted";
    let event = world.event(kind, Some(bound(holder(), BindingEffect::Allow, kind, document)));
    learn(&mut world.set, Service::Authz, &event);
    assert!(!world.refuses(ada));
    for (kind, refused) in [("group.member_added", false), ("group.member_removed", true)] {
        let membership = || Some(GroupMembership { subject: subject(holder()), ..GroupMembership::default() });
        let change = match refused {
            true => GroupMembershipChange { before: membership(), after: None },
            false => GroupMembershipChange { before: None, after: membership() },
        };
        let event = world.event(kind, Some(Payload::GroupMembership(change)));
        let said = learn(&mut world.set, Service::Authz, &event);
        assert_eq!(world.refuses(ada), refused, "{kind}");
        // The group may be denied something: what a token lists of permissions was read before.
        let [Statement { which, .. }] = said[..] else { panic!("{said:?}") };
        assert_eq!((which.minimum_permissions_epoch > 0, which.minimum_epoch > 0), (true, refused), "{kind}");
    }
}

#[test]
fn what_a_role_permits_outdates_the_permissions_that_tokens_list() {
    let role = |permissions: &[&str], name: &str| {
        let permissions = permissions.iter().map(|text| (*text).to_owned()).collect();
        Some(authz::Role { permissions, display_name: name.to_owned(), ..authz::Role::default() })
    };
    for (kind, before, after, outdates) in [
        ("role.created", None, role(&["a:b"], ""), false),
        ("role.updated", role(&["a:b"], ""), role(&["a:b"], "New"), false),
        ("role.updated", role(&["a:b", "a:c"], ""), role(&["a:b"], ""), true),
        // A deny binding with it takes more now.
        ("role.updated", role(&["a:b"], ""), role(&["a:b", "a:c"], ""), true),
        ("role.deleted", role(&["a:b"], ""), None, true),
    ] {
        for of_project in [false, true] {
            let (mut world, ada) = (World::new(), MemberId::new());
            let payload = RoleChange { before: before.clone(), after: after.clone() };
            let mut event = world.event(kind, Some(Payload::Role(payload)));
            if of_project {
                event.organization_id = String::new();
            }
            learn(&mut world.set, Service::Authz, &event);
            let ids = (world.project.uuid(), world.organization.uuid(), ada.uuid(), Uuid::now_v7());
            let plain = Bearer::member(ids.0, ids.1, ids.2, ids.3, u64::MAX / 1000, EPOCH);
            let newer = EPOCH + 1;
            let listing = |epoch, project_epoch| {
                let bearer = Bearer { epoch: Some(epoch), project_epoch: Some(project_epoch), ..plain };
                world.set.refuses(&bearer)
            };
            let told = (world.set.refuses(&plain), listing(newer, EPOCH), listing(EPOCH, newer), listing(newer, newer));
            let expected = (false, outdates && of_project, outdates && !of_project, false);
            assert_eq!(told, expected, "{kind}, of the project: {of_project}");
        }
    }
    let mut world = World::new();
    let catalog = Event { organization_id: String::new(), ..world.event("catalog.updated", None) };
    assert_eq!(learn(&mut world.set, Service::Authz, &catalog).len(), 1);
}

#[test]
fn a_change_that_was_erased_may_have_been_anybody_s() {
    let (mut world, ada) = (World::new(), MemberId::new());
    let event = world.event("binding.deleted", None);
    learn(&mut world.set, Service::Authz, &event);
    assert!(world.refuses(ada) && !world.refuses_of(ada, EPOCH + 1));
}
