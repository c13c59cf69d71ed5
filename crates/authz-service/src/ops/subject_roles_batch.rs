//! Giving roles to many subjects at once: those of a batch of new members.

use std::collections::{BTreeMap, HashSet};

use tenancy::{BindingId, OrganizationScope, RoleId};

use super::{
    Call, Refused,
    binding::{can_hold, created},
    change::{Change, Opened},
    role::named,
    subject_roles::may_grant,
};
use crate::{
    model::{At, Binding, Effect, RoleName, RoleSource, Subject, Window},
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
    can_hold(&mut change, &subjects).await?;
    let held: HashSet<(Subject, RoleId)> = store::binding::of_subjects(change.connection(), owners.tenant, &subjects)
        .await?
        .into_iter()
        .filter(|b| b.resource.is_none() && b.effect == Effect::Allow && b.source == source)
        .filter(|b| b.is_unlimited())
        .map(|b| (b.subject, b.role_id))
        .collect();
    let mut fresh: BTreeMap<(usize, RoleId), Binding> = BTreeMap::new();
    for (at, (subject, names)) in grants.iter().enumerate() {
        for role_id in names.iter().filter_map(of).filter(|role| !held.contains(&(*subject, *role))) {
            let binding = Binding {
                binding_id: BindingId::new(),
                organization_id: owners.tenant,
                subject: *subject,
                role_id,
                resource: None,
                effect: Effect::Allow,
                condition: None,
                window: Window::default(),
                source,
                create_time: change.now(),
                update_time: change.now(),
                revision: change.revision(),
            };
            fresh.insert((at, role_id), binding);
        }
    }
    let given: Vec<RoleId> = roles.into_iter().filter(|role| fresh.keys().any(|(_, given)| given == role)).collect();
    let template = change.template();
    let before = snapshots.of_write(change.write(), template).await?;
    may_grant(call.grantor, &given, &before, change.now())?;
    let fresh: Vec<Binding> = fresh.into_values().collect();
    store::binding::insert(change.connection(), owners.project, &fresh).await?;
    fresh.iter().for_each(|binding| change.append(created(binding)));
    Ok(change.commit(()).await?)
}
