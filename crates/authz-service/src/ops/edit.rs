//! What a caller may ask to be changed, one thing at a time: the same words for a call that changes one thing and for a batch.

use engine::{Condition, PermissionPattern};
use serde::{Deserialize, Serialize};
use tenancy::{BindingId, GroupId, RoleId, StoreError};
use time::OffsetDateTime;

use super::subject::News;
use crate::model::{
    At, Binding, Effect, Group, Registration, Resource, Role, RoleKey, RoleName, RoleSource, Standing, Subject, Window,
};

#[derive(Debug, Clone)]
pub enum Edit {
    CreateBinding(NewBinding),
    UpdateBinding(BindingPatch),
    DeleteBinding {
        id: BindingId,
        etag: String,
    },
    CreateRole(NewRole),
    UpdateRole(RolePatch),
    DeleteRole {
        id: RoleId,
        etag: String,
    },
    CreateGroup(NewGroup),
    UpdateGroup(GroupPatch),
    /// With its memberships, its places in other groups, and its bindings.
    DeleteGroup {
        id: GroupId,
        etag: String,
    },
    /// Who is in already stays in.
    AddMembers {
        group: GroupId,
        subjects: Vec<Subject>,
    },
    /// Who is not in stays out.
    RemoveMembers {
        group: GroupId,
        subjects: Vec<Subject>,
    },
    /// All of them; a parent may come after what lies in it.
    Register(Vec<NewResource>),
    Move(Relocation),
    /// With the bindings at them. One that is absent is no fault.
    Remove {
        resources: Vec<Resource>,
        with_descendants: bool,
    },
    /// What member-service tells of a subject.
    Note {
        news: News,
        suspended: bool,
    },
    /// Takes all that a subject holds, for good.
    RemoveSubject(News),
}

/// A binding to be made.
#[derive(Debug, Clone)]
pub struct NewBinding {
    /// None: a new one.
    pub id: Option<BindingId>,
    pub subject: Subject,
    pub role: RoleName,
    pub resource: Option<Resource>,
    pub effect: Effect,
    pub condition: Option<Condition>,
    pub window: Window,
    pub source: RoleSource,
    /// Member-service binds roles to a member before there is one: only who was removed is refused.
    pub ahead: bool,
}

/// What of a binding is to be set. An outer None leaves the field as it is.
#[derive(Debug, Clone)]
pub struct BindingPatch {
    pub binding_id: BindingId,
    pub etag: String,
    pub condition: Option<Option<Condition>>,
    pub not_before: Option<Option<OffsetDateTime>>,
    pub expire_time: Option<Option<OffsetDateTime>>,
}

/// A role to be made.
#[derive(Debug, Clone)]
pub struct NewRole {
    pub id: Option<RoleId>,
    pub key: RoleKey,
    pub display_name: String,
    pub description: String,
    pub permissions: Vec<PermissionPattern>,
    pub included_role_ids: Vec<RoleId>,
}

/// What an update sets; None stays.
#[derive(Debug, Clone)]
pub struct RolePatch {
    pub role_id: RoleId,
    pub etag: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub permissions: Option<Vec<PermissionPattern>>,
    pub included_role_ids: Option<Vec<RoleId>>,
}

/// A group to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub id: Option<GroupId>,
    pub display_name: String,
    pub external_id: String,
}

/// What an update sets; None stays.
#[derive(Debug, Clone)]
pub struct GroupPatch {
    pub group_id: GroupId,
    pub etag: String,
    pub display_name: Option<String>,
    pub external_id: Option<String>,
}

/// A resource to be registered.
#[derive(Debug, Clone)]
pub struct NewResource {
    pub resource: Resource,
    pub parent: Option<Resource>,
}

/// A registered resource that shall stand elsewhere.
#[derive(Debug, Clone)]
pub struct Relocation {
    pub resource: Resource,
    /// None: directly under the organization.
    pub parent: Option<Resource>,
    pub etag: String,
}

/// What an edit comes to: the thing as it is then, or as it was if it is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Made {
    Binding(Binding),
    Role(Role),
    Group(Group),
    Registrations(Vec<Registration>),
    /// How many were not so before.
    Count(i32),
    Standing(Standing),
    Nothing,
}

/// An answer that was kept for another method.
const FOREIGN: StoreError = StoreError::Corrupt("kept answer");

impl At<Made> {
    pub fn binding(self) -> Result<At<Binding>, StoreError> {
        self.try_map(|made| if let Made::Binding(binding) = made { Ok(binding) } else { Err(FOREIGN) })
    }

    pub fn role(self) -> Result<At<Role>, StoreError> {
        self.try_map(|made| if let Made::Role(role) = made { Ok(role) } else { Err(FOREIGN) })
    }

    pub fn group(self) -> Result<At<Group>, StoreError> {
        self.try_map(|made| if let Made::Group(group) = made { Ok(group) } else { Err(FOREIGN) })
    }

    pub fn registrations(self) -> Result<At<Vec<Registration>>, StoreError> {
        self.try_map(|made| if let Made::Registrations(all) = made { Ok(all) } else { Err(FOREIGN) })
    }

    pub fn count(self) -> Result<At<i32>, StoreError> {
        self.try_map(|made| if let Made::Count(count) = made { Ok(count) } else { Err(FOREIGN) })
    }

    pub fn standing(self) -> Result<At<Standing>, StoreError> {
        self.try_map(|made| if let Made::Standing(standing) = made { Ok(standing) } else { Err(FOREIGN) })
    }
}
