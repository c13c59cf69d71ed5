//! What the other services tell of subjects and organizations. Older news than is known changes nothing and succeeds.

use access::Tenant;
use engine::{OrganizationData, SubjectState};
use tenancy::{Change as Changed, Database, GroupId, NewEvent, OrganizationScope, OrganizationState};

use super::{
    Call, Refused, binding,
    change::{Change, Opened},
    membership,
    owners::keeps_an_owner,
};
use crate::{
    model::{At, Standing, Subject, SubjectStatus},
    store,
};

/// News of one subject.
#[derive(Debug, Clone, Copy)]
pub struct News {
    pub subject: Subject,
    pub member_revision: i64,
    /// Refuses what would leave no owner. Not set by the feed, which repeats what is decided.
    pub protect_last_owner: bool,
}

async fn known(change: &mut Change, subject: Subject) -> Result<Option<Standing>, Refused> {
    let organization = change.organization();
    Ok(store::subject::find(change.connection(), organization, subject).await?)
}

/// The standing that follows on what is known.
fn next(change: &Change, before: Option<&Standing>, news: News, status: SubjectStatus) -> Standing {
    Standing {
        organization_id: change.organization(),
        subject: news.subject,
        status,
        member_revision: news.member_revision,
        create_time: before.map_or(change.now(), |before| before.create_time),
        update_time: change.now(),
        revision: change.revision(),
    }
}

/// Suspends or reactivates; REMOVED is final. Answers what holds afterwards.
pub async fn set_state(
    database: &Database,
    scope: OrganizationScope,
    call: &Call,
    news: News,
    suspended: bool,
) -> Result<At<Standing>, Refused> {
    let mut change = match Change::open_in_any_state(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let before = known(&mut change, news.subject).await?;
    if let Some(before) = &before
        && (before.status == SubjectStatus::Removed || before.member_revision >= news.member_revision)
    {
        return Ok(change.commit(before.clone()).await?);
    }
    let status = if suspended { SubjectStatus::Suspended } else { SubjectStatus::Active };
    let was = before.as_ref().map_or(SubjectStatus::Active, |before| before.status);
    if suspended && was == SubjectStatus::Active && news.protect_last_owner {
        keeps_an_owner_without(&mut change, news.subject).await?;
    }
    let mut after = next(&change, before.as_ref(), news, status);
    let project = change.project();
    if let Some(before) = before.as_ref().filter(|before| before.status == status) {
        // Nothing new is decided, only known more lately: no event, and so no revision.
        after.revision = before.revision;
        store::subject::put(change.connection(), project, &after).await?;
        return Ok(change.commit(after).await?);
    }
    store::subject::put(change.connection(), project, &after).await?;
    // The first word of somebody who may act decides too: all members is one more from here on.
    let kind = match (suspended, &before) {
        (true, _) => "subject.suspended",
        (false, Some(_)) => "subject.reactivated",
        (false, None) => "subject.noted",
    };
    change.append(NewEvent::new(kind, ids(news.subject), &Changed { before, after: Some(after.clone()) }));
    Ok(change.commit(after).await?)
}

/// Drops a subject's bindings and memberships, and remembers it as removed for ever.
pub async fn remove(database: &Database, scope: OrganizationScope, call: &Call, news: News) -> Result<At<()>, Refused> {
    let mut change = match Change::open_in_any_state(database, scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let before = known(&mut change, news.subject).await?;
    if before.as_ref().is_some_and(|before| before.status == SubjectStatus::Removed) {
        return Ok(change.commit(()).await?);
    }
    if news.protect_last_owner {
        keeps_an_owner_without(&mut change, news.subject).await?;
    }
    let after = next(&change, before.as_ref(), news, SubjectStatus::Removed);
    let (organization, project, revision) = (change.organization(), change.project(), change.revision());
    store::subject::put(change.connection(), project, &after).await?;
    let bindings = store::binding::of_subject(change.connection(), organization, news.subject).await?;
    let binding_ids: Vec<_> = bindings.iter().map(|binding| binding.binding_id).collect();
    store::binding::delete(change.connection(), organization, &binding_ids).await?;
    let places = store::membership::delete_everywhere(change.connection(), organization, news.subject).await?;
    let groups: Vec<GroupId> = places.iter().map(|place| place.group_id).collect();
    store::group::members_changed(change.connection(), organization, &groups, revision).await?;

    let payload = Changed { before, after: Some(after) };
    change.append(NewEvent::new("subject.removed", ids(news.subject), &payload));
    bindings.iter().for_each(|gone| change.append(binding::deleted(gone)));
    places.into_iter().for_each(|place| change.append(membership::removed(place)));
    Ok(change.commit(()).await?)
}

fn ids(subject: Subject) -> Vec<String> {
    vec![subject.to_string()]
}

async fn keeps_an_owner_without(change: &mut Change, subject: Subject) -> Result<(), Refused> {
    let head = change.head().clone();
    let data = store::organization::load(change.connection(), &head).await?.data;
    let mut inactive_subjects = vec![(subject.into(), SubjectState::Suspended)];
    inactive_subjects.extend(data.inactive_subjects.iter().copied());
    let after = OrganizationData { inactive_subjects, ..data.clone() };
    keeps_an_owner(change, &data, &after).await
}

/// What org-service says of an organization, and the revision there that made it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrganizationNews {
    pub state: OrganizationState,
    pub org_revision: i64,
}

/// Takes note of an organization's state, and of the organization itself if it is new here. Answers what holds afterwards. Of the
/// project itself: it is SUSPENDED when it is archived, and with it whatever is in it; its own revision moves, so that no snapshot
/// from before is good any more.
pub async fn set_organization_state(
    database: &Database,
    tenant: Tenant,
    call: &Call,
    news: OrganizationNews,
) -> Result<At<(OrganizationState, i64)>, Refused> {
    // The head of a project is there from its first write on.
    if let Tenant::Organization(scope) = tenant {
        database.admit(scope.project_id(), scope.organization_id(), news.state, news.org_revision).await?;
    }
    let mut change = match Change::open_in_any_state(database, tenant, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let (was, known) = (change.head().own_state, change.head().state_revision);
    if !change.write().set_state(news.state, news.org_revision).await? {
        return Ok(change.commit((was, known)).await?);
    }
    if was != news.state {
        let noted = Changed::updated(was, news.state);
        change.append(match tenant {
            Tenant::Organization(scope) => {
                NewEvent::new("organization.state_noted", vec![scope.organization_id().to_string()], &noted)
            }
            Tenant::Project(scope) => {
                NewEvent::new("project.state_noted", vec![scope.project_id().to_string()], &noted)
            }
        });
    }
    Ok(change.commit((news.state, news.org_revision)).await?)
}
