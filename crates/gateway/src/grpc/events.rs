//! `guildhall.event.v1.EventService` for outsiders: the three services' logs as one.

use api::event::v1::{
    ListEventsRequest, ListEventsResponse, VerifyChainRequest, VerifyChainResponse, WatchEventsRequest,
    WatchEventsResponse, event_service_server::EventService,
};
use runtime::CallContext;
use tonic::{Request, Response, Status, codegen::BoxStream};

use crate::{
    edge::Presented,
    ops::events::{Asker, Events},
    refusal,
};

#[derive(Debug)]
pub struct MergedEvents {
    pub events: Events,
}

fn asker<T>(request: &Request<T>) -> Result<Asker, Status> {
    // The edge has verified what stands in the header.
    Presented::required(request)?;
    let authorization = request.metadata().get("authorization").cloned().ok_or_else(access::unauthenticated)?;
    Ok(Asker { call: CallContext::of(request), authorization })
}

#[tonic::async_trait]
impl EventService for MergedEvents {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let asker = asker(&request)?;
        self.events.list(&asker, request.into_inner()).await.map(Response::new)
    }

    async fn watch_events(
        &self,
        _: Request<WatchEventsRequest>,
    ) -> Result<Response<BoxStream<WatchEventsResponse>>, Status> {
        Err(refusal::not_yet_served("WatchEvents for callers outside the installation"))
    }

    async fn verify_chain(
        &self,
        request: Request<VerifyChainRequest>,
    ) -> Result<Response<VerifyChainResponse>, Status> {
        let asker = asker(&request)?;
        self.events.verify(&asker, request.into_inner()).await.map(Response::new)
    }
}
