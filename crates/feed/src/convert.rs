//! Between the store's events and the contract's.

use api::event::v1::{self as proto, actor::Actor as Named};
use prost_types::Timestamp;
use tenancy::{Actor, Event, OrganizationId, event::Fault};
use time::OffsetDateTime;

use crate::Payload;

pub fn actor_to_proto(actor: &Actor) -> proto::Actor {
    let actor = match actor {
        Actor::Member(id) => Named::MemberId(id.to_string()),
        Actor::ServiceAccount(id) => Named::ServiceAccountId(id.to_string()),
        Actor::Operator => Named::Operator(true),
        Actor::Workload(name) => Named::Workload(name.clone()),
        Actor::Anonymous => Named::Anonymous(true),
    };
    proto::Actor { actor: Some(actor) }
}

/// None where the message names nobody, or an id that is malformed.
pub fn actor_from_proto(actor: &proto::Actor) -> Option<Actor> {
    match actor.actor.as_ref()? {
        Named::MemberId(id) => id.parse().ok().map(Actor::Member),
        Named::ServiceAccountId(id) => id.parse().ok().map(Actor::ServiceAccount),
        Named::Operator(true) => Some(Actor::Operator),
        Named::Workload(name) => Some(Actor::Workload(name.clone())),
        Named::Anonymous(true) => Some(Actor::Anonymous),
        Named::Operator(false) | Named::Anonymous(false) => None,
    }
}

pub(crate) fn timestamp(time: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(time.nanosecond()).unwrap_or_default();
    Timestamp { seconds: time.unix_timestamp(), nanos }
}

/// None outside the years that PostgreSQL and RFC 3339 share.
pub(crate) fn time(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let seconds = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|n| *n < 1_000_000_000)?;
    (1..=9999).contains(&seconds.year()).then(|| seconds + time::Duration::nanoseconds(nanos.into()))
}

pub(crate) fn event(event: Event, service: &str, payload: Payload) -> proto::Event {
    let actor = |text: &str| text.parse().ok().map(|actor| actor_to_proto(&actor));
    let of_the_project = event.organization_id == OrganizationId::from(event.project_id);
    proto::Event {
        event_id: event.event_id.to_string(),
        organization_id: if of_the_project { String::new() } else { event.organization_id.to_string() },
        project_id: event.project_id.to_string(),
        service: service.to_owned(),
        revision: event.revision,
        ordinal: event.ordinal,
        payload: event.payload.as_deref().and_then(|json| payload(&event.kind, json)),
        actor: actor(&event.actor),
        on_behalf_of: event.on_behalf_of.as_deref().and_then(actor),
        kind: event.kind,
        subject_ids: event.subject_ids,
        request_id: event.request_id,
        trace_id: event.trace_id,
        time: Some(timestamp(event.time)),
        payload_hash: event.payload_hash,
        previous_hash: event.previous_hash,
        hash: event.hash,
    }
}

pub(crate) fn fault(fault: Fault) -> proto::ChainFault {
    match fault {
        Fault::Hash => proto::ChainFault::Hash,
        Fault::PreviousHash => proto::ChainFault::PreviousHash,
        Fault::Payload => proto::ChainFault::Payload,
        Fault::Gap => proto::ChainFault::Gap,
    }
}
