//! SpiceDB (<https://github.com/authzed/spicedb>), by version 1 of its API: so much of its messages as is sent and read here.

use std::path::Path;
use std::process::Command;

use prost::{DecodeError, Message};

use super::{Peer, as_calls, prepare, ready};
use crate::Failure;
use crate::data::shelf::{Asked, BOARD, Place, Shelf, VERB, Who};
use crate::house::{House, free_address};
use crate::process::Process;
use crate::wire::Call;

/// The most that it takes in one call.
const WRITTEN_AT_ONCE: usize = 1_000;
const KEY: &str = "compared";
const WRITE_SCHEMA: &str = "authzed.api.v1.SchemaService/WriteSchema";
const WRITE_RELATIONSHIPS: &str = "authzed.api.v1.PermissionsService/WriteRelationships";
const CHECK_PERMISSION: &str = "authzed.api.v1.PermissionsService/CheckPermission";
const SCHEMA: &str = "
definition person {}
definition team {
  relation member: person
}
definition board {
  relation reader: person | team#member
  permission read = reader
}
definition document {
  relation board: board
  relation reader: person | team#member
  permission read = reader + board->read
}";
const TOUCH: i32 = 2;
const HAS_PERMISSION: i32 = 2;

pub async fn start(
    program: &Path,
    house: &House,
    database: &str,
    shelf: &Shelf,
    asked: &[Asked],
) -> Result<Peer, Failure> {
    let store = ["--datastore-engine=postgres".to_owned(), format!("--datastore-conn-uri={database}")];
    prepare(Command::new(program).args(["datastore", "migrate", "head", "--log-level=error"]).args(&store))?;
    let at = free_address()?;
    let mut serve = Command::new(program);
    serve.args(["serve", "--log-level=error", "--telemetry-endpoint=", "--metrics-enabled=false"]).args(&store);
    serve.args([format!("--grpc-addr={at}"), format!("--grpc-preshared-key={KEY}")]);
    let server = Process::start(&mut serve, &house.cores.server)?;

    let schema = Call::grpc(at, WRITE_SCHEMA, Some(KEY), &WriteSchemaRequest { schema: SCHEMA.to_owned() })?;
    let (connection, _) = ready("SpiceDB", at, &schema).await?;
    for updates in relationships(shelf).chunks(WRITTEN_AT_ONCE) {
        let request = WriteRelationshipsRequest { updates: updates.to_vec() };
        connection.call(&Call::grpc(at, WRITE_RELATIONSHIPS, Some(KEY), &request)?).await?;
    }
    let calls = |consistency: Consistency| {
        as_calls(asked, |asked| {
            let request = CheckPermissionRequest {
                consistency: Some(consistency.clone()),
                resource: Some(place(Place::Document(asked.document))),
                permission: VERB.to_owned(),
                subject: Some(subject(Who::Person(asked.person))),
            };
            Call::grpc(at, CHECK_PERMISSION, Some(KEY), &request)
        })
    };
    let calls = [
        calls(Consistency { minimize_latency: Some(true), fully_consistent: None })?,
        calls(Consistency { minimize_latency: None, fully_consistent: Some(true) })?,
    ];
    Ok(Peer { name: "spicedb", pid: server.pid(), at, calls, is_allowed, _server: Some(server) })
}

fn is_allowed(answer: &[u8]) -> Result<bool, DecodeError> {
    CheckPermissionResponse::decode(answer).map(|answer| answer.permissionship == HAS_PERMISSION)
}

fn relationships(shelf: &Shelf) -> Vec<RelationshipUpdate> {
    let touch = |resource, relation: &str, subject| RelationshipUpdate {
        operation: TOUCH,
        relationship: Some(Relationship {
            resource: Some(resource),
            relation: relation.to_owned(),
            subject: Some(subject),
        }),
    };
    let in_teams = shelf.groups.iter().enumerate().flat_map(|(group, people)| {
        people.iter().map(move |person| touch(object("team", &group), "member", subject(Who::Person(*person))))
    });
    let on_boards = shelf.documents.iter().enumerate().map(|(document, board)| {
        let board = SubjectReference { object: Some(place(Place::Board(*board))), optional_relation: String::new() };
        touch(place(Place::Document(document)), BOARD, board)
    });
    let grants = shelf.grants.iter().map(|grant| touch(place(grant.place), "reader", subject(grant.who)));
    in_teams.chain(on_boards).chain(grants).collect()
}

fn object(object_type: &str, id: &impl ToString) -> ObjectReference {
    ObjectReference { object_type: object_type.to_owned(), object_id: id.to_string() }
}

fn place(place: Place) -> ObjectReference {
    object(place.of_type(), &place.id())
}

fn subject(who: Who) -> SubjectReference {
    let (object, relation) = match who {
        Who::Person(person) => (object("person", &person), ""),
        Who::Group(group) => (object("team", &group), "member"),
    };
    SubjectReference { object: Some(object), optional_relation: relation.to_owned() }
}

#[derive(Clone, PartialEq, Message)]
struct WriteSchemaRequest {
    #[prost(string, tag = "1")]
    schema: String,
}

#[derive(Clone, PartialEq, Message)]
struct WriteRelationshipsRequest {
    #[prost(message, repeated, tag = "1")]
    updates: Vec<RelationshipUpdate>,
}

#[derive(Clone, PartialEq, Message)]
struct RelationshipUpdate {
    #[prost(int32, tag = "1")]
    operation: i32,
    #[prost(message, optional, tag = "2")]
    relationship: Option<Relationship>,
}

#[derive(Clone, PartialEq, Message)]
struct Relationship {
    #[prost(message, optional, tag = "1")]
    resource: Option<ObjectReference>,
    #[prost(string, tag = "2")]
    relation: String,
    #[prost(message, optional, tag = "3")]
    subject: Option<SubjectReference>,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectReference {
    #[prost(string, tag = "1")]
    object_type: String,
    #[prost(string, tag = "2")]
    object_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct SubjectReference {
    #[prost(message, optional, tag = "1")]
    object: Option<ObjectReference>,
    #[prost(string, tag = "2")]
    optional_relation: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckPermissionRequest {
    #[prost(message, optional, tag = "1")]
    consistency: Option<Consistency>,
    #[prost(message, optional, tag = "2")]
    resource: Option<ObjectReference>,
    #[prost(string, tag = "3")]
    permission: String,
    #[prost(message, optional, tag = "4")]
    subject: Option<SubjectReference>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
struct Consistency {
    #[prost(bool, optional, tag = "1")]
    minimize_latency: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    fully_consistent: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct CheckPermissionResponse {
    #[prost(int32, tag = "2")]
    permissionship: i32,
}
