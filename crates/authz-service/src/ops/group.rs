use engine::{Effect, Snapshot};
use tenancy::{
    Change as Changed, Database, GroupId, NewEvent, OrganizationScope, StoreError, mask,
    page::{Listed, Page},
};

use super::{
    Call, Refused, binding,
    change::{Change, Opened},
    owners::keeps_an_owner,
    rules::{self, Given},
};
use crate::{
    model::{At, Group, Subject},
    store,
};

/// A group to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub display_name: String,
    pub external_id: String,
}

/// What an update sets; None stays.
#[derive(Debug, Clone)]
pub struct GroupPatch {
    pub group_id: GroupId,
    pub etag: String,
    pub display_name: Option<String>,
    pub external_id: Option<String>,
}

pub async fn get(database: &Database, scope: OrganizationScope, id: GroupId) -> Result<Group, Refused> {
    let mut read = database.read(scope).await?;
    let group = store::group::find(read.connection(), scope.organization_id(), id).await?;
    read.finish().await?;
    group.ok_or(Refused::NotFound("group"))
}

pub async fn list(
    database: &Database,
    scope: OrganizationScope,
    external_id: &str,
    page: &Page<GroupId>,
) -> Result<Listed<Group, GroupId>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = store::group::list(read.connection(), scope.organization_id(), external_id, page).await?;
    read.finish().await?;
    Ok(Listed::from_rows(rows, page.size, |group| group.group_id))
}

pub async fn create(
    database: &Database,
    scope: OrganizationScope,
    call: &Call,
    new: NewGroup,
) -> Result<At<Group>, Refused> {
    let mut change = match Change::open(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let group = Group {
        group_id: GroupId::new(),
        organization_id: change.organization(),
        display_name: new.display_name,
        external_id: new.external_id,
        create_time: change.now(),
        update_time: change.now(),
        revision: change.revision(),
        members_revision: change.revision(),
    };
    let project = change.project();
    store::group::insert(change.connection(), project, &group).await?;
    change.append(NewEvent::new("group.created", vec![group.group_id.to_string()], &Changed::created(group.clone())));
    Ok(change.commit(group).await?)
}

pub(super) async fn find(change: &mut Change, id: GroupId) -> Result<Group, Refused> {
    let organization = change.organization();
    store::group::find(change.connection(), organization, id).await?.ok_or(Refused::NotFound("group"))
}

pub async fn update(
    database: &Database,
    scope: OrganizationScope,
    call: &Call,
    patch: GroupPatch,
) -> Result<At<Group>, Refused> {
    let mut change = match Change::open(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let before = find(&mut change, patch.group_id).await?;
    if !mask::etag_matches(&patch.etag, before.revision) {
        return Err(Refused::EtagMismatch);
    }
    let after = Group {
        display_name: patch.display_name.unwrap_or_else(|| before.display_name.clone()),
        external_id: patch.external_id.unwrap_or_else(|| before.external_id.clone()),
        update_time: change.now(),
        revision: change.revision(),
        ..before.clone()
    };
    store::group::update(change.connection(), &after).await?;
    let ids = vec![after.group_id.to_string()];
    change.append(NewEvent::new("group.updated", ids, &Changed::updated(before, after.clone())));
    Ok(change.commit(after).await?)
}

/// With its memberships, its places in other groups, and its bindings.
pub async fn delete(
    database: &Database,
    scope: OrganizationScope,
    call: &Call,
    id: GroupId,
    etag: &str,
) -> Result<At<Group>, Refused> {
    let mut change = match Change::open(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let group = find(&mut change, id).await?;
    if !mask::etag_matches(etag, group.revision) {
        return Err(Refused::EtagMismatch);
    }
    may_dissolve(&mut change, call, id).await?;

    let organization = change.organization();
    let bindings = store::binding::of_subject(change.connection(), organization, Subject::Group(id)).await?;
    let ids: Vec<_> = bindings.iter().map(|binding| binding.binding_id).collect();
    store::binding::delete(change.connection(), organization, &ids).await?;
    let places = store::membership::delete_everywhere(change.connection(), organization, Subject::Group(id)).await?;
    let outer: Vec<GroupId> = places.iter().map(|place| place.group_id).collect();
    let revision = change.revision();
    store::group::members_changed(change.connection(), organization, &outer, revision).await?;
    store::group::delete(change.connection(), organization, id).await?;

    bindings.iter().for_each(|gone| change.append(binding::deleted(gone)));
    places.into_iter().for_each(|place| change.append(super::membership::removed(place)));
    change.append(NewEvent::new("group.deleted", vec![id.to_string()], &Changed::removed(group.clone())));
    let gone = Group { revision, members_revision: revision, ..group };
    Ok(change.commit(gone).await?)
}

/// The denies that end with the group, and the owners whom it makes.
async fn may_dissolve(change: &mut Change, call: &Call, id: GroupId) -> Result<(), Refused> {
    let group = engine::GroupId(id.uuid());
    let head = change.head().clone();
    let now = change.now();
    let data = store::organization::load(change.connection(), &head).await?.data;
    let before = Snapshot::build(&data);
    let sets = rules::containing(&data, group);
    let lifted: Vec<Given> =
        rules::bindings_of(&data, &sets, Effect::Deny).filter_map(|binding| Given::by(binding, &before, now)).collect();
    rules::may_give(call.grantor, &lifted, &before, now)?;
    let mut after = data.clone();
    after.groups.retain(|other| other.id != group);
    after.groups.iter_mut().for_each(|other| other.members.retain(|member| *member != group.into()));
    after.bindings.retain(|binding| binding.subject != group.into());
    keeps_an_owner(change, &data, &after).await
}
