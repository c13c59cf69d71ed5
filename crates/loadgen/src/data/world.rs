//! One organization's authorization, as large as asked for.

use std::sync::Arc;

use engine::{
    Binding, BindingId, Catalog, Effect, Group, GroupId, OrganizationData, Permission, PermissionPattern, Resource,
    ResourceRef, ResourceType, Role, RoleId, Snapshot, SubjectId,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use time::{Duration, OffsetDateTime};

use super::id;
use crate::Failure;

/// Types that stand beneath each other, and what can be done with each.
pub const TYPES: [&str; 5] = ["workspace", "folder", "board", "document", "comment"];
pub const VERBS: [&str; 5] = ["read", "write", "share", "archive", "delete"];
/// Of ten thousand resources, so many stand on each level.
const LEVELS: [usize; TYPES.len()] = [10, 90, 900, 3_000, 6_000];
const GROUP_SIZE: usize = 20;
/// One group in so many stands in another.
const NESTED_ONE_IN: usize = 10;

#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub members: usize,
    pub groups: usize,
    pub roles: usize,
    pub resources: usize,
    pub bindings: usize,
}

impl Size {
    /// The organization of the budgets.
    pub const BUDGET: Self = Self { members: 10_000, groups: 1_000, roles: 100, resources: 10_000, bindings: 30_000 };
    /// The one in which a change has to be cheap and quickly seen.
    pub const WIDE: Self = Self { bindings: 100_000, ..Self::BUDGET };
    pub const SMALL: Self = Self { members: 500, groups: 50, roles: 20, resources: 500, bindings: 2_000 };
}

#[derive(Debug)]
pub struct World {
    pub data: OrganizationData,
    rng: StdRng,
}

/// One thing to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub subject: SubjectId,
    pub permission: Permission,
    pub resource: ResourceRef,
}

/// The project's types, as the catalog is told of them.
pub fn types() -> Vec<ResourceType> {
    let typed = |(at, name): (usize, &&str)| ResourceType {
        name: (*name).to_owned(),
        parent_types: at.checked_sub(1).map(|above| TYPES[above].to_owned()).into_iter().collect(),
        verbs: VERBS.map(str::to_owned).to_vec(),
        description: String::new(),
    };
    TYPES.iter().enumerate().map(typed).collect()
}

impl World {
    pub fn make(seed: u64, size: Size) -> Result<Self, Failure> {
        let ours = |what: &dyn std::fmt::Display| Failure::Unmeasurable(format!("the made-up organization: {what}"));
        let mut rng = StdRng::seed_from_u64(seed);
        let catalog = Arc::new(Catalog::new(types()).map_err(|error| ours(&error))?);
        let mut data = OrganizationData::empty(catalog);
        data.members = (0..size.members).map(|n| id::nth(&mut rng, n)).collect();

        let patterns = |rng: &mut StdRng| {
            let one = |rng: &mut StdRng| {
                let (of, verb) = (rng.random_range(0..TYPES.len()), rng.random_range(0..=VERBS.len()));
                format!("{}:{}", TYPES[of], VERBS.get(verb).unwrap_or(&"*")).parse::<PermissionPattern>()
            };
            (0..3).map(|_| one(rng)).collect::<Result<Vec<_>, _>>()
        };
        for n in 0..size.roles {
            let included = (n % 3 == 2).then(|| data.roles[rng.random_range(0..n)].id);
            let role = Role {
                id: RoleId(id::nth(&mut rng, n)),
                permissions: patterns(&mut rng).map_err(|error| ours(&error))?,
                included_role_ids: included.into_iter().collect(),
            };
            data.roles.push(role);
        }
        for n in 0..size.groups {
            let mut members: Vec<SubjectId> =
                data.members.choose_multiple(&mut rng, GROUP_SIZE).copied().map(SubjectId::Member).collect();
            if n % NESTED_ONE_IN == NESTED_ONE_IN - 1 {
                members.push(data.groups[rng.random_range(0..n)].id.into());
            }
            data.groups.push(Group { id: GroupId(id::nth(&mut rng, n)), members });
        }
        let mut above: Vec<ResourceRef> = Vec::new();
        for (at, type_name) in TYPES.iter().enumerate() {
            let level = (size.resources * LEVELS[at] / LEVELS.iter().sum::<usize>()).max(1);
            let names = (0..level).map(|n| ResourceRef::new(type_name, &format!("{type_name}-{n:06}")));
            let level = names.collect::<Result<Vec<_>, _>>().map_err(|error| ours(&error))?;
            for resource in &level {
                data.resources.push(Resource { resource: resource.clone(), parent: above.choose(&mut rng).cloned() });
            }
            above = level;
        }
        let mut world = Self { data, rng };
        for n in 0..size.bindings {
            let binding = world.binding(n);
            world.data.bindings.push(binding);
        }
        Ok(world)
    }

    /// One more, such as there are; not yet among them.
    pub fn binding(&mut self, n: usize) -> Binding {
        let Self { data, rng } = self;
        let anybody = |rng: &mut StdRng| SubjectId::Member(data.members[rng.random_range(0..data.members.len())]);
        let subject = match rng.random_range(0..10) {
            0..3 => data.groups.choose(rng).map(|group| SubjectId::from(group.id)),
            _ => None,
        };
        let subject = subject.unwrap_or_else(|| anybody(rng));
        let role = data.roles[rng.random_range(0..data.roles.len())].id;
        let somewhere = rng.random_bool(0.9);
        let resource = data.resources.choose(rng).filter(|_| somewhere).map(|resource| resource.resource.clone());
        let effect = if rng.random_bool(0.02) { Effect::Deny } else { Effect::Allow };
        let expire_time = rng.random_bool(0.05).then(|| OffsetDateTime::UNIX_EPOCH + Duration::days(365 * 100));
        Binding {
            id: BindingId(id::nth(rng, n)),
            subject,
            role,
            resource,
            effect,
            condition: None,
            not_before: None,
            expire_time,
        }
    }

    /// Half of them are to be allowed, as far as the organization has so much to allow.
    pub fn questions(
        &mut self,
        snapshot: &Snapshot,
        count: usize,
        now: OffsetDateTime,
    ) -> Result<Vec<Question>, Failure> {
        let mut chosen = Vec::with_capacity(count);
        let (mut allowed, mut denied) = (count / 2, count - count / 2);
        // Of random ones some in a hundred are allowed; the rest is filled with whatever comes.
        for attempt in 0.. {
            if chosen.len() == count {
                break;
            }
            let question = self.question()?;
            let left = match snapshot.check(&question.subject, &question.permission, Some(&question.resource), now) {
                engine::Decision::Allowed => &mut allowed,
                _ => &mut denied,
            };
            if *left > 0 || attempt > count * 100 {
                *left = left.saturating_sub(1);
                chosen.push(question);
            }
        }
        Ok(chosen)
    }

    fn question(&mut self) -> Result<Question, Failure> {
        let Self { data, rng } = self;
        let resource = data.resources[rng.random_range(0..data.resources.len())].resource.clone();
        let verb = VERBS[rng.random_range(0..VERBS.len())];
        let permission = Permission::new(resource.type_name(), verb)
            .map_err(|error| Failure::Unmeasurable(format!("the made-up question: {error}")))?;
        Ok(Question {
            subject: SubjectId::Member(data.members[rng.random_range(0..data.members.len())]),
            permission,
            resource,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_world_and_it_is_as_large_as_asked() {
        let (mut one, mut other) = (World::make(7, Size::SMALL).unwrap(), World::make(7, Size::SMALL).unwrap());
        assert_eq!(one.data.bindings, other.data.bindings);
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let snapshot = Snapshot::build(&one.data);
        let questions = one.questions(&snapshot, 200, now).unwrap();
        assert_eq!(questions, other.questions(&snapshot, 200, now).unwrap());
        let allowed = |q: &&Question| snapshot.check(&q.subject, &q.permission, Some(&q.resource), now).is_allowed();
        assert_eq!(questions.iter().filter(allowed).count(), 100);

        let Size { members, groups, roles, resources, bindings } = Size::SMALL;
        let data = &one.data;
        assert_eq!((data.members.len(), data.groups.len(), data.roles.len()), (members, groups, roles));
        assert!(data.resources.len().abs_diff(resources) <= TYPES.len());
        assert_eq!(data.bindings.len(), bindings);
    }

    #[test]
    fn the_lowest_resources_stand_five_deep() {
        let world = World::make(1, Size::SMALL).unwrap();
        let parent = |of: &ResourceRef| world.data.resources.iter().find(|r| r.resource == *of).unwrap().parent.clone();
        let last = world.data.resources.last().unwrap().resource.clone();
        let depth = std::iter::successors(Some(last), parent).count();
        assert_eq!(depth, 5);
    }
}
