//! Nobody takes away the last owner.
//!
//! Roles are bound to a member before there is a member, so a binding alone makes no owner: of those whom a change leaves, one must
//! be known to be there and active, by the word of member-service. Whoever loses ownership counts in any case: member-service may
//! be about to tell of them. So in the moment between a member's creation and that word a change may be refused that would have
//! been allowed after it, and never the other way round.
//!
//! It is judged on what decides before the first edit and after the last: who hands an organization over may do it in any order.

use std::collections::BTreeSet;

use engine::{Snapshot, SubjectId};
use tenancy::{Change as Changed, OrganizationId};
use time::OffsetDateTime;

use super::{Refused, plan::Step};
use crate::{
    model::{Binding, Subject},
    store::{self, Connection},
};

/// Whether the steps take ownership from somebody and leave nobody who is known to have it.
pub(super) async fn are_lost(
    connection: &mut Connection,
    organization: OrganizationId,
    [before, after]: [&Snapshot; 2],
    steps: &[Step],
    now: OffsetDateTime,
) -> Result<bool, Refused> {
    let bound = store::binding::ownerships(&mut *connection, organization).await?;
    let left = owners(&bound_after(&bound, steps), after, now);
    // An organization that has no owner yet may go on without.
    if owners(&bound, before, now).is_subset(&left) {
        return Ok(false);
    }
    let left: Vec<Subject> = left.into_iter().map(SubjectId::into).collect();
    Ok(!store::subject::any_active(connection, organization, &left).await?)
}

fn bound_after(bound: &[Subject], steps: &[Step]) -> Vec<Subject> {
    let made = steps.iter().filter_map(|step| match step {
        Step::Binding(Changed { after, .. }) => after.as_ref().filter(|binding| Binding::is_ownership(binding)),
        _ => None,
    });
    // Whoever is no longer bound owns nothing: the snapshot says so.
    bound.iter().copied().chain(made.map(|binding| binding.subject)).collect()
}

fn owners(bound: &[Subject], snapshot: &Snapshot, now: OffsetDateTime) -> BTreeSet<SubjectId> {
    let mut candidates: BTreeSet<SubjectId> = BTreeSet::new();
    for subject in bound.iter().copied().map(SubjectId::from) {
        match subject {
            SubjectId::Member(_) | SubjectId::ServiceAccount(_) => candidates.extend([subject]),
            SubjectId::Group(_) => candidates.extend(snapshot.inside(&subject)),
            // Who the members are is not known here.
            SubjectId::AllMembers => {}
        }
    }
    candidates.retain(|candidate| !matches!(candidate, SubjectId::Group(_)) && snapshot.owns(candidate, now));
    candidates
}
