//! Giving roles to many subjects at once: those of a batch of new members.

use std::collections::{BTreeSet, HashSet};

use tenancy::{OrganizationScope, RoleId};

use super::{
    Call, Refused,
    apply::{self, Batch},
    change::{Change, Opened},
    refused::SUBJECT,
    role::named,
    subject_roles::ahead,
};
use crate::{
    model::{At, Effect, RoleName, RoleSource, Subject},
    snapshots::Snapshots,
    store,
};

/// What many subjects shall hold beside what they hold already, of one source.
#[derive(Debug, Clone)]
pub struct Grants {
    /// No subject twice.
    pub grants: Vec<(Subject, Vec<RoleName>)>,
    pub source: RoleSource,
}

/// Gives all of it in one revision, or nothing.
pub async fn give(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    Grants { grants, source }: Grants,
) -> Result<At<()>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let owners = change.owners();
    let mut names: Vec<RoleName> = Vec::new();
    for name in grants.iter().flat_map(|(_, names)| names) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let roles = named(change.connection(), owners, &names).await?;
    let of = |name: &RoleName| names.iter().position(|other| other == name).and_then(|at| roles.get(at)).copied();
    let subjects: Vec<Subject> = grants.iter().map(|(subject, _)| *subject).collect();
    if store::subject::any_removed(change.connection(), owners.tenant, &subjects).await? {
        return Err(Refused::NotFound(SUBJECT));
    }
    let held: HashSet<(Subject, RoleId)> = store::binding::of_subjects(change.connection(), owners.tenant, &subjects)
        .await?
        .into_iter()
        .filter(|b| b.resource.is_none() && b.effect == Effect::Allow && b.source == source)
        .filter(|b| b.is_unlimited())
        .map(|b| (b.subject, b.role_id))
        .collect();
    let mut fresh: BTreeSet<(usize, RoleId)> = BTreeSet::new();
    for (at, (subject, names)) in grants.iter().enumerate() {
        fresh.extend(
            names.iter().filter_map(of).filter(|role| !held.contains(&(*subject, *role))).map(|role| (at, role)),
        );
    }
    let edits = fresh.into_iter().filter_map(|(at, role)| Some(ahead(*subjects.get(at)?, role, source))).collect();
    Ok(apply::perform(change, snapshots, call.grantor, &Batch::of(edits), |_| ()).await?)
}
