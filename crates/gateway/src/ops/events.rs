//! One audit log out of three. Each service is asked in the caller's own name, and decides itself whether they may read.

use std::collections::VecDeque;

use api::{
    access::v1::ErrorReason,
    event::v1::{
        Event, ListEventsRequest, ListEventsResponse, VerifyChainRequest, VerifyChainResponse,
        event_service_client::EventServiceClient,
    },
};
use futures::FutureExt as _;
use prost::Message;
use runtime::{CallContext, Channel, Refusal};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
};

use super::event_page::{self, Place};
use crate::{refusal, remote::Backends};

const DEFAULT_PAGE: i32 = 50;
const LARGEST_PAGE: i32 = 500;
/// A page ends early before its events take more than this. The services' pages end about there too, each for itself.
const PAGE_BYTES: usize = 1024 * 1024;
/// The largest answer of a service: a page of small events, which as messages are less than six times the size they are stored in, or one
/// large event alone.
const MAX_ANSWER_BYTES: usize = feed::MAX_EVENT_BYTES;
/// How many pages of each service one page is made of at most. Where a filter leaves them nearly empty, the next page goes on.
const READS: usize = 3;

/// Whose name the services are asked in.
#[derive(Debug, Clone)]
pub struct Asker {
    pub call: CallContext,
    pub authorization: MetadataValue<Ascii>,
}

impl Asker {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.call.request(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }
}

#[derive(Debug)]
pub struct Events {
    logs: [EventServiceClient<Channel>; 3],
}

impl Events {
    pub fn new(backends: &Backends) -> Self {
        let log =
            |channel: &Channel| EventServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        Self { logs: [log(&backends.org), log(&backends.member), log(&backends.authz)] }
    }

    pub async fn list(&self, asker: &Asker, mut request: ListEventsRequest) -> Result<ListEventsResponse, Status> {
        if request.page_size < 0 {
            return Err(access::invalid_field("page_size", "must not be negative"));
        }
        request.page_size = if request.page_size == 0 { DEFAULT_PAGE } else { request.page_size.min(LARGEST_PAGE) };
        let places = event_page::places(&request).ok_or_else(|| {
            Refusal::new(Code::InvalidArgument, ErrorReason::InvalidPageToken, "not a page token of this query")
                .violation("page_token", "is not one of this query")
        })?;
        let [org, member, authz] = places;
        let [a, b, c] = &self.logs;
        let (org, member, authz) = futures::join!(
            Log::open(a, asker, &request, org),
            Log::open(b, asker, &request, member),
            Log::open(c, asker, &request, authz),
        );
        let mut logs = [org?, member?, authz?];
        let (mut events, mut bytes) = (Vec::new(), 0);
        'page: while events.len() < request.page_size.unsigned_abs() as usize {
            // A log whose page is used up must show its next event before anything older is taken from the others.
            for log in &mut logs {
                if !log.fill(asker, &request).await? {
                    break 'page;
                }
            }
            let newest =
                logs.iter_mut().filter(|log| !log.events.is_empty()).max_by(|a, b| a.next_key().cmp(&b.next_key()));
            let Some(log) = newest else { break };
            bytes += log.events.front().map_or(0, Event::encoded_len);
            if bytes > PAGE_BYTES && !events.is_empty() {
                break;
            }
            events.extend(log.take());
        }
        let places = logs.map(Log::close);
        Ok(ListEventsResponse { next_page_token: event_page::token(&request, &places), events })
    }

    pub async fn verify(&self, asker: &Asker, request: VerifyChainRequest) -> Result<VerifyChainResponse, Status> {
        let asked = self.logs.each_ref().map(|log| {
            let mut log = log.clone();
            let request = asker.request(request.clone());
            async move { log.verify_chain(request).boxed().await.map_err(|status| refusal::passed_on(&status)) }
        });
        let [org, member, authz] = asked;
        let (org, member, authz) = futures::join!(org, member, authz);
        let mut chains = Vec::new();
        for answer in [org?, member?, authz?] {
            chains.extend(answer.into_inner().chains);
        }
        Ok(VerifyChainResponse { valid: chains.iter().all(|chain| chain.valid), chains })
    }
}

/// One service's log, open at a place.
struct Log {
    client: EventServiceClient<Channel>,
    place: Place,
    /// What is left of the page, newest first.
    events: VecDeque<Event>,
    /// The token of the page after this one.
    next: Option<String>,
    /// How many more pages may be read.
    reads: usize,
}

impl Log {
    async fn open(
        client: &EventServiceClient<Channel>,
        asker: &Asker,
        request: &ListEventsRequest,
        place: Place,
    ) -> Result<Self, Status> {
        let mut log = Self { client: client.clone(), place, events: VecDeque::new(), next: None, reads: READS };
        // The others still say whether the caller may read.
        if !log.place.ended {
            log.read(asker, request).await?;
        }
        Ok(log)
    }

    /// Reads on until an event stands at the front or the log has ended. False: neither, after as many pages as may be read.
    async fn fill(&mut self, asker: &Asker, request: &ListEventsRequest) -> Result<bool, Status> {
        while self.events.is_empty() {
            let Some(next) = self.next.take_if(|_| self.reads > 0) else { return Ok(self.next.is_none()) };
            self.place.token = next;
            self.read(asker, request).await?;
        }
        Ok(true)
    }

    async fn read(&mut self, asker: &Asker, request: &ListEventsRequest) -> Result<(), Status> {
        self.reads -= 1;
        let request = ListEventsRequest { page_token: self.place.token.clone(), ..request.clone() };
        let answer = self.client.list_events(asker.request(request)).boxed().await;
        let answer = answer.map_err(|status| refusal::passed_on(&status))?.into_inner();
        self.next = (!answer.next_page_token.is_empty()).then_some(answer.next_page_token);
        self.events = answer.events.into_iter().filter(|event| !self.place.is_past(event)).collect();
        Ok(())
    }

    /// The order of the merged log: the greatest comes first. None for a log that has ended.
    fn next_key(&self) -> Option<(i64, i32, &str, i64, i32)> {
        let event = self.events.front()?;
        let time = event.time.unwrap_or_default();
        Some((time.seconds, time.nanos, &event.service, event.revision, event.ordinal))
    }

    fn take(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.place.after = Some((event.revision, event.ordinal));
        Some(event)
    }

    /// The place to go on from.
    fn close(mut self) -> Place {
        if self.events.is_empty() {
            match self.next {
                Some(next) => self.place.token = next,
                None => self.place.ended = true,
            }
        }
        self.place
    }
}
