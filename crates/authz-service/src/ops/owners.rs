//! Nobody takes away the last owner.
//!
//! Roles are bound to a member before there is a member, so a binding alone makes no owner: of those whom a change leaves, one must
//! be known to be there and active, by the word of member-service. Whoever loses ownership counts in any case: member-service may
//! be about to tell of them. So in the moment between a member's creation and that word a change may be refused that would have
//! been allowed after it, and never the other way round.

use engine::{OrganizationData, SubjectId};

use super::{Refused, change::Change, rules};
use crate::{model::Subject, store};

/// Refuses a change that takes ownership from somebody and leaves nobody who is known to have it.
pub(super) async fn keeps_an_owner(
    change: &mut Change,
    before: &OrganizationData,
    after: &OrganizationData,
) -> Result<(), Refused> {
    let Some(left) = rules::owners_left(before, after, change.now()) else { return Ok(()) };
    let left: Vec<Subject> = left.into_iter().map(SubjectId::into).collect();
    let organization = change.organization();
    if store::subject::any_active(change.connection(), organization, &left).await? {
        Ok(())
    } else {
        Err(Refused::LastOwner)
    }
}
