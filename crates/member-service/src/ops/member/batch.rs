//! Adding many members at once.
//!
//! The steps are those of one (see `create`), each taken once for all: the identities in one write, the roles in one call, the members in
//! one write. An entry that is refused on the way leaves the others alone; what was bound for it is taken back.

use std::collections::{HashMap, HashSet};

use access::Granted;
use runtime::kill_point;
use tenancy::{Head, MemberId, Once, OrganizationScope, StoreError};

use super::{
    create::{CreateError, MemberParts, append_created},
    rows::{RefusedRoles, Rows},
};
use crate::{
    model::{EmailAddress, EntryRefusal, Member, MemberWithRoles, NewMember, Outcome, Person, RoleHeld, RoleSource},
    ops::{Context, Errand, active, identity_batch, invitation::revoke_pending, prospect},
    remote::{Grantor, RemoteError},
    store::{member, usage::room_for_members},
};

/// What the last write needs to know of the steps before it.
struct Bound {
    people: HashMap<String, Person>,
    roles: HashMap<MemberId, Vec<RoleHeld>>,
    limit: Option<i64>,
}

pub async fn create_many(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    entries: Vec<Result<NewMember, EntryRefusal>>,
) -> Result<Vec<Outcome>, CreateError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    let _turn = Errand::of_request(context, organization, once).await?;
    if let Some(once) = once
        && let Some(first) = context.database.kept_answer(scope, once).await?
    {
        return Ok(first);
    }
    let entry = context.remote.organization(granted.into(), organization).await?;
    let limit = entry.ok_or(StoreError::TenantUnknown)?.limits.max_members;
    let mut rows = Rows::of(entries);

    // What would be refused after steps in other services is refused before them.
    let mut read = context.database.read(scope).await?;
    let head = Head::find(read.connection(), organization).await?.ok_or(StoreError::TenantUnknown)?;
    let taken = member::taken(read.connection(), organization, &rows.keys(&HashMap::new())).await?;
    let room = room_for_members(read.connection(), organization, limit).await?;
    read.finish();
    active(head.state)?;
    rows.refuse_taken(&taken, &HashMap::new());
    let grantor = Grantor::of(&granted.caller);
    rows.refuse_grants(&refused_roles(context, granted, &grantor, rows.roles()).await?);
    rows.refuse_beyond(room);

    let pool = context.pool(granted).await?;
    let people = identity_batch::find_or_create(context, pool, &granted.origin(), rows.people()).await?;
    kill_point("add-members/identities-made");
    let promised: Vec<(MemberId, Vec<String>)> = rows.promised();
    let members: Vec<MemberId> = promised.iter().map(|(member, _)| *member).collect();
    let made = async {
        let roles = bind(context, granted, &grantor, promised).await?;
        write(context, granted, once, rows, Bound { people, roles, limit }).await
    };
    let made = made.await;
    let arrived: HashSet<MemberId> =
        made.iter().flatten().filter_map(|outcome| outcome.as_ref().ok()).map(|made| made.member.member_id).collect();
    let left: Vec<MemberId> = members.into_iter().filter(|member| !arrived.contains(member)).collect();
    prospect::abandon_all(context, granted, &left).await;
    made
}

/// Which of the roles cannot be granted. Asked for together first, since mostly all can be.
async fn refused_roles(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    grantor: &Grantor,
    roles: Vec<String>,
) -> Result<RefusedRoles, RemoteError> {
    let mut refused = RefusedRoles::new();
    let check = |roles| context.remote.check_grant(granted.into(), granted.scope, grantor, roles);
    match check(roles.clone()).await {
        Ok(_) => return Ok(refused),
        Err(error) => drop(error.grant_refused()?),
    }
    for role in roles {
        if let Err(error) = check(vec![role.clone()]).await {
            refused.insert(role, error.grant_refused()?);
        }
    }
    Ok(refused)
}

async fn bind(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    grantor: &Grantor,
    promised: Vec<(MemberId, Vec<String>)>,
) -> Result<HashMap<MemberId, Vec<RoleHeld>>, CreateError> {
    if promised.is_empty() {
        return Ok(HashMap::new());
    }
    let members: Vec<MemberId> = promised.iter().map(|(member, _)| *member).collect();
    prospect::announce_all(context, granted, &members).await?;
    kill_point("add-members/announced");
    let held = context.remote.grant_all(granted.into(), granted.scope, promised, grantor, RoleSource::Direct).await?;
    kill_point("add-members/roles-bound");
    Ok(members.into_iter().zip(held).collect())
}

async fn write(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    once: Option<&Once>,
    mut rows: Rows,
    bound: Bound,
) -> Result<Vec<Outcome>, CreateError> {
    let (scope, organization) = (granted.scope, granted.scope.organization_id());
    let mut tx = context.database.write(scope, &granted.origin(), once).await?;
    if let Some(first) = tx.first_answer()? {
        return Ok(first);
    }
    active(tx.head().state)?;
    // Behind the lock of the head, so that the insertion finds what is seen here.
    let taken = member::taken(tx.connection(), organization, &rows.keys(&bound.people)).await?;
    rows.refuse_taken(&taken, &bound.people);
    rows.refuse_beyond(room_for_members(tx.connection(), organization, bound.limit).await?);
    let promised: Vec<MemberId> = rows.promised().into_iter().map(|(member, _)| member).collect();
    if !prospect::arrive_all(&mut tx, &promised).await? {
        return Err(CreateError::TooLate);
    }
    let revision = tx.revision();
    let Bound { people, mut roles, .. } = bound;
    let outcomes = rows.outcomes(|row| {
        let person = people.get(row.draft.email_address.as_str())?;
        let roles = roles.remove(&row.member).unwrap_or_default();
        let parts = MemberParts::of(row.member, person, row.draft);
        let member = parts.member(scope, revision);
        Some(MemberWithRoles { member, email_verified: person.email_verified, roles })
    });
    let outcomes = outcomes.ok_or(StoreError::Corrupt("a batch without one of its people"))?;
    let made: Vec<&Member> = outcomes.iter().flatten().map(|made| &made.member).collect();
    member::insert_all(tx.connection(), scope, &made).await?;
    made.iter().for_each(|member| append_created(&mut tx, member));
    let addresses: Vec<&EmailAddress> = made.iter().map(|member| &member.email_address).collect();
    revoke_pending(&mut tx, &addresses).await?;
    let outcomes = tx.commit(outcomes).await?;
    kill_point("add-members/committed");
    Ok(outcomes)
}
