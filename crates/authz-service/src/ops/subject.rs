//! What the other services tell of subjects and organizations. Older news than is known changes nothing and succeeds.

use access::Tenant;
use tenancy::{Change as Changed, Database, NewEvent, OrganizationScope, OrganizationState};

use super::{
    Call, Refused,
    apply::{self, Batch},
    change::{Change, Opened},
    edit::{Edit, Made},
};
use crate::{
    model::{At, Standing, Subject, SubjectStatus},
    snapshots::Snapshots,
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

/// Suspends or reactivates; REMOVED is final. Answers what holds afterwards.
pub async fn set_state(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    news: News,
    suspended: bool,
) -> Result<At<Standing>, Refused> {
    let mut change = match Change::open_in_any_state(snapshots.database(), scope, call).await? {
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
    if let Some(before) = before.filter(|before| before.status == status) {
        // Nothing new is decided, only known more lately: no event, and so no revision.
        let after = Standing { member_revision: news.member_revision, update_time: change.now(), ..before };
        let project = change.project();
        store::subject::put(change.connection(), project, &after).await?;
        return Ok(change.commit(after).await?);
    }
    let batch = Batch::of(vec![Edit::Note { news, suspended }]);
    let last = |made: Vec<Made>| made.into_iter().next().unwrap_or(Made::Nothing);
    Ok(apply::perform(change, snapshots, call.grantor, &batch, last).await?.standing()?)
}

/// Drops a subject's bindings and memberships, and remembers it as removed for ever.
pub async fn remove(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    news: News,
) -> Result<At<()>, Refused> {
    let mut change = match Change::open_in_any_state(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let before = known(&mut change, news.subject).await?;
    if before.as_ref().is_some_and(|before| before.status == SubjectStatus::Removed) {
        return Ok(change.commit(()).await?);
    }
    let batch = Batch::of(vec![Edit::RemoveSubject(news)]);
    Ok(apply::perform(change, snapshots, call.grantor, &batch, |_| ()).await?)
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
