use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A network between somebody and a server, which can be cut without either being told: what is sent meanwhile is held back, connections
/// stay open and new ones are taken, and nothing comes. It can also be slow, and break off what goes through it.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
    delay: watch::Sender<Duration>,
    broken: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let (cut, is_cut) = watch::channel(false);
        let (delay, delayed) = watch::channel(Duration::ZERO);
        let (broken, breaks) = watch::channel(());
        let task = tokio::spawn(async move {
            // They end with the proxy.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (is_cut, delayed, mut breaks) = (is_cut.clone(), delayed.clone(), breaks.clone());
                breaks.mark_unchanged();
                connections.spawn(async move {
                    tokio::select! {
                        ended = join(client, server, is_cut, delayed) => ended,
                        _ = breaks.changed() => Ok(()),
                    }
                });
            }
        });
        Self { address, cut, delay, broken, task }
    }

    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// Everything takes this much longer, each way.
    pub fn delay(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    /// Ends every connection that is open now, in the middle of whatever is said there.
    pub fn break_off(&self) {
        self.broken.send_replace(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(
    client: TcpStream,
    server: SocketAddr,
    is_cut: watch::Receiver<bool>,
    delayed: watch::Receiver<Duration>,
) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = pass(from_client, to_server, is_cut.clone(), delayed.clone()) => ended,
        ended = pass(from_server, to_client, is_cut, delayed) => ended,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_cut: watch::Receiver<bool>,
    delayed: watch::Receiver<Duration>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        let delay = *delayed.borrow();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // What has arrived is held for as long as the way is cut; who waits for a word does not get the end of the stream either.
        let _ = is_cut.wait_for(|cut| !cut).await;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}
