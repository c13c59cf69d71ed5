//! The end of a write: its events get their places and their hashes, and the head moves.

use sqlx::PgConnection;

use crate::{
    Event, EventId, Head, NewEvent, Origin, StoreError,
    event::{now, sha256},
};

/// One tenant's end of the event chain, and what a write adds to it.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) head: Head,
    pub(crate) events: Vec<NewEvent>,
}

/// Gives a chain's events their place and their hashes, and moves the head: one statement.
pub(crate) async fn seal_chain(
    connection: &mut PgConnection,
    chain: &Chain,
    origin: &Origin,
) -> Result<(), StoreError> {
    let Chain { head, events } = chain;
    let revision = head.revision + 1;
    let time = now();
    let mut previous = head.event_hash.clone();
    let mut sealed = Vec::with_capacity(events.len());
    for (ordinal, new) in (0..).zip(events) {
        let mut event = Event {
            event_id: EventId::new(),
            organization_id: head.organization_id,
            project_id: head.project_id,
            revision,
            ordinal,
            kind: new.kind.to_owned(),
            actor: origin.actor.to_string(),
            on_behalf_of: origin.on_behalf_of.as_ref().map(ToString::to_string),
            subject_ids: new.subject_ids.clone(),
            payload_hash: sha256(new.payload.as_bytes()).to_vec(),
            payload: Some(new.payload.clone()),
            request_id: origin.request_id.clone(),
            trace_id: origin.trace_id.clone(),
            time,
            previous_hash: previous,
            hash: Vec::new(),
        };
        event.hash = event.computed_hash().to_vec();
        previous = event.hash.clone();
        sealed.push(event);
    }
    // Arrays of arrays must be rectangular in PostgreSQL, so the subject ids travel as JSON.
    let subjects: Vec<serde_json::Value> = sealed.iter().map(|e| e.subject_ids.clone().into()).collect();
    let payloads: Vec<String> = sealed.iter().map(|e| e.payload.clone().unwrap_or_default()).collect();
    sqlx::query!(
        "with moved as (
             update head set revision = $3, event_hash = $4,
                 feed_transaction = greatest(feed_transaction,
                     (select transactions_before from history) + pg_current_xact_id()::text::bigint)
             where organization_id = $1
             returning feed_transaction
         )
         insert into event (organization_id, project_id, revision, ordinal, event_id, kind, actor, on_behalf_of, subject_ids,
             payload, payload_hash, request_id, trace_id, time, previous_hash, hash, feed_transaction)
         select $1, $2, $3, e.ordinal, e.event_id, e.kind, $5, $6, array(select jsonb_array_elements_text(e.subject_ids)),
             e.payload, e.payload_hash, $7, $8, $9, e.previous_hash, e.hash, moved.feed_transaction
         from moved, unnest($10::int[], $11::uuid[], $12::text[], $13::jsonb[], $14::text[], $15::bytea[], $16::bytea[], $17::bytea[])
             as e (ordinal, event_id, kind, subject_ids, payload, payload_hash, previous_hash, hash)
         order by e.ordinal",
        head.organization_id.uuid(),
        head.project_id.uuid(),
        revision,
        previous,
        origin.actor.to_string(),
        origin.on_behalf_of.as_ref().map(ToString::to_string),
        origin.request_id,
        origin.trace_id,
        time,
        &sealed.iter().map(|e| e.ordinal).collect::<Vec<_>>(),
        &sealed.iter().map(|e| e.event_id.uuid()).collect::<Vec<_>>(),
        &sealed.iter().map(|e| e.kind.clone()).collect::<Vec<_>>(),
        &subjects,
        &payloads,
        &sealed.iter().map(|e| e.payload_hash.clone()).collect::<Vec<_>>(),
        &sealed.iter().map(|e| e.previous_hash.clone()).collect::<Vec<_>>(),
        &sealed.iter().map(|e| e.hash.clone()).collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(())
}
