//! Three logs read as one.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod stage;

use api::access::v1::ErrorReason;
use api::event::v1::{
    Event, ListEventsRequest, VerifyChainRequest, WatchEventsRequest, event_service_client::EventServiceClient,
};
use prost::Message;
use prost_types::Timestamp;
use stage::{Stage, assert_reason, backend::Backend, with_token};

fn write(backend: &Backend, service: &str, revision: i64, seconds: i64) {
    backend.log.lock().unwrap().push(Event {
        event_id: format!("{service}/{revision}"),
        service: service.to_owned(),
        revision,
        time: Some(Timestamp { seconds, nanos: 0 }),
        ..Event::default()
    });
}

#[tokio::test]
async fn the_merged_log_leaves_nothing_out_and_shows_nothing_twice() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    for revision in 1..=40 {
        write(&stage.org, "org-service", revision, revision * 10);
        write(&stage.member, "member-service", revision, revision * 3);
    }
    for revision in 1..=3 {
        write(&stage.authz, "authz-service", revision, 100);
    }
    let mut client = EventServiceClient::new(stage.channel().await);
    for page_size in [1, 7, 50, 500] {
        let mut request = ListEventsRequest {
            organization_id: stage.world.organization.to_string(),
            page_size,
            ..ListEventsRequest::default()
        };
        let mut seen: Vec<Event> = Vec::new();
        loop {
            let page = client.list_events(with_token(request.clone(), &token)).await.unwrap().into_inner();
            assert!(page.events.len() <= page_size as usize);
            seen.extend(page.events);
            // What is written meanwhile is newer than the page, and shifts nothing.
            let next = 1000 + i64::try_from(seen.len()).unwrap();
            write(&stage.org, "org-service", next, 10_000);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        stage.org.log.lock().unwrap().retain(|event| event.revision < 1000);
        assert_eq!(seen.len(), 83, "page size {page_size}");
        let key = |event: &Event| (event.time.unwrap().seconds, event.service.clone(), event.revision);
        assert!(seen.windows(2).all(|pair| key(&pair[0]) > key(&pair[1])), "page size {page_size}");
    }
    let asked = stage.authz.calls("/guildhall.event.v1.EventService/ListEvents");
    assert!(asked.iter().all(|headers| headers["authorization"] == format!("Bearer {token}").as_str()));
}

/// Every event, page by page, and how many pages there were.
async fn read_all(stage: &Stage, page_size: i32) -> (Vec<Event>, usize) {
    let token = stage.project_token().await;
    let mut client = EventServiceClient::new(stage.channel().await);
    let mut request = ListEventsRequest { page_size, ..ListEventsRequest::default() };
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = client.list_events(with_token(request.clone(), &token)).await.unwrap().into_inner();
        assert!(page.events.len() <= 1 || page.encoded_len() <= 1024 * 1024 + 4096, "{} bytes", page.encoded_len());
        pages += 1;
        seen.extend(page.events);
        if page.next_page_token.is_empty() {
            return (seen, pages);
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_page_of_large_events_ends_early() {
    let stage = Stage::start().await;
    for revision in 1..=6 {
        write(&stage.org, "org-service", revision, revision * 10);
        write(&stage.member, "member-service", revision, revision * 3);
    }
    for event in stage.org.log.lock().unwrap().iter_mut() {
        event.subject_ids = vec!["x".repeat(400_000 * usize::try_from(event.revision % 4).unwrap())];
    }
    let (seen, pages) = read_all(&stage, 500).await;
    assert_eq!(seen.len(), 12);
    assert!(seen.windows(2).all(|pair| pair[0].time.unwrap().seconds >= pair[1].time.unwrap().seconds));
    assert!(pages >= 4, "{pages} pages");
}

#[tokio::test]
async fn pages_that_a_filter_left_empty_are_read_on_from_and_not_for_ever() {
    let stage = Stage::start().await;
    for revision in 1..=4 {
        write(&stage.org, "org-service", revision, revision * 10);
        write(&stage.member, "member-service", revision, revision * 3);
    }
    *stage.member.empty_pages.lock().unwrap() = 7;
    let (seen, pages) = read_all(&stage, 3).await;
    assert_eq!(seen.len(), 8);
    assert!(seen.windows(2).all(|pair| pair[0].time.unwrap().seconds >= pair[1].time.unwrap().seconds));
    assert!(pages > 4, "{pages} pages");
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_query() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    write(&stage.org, "org-service", 1, 1);
    write(&stage.org, "org-service", 2, 2);
    let mut client = EventServiceClient::new(stage.channel().await);
    let request = ListEventsRequest { page_size: 1, ..ListEventsRequest::default() };
    let page = client.list_events(with_token(request.clone(), &token)).await.unwrap().into_inner();
    for (page_token, kinds) in [(page.next_page_token, vec!["member.removed".to_owned()]), ("x".to_owned(), Vec::new())]
    {
        let request = ListEventsRequest { page_token, kinds, ..request.clone() };
        let refused = client.list_events(with_token(request, &token)).await.unwrap_err();
        assert_reason(&refused, ErrorReason::InvalidPageToken);
    }
}

#[tokio::test]
async fn one_broken_chain_is_a_broken_log() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    let mut client = EventServiceClient::new(stage.channel().await);
    let answer = client.verify_chain(with_token(VerifyChainRequest::default(), &token)).await.unwrap().into_inner();
    let services: Vec<_> = answer.chains.iter().map(|chain| (chain.service.as_str(), chain.valid)).collect();
    assert_eq!(services, [("org-service", true), ("member-service", true), ("authz-service", false)]);
    assert!(!answer.valid);

    let refused = client.watch_events(with_token(WatchEventsRequest::default(), &token)).await.unwrap_err();
    assert_reason(&refused, ErrorReason::NotYetServed);
}
