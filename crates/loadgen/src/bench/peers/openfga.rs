//! OpenFGA (<https://github.com/openfga/openfga>), by version 1 of its API: so much of its messages as is sent and read here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use prost::{DecodeError, Message};

use super::{Peer, as_calls, prepare, ready};
use crate::Failure;
use crate::data::shelf::{Asked, BOARD, DOCUMENT, Place, Shelf, Who};
use crate::house::{House, free_address};
use crate::process::Process;
use crate::wire::Call;

const CREATE_STORE: &str = "openfga.v1.OpenFGAService/CreateStore";
const WRITE_MODEL: &str = "openfga.v1.OpenFGAService/WriteAuthorizationModel";
const WRITE: &str = "openfga.v1.OpenFGAService/Write";
const CHECK: &str = "openfga.v1.OpenFGAService/Check";
/// The most that it takes in one call.
const WRITTEN_AT_ONCE: usize = 100;
const MEMBER: &str = "member";
const READER: &str = "reader";
const MINIMIZE_LATENCY: i32 = 100;
const HIGHER_CONSISTENCY: i32 = 200;

pub async fn start(
    program: &Path,
    house: &House,
    database: &str,
    shelf: &Shelf,
    asked: &[Asked],
) -> Result<Peer, Failure> {
    let store = ["--datastore-engine=postgres".to_owned(), format!("--datastore-uri={database}")];
    prepare(Command::new(program).args(["migrate"]).args(&store))?;
    let at = free_address()?;
    let mut serve = Command::new(program);
    serve.args(["run", "--log-level=error", "--http-enabled=false", "--playground-enabled=false"]).args(&store);
    // What it has to be fast, it is given.
    serve.args(["--metrics-enabled=false", "--check-query-cache-enabled", "--check-iterator-cache-enabled"]);
    serve.arg(format!("--grpc-addr={at}"));
    let server = Process::start(&mut serve, &house.cores.server)?;

    let call = Call::grpc(at, CREATE_STORE, None, &Named { text: "compared".to_owned() })?;
    let (connection, store) = ready("OpenFGA", at, &call).await?;
    let unreadable = |error: DecodeError| Failure::Answer { path: CREATE_STORE.to_owned(), why: error.to_string() };
    let store_id = Named::decode(store).map_err(unreadable)?.text;
    let model = WriteAuthorizationModelRequest {
        store_id: store_id.clone(),
        type_definitions: model(),
        schema_version: "1.1".to_owned(),
    };
    let model: Named = connection.ask(&Call::grpc(at, WRITE_MODEL, None, &model)?).await?;
    for tuple_keys in tuples(shelf).chunks(WRITTEN_AT_ONCE) {
        let request = WriteRequest {
            store_id: store_id.clone(),
            writes: Some(Writes { tuple_keys: tuple_keys.to_vec() }),
            authorization_model_id: model.text.clone(),
        };
        connection.call(&Call::grpc(at, WRITE, None, &request)?).await?;
    }
    let calls = |consistency| {
        as_calls(asked, |asked| {
            let request = CheckRequest {
                store_id: store_id.clone(),
                tuple_key: Some(tuple(user(Who::Person(asked.person)), READER, place(Place::Document(asked.document)))),
                authorization_model_id: model.text.clone(),
                consistency,
            };
            Call::grpc(at, CHECK, None, &request)
        })
    };
    let calls = [calls(MINIMIZE_LATENCY)?, calls(HIGHER_CONSISTENCY)?];
    Ok(Peer { name: "openfga", pid: server.pid(), at, calls, is_allowed, _server: Some(server) })
}

fn is_allowed(answer: &[u8]) -> Result<bool, DecodeError> {
    CheckResponse::decode(answer).map(|answer| answer.allowed)
}

/// People; teams of them; boards and documents, which have readers; and who reads a document's board reads the document.
fn model() -> Vec<TypeDefinition> {
    let of = |name: &str, relation: &str| RelationReference { of_type: name.to_owned(), relation: relation.to_owned() };
    let readers = [of("person", ""), of("team", MEMBER)];
    let defined = |name: &str, relations: &[(&str, Userset, &[RelationReference])]| TypeDefinition {
        of_type: name.to_owned(),
        relations: relations.iter().map(|(name, set, _)| ((*name).to_owned(), set.clone())).collect(),
        metadata: Some(Metadata {
            relations: relations
                .iter()
                .map(|(name, _, related)| {
                    ((*name).to_owned(), RelationMetadata { directly_related_user_types: related.to_vec() })
                })
                .collect(),
        }),
    };
    let on = |relation: &str| Some(ObjectRelation { relation: relation.to_owned() });
    let direct = || Userset { this: Some(()), ..Userset::default() };
    let by_board = Userset {
        tuple_to_userset: Some(TupleToUserset { tupleset: on(BOARD), computed_userset: on(READER) }),
        ..Userset::default()
    };
    let either = Userset { union: Some(Usersets { child: vec![direct(), by_board] }), ..Userset::default() };
    vec![
        defined("person", &[]),
        defined("team", &[(MEMBER, direct(), &[of("person", "")])]),
        defined(BOARD, &[(READER, direct(), &readers)]),
        defined(DOCUMENT, &[(BOARD, direct(), &[of(BOARD, "")]), (READER, either, &readers)]),
    ]
}

fn tuples(shelf: &Shelf) -> Vec<TupleKey> {
    let in_teams = shelf.groups.iter().enumerate().flat_map(|(group, people)| {
        people.iter().map(move |person| tuple(user(Who::Person(*person)), MEMBER, format!("team:{group}")))
    });
    let on_boards = shelf
        .documents
        .iter()
        .enumerate()
        .map(|(document, board)| tuple(place(Place::Board(*board)), BOARD, place(Place::Document(document))));
    let grants = shelf.grants.iter().map(|grant| tuple(user(grant.who), READER, place(grant.place)));
    in_teams.chain(on_boards).chain(grants).collect()
}

fn tuple(user: String, relation: &str, object: String) -> TupleKey {
    TupleKey { user, relation: relation.to_owned(), object }
}

fn place(place: Place) -> String {
    format!("{}:{}", place.of_type(), place.id())
}

fn user(who: Who) -> String {
    match who {
        Who::Person(person) => format!("person:{person}"),
        Who::Group(group) => format!("team:{group}#{MEMBER}"),
    }
}

/// A store's name, its id, and the id of a model: each is the first field of its message, and the one that matters.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct WriteAuthorizationModelRequest {
    #[prost(string, tag = "1")]
    store_id: String,
    #[prost(message, repeated, tag = "2")]
    type_definitions: Vec<TypeDefinition>,
    #[prost(string, tag = "3")]
    schema_version: String,
}

#[derive(Clone, PartialEq, Message)]
struct TypeDefinition {
    #[prost(string, tag = "1")]
    of_type: String,
    #[prost(btree_map = "string, message", tag = "2")]
    relations: BTreeMap<String, Userset>,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    relations: BTreeMap<String, RelationMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct RelationMetadata {
    #[prost(message, repeated, tag = "1")]
    directly_related_user_types: Vec<RelationReference>,
}

#[derive(Clone, PartialEq, Message)]
struct RelationReference {
    #[prost(string, tag = "1")]
    of_type: String,
    #[prost(string, tag = "2")]
    relation: String,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
struct Userset {
    #[prost(message, optional, tag = "1")]
    this: Option<()>,
    #[prost(message, optional, tag = "3")]
    tuple_to_userset: Option<TupleToUserset>,
    #[prost(message, optional, tag = "4")]
    union: Option<Usersets>,
}

#[derive(Clone, PartialEq, Message)]
struct Usersets {
    #[prost(message, repeated, tag = "1")]
    child: Vec<Userset>,
}

#[derive(Clone, PartialEq, Message)]
struct TupleToUserset {
    #[prost(message, optional, tag = "1")]
    tupleset: Option<ObjectRelation>,
    #[prost(message, optional, tag = "2")]
    computed_userset: Option<ObjectRelation>,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectRelation {
    #[prost(string, tag = "2")]
    relation: String,
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(string, tag = "1")]
    store_id: String,
    #[prost(message, optional, tag = "2")]
    writes: Option<Writes>,
    #[prost(string, tag = "4")]
    authorization_model_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Writes {
    #[prost(message, repeated, tag = "1")]
    tuple_keys: Vec<TupleKey>,
}

#[derive(Clone, PartialEq, Message)]
struct TupleKey {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    relation: String,
    #[prost(string, tag = "3")]
    object: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    store_id: String,
    #[prost(message, optional, tag = "2")]
    tuple_key: Option<TupleKey>,
    #[prost(string, tag = "4")]
    authorization_model_id: String,
    #[prost(int32, tag = "7")]
    consistency: i32,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(bool, tag = "1")]
    allowed: bool,
}
