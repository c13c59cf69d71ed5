//! The entries of a batch on their way to becoming members.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tenancy::MemberId;

use crate::{
    model::{
        EmailAddress, EntryRefusal, GrantRefused, MemberDraft, MemberWithRoles, Name, NewMember, Outcome, Person, Room,
    },
    store::member::Keys,
};

/// The roles that cannot be granted, as they were named.
pub type RefusedRoles = HashMap<String, GrantRefused>;

/// An entry that nothing speaks against so far.
pub struct Row {
    /// Its place in the request.
    at: usize,
    /// The id that the member will have.
    pub member: MemberId,
    pub draft: MemberDraft,
    roles: Vec<String>,
}

/// All entries: those that go on, and why the others do not.
pub struct Rows {
    rows: Vec<Row>,
    refused: BTreeMap<usize, EntryRefusal>,
}

impl Rows {
    /// Of entries that want the same address or external id, the first goes on.
    pub fn of(entries: Vec<Result<NewMember, EntryRefusal>>) -> Self {
        let mut all = Self { rows: Vec::new(), refused: BTreeMap::new() };
        for (at, entry) in entries.into_iter().enumerate() {
            match entry {
                Ok(NewMember { draft, roles }) => all.rows.push(Row { at, member: MemberId::new(), draft, roles }),
                Err(refusal) => drop(all.refused.insert(at, refusal)),
            }
        }
        let (mut addresses, mut external_ids) = (HashSet::new(), HashSet::new());
        all.refuse(|row| {
            if !addresses.insert(row.draft.email_address.clone()) {
                return Some(EntryRefusal::EmailTaken);
            }
            let external_id = row.draft.external_id.clone();
            external_id.filter(|id| !external_ids.insert(id.clone())).map(|_| EntryRefusal::ExternalIdTaken)
        });
        all
    }

    fn refuse(&mut self, mut why: impl FnMut(&Row) -> Option<EntryRefusal>) {
        let Self { rows, refused } = self;
        rows.retain(|row| match why(row) {
            None => true,
            Some(refusal) => {
                refused.insert(row.at, refusal);
                false
            }
        });
    }

    /// What nobody else in the organization may have. The identities are those of `people`, by address.
    pub fn keys(&self, people: &HashMap<String, Person>) -> Keys {
        let address = |row: &Row| row.draft.email_address.as_str().to_owned();
        Keys {
            identities: self.rows.iter().filter_map(|row| Some(people.get(&address(row))?.identity_id)).collect(),
            email_addresses: self.rows.iter().map(address).collect(),
            external_ids: self
                .rows
                .iter()
                .filter_map(|row| row.draft.external_id.as_ref().map(|id| id.as_str().to_owned()))
                .collect(),
        }
    }

    pub fn refuse_taken(&mut self, taken: &Keys, people: &HashMap<String, Person>) {
        self.refuse(|row| {
            let address = row.draft.email_address.as_str();
            let person = people.get(address).is_some_and(|person| taken.identities.contains(&person.identity_id));
            if person || taken.email_addresses.contains(address) {
                return Some(EntryRefusal::EmailTaken);
            }
            let external_id = row.draft.external_id.as_ref();
            external_id.filter(|id| taken.external_ids.contains(id.as_str())).map(|_| EntryRefusal::ExternalIdTaken)
        });
    }

    /// Every role that is named, once.
    pub fn roles(&self) -> Vec<String> {
        self.rows.iter().flat_map(|row| row.roles.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub fn refuse_grants(&mut self, refused: &RefusedRoles) {
        self.refuse(|row| row.roles.iter().find_map(|role| refused.get(role)).cloned().map(EntryRefusal::Grant));
    }

    pub fn refuse_beyond(&mut self, mut room: Room) {
        self.refuse(|_| room.take().err().map(EntryRefusal::MaxMembers));
    }

    pub fn people(&self) -> Vec<(EmailAddress, Name)> {
        self.rows.iter().map(|row| (row.draft.email_address.clone(), row.draft.display_name.clone())).collect()
    }

    /// Who is to hold roles.
    pub fn promised(&self) -> Vec<(MemberId, Vec<String>)> {
        self.rows.iter().filter(|row| !row.roles.is_empty()).map(|row| (row.member, row.roles.clone())).collect()
    }

    /// What became of every entry, in the order of the request. None if `made` is for one of them.
    pub fn outcomes(self, mut made: impl FnMut(Row) -> Option<MemberWithRoles>) -> Option<Vec<Outcome>> {
        let mut outcomes: BTreeMap<usize, Outcome> =
            self.refused.into_iter().map(|(at, refusal)| (at, Err(refusal))).collect();
        for row in self.rows {
            outcomes.insert(row.at, Ok(made(row)?));
        }
        Some(outcomes.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExternalId, Metadata};

    fn entry(address: &str, external_id: Option<&str>, role: &str) -> Result<NewMember, EntryRefusal> {
        let draft = MemberDraft {
            email_address: EmailAddress::parse(address).unwrap(),
            display_name: Name::default(),
            external_id: external_id.map(|id| ExternalId::parse(id).unwrap()),
            is_breakglass: false,
            trusted_metadata: Metadata::default(),
            untrusted_metadata: Metadata::default(),
        };
        Ok(NewMember { draft, roles: vec![role.to_owned()] })
    }

    #[test]
    fn an_entry_is_refused_by_itself_and_the_first_of_equals_goes_on() {
        let mut rows = Rows::of(vec![
            entry("ada@acme.test", Some("1"), "member"),
            Err(EntryRefusal::Invalid(Vec::new())),
            entry("ADA@acme.test", None, "member"),
            entry("bob@acme.test", Some("1"), "member"),
            entry("eve@acme.test", None, "owner"),
            entry("joe@acme.test", None, "member"),
            entry("zoe@acme.test", None, "member"),
        ]);
        let lacks = GrantRefused { exceeds_grantor: true, message: String::new(), metadata: BTreeMap::new() };
        rows.refuse_grants(&RefusedRoles::from([("owner".to_owned(), lacks.clone())]));
        rows.refuse_beyond(Room::of(5, 3));
        let left: Vec<usize> = rows.rows.iter().map(|row| row.at).collect();
        assert_eq!(left, [0, 5], "two places were left, and are given in order");
        let why = |at| rows.refused.get(&at).unwrap();
        assert_eq!(why(2), &EntryRefusal::EmailTaken);
        assert_eq!(why(3), &EntryRefusal::ExternalIdTaken);
        assert_eq!(why(4), &EntryRefusal::Grant(lacks));
        assert!(matches!(why(6), EntryRefusal::MaxMembers(_)));
        assert!(matches!(why(1), EntryRefusal::Invalid(_)));
    }
}
