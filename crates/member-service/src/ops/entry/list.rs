//! Where somebody may go.

use access::{Granted, Tenant};
use tenancy::{
    ClusterScope, OrganizationId, ProjectId,
    page::{Listed, Page},
};

use super::{Candidate, LookError, Opened};
use crate::{
    model::{EmailAddress, Entrance},
    ops::Context,
    remote::{Asker, RemoteError},
    store::{
        entrance, invitation,
        member::{self, Key},
    },
};

/// What an entrance weighs as JSON, at most.
const WEIGHT: usize = 128;

/// The organizations that the holder may enter, in the order of [`Entrance`].
pub async fn list(
    context: &Context,
    granted: &Granted<ClusterScope>,
    opened: &Opened,
    page: &Page<Entrance>,
) -> Result<Listed<Entrance, Entrance>, LookError> {
    let Some(Tenant::Project(pool)) = opened.pool.filter(|_| !opened.is_bound()) else {
        return Ok(Listed { rows: Vec::new(), next: None });
    };
    let (project, candidate) = (opened.project, &opened.candidate);
    let limit = page.size + 1;
    let room = |rows: &[Entrance]| limit - i64::try_from(rows.len()).unwrap_or(limit);
    let mut rows = Vec::new();
    let mut read = context.database.read(pool).await?;
    let members = match page.after {
        None => Some(None),
        Some(Entrance::Member(after, _)) => Some(Some(after)),
        Some(Entrance::Invited(..) | Entrance::Joinable(_)) => None,
    };
    if let (Some(after), Some(identity)) = (members, &candidate.identity) {
        rows = entrance::of_member(read.connection(), project, identity.identity_id, after, limit).await?;
    }
    let invited = match page.after {
        None | Some(Entrance::Member(..)) => Some(None),
        Some(Entrance::Invited(after, _)) => Some(Some(after)),
        Some(Entrance::Joinable(_)) => None,
    };
    if let Some(after) = invited
        && candidate.proven
        && room(&rows) > 0
    {
        let limit = room(&rows);
        rows.extend(entrance::of_invited(read.connection(), project, &candidate.address, after, limit).await?);
    }
    read.finish();
    let last = !matches!(page.after, Some(Entrance::Joinable(_)));
    if last && candidate.proven && room(&rows) > 0 {
        rows.extend(joinable(context, granted, project, candidate).await?.map(Entrance::Joinable));
    }
    Ok(Listed::cut(rows, page.size, false, |_| WEIGHT, |row| *row))
}

/// The organization that lets in whoever has proven this address, unless they are a member there, active or not, or invited.
async fn joinable(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    candidate: &Candidate,
) -> Result<Option<OrganizationId>, LookError> {
    let Some(organization) = of_domain(context, granted.into(), project, &candidate.address).await? else {
        return Ok(None);
    };
    let scope = granted.in_organization(project, organization).scope;
    let mut read = context.database.read(scope).await?;
    let member = member::find(read.connection(), organization, &Key::Email(candidate.address.clone())).await?;
    let invitation = invitation::pending_for(read.connection(), organization, &candidate.address).await?;
    read.finish();
    Ok((member.is_none() && invitation.is_none()).then_some(organization))
}

/// The organization that lets in addresses under a domain, which one alone can own.
async fn of_domain(
    context: &Context,
    asker: Asker<'_>,
    project: ProjectId,
    address: &EmailAddress,
) -> Result<Option<OrganizationId>, RemoteError> {
    let owner = context.remote.owner_of_domain(asker, project, address).await?;
    Ok(owner.filter(|(_, entry)| entry.policy.lets_in(address)).map(|(id, _)| id))
}

/// Whether somebody whom nobody knows yet may go anywhere, once they have proven the address.
pub async fn may_go_anywhere(
    context: &Context,
    granted: &Granted<ClusterScope>,
    project: ProjectId,
    address: &EmailAddress,
) -> Result<bool, LookError> {
    let joinable = of_domain(context, granted.into(), project, address).await?;
    let scope = granted.in_project(project).scope;
    let mut read = context.database.read(scope).await?;
    let invited = entrance::of_invited(read.connection(), project, address, None, 1).await?;
    read.finish();
    Ok(joinable.is_some() || !invited.is_empty())
}
