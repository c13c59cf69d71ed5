use std::collections::{HashMap, HashSet};

use engine::{Effect, GroupId as EngineGroupId, OrganizationData, Snapshot, SubjectId};
use tenancy::{
    Change as Changed, Database, GroupId, NewEvent, OrganizationScope,
    page::{Listed, Page},
};
use uuid::Uuid;

use super::{
    Call, Refused,
    binding::{SUBJECT, are_here},
    change::{Change, Opened},
    group::find,
    newcomers,
    owners::keeps_an_owner,
    rules::{self, Given},
};
use crate::{
    model::{At, GroupMembership, Subject},
    store,
};

/// How deep groups may lie in groups.
const MAX_DEPTH: usize = 16;

pub async fn list(
    database: &Database,
    scope: OrganizationScope,
    group: GroupId,
    page: &Page<Uuid>,
) -> Result<Listed<GroupMembership, Uuid>, Refused> {
    let mut read = database.read(scope).await?;
    let organization = scope.organization_id();
    if store::group::find(read.connection(), organization, group).await?.is_none() {
        return Err(Refused::NotFound("group"));
    }
    let rows = store::membership::list(read.connection(), organization, group, page).await?;
    read.finish().await?;
    Ok(Listed::from_rows(rows, page.size, |membership| membership.membership_id))
}

/// Puts subjects in; answers how many were not in before.
pub async fn add(
    database: &Database,
    scope: OrganizationScope,
    call: &Call,
    group: GroupId,
    subjects: &[Subject],
) -> Result<At<i32>, Refused> {
    match try_add(database, scope, call, group, subjects).await {
        Err(Refused::NotFound(SUBJECT)) if newcomers::have_come(database, scope, subjects).await? => {
            try_add(database, scope, call, group, subjects).await
        }
        outcome => outcome,
    }
}

async fn try_add(
    database: &Database,
    scope: OrganizationScope,
    call: &Call,
    group: GroupId,
    subjects: &[Subject],
) -> Result<At<i32>, Refused> {
    let mut change = match Change::open(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    find(&mut change, group).await?;
    are_here(&mut change, subjects).await?;
    may_join(&mut change, call, group, subjects).await?;
    let (project, organization) = (change.project(), change.organization());
    let (now, revision) = (change.now(), change.revision());
    let added =
        store::membership::insert(change.connection(), project, organization, group, subjects, now, revision).await?;
    let count = i32::try_from(added.len()).unwrap_or(i32::MAX);
    if !added.is_empty() {
        store::group::members_changed(change.connection(), organization, &[group], revision).await?;
    }
    for membership in added {
        let ids = vec![membership.group_id.to_string(), membership.subject.to_string()];
        change.append(NewEvent::new("group.member_added", ids, &Changed::created(membership)));
    }
    Ok(change.commit(count).await?)
}

/// No circles; nobody is given what the grantor lacks; and a deny upon the group must not reach the last owner.
async fn may_join(change: &mut Change, call: &Call, group: GroupId, subjects: &[Subject]) -> Result<(), Refused> {
    let id = EngineGroupId(group.uuid());
    let head = change.head().clone();
    let now = change.now();
    let data = store::organization::load(change.connection(), &head).await?.data;
    let members: Vec<SubjectId> = subjects.iter().copied().map(SubjectId::from).collect();
    let mut after = data.clone();
    let mut news = false;
    for stored in after.groups.iter_mut().filter(|stored| stored.id == id) {
        let present: HashSet<SubjectId> = stored.members.iter().copied().collect();
        let joining = members.iter().filter(|member| !present.contains(member)).copied().collect::<Vec<_>>();
        news |= !joining.is_empty();
        stored.members.extend(joining);
    }
    if !news {
        return Ok(());
    }
    if engine::group_cycle(&data.groups, id, &members).is_some() {
        return Err(Refused::Cycle("the group would contain itself".to_owned()));
    }
    if depth(&after, id) > MAX_DEPTH {
        return Err(Refused::Cycle(format!("the groups would lie more than {MAX_DEPTH} deep")));
    }
    let before = Snapshot::build(&data);
    let sets = rules::containing(&data, id);
    let given: Vec<Given> = rules::bindings_of(&data, &sets, Effect::Allow)
        .filter_map(|binding| Given::by(binding, &before, now))
        .collect();
    rules::may_give(call.grantor, &given, &before, now)?;
    if rules::bindings_of(&data, &sets, Effect::Deny).next().is_some() {
        keeps_an_owner(change, &data, &after).await?;
    }
    Ok(())
}

/// The length of the longest way through the group, from an outermost group to an innermost one. There are no circles.
fn depth(data: &OrganizationData, group: EngineGroupId) -> usize {
    let mut inner: HashMap<EngineGroupId, Vec<EngineGroupId>> = HashMap::new();
    let mut outer: HashMap<EngineGroupId, Vec<EngineGroupId>> = HashMap::new();
    for set in &data.groups {
        for member in &set.members {
            if let SubjectId::Group(id) = member {
                inner.entry(set.id).or_default().push(EngineGroupId(*id));
                outer.entry(EngineGroupId(*id)).or_default().push(set.id);
            }
        }
    }
    // Level by level; who is reached again, deeper, counts deeper. More levels than allowed need not be counted.
    let levels = |next: &HashMap<EngineGroupId, Vec<EngineGroupId>>| {
        let mut level: HashSet<EngineGroupId> = HashSet::from([group]);
        (0..=MAX_DEPTH)
            .take_while(|_| {
                level = level.iter().filter_map(|id| next.get(id)).flatten().copied().collect();
                !level.is_empty()
            })
            .count()
    };
    levels(&inner) + levels(&outer) + 1
}

/// Takes subjects out; answers how many were in before.
pub async fn remove(
    database: &Database,
    scope: OrganizationScope,
    call: &Call,
    group: GroupId,
    subjects: &[Subject],
) -> Result<At<i32>, Refused> {
    let mut change = match Change::open(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    find(&mut change, group).await?;
    may_leave(&mut change, call, group, subjects).await?;
    let (organization, revision) = (change.organization(), change.revision());
    let gone = store::membership::delete(change.connection(), organization, group, subjects).await?;
    let count = i32::try_from(gone.len()).unwrap_or(i32::MAX);
    if !gone.is_empty() {
        store::group::members_changed(change.connection(), organization, &[group], revision).await?;
    }
    gone.into_iter().for_each(|membership| change.append(removed(membership)));
    Ok(change.commit(count).await?)
}

/// The denies that those who leave escape, and the owners whom the group makes.
async fn may_leave(change: &mut Change, call: &Call, group: GroupId, subjects: &[Subject]) -> Result<(), Refused> {
    let id = EngineGroupId(group.uuid());
    let head = change.head().clone();
    let now = change.now();
    let data = store::organization::load(change.connection(), &head).await?.data;
    let leaving: HashSet<SubjectId> = subjects.iter().copied().map(SubjectId::from).collect();
    let mut after = data.clone();
    let mut news = false;
    for stored in after.groups.iter_mut().filter(|stored| stored.id == id) {
        let before = stored.members.len();
        stored.members.retain(|member| !leaving.contains(member));
        news |= stored.members.len() < before;
    }
    if !news {
        return Ok(());
    }
    let before = Snapshot::build(&data);
    let sets = rules::containing(&data, id);
    let lifted: Vec<Given> =
        rules::bindings_of(&data, &sets, Effect::Deny).filter_map(|binding| Given::by(binding, &before, now)).collect();
    rules::may_give(call.grantor, &lifted, &before, now)?;
    keeps_an_owner(change, &data, &after).await
}

pub(super) fn removed(membership: GroupMembership) -> NewEvent {
    let ids = vec![membership.group_id.to_string(), membership.subject.to_string()];
    NewEvent::new("group.member_removed", ids, &Changed::removed(membership))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::{Catalog, Group};

    use super::*;

    #[test]
    fn depth_is_the_longest_way_through() {
        let id = |n: u128| EngineGroupId(Uuid::from_u128(n));
        let mut data = OrganizationData::empty(Arc::new(Catalog::system()));
        // 1 > 2 > 3 and 1 > 3: the long way counts.
        data.groups = vec![
            Group { id: id(1), members: vec![id(2).into(), id(3).into()] },
            Group { id: id(2), members: vec![id(3).into()] },
            Group { id: id(3), members: vec![] },
        ];
        for n in 1..=3 {
            assert_eq!(depth(&data, id(n)), 3, "{n}");
        }
        assert_eq!(depth(&data, id(4)), 1);
    }
}
