//! Nobody takes away the last owner.
//!
//! Roles are bound to a member before there is a member, so a binding alone makes no owner: of those whom a change leaves, one must
//! be known to be there and active, by the word of member-service. Whoever loses ownership counts in any case: member-service may
//! be about to tell of them. So in the moment between a member's creation and that word a change may be refused that would have
//! been allowed after it, and never the other way round.
//!
//! It is judged on what decides before the first edit and after the last: who hands an organization over may do it in any order.

use engine::{Snapshot, SubjectId};
use tenancy::OrganizationId;
use time::OffsetDateTime;

use super::Refused;
use crate::{
    model::Subject,
    store::{self, Connection},
};

/// Whether ownership is taken from somebody, and nobody is left who is known to have it.
pub(super) async fn are_lost(
    connection: &mut Connection,
    organization: OrganizationId,
    [before, after]: [&Snapshot; 2],
    now: OffsetDateTime,
) -> Result<bool, Refused> {
    let left = after.lasting_owners(now);
    // An organization that has no owner yet may go on without.
    if before.lasting_owners(now).is_subset(&left) {
        return Ok(false);
    }
    let left: Vec<Subject> = left.into_iter().map(SubjectId::into).collect();
    Ok(!store::subject::any_active(connection, organization, &left).await?)
}
