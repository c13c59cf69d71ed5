//! All that is an organization's own and decides in it, read piece by piece.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tenancy::{
    BindingId, Database, GroupId, Head, OrganizationId, OrganizationScope, Read, RoleId, StoreError, page::Page,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    model::{Binding, Group, GroupMembership, Registration, Resource, Revision, Role, Subject},
    store::{
        binding::{self, BindingFilter},
        group, membership, resource,
        role::{self, Owners},
        template,
    },
};

/// How many rows are in memory at once.
const PIECE: i64 = 500;
/// Each holds a connection for as long as its reader takes.
const AT_ONCE: usize = 3;

/// One thing that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Role(Role),
    Group(Group),
    Membership(GroupMembership),
    Resource(Registration),
    Binding(Binding),
}

/// The exports that are under way: one of an organization, and only so many of all.
#[derive(Debug, Clone)]
pub struct Exports {
    places: Arc<Semaphore>,
    organizations: Arc<Mutex<HashSet<OrganizationId>>>,
}

/// The right to one export.
#[derive(Debug)]
pub struct Place {
    organization: OrganizationId,
    exports: Exports,
    _permit: OwnedSemaphorePermit,
}

impl Default for Exports {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), organizations: Arc::default() }
    }
}

impl Exports {
    /// Nobody waits: an export is as long as its organization is large.
    pub fn enter(&self, organization: OrganizationId) -> Result<Place, StoreError> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| StoreError::Busy)?;
        if !self.organizations.lock().unwrap_or_else(PoisonError::into_inner).insert(organization) {
            return Err(StoreError::Busy);
        }
        Ok(Place { organization, exports: self.clone(), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.exports.organizations.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.organization);
    }
}

/// What comes next, behind what was read.
#[derive(Debug)]
enum Stage {
    Roles,
    Groups(Option<GroupId>),
    Memberships(Option<(GroupId, Subject)>),
    Resources(Option<Resource>),
    Bindings(Option<BindingId>),
    End,
}

/// An export that is under way, in one transaction.
#[derive(Debug)]
pub struct Export {
    read: Read,
    owners: Owners,
    revision: Revision,
    stage: Stage,
}

fn page<C>(after: Option<C>) -> Page<C> {
    // The stores give one row more than a page holds.
    Page { size: PIECE - 1, after }
}

impl Export {
    pub async fn open(database: &Database, scope: OrganizationScope) -> Result<Self, StoreError> {
        let mut read = database.read(scope).await?;
        let head = Head::find(read.connection(), scope.organization_id()).await?.ok_or(StoreError::TenantUnknown)?;
        let template = template::revision(read.connection(), scope.project_id()).await?;
        Ok(Self {
            read,
            owners: Owners { tenant: scope.organization_id(), project: scope.project_id() },
            revision: Revision { template, ..Revision::of_heads(&head, None) },
            stage: Stage::Roles,
        })
    }

    /// That of every record.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The next records; none at the end.
    pub async fn next(&mut self) -> Result<Vec<Record>, StoreError> {
        let (connection, organization) = (self.read.connection(), self.owners.tenant);
        loop {
            let (records, next): (Vec<Record>, Stage) = match &self.stage {
                Stage::Roles => {
                    let roles = in_order(role::all(&mut *connection, self.owners).await?);
                    (roles.into_iter().map(Record::Role).collect(), Stage::Groups(None))
                }
                Stage::Groups(after) => {
                    let rows = group::list(&mut *connection, organization, "", &page(*after)).await?;
                    let last = rows.last().map(|group| group.group_id);
                    let next = last.map_or(Stage::Memberships(None), |id| Stage::Groups(Some(id)));
                    (rows.into_iter().map(Record::Group).collect(), next)
                }
                Stage::Memberships(after) => {
                    let rows = membership::list_all(&mut *connection, organization, &page(*after)).await?;
                    let last = rows.last().map(|row| (row.group_id, row.subject));
                    let next = last.map_or(Stage::Resources(None), |last| Stage::Memberships(Some(last)));
                    (rows.into_iter().map(Record::Membership).collect(), next)
                }
                Stage::Resources(after) => {
                    let rows = resource::list_all(&mut *connection, organization, &page(after.clone())).await?;
                    let last = rows.last().map(|row| row.resource.clone());
                    let next = last.map_or(Stage::Bindings(None), |last| Stage::Resources(Some(last)));
                    (rows.into_iter().map(Record::Resource).collect(), next)
                }
                Stage::Bindings(after) => {
                    let all = BindingFilter::default();
                    let rows = binding::list(&mut *connection, organization, &all, &page(*after)).await?;
                    let last = rows.last().map(|row| row.binding_id);
                    let next = last.map_or(Stage::End, |last| Stage::Bindings(Some(last)));
                    (rows.into_iter().map(Record::Binding).collect(), next)
                }
                Stage::End => return Ok(Vec::new()),
            };
            self.stage = next;
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }

    pub fn finish(self) {
        self.read.finish();
    }
}

/// Each role behind those that it includes: the project's first, then by id. Should some include each other in a circle, they come
/// last.
fn in_order(mut roles: Vec<Role>) -> Vec<Role> {
    roles.sort_unstable_by_key(|role| (role.organization_id.is_some(), role.role_id));
    let all: HashSet<RoleId> = roles.iter().map(|role| role.role_id).collect();
    let mut placed: HashSet<RoleId> = HashSet::new();
    let mut ordered = Vec::with_capacity(roles.len());
    while !roles.is_empty() {
        let before = ordered.len();
        let mut left = Vec::new();
        for role in roles {
            if role.included_role_ids.iter().all(|id| placed.contains(id) || !all.contains(id)) {
                placed.insert(role.role_id);
                ordered.push(role);
            } else {
                left.push(role);
            }
        }
        if ordered.len() == before {
            ordered.append(&mut left);
        }
        roles = left;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn role(n: u128, includes: &[u128], own: bool) -> Role {
        let id = |n| RoleId::from_uuid(Uuid::from_u128(n));
        Role {
            role_id: id(n),
            organization_id: own.then(OrganizationId::new),
            key: format!("role-{n}"),
            display_name: "Role".to_owned(),
            description: String::new(),
            permissions: Vec::new(),
            included_role_ids: includes.iter().map(|n| id(*n)).collect(),
            builtin: false,
            create_time: None,
            update_time: None,
            revision: 1,
        }
    }

    #[test]
    fn roles_come_behind_those_that_they_include() {
        let order = |roles: Vec<Role>| -> Vec<u128> {
            in_order(roles).iter().map(|role| role.role_id.uuid().as_u128()).collect()
        };
        let roles = vec![role(1, &[3, 2], true), role(2, &[4], true), role(3, &[9], true), role(4, &[], false)];
        assert_eq!(order(roles), [4, 2, 3, 1]);
        assert_eq!(order(vec![role(1, &[2], true), role(2, &[1], true), role(3, &[], true)]), [3, 1, 2]);
    }

    #[test]
    fn an_organization_has_one_export_and_all_of_them_a_few() {
        let exports = Exports::default();
        let busy = OrganizationId::new();
        let first = exports.enter(busy).unwrap();
        assert!(matches!(exports.enter(busy), Err(StoreError::Busy)));
        let others: Vec<Place> = (1..AT_ONCE).map(|_| exports.enter(OrganizationId::new()).unwrap()).collect();
        assert!(matches!(exports.enter(OrganizationId::new()), Err(StoreError::Busy)));
        drop((first, others));
        assert!(exports.enter(busy).is_ok());
    }
}
