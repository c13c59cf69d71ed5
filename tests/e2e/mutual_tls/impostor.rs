//! A server that is not what it says, and listens.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::papers::Paper;

const MET_WITHIN: Duration = Duration::from_secs(20);

pub struct Impostor {
    met: Arc<AtomicUsize>,
    heard: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Impostor {
    /// With this certificate; without one it speaks plaintext.
    pub async fn start(place: SocketAddr, paper: Option<&Paper>) -> Self {
        let acceptor = paper.map(acceptor);
        let begun = Instant::now();
        let listener = loop {
            match TcpListener::bind(place).await {
                Ok(listener) => break listener,
                Err(error) => assert!(begun.elapsed() < MET_WITHIN, "{place}: {error}"),
            }
            sleep(Duration::from_millis(20)).await;
        };
        let (met, heard) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let listening = tokio::spawn({
            let (met, heard) = (met.clone(), heard.clone());
            async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { return };
                    let (acceptor, heard) = (acceptor.clone(), heard.clone());
                    let one = async move {
                        match acceptor {
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    listen(stream, &heard).await;
                                }
                            }
                            None => plaintext(stream, &heard).await,
                        }
                    };
                    met.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(tokio::time::timeout(Duration::from_secs(3), one));
                }
            }
        });
        Self { met, heard, listening }
    }

    /// Until somebody has come, and had the time to say something.
    pub async fn was_met(&self) {
        let begun = Instant::now();
        while self.met.load(Ordering::Relaxed) == 0 {
            assert!(begun.elapsed() < MET_WITHIN, "nobody has come");
            sleep(Duration::from_millis(10)).await;
        }
        sleep(Duration::from_millis(300)).await;
    }

    /// The bytes that it was told, under TLS.
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(mut stream: impl AsyncRead + Unpin, heard: &AtomicUsize) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        heard.fetch_add(count, Ordering::Relaxed);
    }
}

/// A handshake that somebody begins tells nothing; a call would begin as HTTP/2 does.
async fn plaintext(mut stream: TcpStream, heard: &AtomicUsize) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if buffer.starts_with(b"PRI ") {
            heard.fetch_add(count, Ordering::Relaxed);
        }
        // As an HTTP/2 server begins.
        let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    }
}

fn acceptor(paper: &Paper) -> TlsAcceptor {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(paper.certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(paper.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The status that a page has by HTTP/1.1.
pub async fn http1(place: SocketAddr, believed: &str, path: &str) -> u16 {
    let mut authorities = RootCertStore::empty();
    authorities.add(CertificateDer::from_pem_slice(believed.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(place).await.unwrap();
    let name = ServerName::from(place.ip());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
}
