//! Reading members, with the roles that authz-service says they hold now.

use std::collections::HashSet;

use access::Granted;
use tenancy::{
    Actor, IdentityId, MemberId, OrganizationScope, Read, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::{Member, MemberWithRoles, RolesRead},
    ops::Context,
    remote::RemoteError,
    store::member::{self, Filter, Key},
};

/// Members looked at for one page of a list by role: a role that few hold must not make one call walk the whole organization.
const LOOKED_AT: usize = 2000;
const AT_ONCE: i64 = 500;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("no such member")]
    Unknown,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Only holders of this role, as its id is spelled.
#[derive(Debug, Clone, Default)]
pub struct RoleFilter(pub Option<String>);

pub async fn get(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    key: &Key,
) -> Result<MemberWithRoles, ReadError> {
    let mut read = context.database.read(granted.scope).await?;
    let member = member::find(read.connection(), granted.scope.organization_id(), key).await?;
    let found = proven(&mut read, granted.scope, vec![member.ok_or(ReadError::Unknown)?]).await?;
    read.finish();
    complete(context, granted, found).await?.pop().ok_or(ReadError::Unknown)
}

/// One page. Filtered by role a page may be short, or empty, and not be the last.
pub async fn list(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    filter: &Filter,
    role: &RoleFilter,
    page: &Page<MemberId>,
) -> Result<Listed<MemberWithRoles, MemberId>, ReadError> {
    let Some(role) = &role.0 else {
        let (found, next) = fetch(context, granted.scope, filter, page).await?;
        return Ok(Listed { rows: complete(context, granted, found).await?, next });
    };
    let wanted = usize::try_from(page.size).unwrap_or(usize::MAX);
    let (mut rows, mut looked_at, mut after) = (Vec::new(), 0, page.after);
    loop {
        let (found, next) = fetch(context, granted.scope, filter, &Page { size: AT_ONCE, after }).await?;
        looked_at += found.members.len();
        for member in complete(context, granted, found).await? {
            if rows.len() == wanted {
                return Ok(Listed { rows, next: after });
            }
            after = Some(member.member.member_id);
            if member.roles.iter().any(|held| held.role_id == *role) {
                rows.push(member);
            }
        }
        match next {
            None => return Ok(Listed { rows, next: None }),
            Some(_) if rows.len() == wanted || looked_at >= LOOKED_AT => return Ok(Listed { rows, next: after }),
            Some(_) => {}
        }
    }
}

/// Members, with those people among them who have proven their addresses.
struct Found {
    members: Vec<Member>,
    proven: HashSet<IdentityId>,
}

async fn proven(read: &mut Read, scope: OrganizationScope, members: Vec<Member>) -> Result<Found, StoreError> {
    let people: Vec<IdentityId> = members.iter().map(|member| member.identity_id).collect();
    let proven = member::proven(read.connection(), scope.organization_id(), &people).await?;
    Ok(Found { members, proven })
}

async fn fetch(
    context: &Context,
    scope: OrganizationScope,
    filter: &Filter,
    page: &Page<MemberId>,
) -> Result<(Found, Option<MemberId>), StoreError> {
    let mut read = context.database.read(scope).await?;
    let listed = member::list(read.connection(), scope.organization_id(), filter, page).await?;
    let found = proven(&mut read, scope, listed.rows).await?;
    read.finish();
    Ok((found, listed.next))
}

/// Members with the roles that authz-service says they hold.
async fn complete(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    found: Found,
) -> Result<Vec<MemberWithRoles>, ReadError> {
    let Found { members, proven } = found;
    let subjects: Vec<Actor> = members.iter().map(|member| Actor::Member(member.member_id)).collect();
    let roles = context.remote.roles(granted.into(), granted.scope.organization_id(), &subjects).await?;
    let complete = |(member, read): (Member, RolesRead)| MemberWithRoles {
        email_verified: proven.contains(&member.identity_id),
        member,
        roles: read.roles,
    };
    Ok(members.into_iter().zip(roles).map(complete).collect())
}
