//! What a fuzzer does with revision tokens and with imports: see the crate `seeds`.

#![allow(clippy::unwrap_used, reason = "a body fails by panic")]

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use api::authz::v1 as proto;
use prost::Message as _;
use proto::{
    AuthorizationRecord, ImportOrganizationRequest, SubjectReplacement, authorization_record::Record as Proto,
    subject::Subject as Kind,
};
use seeds::Choices;
use tenancy::{BindingId, GroupId, MemberId, OrganizationId, RoleId, Sealer, ServiceAccountId};
use tonic::Code;
use uuid::Uuid;

use crate::{
    grpc::import::Read,
    model::{NotARevision, Revision, RoleName, Subject},
    ops::{
        edit::Edit,
        import::{Import, Names, Record, TranslationError},
    },
};

static SEALER: LazyLock<Sealer> =
    LazyLock::new(|| Sealer::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap());

/// A revision token says what it was made from, in one text; and nobody else makes one.
pub fn revision(input: &[u8]) {
    let mut choices = Choices::new(input);
    if !choices.yes() {
        assert_eq!(Revision::parse(&SEALER, &choices.text()), Err(NotARevision));
        return;
    }
    let uuid = |choices: &mut Choices<'_>| Uuid::from_u64_pair(choices.number(), choices.number());
    let revision = Revision {
        tenant: OrganizationId::from_uuid(uuid(&mut choices)),
        incarnation: uuid(&mut choices),
        own: choices.number().cast_signed(),
        template: choices.number().cast_signed(),
    };
    let token = revision.token(&SEALER);
    assert_eq!(Revision::parse(&SEALER, &token), Ok(revision));
    let bent = choices.bend(&token);
    if bent != token {
        assert_eq!(Revision::parse(&SEALER, &bent), Err(NotARevision), "{bent}");
    }
}

/// Each byte chooses: what a message is of, and whom it names, out of a few; or a message as it would come over the wire.
pub fn import(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut messages = Vec::new();
    while !choices.is_empty() && messages.len() < 64 {
        match message(&mut choices) {
            Some(message) => messages.push(message),
            // The transport refuses it, and with it the stream.
            None => return,
        }
    }
    let (Some(first), Some(read)) = (messages.first(), read(&messages)) else { return };
    let again = self::read(&messages).unwrap();
    assert_eq!(read.digest, again.digest, "a retry is known by its stream");
    if messages.len() > 1 {
        assert_ne!(self::read(&messages[1..]).map(|less| less.digest), Some(read.digest));
        let mut other = messages.clone();
        other.swap(0, 1);
        assert_eq!(self::read(&other).unwrap().digest == read.digest, messages[0] == messages[1]);
    }
    assert_eq!(read.messages, messages.len());
    if let Err(refused) = read.violations.finish() {
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.details().len() + refused.message().len() < 8192, "it has to fit into trailers");
        return;
    }
    assert!(messages.iter().all(|message| message.organization_id == first.organization_id));
    assert!(read.import.records.len() <= messages.len());
    translated(read.import);
}

/// None: refused for its size.
fn read(messages: &[ImportOrganizationRequest]) -> Option<Read> {
    let mut read = Read::default();
    messages.iter().try_for_each(|message| read.take(message, &messages[0])).ok()?;
    Some(read)
}

/// What comes of records that read well: an edit each, or a fault each that has one. Whatever is made gets an id that nobody chose, and
/// what an edit names is made by the import itself, but for those subjects and roles that no record is.
fn translated(import: Import) {
    let subjects = import.subjects.clone();
    let named: HashSet<Uuid> = import.records.iter().flat_map(|(_, record)| own_id(record)).collect();
    let here: HashMap<String, RoleId> =
        [("viewer", 1), ("editor", 2)].map(|(key, id)| (key.to_owned(), RoleId::from_uuid(Uuid::from_u128(id)))).into();
    let (count, messages): (usize, Vec<usize>) =
        (import.records.len(), import.records.iter().map(|(message, _)| *message).collect());
    let templates = import.records.iter().filter(|(_, record)| matches!(record, Record::Template { .. })).count();
    let (names, records) = Names::of(import);
    let translated = match names.translate(records, here, HashMap::new()) {
        Ok(translated) => translated,
        Err(TranslationError::Faults(faults)) => {
            assert!(!faults.is_empty() && faults.iter().all(|(message, ..)| messages.contains(message)));
            return;
        }
        Err(TranslationError::Store(error)) => panic!("{error}"),
    };
    assert_eq!((translated.edits.len(), translated.messages.len()), (count - templates, count - templates));
    let made: HashSet<Uuid> = translated.edits.iter().filter_map(made).collect();
    assert!(made.is_disjoint(&named), "an id is never used twice");
    let holder = |subject: Subject| match subject {
        Subject::Group(id) => assert!(made.contains(&id.uuid()), "a group of somebody else's"),
        subject => assert!(!subjects.contains_key(&subject) || subjects.values().any(|here| *here == subject)),
    };
    for edit in &translated.edits {
        match edit {
            Edit::CreateRole(new) => assert!(new.included_role_ids.iter().all(|id| !named.contains(&id.uuid()))),
            Edit::CreateGroup(_) | Edit::Register(_) => {}
            Edit::AddMembers { group, subjects } => {
                assert!(made.contains(&group.uuid()));
                subjects.iter().for_each(|subject| holder(*subject));
            }
            Edit::CreateBinding(new) => {
                holder(new.subject);
                if let RoleName::Id(id) = new.role {
                    // A role that came with the import is another one here.
                    assert!(!named.contains(&id.uuid()));
                }
            }
            other => panic!("an import does not {other:?}"),
        }
    }
}

fn own_id(record: &Record) -> Option<Uuid> {
    match record {
        Record::Template { id, .. } => Some(id.uuid()),
        Record::Role { id, .. } => id.map(RoleId::uuid),
        Record::Group { id, .. } => id.map(GroupId::uuid),
        Record::Membership { .. } | Record::Resource(_) | Record::Binding(_) => None,
    }
}

fn made(edit: &Edit) -> Option<Uuid> {
    match edit {
        Edit::CreateRole(new) => new.id.map(RoleId::uuid),
        Edit::CreateGroup(new) => new.id.map(GroupId::uuid),
        Edit::CreateBinding(new) => new.id.map(BindingId::uuid),
        _ => None,
    }
}

fn message(choices: &mut Choices<'_>) -> Option<ImportOrganizationRequest> {
    let kind = choices.below(8);
    if kind == 7 {
        let length = choices.place(512);
        let bytes: Vec<u8> = (0..length).map(|_| choices.byte()).collect();
        return ImportOrganizationRequest::decode(bytes.as_slice()).ok();
    }
    let mut message = ImportOrganizationRequest {
        organization_id: choices.pick(&["org_1", "org_1", "org_1", "org_2"]).to_string(),
        ..Default::default()
    };
    let record = match kind {
        0 => Proto::Role(proto::Role {
            role_id: id(choices, "role"),
            organization_id: choices.pick(&["", "org_1"]).to_string(),
            key: choices.pick(&["viewer", "editor", "gone", "Not A Key", ""]).to_string(),
            display_name: word(choices),
            permissions: (0..choices.below(3))
                .map(|_| choices.pick(&["document:read", "document:*", "*:*", "x"]).to_string())
                .collect(),
            included_role_ids: (0..choices.below(3)).map(|_| id(choices, "role")).collect(),
            ..Default::default()
        }),
        1 => Proto::Group(proto::Group {
            group_id: id(choices, "group"),
            display_name: word(choices),
            ..Default::default()
        }),
        2 => Proto::Membership(proto::GroupMembership {
            group_id: id(choices, "group"),
            subject: subject(choices),
            ..Default::default()
        }),
        3 => Proto::Resource(proto::ResourceRegistration {
            resource: resource(choices),
            parent: resource(choices),
            ..Default::default()
        }),
        4 => Proto::Binding(proto::Binding {
            subject: subject(choices),
            role_id: if choices.yes() { id(choices, "role") } else { "viewer".to_owned() },
            resource: resource(choices),
            effect: choices.below(4).try_into().unwrap(),
            condition: choices.pick(&["", "", "now > timestamp('2026-01-01T00:00:00Z')", "context.a", "("]).to_string(),
            ..Default::default()
        }),
        5 => {
            let replacement = SubjectReplacement { subject: subject(choices), replacement: subject(choices) };
            message.subjects.push(replacement);
            return Some(message);
        }
        _ => return Some(message),
    };
    message.record = Some(AuthorizationRecord { record: Some(record) });
    Some(message)
}

/// One of a few, far from those that the project has here; or nothing; or nonsense.
fn id(choices: &mut Choices<'_>, kind: &str) -> String {
    let uuid = |at: usize| Uuid::from_u64_pair(kind.len() as u64, 0x1000 + at as u64);
    match (choices.below(7), kind) {
        (5, _) => String::new(),
        (6, _) => word(choices),
        (at, "role") => RoleId::from_uuid(uuid(at)).to_string(),
        (at, "group") => GroupId::from_uuid(uuid(at)).to_string(),
        (at, "member") => MemberId::from_uuid(uuid(at)).to_string(),
        (at, _) => ServiceAccountId::from_uuid(uuid(at)).to_string(),
    }
}

fn subject(choices: &mut Choices<'_>) -> Option<proto::Subject> {
    let subject = match choices.below(6) {
        0 => Kind::MemberId(id(choices, "member")),
        1 => Kind::ServiceAccountId(id(choices, "sa")),
        2 => Kind::GroupId(id(choices, "group")),
        3 => Kind::AllMembers(choices.yes()),
        4 => return Some(proto::Subject { subject: None }),
        _ => return None,
    };
    Some(proto::Subject { subject: Some(subject) })
}

fn resource(choices: &mut Choices<'_>) -> Option<proto::Resource> {
    let (r#type, id) = match choices.below(5) {
        0 => ("document".to_owned(), "d1".to_owned()),
        1 => ("folder".to_owned(), "f1".to_owned()),
        2 => (word(choices), word(choices)),
        _ => return None,
    };
    Some(proto::Resource { r#type, id })
}

fn word(choices: &mut Choices<'_>) -> String {
    let length = choices.below(12);
    String::from_utf8_lossy(&(0..length).map(|_| choices.byte()).collect::<Vec<_>>()).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn revision() {
        seeds::each("revision", super::revision);
    }

    #[test]
    fn import() {
        seeds::each("import", super::import);
    }
}
