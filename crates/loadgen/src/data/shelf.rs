//! An organization that systems of another make can be told of as well: people in groups, documents on boards, and one role that lets its holder
//! read a document, or all that stand on a board. No denial, no group in a group, no condition.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use engine::{
    Binding, BindingId, Catalog, Effect, Group, GroupId, OrganizationData, PermissionPattern, Resource, ResourceRef,
    Role, RoleId, SubjectId,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::id;
use super::world::{Size, types};
use crate::Failure;

pub const BOARD: &str = "board";
pub const DOCUMENT: &str = "document";
pub const VERB: &str = "read";
const GROUP_SIZE: usize = 20;
const DOCUMENTS_A_BOARD: usize = 50;

/// People, groups, boards and documents go by their numbers.
#[derive(Debug)]
pub struct Shelf {
    pub people: Vec<Uuid>,
    /// Who is in each.
    pub groups: Vec<Vec<usize>>,
    pub boards: usize,
    /// The board on which each stands.
    pub documents: Vec<usize>,
    pub grants: Vec<Grant>,
    rng: StdRng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    Person(usize),
    Group(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Board(usize),
    Document(usize),
}

/// Somebody may read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    pub who: Who,
    pub place: Place,
}

/// May this person read this document?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub person: usize,
    pub document: usize,
    pub allowed: bool,
}

impl Place {
    pub fn of_type(self) -> &'static str {
        match self {
            Self::Board(_) => BOARD,
            Self::Document(_) => DOCUMENT,
        }
    }

    pub fn id(self) -> String {
        let (Self::Board(n) | Self::Document(n)) = self;
        format!("{}-{n:06}", self.of_type())
    }

    pub fn resource(self) -> Result<ResourceRef, Failure> {
        ResourceRef::new(self.of_type(), &self.id()).map_err(|error| ours(&error))
    }
}

impl Shelf {
    pub fn make(seed: u64, size: Size) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let people = (0..size.members).map(|n| id::nth(&mut rng, n)).collect();
        let all: Vec<usize> = (0..size.members).collect();
        let groups = (0..size.groups).map(|_| all.choose_multiple(&mut rng, GROUP_SIZE).copied().collect()).collect();
        let boards = (size.resources / DOCUMENTS_A_BOARD).max(1);
        let documents: Vec<usize> = (0..size.resources).map(|_| rng.random_range(0..boards)).collect();
        let (mut grants, mut seen) = (Vec::with_capacity(size.bindings), HashSet::new());
        while grants.len() < size.bindings {
            let document = |rng: &mut StdRng| Place::Document(rng.random_range(0..size.resources));
            let grant = match rng.random_range(0..10) {
                0..7 => Grant { who: Who::Person(rng.random_range(0..size.members)), place: document(&mut rng) },
                kind => Grant {
                    who: Who::Group(rng.random_range(0..size.groups)),
                    place: if kind == 9 { Place::Board(rng.random_range(0..boards)) } else { document(&mut rng) },
                },
            };
            if seen.insert(grant) {
                grants.push(grant);
            }
        }
        Self { people, groups, boards, documents, grants, rng }
    }

    /// Half of them are to be allowed; whether each is, is found out by looking at the grants one by one.
    pub fn questions(&mut self, count: usize) -> Vec<Asked> {
        let granted: HashSet<Grant> = self.grants.iter().copied().collect();
        let mut groups_of: HashMap<usize, Vec<usize>> = HashMap::new();
        for (group, people) in self.groups.iter().enumerate() {
            for person in people {
                groups_of.entry(*person).or_default().push(group);
            }
        }
        let may = |person: usize, document: usize| {
            let groups = groups_of.get(&person).into_iter().flatten().map(|group| Who::Group(*group));
            let places = [Place::Document(document), Place::Board(self.documents[document])];
            std::iter::once(Who::Person(person))
                .chain(groups)
                .any(|who| places.iter().any(|place| granted.contains(&Grant { who, place: *place })))
        };
        let rng = &mut self.rng;
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let wanted = chosen.len() % 2 == 0;
            // Of random pairs hardly one is allowed: what somebody was granted is.
            let grant = self.grants[rng.random_range(0..self.grants.len())];
            let (person, document) = match (wanted, grant) {
                (true, Grant { who, place: Place::Document(document) }) => {
                    let person = match who {
                        Who::Person(person) => person,
                        Who::Group(group) => self.groups[group][rng.random_range(0..self.groups[group].len())],
                    };
                    (person, document)
                }
                (true, Grant { who: Who::Group(group), place: Place::Board(board) }) => {
                    let somewhere = rng.random_range(0..self.documents.len());
                    let on_it = (somewhere..self.documents.len()).find(|document| self.documents[*document] == board);
                    (self.groups[group][rng.random_range(0..self.groups[group].len())], on_it.unwrap_or(somewhere))
                }
                _ => (rng.random_range(0..self.people.len()), rng.random_range(0..self.documents.len())),
            };
            let allowed = may(person, document);
            if allowed == wanted {
                chosen.push(Asked { person, document, allowed });
            }
        }
        chosen
    }

    /// The same in our own words.
    pub fn data(&self) -> Result<OrganizationData, Failure> {
        let catalog = Arc::new(Catalog::new(types()).map_err(|error| ours(&error))?);
        let mut data = OrganizationData::empty(catalog);
        let mut rng = StdRng::seed_from_u64(self.people.len() as u64);
        data.members.clone_from(&self.people);
        for (n, people) in self.groups.iter().enumerate() {
            let members = people.iter().map(|person| SubjectId::Member(self.people[*person])).collect();
            data.groups.push(Group { id: GroupId(id::nth(&mut rng, n)), members });
        }
        let permissions = [BOARD, DOCUMENT].map(|of| format!("{of}:{VERB}").parse::<PermissionPattern>());
        let permissions = permissions.into_iter().collect::<Result<_, _>>().map_err(|error| ours(&error))?;
        let role = RoleId(id::nth(&mut rng, 0));
        data.roles.push(Role { id: role, permissions, included_role_ids: Vec::new() });
        for board in 0..self.boards {
            data.resources.push(Resource { resource: Place::Board(board).resource()?, parent: None });
        }
        for (document, board) in self.documents.iter().enumerate() {
            let parent = Some(Place::Board(*board).resource()?);
            data.resources.push(Resource { resource: Place::Document(document).resource()?, parent });
        }
        for (n, grant) in self.grants.iter().enumerate() {
            let subject = match grant.who {
                Who::Person(person) => SubjectId::Member(self.people[person]),
                Who::Group(group) => data.groups[group].id.into(),
            };
            data.bindings.push(Binding {
                id: BindingId(id::nth(&mut rng, n)),
                subject,
                role,
                resource: Some(grant.place.resource()?),
                effect: Effect::Allow,
                condition: None,
                not_before: None,
                expire_time: None,
            });
        }
        Ok(data)
    }
}

fn ours(what: &dyn std::fmt::Display) -> Failure {
    Failure::Unmeasurable(format!("the organization for comparison: {what}"))
}

#[cfg(test)]
mod tests {
    use engine::{Permission, Snapshot};
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn the_engine_answers_as_the_grants_say_and_half_is_allowed() {
        let mut shelf = Shelf::make(7, Size::SMALL);
        let snapshot = Snapshot::build(&shelf.data().unwrap());
        let questions = shelf.questions(400);
        assert_eq!(questions.iter().filter(|asked| asked.allowed).count(), 200);
        let (mut by_group, mut by_board) = (0, 0);
        for Asked { person, document, allowed } in questions {
            let subject = SubjectId::Member(shelf.people[person]);
            let resource = Place::Document(document).resource().unwrap();
            let permission = Permission::new(DOCUMENT, VERB).unwrap();
            let decided = snapshot.check(&subject, &permission, Some(&resource), OffsetDateTime::UNIX_EPOCH);
            assert_eq!(decided.is_allowed(), allowed, "person {person}, document {document}");
            let direct = |who| shelf.grants.contains(&Grant { who, place: Place::Document(document) });
            if allowed && !direct(Who::Person(person)) {
                by_group += 1;
                by_board += usize::from(!(0..shelf.groups.len()).any(|group| direct(Who::Group(group))));
            }
        }
        assert!(by_group > 10 && by_board > 5, "{by_group} by a group, {by_board} of them by a board");
    }

    #[test]
    fn one_seed_makes_one_shelf() {
        let (mut one, mut other) = (Shelf::make(1, Size::SMALL), Shelf::make(1, Size::SMALL));
        assert_eq!(one.grants, other.grants);
        assert_eq!(one.questions(50), other.questions(50));
        assert_ne!(one.grants, Shelf::make(2, Size::SMALL).grants);
    }
}
