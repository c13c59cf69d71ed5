//! A consumer and a source that is played, with a real database for the cursor.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use access::{Onward, Ring, Service, SigningKey};
use api::event::v1::{
    Event, ListEventsRequest, ListEventsResponse, VerifyChainRequest, VerifyChainResponse, WatchEventsRequest,
    WatchEventsResponse,
    event_service_server::{EventService, EventServiceServer},
    watch_events_response::Item,
};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};
use feed::{Applied, Consumer, Source, consume};
use runtime::{ChannelOptions, Contract};
use sqlx::migrate::Migrator;
use tenancy::{Database, DatabaseOptions, Sealer, migration::Migrations};
use testkit::postgres::{TestDatabase, template};
use tokio::net::TcpListener;
use tokio_stream::{StreamExt, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, codegen::BoxStream};

static NOTHING_OF_ITS_OWN: Migrator = Migrator::DEFAULT;
const EVENTS: usize = 50;
/// The consumer comes as far as this and is kept from going on, once.
const LATER: usize = 30;

/// Has events, each with its number for a cursor, and never comes to their end: it says nothing of how far it is complete.
#[derive(Clone, Default)]
struct Played {
    asked: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl EventService for Played {
    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<BoxStream<WatchEventsResponse>>, Status> {
        let cursor = request.into_inner().cursor;
        let first = cursor.parse().unwrap_or(0) + 1;
        self.asked.lock().unwrap().push(cursor);
        let events = (first..=EVENTS).map(|n| {
            let event = Event { revision: i64::try_from(n).unwrap(), ..Default::default() };
            Ok(WatchEventsResponse { item: Some(Item::Event(event)), cursor: n.to_string() })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(events.collect::<Vec<_>>()).chain(tokio_stream::pending()))))
    }

    async fn list_events(&self, _: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn verify_chain(&self, _: Request<VerifyChainRequest>) -> Result<Response<VerifyChainResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
}

#[derive(Clone, Default)]
struct Busy {
    applied: Arc<Mutex<Vec<usize>>>,
    refused: Arc<AtomicUsize>,
}

impl Consumer for Busy {
    async fn apply(&self, event: &Event) -> Applied {
        let number = usize::try_from(event.revision).unwrap();
        if number == LATER && self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
            return Applied::Later;
        }
        self.applied.lock().unwrap().push(number);
        Applied::Done
    }
}

fn keys(folder: &Path) -> Arc<Ring> {
    let key = Ed25519KeyPair::generate().unwrap();
    let der = STANDARD.encode(key.to_pkcs8v1().unwrap().as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let published = serde_json::json!({"keys": [SigningKey::from_pem(&pem).unwrap().public_jwk()]});
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let (own, public) = (file("keys.pem", &pem), file("keys.jwks.json", &published.to_string()));
    let always = Duration::from_secs(3600);
    Arc::new(Ring::open(&own, &public, always, always).unwrap())
}

#[tokio::test]
async fn what_was_applied_is_not_applied_again_because_what_comes_next_has_to_wait() {
    let prepared = template("feed", async |urls: local_postgres::ServiceUrls| {
        Migrations::of(&NOTHING_OF_ITS_OWN).apply(&urls.org.owner.into(), "guildhall_org").await
    })
    .await;
    let test = TestDatabase::new(&prepared).await;
    let sealer = Arc::new(Sealer::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap());
    let database = Database::new(&DatabaseOptions::new(test.urls.org.runtime.clone().into()), sealer).unwrap();

    let (played, listener) = (Played::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(EventServiceServer::new(played.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let contract = Contract::from_descriptor_set(api::FILE_DESCRIPTOR_SET).unwrap();
    let channel = runtime::connect(&url, contract, &ChannelOptions::default(), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let onward = Onward::new(Service::Member, keys(folder.path()));

    let busy = Busy::default();
    let source = Source { service: Service::Org, channel, onward };
    let consuming = tokio::spawn(consume(source, database, busy.clone()));
    let begun = Instant::now();
    while busy.applied.lock().unwrap().last() != Some(&EVENTS) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consuming.abort();
    assert_eq!(*busy.applied.lock().unwrap(), (1..=EVENTS).collect::<Vec<_>>());
    assert_eq!(*played.asked.lock().unwrap(), [String::new(), (LATER - 1).to_string()]);
}
