//! What a batch finds or must not find before it changes anything.

use tenancy::GroupId;

use super::{Refused, refused::Unmet};
use crate::{
    model::{Effect, Resource, RoleName, Subject},
    store::{self, Connection, binding::Alike, role::Owners},
};

#[derive(Debug, Clone)]
pub struct Precondition {
    pub about: Matter,
    /// Whether it must be there, or must not.
    pub exists: bool,
}

#[derive(Debug, Clone)]
pub enum Matter {
    /// A binding of exactly this subject, role, resource and effect.
    Binding { subject: Subject, role: RoleName, resource: Option<Resource>, effect: Effect },
    /// The subject is directly in the group.
    Membership { group: GroupId, subject: Subject },
    /// A registered resource; with a parent, if one is named.
    Resource { resource: Resource, parent: Option<Resource> },
    /// Any role, group or registered resource of the organization's own.
    Anything,
}

/// Those that do not hold.
pub(super) async fn unmet(
    connection: &mut Connection,
    owners: Owners,
    preconditions: &[Precondition],
) -> Result<Vec<Unmet>, Refused> {
    let (mut names, mut alike, mut places, mut resources) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut anything = false;
    for Precondition { about, .. } in preconditions {
        match about {
            Matter::Binding { role, .. } => names.push(role.clone()),
            Matter::Membership { group, subject } => places.push((*group, *subject)),
            Matter::Resource { resource, .. } => resources.push(resource.clone()),
            Matter::Anything => {
                anything = store::organization::has_its_own(&mut *connection, owners.tenant).await?;
            }
        }
    }
    let roles = super::role::known(&mut *connection, owners, &names).await?;
    for (at, Precondition { about, .. }) in preconditions.iter().enumerate() {
        if let Matter::Binding { subject, role, resource, effect } = about
            && let Some(role) = roles.iter().find(|known| role.is_of(known))
        {
            let (subject, resource, effect) = (*subject, resource.clone(), *effect);
            alike.push((at, Alike { subject, role: role.role_id, resource, effect }));
        }
    }
    let organization = owners.tenant;
    let bound = match alike.is_empty() {
        true => Vec::new(),
        false => store::binding::alike(&mut *connection, organization, &alike).await?,
    };
    let members = match places.is_empty() {
        true => Vec::new(),
        false => store::membership::find(&mut *connection, organization, &places).await?,
    };
    let registered = match resources.is_empty() {
        true => Vec::new(),
        false => store::resource::find(&mut *connection, organization, &resources).await?,
    };
    let holds = |(at, precondition): &(usize, &Precondition)| {
        let exists = match &precondition.about {
            Matter::Binding { .. } => bound.contains(at),
            Matter::Membership { group, subject } => {
                members.iter().any(|member| member.group_id == *group && member.subject == *subject)
            }
            Matter::Resource { resource, parent } => registered.iter().any(|registration| {
                registration.resource == *resource && (parent.is_none() || registration.parent == *parent)
            }),
            Matter::Anything => anything,
        };
        exists == precondition.exists
    };
    Ok(preconditions.iter().enumerate().filter(|one| !holds(one)).map(|(at, _)| Unmet::Precondition(at)).collect())
}
