//! Reading members, with the roles that authz-service says they hold now.

use access::Granted;
use tenancy::{
    Actor, IdentityId, MemberId, OrganizationScope, StoreError,
    page::{Listed, Page},
};

use crate::{
    model::{Member, MemberWithRoles, RolesRead},
    ops::{Context, verified},
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
    read.finish().await?;
    let member = member.ok_or(ReadError::Unknown)?;
    complete(context, granted, vec![member]).await?.pop().ok_or(ReadError::Unknown)
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
        let listed = fetch(context, granted.scope, filter, page).await?;
        return Ok(Listed { rows: complete(context, granted, listed.rows).await?, next: listed.next });
    };
    let wanted = usize::try_from(page.size).unwrap_or(usize::MAX);
    let (mut rows, mut looked_at, mut after) = (Vec::new(), 0, page.after);
    loop {
        let listed = fetch(context, granted.scope, filter, &Page { size: AT_ONCE, after }).await?;
        looked_at += listed.rows.len();
        for member in complete(context, granted, listed.rows).await? {
            if rows.len() == wanted {
                return Ok(Listed { rows, next: after });
            }
            after = Some(member.member.member_id);
            if member.roles.iter().any(|held| held.role_id == *role) {
                rows.push(member);
            }
        }
        match listed.next {
            None => return Ok(Listed { rows, next: None }),
            Some(_) if rows.len() == wanted || looked_at >= LOOKED_AT => return Ok(Listed { rows, next: after }),
            Some(_) => {}
        }
    }
}

async fn fetch(
    context: &Context,
    scope: OrganizationScope,
    filter: &Filter,
    page: &Page<MemberId>,
) -> Result<Listed<Member, MemberId>, StoreError> {
    let mut read = context.database.read(scope).await?;
    let listed = member::list(read.connection(), scope.organization_id(), filter, page).await?;
    read.finish().await?;
    Ok(listed)
}

/// Members with what of them stands elsewhere: their roles in authz-service, and with their identities whether their addresses are
/// proven.
async fn complete(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    members: Vec<Member>,
) -> Result<Vec<MemberWithRoles>, ReadError> {
    let subjects: Vec<Actor> = members.iter().map(|member| Actor::Member(member.member_id)).collect();
    let people: Vec<IdentityId> = members.iter().map(|member| member.identity_id).collect();
    let roles = context.remote.roles(granted.into(), granted.scope.organization_id(), &subjects).await?;
    let verified = verified(context, context.pool(granted).await?, &people).await?;
    let complete = |(member, read): (Member, RolesRead)| MemberWithRoles {
        email_verified: verified.contains(&member.identity_id),
        member,
        roles: read.roles,
    };
    Ok(members.into_iter().zip(roles).map(complete).collect())
}
