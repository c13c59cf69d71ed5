//! An organization as large as one likes, the same every time: members in groups in groups, resources in trees of five levels, roles
//! that include others, bindings at every level to every kind of subject, one in fifty a deny.

use std::sync::Arc;

use engine::{
    Binding, BindingId, Catalog, Effect, Group, GroupId, OrganizationData, Permission, Resource, ResourceRef,
    ResourceType, Role, RoleId, SubjectId,
};
use time::OffsetDateTime;
use uuid::Uuid;

/// How many levels resources stand on.
const DEPTH: usize = 5;
const VERBS: [&str; 10] =
    ["read", "write", "comment", "share", "delete", "print", "sign", "export", "archive", "restore"];

/// How many of each there are.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub members: usize,
    pub groups: usize,
    pub roles: usize,
    pub resources: usize,
    pub bindings: usize,
}

/// The one of the budgets.
pub const BUDGETED: Size = Size { members: 10_000, groups: 1_000, roles: 100, resources: 10_000, bindings: 20_000 };

pub struct World {
    pub size: Size,
    pub random: Random,
}

/// Numbers that look random, and are the same every time: a linear congruence, of which the upper half is taken.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

pub fn member(n: usize) -> SubjectId {
    SubjectId::Member(Uuid::from_u128(1 << 64 | n as u128))
}

pub fn group(n: usize) -> GroupId {
    GroupId(Uuid::from_u128(2 << 64 | n as u128))
}

pub fn role(n: usize) -> RoleId {
    RoleId(Uuid::from_u128(3 << 64 | n as u128))
}

pub fn binding_id(n: usize) -> BindingId {
    BindingId(Uuid::from_u128(4 << 64 | n as u128))
}

pub fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)
}

fn kind(n: usize) -> String {
    format!("kind{}", n % 10)
}

pub fn resource(n: usize) -> ResourceRef {
    ResourceRef::new(&kind(n), &format!("018f-{n:08}")).unwrap()
}

impl World {
    pub fn new(size: Size) -> Self {
        Self { size, random: Random(42) }
    }

    pub fn permission(&mut self) -> Permission {
        let (type_name, verb) = (kind(self.random.below(10)), VERBS[self.random.below(VERBS.len())]);
        Permission::new(&type_name, verb).unwrap()
    }

    pub fn organization(&mut self) -> OrganizationData {
        let mut data = OrganizationData::empty(catalog());
        data.members = (0..self.size.members).map(|n| Uuid::from_u128(1 << 64 | n as u128)).collect();
        data.roles = (0..self.size.roles).map(|n| self.role(n)).collect();
        data.groups = (0..self.size.groups).map(|n| self.group(n)).collect();
        data.resources = (0..self.size.resources).map(|n| self.place(n)).collect();
        data.bindings = (0..self.size.bindings).map(|n| self.binding(n)).collect();
        data
    }

    /// Three permissions, and now and then a role of lower number.
    fn role(&mut self, n: usize) -> Role {
        let permissions = (0..3).map(|_| self.permission().into()).collect();
        let included = if n > 0 && n.is_multiple_of(3) { vec![role(self.random.below(n))] } else { vec![] };
        Role { id: role(n), permissions, included_role_ids: included }
    }

    /// Twenty members, so that each is in two on average, and the groups of its part of the tree: ten in each, three levels deep.
    fn group(&mut self, n: usize) -> Group {
        let mut members: Vec<SubjectId> = (0..20).map(|_| member(self.random.below(self.size.members))).collect();
        let within = (10 * n + 10..10 * n + 20).take_while(|n| *n < self.size.groups);
        members.extend(within.map(|n| SubjectId::from(group(n))));
        members.sort();
        members.dedup();
        Group { id: group(n), members }
    }

    /// Under one of the level above: as many on each level.
    fn place(&mut self, n: usize) -> Resource {
        let on_a_level = self.size.resources.div_ceil(DEPTH);
        let level = n / on_a_level;
        let parent = level.checked_sub(1).map(|above| resource(above * on_a_level + self.random.below(on_a_level)));
        Resource { resource: resource(n), parent }
    }

    pub fn binding(&mut self, n: usize) -> Binding {
        let subject = match self.random.below(4) {
            0 => group(self.random.below(self.size.groups)).into(),
            _ => member(self.random.below(self.size.members)),
        };
        let somewhere = self.random.below(10) > 0;
        let resource = somewhere.then(|| self.random.below(self.size.resources)).map(resource);
        let effect = if self.random.below(50) == 0 { Effect::Deny } else { Effect::Allow };
        let expire_time = (self.random.below(10) == 0).then(|| now() + time::Duration::days(1));
        let role = role(self.random.below(self.size.roles));
        Binding { id: binding_id(n), subject, role, resource, effect, not_before: None, expire_time }
    }
}

fn catalog() -> Arc<Catalog> {
    let verbs: Vec<String> = VERBS.iter().map(|verb| (*verb).to_owned()).collect();
    let types = (0..10).map(|n| ResourceType { name: kind(n), verbs: verbs.clone(), ..ResourceType::default() });
    Arc::new(Catalog::new(types.collect()).unwrap())
}
