//! The stream of an organization's revisions, and an engine of one's own that is fed by it.

use std::{sync::Arc, time::Duration};

use api::authz::v1::{
    AuthorizationFact, BindingEffect, Resource, Subject, SubjectStatus, WatchRevisionsRequest, WatchRevisionsResponse,
    authorization_fact::Fact, subject::Subject as Kind,
};
use engine::{
    Catalog, Change, Effect, OrganizationData, Permission, ResourceRef, ResourceType, Role, Snapshot, SubjectId,
    SubjectState,
};
use serde_json::json;
use tenancy::{BindingId, GroupId, MemberId, RoleId, ServiceAccountId};
use testkit::{Cluster, caller::text};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::{
    asked::{Door, House},
    at_least, fully_consistent,
};

const PATIENCE: Duration = Duration::from_secs(20);

struct Watched(Streaming<WatchRevisionsResponse>);

impl Watched {
    async fn open(door: &Door, organization: &str, include_changes: bool, after_revision: &str) -> Self {
        let request = WatchRevisionsRequest {
            organization_id: organization.to_owned(),
            include_changes,
            after_revision: after_revision.to_owned(),
        };
        Self(door.client().watch_revisions(door.request(request)).await.unwrap().into_inner())
    }

    async fn next(&mut self) -> Result<WatchRevisionsResponse, Status> {
        timeout(PATIENCE, self.0.message()).await.expect("the stream says nothing").map(|message| message.unwrap())
    }
}

fn subject(subject: Option<Subject>) -> SubjectId {
    match subject.unwrap().subject.unwrap() {
        Kind::MemberId(id) => SubjectId::Member(id.parse::<MemberId>().unwrap().uuid()),
        Kind::ServiceAccountId(id) => SubjectId::ServiceAccount(id.parse::<ServiceAccountId>().unwrap().uuid()),
        Kind::GroupId(id) => SubjectId::Group(id.parse::<GroupId>().unwrap().uuid()),
        Kind::AllMembers(_) => SubjectId::AllMembers,
    }
}

fn resource(resource: Resource) -> ResourceRef {
    ResourceRef::new(&resource.r#type, &resource.id).unwrap()
}

fn role(id: &str) -> engine::RoleId {
    id.parse::<RoleId>().unwrap().uuid().into()
}

fn group(id: &str) -> engine::GroupId {
    id.parse::<GroupId>().unwrap().uuid().into()
}

fn binding(id: &str) -> engine::BindingId {
    id.parse::<BindingId>().unwrap().uuid().into()
}

/// As the engine takes it up.
fn change(fact: AuthorizationFact) -> Change {
    match fact.fact.unwrap() {
        Fact::Catalog(catalog) => {
            let types = catalog.resource_types.into_iter().map(|declared| ResourceType {
                name: declared.name,
                parent_types: declared.parent_types,
                verbs: declared.verbs,
                description: declared.description,
            });
            Change::Catalog(Arc::new(Catalog::new(types.collect()).unwrap()))
        }
        Fact::OrganizationActive(active) => Change::Organization { active },
        Fact::Role(held) => Change::PutRole(Role {
            id: role(&held.role_id),
            permissions: held.permissions.iter().map(|text| text.parse().unwrap()).collect(),
            included_role_ids: held.included_role_ids.iter().map(|id| role(id)).collect(),
        }),
        Fact::RemovedRoleId(id) => Change::DropRole(role(&id)),
        Fact::GroupId(id) => Change::PutGroup(group(&id)),
        Fact::RemovedGroupId(id) => Change::DropGroup(group(&id)),
        Fact::Membership(place) => {
            Change::PutMembership { group: group(&place.group_id), member: subject(place.subject) }
        }
        Fact::RemovedMembership(place) => {
            Change::DropMembership { group: group(&place.group_id), member: subject(place.subject) }
        }
        Fact::Binding(held) => {
            assert!(held.not_before.is_none() && held.expire_time.is_none() && held.condition.is_empty());
            let effect = if held.effect() == BindingEffect::Deny { Effect::Deny } else { Effect::Allow };
            let mut made = serde_json::json!({"id": binding(&held.binding_id), "role": role(&held.role_id),
                "subject": subject(held.subject), "effect": effect});
            made["resource"] = serde_json::to_value(held.resource.map(resource)).unwrap();
            Change::PutBinding(serde_json::from_value(made).unwrap())
        }
        Fact::RemovedBindingId(id) => Change::DropBinding(binding(&id)),
        Fact::Resource(place) => Change::PutResource(engine::Resource {
            resource: resource(place.resource.unwrap()),
            parent: place.parent.map(resource),
        }),
        Fact::RemovedResource(gone) => Change::DropResource(resource(gone)),
        Fact::Subject(told) => {
            let state = match told.status() {
                SubjectStatus::Suspended => Some(SubjectState::Suspended),
                SubjectStatus::Removed => Some(SubjectState::Removed),
                SubjectStatus::Active | SubjectStatus::Unspecified => None,
            };
            Change::Subject(subject(told.subject), state)
        }
    }
}

/// An engine that is fed by a stream.
struct Embedded {
    watched: Watched,
    engine: Snapshot,
    revision: String,
    starts: usize,
}

impl Embedded {
    async fn open(door: &Door, organization: &str) -> Self {
        let engine = Snapshot::build(&OrganizationData::empty(Arc::new(Catalog::system())));
        let watched = Watched::open(door, organization, true, "").await;
        Self { watched, engine, revision: String::new(), starts: 0 }
    }

    /// Takes up messages until it is at the revision of one.
    async fn step(&mut self) {
        loop {
            let message = self.watched.next().await.unwrap();
            if message.start {
                self.engine = Snapshot::build(&OrganizationData::empty(Arc::new(Catalog::system())));
                self.starts += 1;
            }
            let changes: Vec<Change> = message.facts.into_iter().map(change).collect();
            self.engine = self.engine.apply(&changes);
            if !message.revision.is_empty() {
                assert!(message.proven_time.is_some());
                self.revision = message.revision;
                return;
            }
        }
    }

    /// Whether the server says the same, at the same revision.
    async fn agrees(&self, door: &Door, house: &House<'_>, place: &str) -> bool {
        let answer = door.may(place, at_least(&self.revision)).await.unwrap();
        let member = SubjectId::Member(house.member.parse::<MemberId>().unwrap().uuid());
        let permission: Permission = "document:read".parse().unwrap();
        let at = ResourceRef::new("document", place).unwrap();
        let own = self.engine.check(&member, &permission, Some(&at), tenancy::event::now()).is_allowed();
        if answer.revision == self.revision {
            assert_eq!(own, answer.allowed, "{place} at {}", self.revision);
        }
        own
    }
}

#[tokio::test]
async fn an_engine_that_is_fed_by_the_stream_answers_as_the_server_does() {
    let cluster = Cluster::shared().await;
    let house = House::new(cluster).await;
    let door = Door::new(&cluster.access().authz, &house);
    house.grant("first").await;
    let mut own = Embedded::open(&door, &house.organization.id).await;
    own.step().await;
    assert_eq!(own.starts, 1);
    assert!(own.agrees(&door, &house, "first").await);
    assert!(!own.agrees(&door, &house, "second").await);

    let account = &house.project.account;
    let id = &house.organization.id;
    let made = json!({"organization_id": id, "group": {"display_name": "readers"}});
    let group = text(&account.call("GroupService/CreateGroup", made).await, "group_id");
    let within = json!({"organization_id": id, "group_id": group, "subjects": [{"member_id": house.member}]});
    account.call("GroupService/AddGroupMembers", within).await;
    let bound = json!({"organization_id": id, "binding": {"subject": {"group_id": group}, "role_id": house.role,
        "resource": {"type": "document", "id": "second"}}});
    let bound = account.call("BindingService/CreateBinding", bound).await;
    while !own.agrees(&door, &house, "second").await {
        own.step().await;
    }
    house.take("first").await;
    while own.agrees(&door, &house, "first").await {
        own.step().await;
    }
    // The project's catalogue and roles, too.
    let wide = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read", "write", "print"]}]}});
    account.call("CatalogService/UpdateCatalog", wide).await;
    while !own.engine.catalog().knows(&"document:print".parse().unwrap()) {
        own.step().await;
    }
    let ended = json!({"organization_id": id, "group_id": group});
    account.call("GroupService/DeleteGroup", ended).await;
    while own.agrees(&door, &house, "second").await {
        own.step().await;
    }
    assert!(!door.may("second", at_least(&text(&bound, "revision"))).await.unwrap().allowed);
    assert_eq!(own.starts, 1, "everything was told by what changed");

    // Who was away goes on where they were.
    let left = own.revision.clone();
    house.grant("third").await;
    own.watched = Watched::open(&door, id, true, &left).await;
    while !own.agrees(&door, &house, "third").await {
        own.step().await;
    }
    assert_eq!(own.starts, 1);
}

#[tokio::test]
async fn the_stream_says_each_revision_and_that_it_is_alive() {
    let cluster = Cluster::shared().await;
    let house = House::new(cluster).await;
    let door = Door::new(&cluster.access().authz, &house);
    let mut watched = Watched::open(&door, &house.organization.id, false, "").await;
    let first = watched.next().await.unwrap();
    let present = door.may("any", fully_consistent()).await.unwrap().revision;
    assert_eq!(first.revision, present);
    let token = house.grant("any").await;
    let mut message = watched.next().await.unwrap();
    while message.revision == first.revision {
        message = watched.next().await.unwrap();
    }
    let at = super::truth::Counters::of(&message.revision).own;
    assert!(at >= super::truth::Counters::of(&token).own);
    // Nothing changes, and it says so.
    let alive = watched.next().await.unwrap();
    assert_eq!(alive.revision, message.revision);
    assert!(alive.proven_time.unwrap().seconds >= message.proven_time.unwrap().seconds);
    assert!(alive.facts.is_empty() && !alive.start);
}

#[tokio::test]
async fn the_stream_ends_with_the_right_to_it() {
    let cluster = Cluster::shared().await;
    let house = House::new(cluster).await;
    let id = &house.organization.id;
    let own = Door::new(&cluster.access().authz, &house);
    let owner = house.organization.join("second-owner", &["owner"]).await;
    let theirs = own.clone().with_token(&owner.tokens.access);
    let mut watched = Watched::open(&theirs, id, false, "").await;
    watched.next().await.unwrap();
    let removed = json!({"organization_id": id, "member_id": owner.id});
    house.project.account.call("MemberService/RemoveMember", removed).await;
    let ended = loop {
        if let Err(ended) = watched.next().await {
            break ended;
        }
    };
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");

    let mut watched = Watched::open(&own, id, true, "").await;
    watched.next().await.unwrap();
    house.project.account.call("OrganizationService/DeleteOrganization", json!({"organization_id": id})).await;
    let ended = loop {
        if let Err(ended) = watched.next().await {
            break ended;
        }
    };
    assert_eq!(ended.code(), Code::NotFound, "{ended:?}");
    let (other, stranger) = (house.project.organization("other").await, house.project.organization("third").await);
    let theirs = own.clone().with_token(&stranger.owner().tokens.access);
    let request = WatchRevisionsRequest { organization_id: other.id, ..WatchRevisionsRequest::default() };
    let foreign = theirs.client().watch_revisions(theirs.request(request)).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound, "another's");
}
