//! HTTP/2 as somebody speaks it who means no good: frames as they are written, in any order and number.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// What the header block of an answer begins with that is one: `:status: 200`, as HPACK's table has it.
pub const STATUS_200: u8 = 0x88;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

#[derive(Debug)]
pub struct RawHttp2 {
    stream: TcpStream,
    next: u32,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header as HPACK writes it plainly: neither kept nor packed.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A text of less than 16 KiB.
pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = match text.len() {
        short @ 0..127 => vec![u8::try_from(short).unwrap_or_default()],
        long => {
            let (mut rest, mut bytes) = (long - 127, vec![127]);
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap_or_default());
            bytes
        }
    };
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The headers of a gRPC call: POST, http.
pub fn grpc(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in
        [(":path", path), (":authority", "test"), ("content-type", "application/grpc"), ("te", "trailers")]
    {
        block.extend(header(name, value));
    }
    more.iter().for_each(|(name, value)| block.extend(header(name, value)));
    block
}

impl RawHttp2 {
    /// Connected, with the preface and no settings of its own.
    pub async fn connect(to: SocketAddr) -> std::io::Result<Self> {
        let mut raw = Self::silent(to).await?;
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        Ok(raw)
    }

    /// Connected, and nothing said.
    pub async fn silent(to: SocketAddr) -> std::io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(to)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, next: 1 })
    }

    pub fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await?
    }

    pub async fn frame(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
        self.stream.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Waits for the head of an answer; false when the stream is refused instead.
    pub async fn answer_begins(&mut self, id: u32) -> std::io::Result<bool> {
        loop {
            let came = timeout(PATIENCE, self.frame()).await??;
            if came.stream == id {
                return Ok(came.kind == HEADERS && came.payload.first() == Some(&STATUS_200));
            }
        }
    }

    /// A unary call with an empty message; true when it was answered to its end, whatever the answer.
    pub async fn call(&mut self, path: &str) -> std::io::Result<bool> {
        let id = self.next_stream();
        let request =
            [frame(HEADERS, END_HEADERS, id, &grpc(path, &[])), frame(DATA, END_STREAM, id, &[0; 5])].concat();
        self.send(&request).await?;
        Ok(self.answer(id).await?.is_some())
    }

    /// The header block that a stream was answered with, once the answer has ended; none where the stream or the connection was ended.
    pub async fn answer(&mut self, id: u32) -> std::io::Result<Option<Vec<u8>>> {
        let mut block = None;
        loop {
            let came = timeout(PATIENCE, self.frame()).await??;
            match came.kind {
                SETTINGS if came.flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[])).await?,
                PING if came.flags & ACK == 0 => self.send(&frame(PING, ACK, 0, &came.payload)).await?,
                RST_STREAM if came.stream == id => return Ok(None),
                GOAWAY => return Ok(None),
                HEADERS | DATA if came.stream == id => {
                    let ended = came.flags & END_STREAM != 0;
                    let block = block.get_or_insert(came.payload);
                    if ended {
                        return Ok(Some(std::mem::take(block)));
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the other side ends the connection within this time. What it says until then is read and forgotten.
    pub async fn is_cut(&mut self, within: Duration) -> bool {
        let end = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        timeout(within, end).await.is_ok()
    }
}
