//! Steps as rows: those of one kind that follow each other are written together.

use tenancy::{Change as Changed, GroupId, StoreError};

use super::{Refused, plan::Step};
use crate::{
    model::{Binding, GroupMembership, Registration, Resource},
    store::{self, Connection, role::Owners},
};

/// What one statement writes, or one after another of the rarer ones.
#[derive(Debug)]
enum Run {
    NewBindings(Vec<Binding>),
    GoneBindings(Vec<Binding>),
    NewMemberships(Vec<GroupMembership>),
    GoneMemberships(Vec<GroupMembership>),
    NewResources(Vec<Registration>),
    GoneResources(Vec<Resource>),
    One(Box<Step>),
}

impl Run {
    fn of(step: &Step) -> Self {
        match step.clone() {
            Step::Binding(Changed { before: None, after: Some(new) }) => Self::NewBindings(vec![new]),
            Step::Binding(Changed { before: Some(gone), after: None }) => Self::GoneBindings(vec![gone]),
            Step::Membership(Changed { after: Some(new), .. }) => Self::NewMemberships(vec![new]),
            Step::Membership(Changed { before: Some(gone), .. }) => Self::GoneMemberships(vec![gone]),
            Step::Resource(Changed { before: None, after: Some(new) }, _) => Self::NewResources(vec![new]),
            Step::Resource(Changed { before: Some(gone), after: None }, _) => Self::GoneResources(vec![gone.resource]),
            step => Self::One(Box::new(step)),
        }
    }

    /// Takes up the next one if it is of the same kind; gives it back if not.
    fn join(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::NewBindings(all), Self::NewBindings(more)) | (Self::GoneBindings(all), Self::GoneBindings(more)) => {
                all.extend(more);
            }
            (Self::NewMemberships(all), Self::NewMemberships(more))
            | (Self::GoneMemberships(all), Self::GoneMemberships(more)) => all.extend(more),
            (Self::NewResources(all), Self::NewResources(more)) => all.extend(more),
            (Self::GoneResources(all), Self::GoneResources(more)) => all.extend(more),
            (_, next) => return Some(next),
        }
        None
    }
}

pub(super) async fn write(
    connection: &mut Connection,
    owners: Owners,
    steps: &[Step],
    revision: i64,
) -> Result<(), Refused> {
    let mut runs: Vec<Run> = Vec::new();
    let mut changed: Vec<GroupId> = Vec::new();
    for step in steps {
        if let Step::Membership(Changed { before, after }) = step {
            changed.extend(before.iter().chain(after).map(|membership| membership.group_id));
        }
        let apart = match runs.last_mut() {
            Some(last) => last.join(Run::of(step)),
            None => Some(Run::of(step)),
        };
        runs.extend(apart);
    }
    for run in runs {
        write_run(&mut *connection, owners, run).await?;
    }
    if !changed.is_empty() {
        changed.sort_unstable();
        changed.dedup();
        store::group::members_changed(connection, owners.tenant, &changed, revision).await?;
    }
    Ok(())
}

async fn write_run(connection: &mut Connection, owners: Owners, run: Run) -> Result<(), Refused> {
    let (organization, project) = (owners.tenant, owners.project);
    match run {
        Run::NewBindings(new) => store::binding::insert(connection, project, &new).await?,
        Run::GoneBindings(gone) => {
            let ids: Vec<_> = gone.iter().map(|binding| binding.binding_id).collect();
            store::binding::delete(connection, organization, &ids).await?;
        }
        Run::NewMemberships(new) => store::membership::insert(connection, project, &new).await?,
        Run::GoneMemberships(gone) => store::membership::delete(connection, organization, &gone).await?,
        Run::NewResources(new) => store::resource::insert(connection, project, organization, &new).await?,
        Run::GoneResources(gone) => store::resource::delete(connection, organization, &gone).await?,
        Run::One(step) => write_one(connection, owners, *step).await?,
    }
    Ok(())
}

async fn write_one(connection: &mut Connection, owners: Owners, step: Step) -> Result<(), Refused> {
    let (organization, project) = (owners.tenant, owners.project);
    match step {
        Step::Role(Changed { before: None, after: Some(new) }) => store::role::insert(connection, owners, &new).await?,
        Step::Role(Changed { after: Some(role), .. }) => store::role::update(connection, organization, &role).await?,
        Step::Role(Changed { before, after: None }) => {
            if let Some(gone) = before {
                store::role::delete(&mut *connection, organization, gone.role_id).await?;
            }
        }
        Step::Group(Changed { before: None, after: Some(new) }) => {
            store::group::insert(connection, project, &new).await?;
        }
        Step::Group(Changed { after: Some(group), .. }) => store::group::update(connection, &group).await?,
        Step::Group(Changed { before, after: None }) => {
            if let Some(gone) = before {
                store::group::delete(&mut *connection, organization, gone.group_id).await?;
            }
        }
        Step::Resource(Changed { after, .. }, _) => {
            if let Some(moved) = after {
                store::resource::relocate(&mut *connection, &moved).await?;
            }
        }
        Step::Standing(Changed { after, .. }) => {
            if let Some(standing) = after {
                store::subject::put(&mut *connection, project, &standing).await?;
            }
        }
        Step::Binding(Changed { before: Some(_), after: Some(updated) }) => {
            store::binding::update(connection, organization, &updated).await?;
        }
        // All others are runs.
        Step::Binding(_) | Step::Membership(_) => return Err(StoreError::Corrupt("step").into()),
    }
    Ok(())
}
