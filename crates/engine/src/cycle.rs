//! Cycles are refused on write. Reading tolerates them, because a restore or a race in another release could leave one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::data::{Group, Role};
use crate::id::{GroupId, RoleId, SubjectId};

/// The shortest cycle that would run through `role` if it included `included`, from `role` back to `role`; none if it may.
pub fn role_cycle(roles: &[Role], role: RoleId, included: &[RoleId]) -> Option<Vec<RoleId>> {
    let includes: HashMap<_, _> = roles.iter().map(|role| (role.id, &role.included_role_ids)).collect();
    shortest_cycle(role, included.to_vec(), |next| includes.get(next).map(|ids| ids.to_vec()).unwrap_or_default())
}

/// The shortest cycle that would run through `group` if `members` were in it, from `group` back to `group`; none if they may.
pub fn group_cycle(groups: &[Group], group: GroupId, members: &[SubjectId]) -> Option<Vec<GroupId>> {
    let nested: HashMap<_, _> = groups.iter().map(|group| (group.id, groups_in(&group.members))).collect();
    shortest_cycle(group, groups_in(members), |next| nested.get(next).cloned().unwrap_or_default())
}

fn groups_in(members: &[SubjectId]) -> Vec<GroupId> {
    let group = |member: &SubjectId| match member {
        SubjectId::Group(id) => Some(GroupId(*id)),
        SubjectId::Member(_) | SubjectId::ServiceAccount(_) | SubjectId::AllMembers => None,
    };
    members.iter().filter_map(group).collect()
}

fn shortest_cycle<T: Copy + Eq + Hash>(start: T, first: Vec<T>, next: impl Fn(&T) -> Vec<T>) -> Option<Vec<T>> {
    let mut came_from = HashMap::new();
    let mut queue = VecDeque::from([(start, first)]);
    while let Some((node, successors)) = queue.pop_front() {
        for successor in successors {
            if successor == start {
                let mut path = vec![start, node];
                while let Some(previous) = path.last().and_then(|last| came_from.get(last)) {
                    path.push(*previous);
                }
                path.reverse();
                return Some(path);
            }
            if let Entry::Vacant(vacant) = came_from.entry(successor) {
                vacant.insert(node);
                queue.push_back((successor, next(&successor)));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn role(id: u128, included: &[u128]) -> Role {
        Role {
            id: RoleId(Uuid::from_u128(id)),
            permissions: vec![],
            included_role_ids: included.iter().map(|id| RoleId(Uuid::from_u128(*id))).collect(),
        }
    }

    fn cycle_of(roles: &[Role], id: u128, included: &[u128]) -> Option<Vec<u128>> {
        let proposed = role(id, included);
        role_cycle(roles, proposed.id, &proposed.included_role_ids)
            .map(|path| path.iter().map(|id| id.0.as_u128()).collect())
    }

    #[test]
    fn a_role_cycle_is_named_from_the_role_back_to_it() {
        let roles = [role(1, &[2]), role(2, &[3]), role(3, &[]), role(4, &[1])];
        assert_eq!(cycle_of(&roles, 3, &[1]), Some(vec![3, 1, 2, 3]));
        assert_eq!(cycle_of(&roles, 3, &[4, 2]), Some(vec![3, 2, 3]), "the shortest one");
        assert_eq!(cycle_of(&roles, 3, &[3]), Some(vec![3, 3]));
        assert_eq!(cycle_of(&roles, 4, &[1, 2, 3]), None, "a diamond is no cycle");
        assert_eq!(cycle_of(&roles, 5, &[6]), None, "what does not exist includes nothing");
    }

    #[test]
    fn an_old_cycle_elsewhere_neither_loops_nor_is_blamed() {
        let roles = [role(1, &[2]), role(2, &[1])];
        assert_eq!(cycle_of(&roles, 3, &[1]), None);
    }

    #[test]
    fn only_groups_close_a_group_cycle() {
        let id = |n| Uuid::from_u128(n);
        let groups = [Group { id: GroupId(id(1)), members: vec![SubjectId::Member(id(9)), SubjectId::Group(id(2))] }];
        assert_eq!(
            group_cycle(&groups, GroupId(id(2)), &[SubjectId::Group(id(1))]),
            Some(vec![GroupId(id(2)), GroupId(id(1)), GroupId(id(2))])
        );
        assert_eq!(group_cycle(&groups, GroupId(id(2)), &[SubjectId::Member(id(2)), SubjectId::AllMembers]), None);
    }
}
