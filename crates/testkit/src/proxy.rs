use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A network between somebody and a server, which can be cut without either being told: what is sent meanwhile is held back, connections
/// stay open and new ones are taken, and nothing comes. It can also be slow, break off or reset what goes through it, and lose one end of it.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
    delay: watch::Sender<Duration>,
    broken: watch::Sender<()>,
    reset: watch::Sender<bool>,
    halved: watch::Sender<()>,
    task: JoinHandle<()>,
}

/// What a connection of it is told.
#[derive(Clone)]
struct Weather {
    is_cut: watch::Receiver<bool>,
    delayed: watch::Receiver<Duration>,
    breaks: watch::Receiver<()>,
    resets: watch::Receiver<bool>,
    halves: watch::Receiver<()>,
}

/// How a connection ends.
enum End {
    Over,
    Reset,
    Halved,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let (cut, is_cut) = watch::channel(false);
        let (delay, delayed) = watch::channel(Duration::ZERO);
        let (broken, breaks) = watch::channel(());
        let (reset, resets) = watch::channel(false);
        let (halved, halves) = watch::channel(());
        let weather = Weather { is_cut, delayed, breaks, resets, halves };
        let task = tokio::spawn(async move {
            // They end with the proxy.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let mut weather = weather.clone();
                weather.breaks.mark_unchanged();
                weather.halves.mark_unchanged();
                connections.spawn(join(client, server, weather));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, cut, delay, broken, reset, halved, task }
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

    /// Every connection is reset, at both its ends, and each new one at once: RST, as from a machine that knows of none.
    pub fn reset(&self, reset: bool) {
        self.reset.send_replace(reset);
    }

    /// Of every connection that is open now the server sees the end, and the client nothing: what it sends is taken, and no word comes, as from a
    /// machine that lost its power. New connections are whole.
    pub fn half_open(&self) {
        self.halved.send_replace(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(mut client: TcpStream, server: SocketAddr, mut weather: Weather) -> io::Result<()> {
    if *weather.resets.borrow() {
        return client.set_zero_linger();
    }
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (is_cut, delayed) = (&weather.is_cut, &weather.delayed);
        tokio::select! {
            _ = pass(from_client, to_server, is_cut.clone(), delayed.clone()) => End::Over,
            _ = pass(from_server, to_client, is_cut.clone(), delayed.clone()) => End::Over,
            _ = weather.breaks.changed() => End::Over,
            _ = weather.resets.wait_for(|reset| *reset) => End::Reset,
            _ = weather.halves.changed() => End::Halved,
        }
    };
    match end {
        End::Over => {}
        End::Reset => {
            client.set_zero_linger()?;
            server.set_zero_linger()?;
        }
        End::Halved => {
            drop(server);
            // Until the proxy goes, or resets it too.
            let _ = weather.resets.wait_for(|reset| *reset).await;
        }
    }
    Ok(())
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
