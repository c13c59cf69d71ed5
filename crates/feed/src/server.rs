//! `guildhall.event.v1.EventService` over one service's schema.

use std::{sync::Arc, time::Duration};

use access::{Access, Caller, Service, invalid_field, store};
use api::{
    access::v1::ErrorReason,
    event::v1::{
        ChainBreak, ChainVerification, Heartbeat, ListEventsRequest, ListEventsResponse, VerifyChainRequest,
        VerifyChainResponse, WatchEventsRequest, WatchEventsResponse,
        event::Payload as ProtoPayload,
        event_service_server::{EventService, EventServiceServer},
        watch_events_response::Item,
    },
};
use runtime::{Refusal, Violations};
use tenancy::{
    Database, Scope,
    feed::{self, FeedCursor, LogCursor, LogFilter},
    page::{self, Query},
};
use time::OffsetDateTime;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, codegen::BoxStream};

use crate::convert;

/// A service's own reading of its payloads: from an event's kind and stored JSON to the contract's message. None where the payload
/// cannot be read any more.
pub type Payload = fn(kind: &str, json: &str) -> Option<ProtoPayload>;

/// How often the feed is looked at: half of what "within a second" allows would still be plenty.
const POLL: Duration = Duration::from_millis(150);
const HEARTBEAT: Duration = Duration::from_secs(1);
const BATCH: i64 = 500;

#[derive(Debug, Clone)]
pub struct EventServer {
    access: Access,
    database: Database,
    service: Service,
    payload: Payload,
    /// What was read last of everybody's feed.
    latest: Arc<Mutex<Option<Latest>>>,
}

/// Whoever follows everybody's feed stands where the others do, at its end: one reading does for all of them.
#[derive(Debug, Clone)]
struct Latest {
    read_at: Instant,
    from: FeedCursor,
    batch: Batch,
}

#[derive(Debug, Clone)]
struct Batch {
    messages: Arc<[WatchEventsResponse]>,
    /// Behind them.
    end: FeedCursor,
    /// Up to when the feed is complete, unless more can be had.
    complete_until: Option<OffsetDateTime>,
}

impl EventServer {
    pub fn new(access: Access, database: Database, service: Service, payload: Payload) -> EventServiceServer<Self> {
        EventServiceServer::new(Self { access, database, service, payload, latest: Arc::default() })
    }

    /// The next part of the feed, read no longer ago than the feed is looked at.
    async fn next(&self, scope: Scope, cursor: FeedCursor) -> Result<Batch, Status> {
        if !matches!(scope, Scope::Cluster(_)) {
            return self.batch(scope, cursor).await;
        }
        // Held while it is read: whoever wants the same waits for it, and does not read it again.
        let mut latest = self.latest.lock().await;
        if let Some(latest) = latest.as_ref().filter(|latest| latest.from == cursor && latest.read_at.elapsed() < POLL)
        {
            return Ok(latest.batch.clone());
        }
        let read_at = Instant::now();
        let batch = self.batch(scope, cursor).await?;
        *latest = Some(Latest { read_at, from: cursor, batch: batch.clone() });
        Ok(batch)
    }

    async fn batch(&self, scope: Scope, cursor: FeedCursor) -> Result<Batch, Status> {
        let part = feed::after(&self.database, scope, cursor, BATCH).await.map_err(store)?;
        let end = part.events.last().map_or(cursor, |(_, cursor)| *cursor);
        let query = watch_query(scope);
        let messages = part
            .events
            .into_iter()
            .map(|(event, cursor)| WatchEventsResponse {
                item: Some(Item::Event(convert::event(event, self.service.name(), self.payload))),
                cursor: query.token(self.database.sealer(), &cursor),
            })
            .collect();
        Ok(Batch { messages, end, complete_until: part.complete_until })
    }

    /// Sends the feed until the reader goes away or the store fails.
    async fn watch(
        self,
        scope: Scope,
        mut cursor: FeedCursor,
        sender: mpsc::Sender<Result<WatchEventsResponse, Status>>,
    ) {
        let mut quiet_since = Instant::now() - HEARTBEAT;
        loop {
            let Batch { messages, end, complete_until } = match self.next(scope, cursor).await {
                Ok(batch) => batch,
                Err(status) => {
                    let _ = sender.send(Err(status)).await;
                    return;
                }
            };
            cursor = end;
            for message in messages.iter() {
                if sender.send(Ok(message.clone())).await.is_err() {
                    return;
                }
            }
            let Some(complete_until) = complete_until else { continue };
            if quiet_since.elapsed() >= HEARTBEAT {
                quiet_since = Instant::now();
                let heartbeat = WatchEventsResponse {
                    item: Some(Item::Heartbeat(Heartbeat { time: Some(convert::timestamp(complete_until)) })),
                    cursor: watch_query(scope).token(self.database.sealer(), &cursor),
                };
                if sender.send(Ok(heartbeat)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = sleep(POLL) => {}
                () = sender.closed() => return,
            }
        }
    }
}

fn watch_query(scope: Scope) -> Query<'static> {
    Query { method: "WatchEvents", scope, filter: "" }
}

fn invalid_token() -> Status {
    Refusal::new(Code::InvalidArgument, ErrorReason::InvalidPageToken, "not a token of this query")
        .violation("page_token", page::PageError::Token.to_string())
        .into()
}

fn filter(request: &ListEventsRequest) -> Result<LogFilter, Status> {
    let mut violations = Violations::default();
    violations.require(request.page_size >= 0, "page_size", page::PageError::Size.to_string());
    violations.require(request.kinds.len() <= 50, "kinds", "must be at most 50");
    violations.require(request.kinds.iter().all(|k| k.len() <= 64), "kinds", "must be at most 64 characters each");
    violations.require(request.subject_id.len() <= 64, "subject_id", "must be at most 64 characters");
    let actor = request.actor.as_ref().and_then(|actor| {
        violations.check("actor", convert::actor_from_proto(actor).ok_or("must name one actor by a well-formed id"))
    });
    let mut time = |field: &str, timestamp: &Option<prost_types::Timestamp>| {
        let timestamp = timestamp.as_ref()?;
        violations.check(field, convert::time(timestamp).ok_or("must be a time in the years 1 to 9999"))
    };
    let from = time("start_time", &request.start_time);
    let until = time("end_time", &request.end_time);
    if let (Some(from), Some(until)) = (from, until) {
        violations.require(from < until, "end_time", "must be later than start_time");
    }
    violations.finish()?;
    Ok(LogFilter {
        kinds: request.kinds.clone(),
        actor: actor.map(|a| a.to_string()),
        subject_id: (!request.subject_id.is_empty()).then(|| request.subject_id.clone()),
        from,
        until,
    })
}

#[tonic::async_trait]
impl EventService for EventServer {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let granted = self.access.tenant(&request).await?;
        let request = request.into_inner();
        let filter = filter(&request)?;
        let text = format!("{filter:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &text };
        let page = query
            .page::<LogCursor>(self.database.sealer(), request.page_size, &request.page_token)
            .map_err(|_| invalid_token())?;
        let (scope, deadline) = (granted.scope, granted.call.deadline());
        let listed =
            feed::list(&self.database, scope.into(), scope.key(), &filter, &page, deadline).await.map_err(store)?;
        Ok(Response::new(ListEventsResponse {
            next_page_token: listed.next.map(|c| query.token(self.database.sealer(), &c)).unwrap_or_default(),
            events: listed
                .rows
                .into_iter()
                .map(|event| convert::event(event, self.service.name(), self.payload))
                .collect(),
        }))
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<BoxStream<WatchEventsResponse>>, Status> {
        let granted = self.access.workload(&request).map_err(|status| match status.code() {
            Code::PermissionDenied => Refusal::new(
                Code::Unimplemented,
                ErrorReason::NotYetServed,
                "served to the installation's services only",
            )
            .into(),
            _ => status,
        })?;
        debug_assert!(matches!(granted.caller, Caller::Workload { .. }));
        let request = request.into_inner();
        let scope = if request.organization_id.is_empty() {
            Scope::from(granted.scope)
        } else {
            let organization =
                request.organization_id.parse().map_err(|error| invalid_field("organization_id", error))?;
            let head = self.access.head(&granted.call, organization).await?;
            let head = head.ok_or_else(|| Status::from(Refusal::not_found("organization")))?;
            granted.in_organization(head.project_id, organization).scope.into()
        };
        let cursor = if request.cursor.is_empty() {
            match &request.start_time {
                None => FeedCursor::default(),
                Some(start) => {
                    let start = convert::time(start)
                        .ok_or_else(|| invalid_field("start_time", "must be a time in the years 1 to 9999"))?;
                    feed::since(&self.database, scope, start).await.map_err(store)?
                }
            }
        } else {
            let page =
                watch_query(scope).page(self.database.sealer(), 0, &request.cursor).map_err(|_| invalid_token())?;
            page.after.unwrap_or_default()
        };
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(self.clone().watch(scope, cursor, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn verify_chain(
        &self,
        request: Request<VerifyChainRequest>,
    ) -> Result<Response<VerifyChainResponse>, Status> {
        let granted = self.access.tenant(&request).await?;
        let (scope, deadline) = (granted.scope, granted.call.deadline());
        let check = feed::verify_chain(&self.database, scope.into(), scope.key(), deadline).await.map_err(store)?;
        let chain = ChainVerification {
            service: self.service.name().to_owned(),
            valid: check.broken.is_none(),
            events_checked: i64::try_from(check.events).unwrap_or(i64::MAX),
            first_revision: check.first_revision,
            last_revision: check.last_revision,
            last_hash: check.last_hash,
            broken_at: check.broken.map(|broken| ChainBreak {
                revision: broken.revision,
                ordinal: broken.ordinal,
                event_id: broken.event_id.map(|id| id.to_string()).unwrap_or_default(),
                fault: convert::fault(broken.fault).into(),
            }),
        };
        Ok(Response::new(VerifyChainResponse { valid: chain.valid, chains: vec![chain] }))
    }
}
