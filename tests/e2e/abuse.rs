//! One caller misuses HTTP/2; the others do not notice. At the gateway and at a service's own port.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::future::join_all;
use testkit::{
    Cluster,
    raw_http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, RawHttp2, SETTINGS,
        STATUS_200, WINDOW_UPDATE, frame, grpc, header, text,
    },
};
use tokio::{sync::OnceCell, task::JoinHandle};

/// Answered by every server to anybody.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// And this, for as long as they listen.
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// What a busy machine does by itself to a call, now and then.
const FLOOR: Duration = Duration::from_millis(150);
const MEASURED: usize = 60;
const CUT_WITHIN: Duration = Duration::from_secs(10);

/// Its limits are reached sooner than usual.
async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let told = [
        ("GUILDHALL_HEADER_TIMEOUT", "1"),
        ("GUILDHALL_BODY_TIMEOUT", "1"),
        ("GUILDHALL_MAX_CONNECTIONS", "200"),
        ("GUILDHALL_READ_TIMEOUT", "2"),
    ];
    CLUSTER.get_or_init(|| Cluster::start_with(&told)).await
}

/// The ninth decile of calls one after the other, on a connection of its own.
async fn latency(of: SocketAddr) -> Duration {
    let mut caller = RawHttp2::connect(of).await.unwrap();
    let mut took = Vec::new();
    for _ in 0..MEASURED {
        let begun = Instant::now();
        assert!(caller.call(HEALTH).await.unwrap(), "a call was not answered");
        took.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    took.sort();
    took[MEASURED * 9 / 10]
}

/// Runs `abuse` again and again beside calls of others, whose latency must stay.
async fn nobody_notices<F: Future<Output = ()> + Send + 'static>(at: SocketAddr, abuse: impl Fn(SocketAddr) -> F) {
    let rest = latency(at).await;
    let abusers: Vec<_> = (0..2).map(|_| tokio::spawn(abuse(at))).collect();
    let mut worst = Duration::ZERO;
    while !abusers.iter().any(JoinHandle::is_finished) {
        worst = worst.max(latency(at).await);
    }
    for abuser in abusers {
        abuser.await.unwrap();
    }
    assert!(worst <= (rest * 2).max(FLOOR), "{worst:?} beside it, {rest:?} at rest");
}

async fn everywhere<F: Future<Output = ()> + Send + 'static>(abuse: impl Fn(SocketAddr) -> F + Copy) {
    let access = cluster().await.access();
    nobody_notices(access.gateway, abuse).await;
    nobody_notices(access.org, abuse).await;
}

/// Sends the same until it is cut off, as it must be.
async fn floods(at: SocketAddr, begin: Vec<u8>, repeated: Vec<u8>) {
    let mut abuser = RawHttp2::connect(at).await.unwrap();
    abuser.send(&begin).await.unwrap();
    let (begun, bunch) = (Instant::now(), repeated.repeat(200));
    while abuser.send(&bunch).await.is_ok() {
        assert!(begun.elapsed() < CUT_WITHIN, "it was not cut");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_are_cut() {
    everywhere(|at| floods(at, Vec::new(), frame(PING, 0, 0, &[0; 8]))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_cut() {
    everywhere(|at| floods(at, Vec::new(), frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn window_updates_are_cut() {
    everywhere(|at| floods(at, Vec::new(), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_data_is_cut() {
    everywhere(|at| floods(at, frame(HEADERS, END_HEADERS, 1, &grpc(HEALTH, &[])), frame(DATA, 0, 1, &[]))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_blocks_without_end_are_cut() {
    everywhere(|at| {
        floods(at, frame(HEADERS, 0, 1, &grpc(HEALTH, &[])), frame(CONTINUATION, 0, 1, &header("x-more", "of it")))
    })
    .await;
}

/// CVE-2023-44487: calls that are given up as soon as they are made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_given_up_at_once_are_cut() {
    everywhere(async |at: SocketAddr| {
        let mut abuser = RawHttp2::connect(at).await.unwrap();
        let begun = Instant::now();
        loop {
            let mut bunch = Vec::new();
            for _ in 0..100 {
                let id = abuser.next_stream();
                bunch.extend(frame(
                    HEADERS,
                    END_HEADERS,
                    id,
                    &grpc("/guildhall.org.v1.ProjectService/ListProjects", &[]),
                ));
                bunch.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
            }
            if abuser.send(&bunch).await.is_err() {
                return;
            }
            assert!(begun.elapsed() < CUT_WITHIN, "it was not cut");
        }
    })
    .await;
}

/// One long header, kept in the table of the connection, and then named dozens of times, or thousands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_unpack_to_megabytes_are_refused() {
    everywhere(async |at: SocketAddr| {
        for (named, served) in [(0, true), (30, false), (8000, false)].into_iter().cycle().take(30) {
            let mut abuser = RawHttp2::connect(at).await.unwrap();
            let mut block = grpc(HEALTH, &[]);
            block.push(0x40);
            block.extend(text("x-bomb"));
            block.extend(text(&"b".repeat(3900)));
            block.extend(vec![0xbe; named]);
            let id = abuser.next_stream();
            let call = [frame(HEADERS, END_HEADERS, id, &block), frame(DATA, END_STREAM, id, &[0; 5])].concat();
            abuser.send(&call).await.unwrap();
            // A refusal on the stream and the connection's end are both well.
            let answer = abuser.answer(id).await.unwrap_or_default().unwrap_or_default();
            assert_eq!(answer.starts_with(&[STATUS_200]), served, "{named} times: {answer:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_do_not_come_are_not_waited_for() {
    everywhere(async |at: SocketAddr| {
        let slow = (0..40).map(|n| async move {
            let mut abuser = match n % 2 {
                // Nothing at all.
                0 => RawHttp2::silent(at).await.unwrap(),
                // A header block, byte by byte.
                _ => {
                    let mut abuser = RawHttp2::connect(at).await.unwrap();
                    abuser.send(&frame(HEADERS, 0, 1, &grpc(HEALTH, &[]))).await.unwrap();
                    abuser
                }
            };
            assert!(abuser.is_cut(CUT_WITHIN).await, "it was not cut");
        });
        join_all(slow).await;
    })
    .await;
}

/// One whose answer is one message, and ones whose answers stream.
const SINGLE_MESSAGES: [&str; 4] = [
    "/guildhall.gateway.v1.AuthenticationService/RefreshSession",
    WATCH,
    "/guildhall.event.v1.EventService/WatchEvents",
    "/guildhall.authz.v1.AuthorizationService/WatchRevisions",
];

/// More calls than may be in flight are begun, and their requests never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_do_not_come_hold_no_places() {
    let gateway = cluster().await.access().gateway;
    nobody_notices(gateway, async |at: SocketAddr| {
        let slow = (0..5).map(|_| async move {
            let mut abuser = RawHttp2::connect(at).await.unwrap();
            let mut calls = Vec::new();
            for path in SINGLE_MESSAGES.into_iter().cycle().take(200) {
                let id = abuser.next_stream();
                calls.extend(frame(HEADERS, END_HEADERS, id, &grpc(path, &[])));
                calls.extend(frame(DATA, 0, id, &[0, 0, 0]));
            }
            abuser.send(&calls).await.unwrap();
            let mut answered = 0;
            while answered < 200 {
                let came = tokio::time::timeout(CUT_WITHIN, abuser.frame()).await.expect("they are not ended");
                // Each is refused, by trailers alone or a reset.
                answered += match came {
                    Ok(came) => usize::from(came.kind == RST_STREAM || (came.kind == HEADERS && came.flags & 1 == 1)),
                    Err(_) => break,
                };
            }
        });
        join_all(slow).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_make_room_for_new_ones() {
    everywhere(async |at: SocketAddr| {
        // Twice as many as there may be, by the two who do this.
        let mut idle = Vec::new();
        for _ in 0..200 {
            let mut connection = RawHttp2::connect(at).await.unwrap();
            if connection.call(HEALTH).await.is_ok_and(|answered| answered) {
                idle.push(connection);
            }
        }
        assert!(idle.len() >= 190, "only {} of 200 newcomers were let in", idle.len());
    })
    .await;
}

/// Whoever watches the health is as idle as whoever does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_watch_the_health_make_room_too() {
    everywhere(async |at: SocketAddr| {
        let mut watching = Vec::new();
        for _ in 0..200 {
            let mut connection = RawHttp2::connect(at).await.unwrap();
            let id = connection.next_stream();
            let watch = [frame(HEADERS, END_HEADERS, id, &grpc(WATCH, &[])), frame(DATA, END_STREAM, id, &[0; 5])];
            if connection.send(&watch.concat()).await.is_ok()
                && connection.answer_begins(id).await.is_ok_and(|begun| begun)
            {
                watching.push(connection);
            }
        }
        assert!(watching.len() >= 190, "only {} of 200 newcomers were let in", watching.len());
    })
    .await;
}

/// A page of text is handed over whole; that nobody takes it is seen all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_an_answer_by_single_bytes_is_cut() {
    let gateway = cluster().await.access().gateway;
    let mut abuser = RawHttp2::silent(gateway).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE: 1.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]);
    abuser.send(&[PREFACE, &settings[..]].concat()).await.unwrap();
    let mut block = vec![0x82, 0x86];
    block.extend(header(":path", "/openapi.json"));
    block.extend(header(":authority", "test"));
    let id = abuser.next_stream();
    abuser.send(&frame(HEADERS, END_HEADERS | END_STREAM, id, &block)).await.unwrap();
    assert!(abuser.answer_begins(id).await.unwrap(), "it is answered");
    assert!(abuser.is_cut(CUT_WITHIN).await, "what was not read was kept");
}
