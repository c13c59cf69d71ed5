use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Mailbox;

/// The largest message, as said in the greeting (RFC 1870).
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// RFC 5321 asks for at least 512 for commands and 1000 for text; this holds the encoded words of any sane client.
const MAX_LINE_BYTES: usize = 8 * 1024;
const MAX_RECIPIENTS: usize = 100;
/// What a client may take for one line.
const PATIENCE: Duration = Duration::from_secs(60);

/// The envelope of the message that is being handed over.
#[derive(Default)]
struct Envelope {
    begun: bool,
    recipients: Vec<String>,
}

/// A line without its ending.
enum Line {
    Whole(Vec<u8>),
    TooLong,
    /// The caller went away.
    End,
}

/// One caller from greeting to goodbye.
pub(super) async fn hold(stream: TcpStream, mailbox: &Mailbox) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut envelope = Envelope::default();
    let mut greeted = false;
    answer(&mut stream, "220 guildhall dev mailbox").await?;
    loop {
        let line = match read_line(&mut stream).await? {
            Line::Whole(line) => line,
            Line::TooLong => {
                answer(&mut stream, "500 line too long").await?;
                continue;
            }
            Line::End => return Ok(()),
        };
        let Ok(line) = String::from_utf8(line) else {
            answer(&mut stream, "500 not UTF-8").await?;
            continue;
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                (greeted, envelope) = (true, Envelope::default());
                let size = format!("250-SIZE {MAX_MESSAGE_BYTES}");
                for line in ["250-guildhall", &size, "250-8BITMIME", "250-SMTPUTF8", "250 ENHANCEDSTATUSCODES"] {
                    answer(&mut stream, line).await?;
                }
            }
            "HELO" => {
                (greeted, envelope) = (true, Envelope::default());
                answer(&mut stream, "250 guildhall").await?;
            }
            "MAIL" => answer(&mut stream, begin(&mut envelope, greeted, rest)).await?,
            "RCPT" => answer(&mut stream, add_recipient(&mut envelope, rest)).await?,
            "DATA" if envelope.recipients.is_empty() => {
                answer(&mut stream, "503 5.5.1 MAIL and RCPT come first").await?
            }
            "DATA" => {
                answer(&mut stream, "354 end with a dot on a line by itself").await?;
                let Some(message) = read_message(&mut stream).await? else { return Ok(()) };
                let Envelope { recipients, .. } = std::mem::take(&mut envelope);
                let outcome = match message {
                    Message::Whole(bytes) => match mailbox.deliver(&recipients, &bytes) {
                        Ok(()) => "250 2.0.0 delivered",
                        Err(_) => "451 4.3.0 cannot write to the mailbox",
                    },
                    Message::TooLong => "552 5.3.4 message too large",
                };
                answer(&mut stream, outcome).await?;
            }
            "RSET" => {
                envelope = Envelope::default();
                answer(&mut stream, "250 2.0.0 forgotten").await?;
            }
            "NOOP" => answer(&mut stream, "250 2.0.0 fine").await?,
            "QUIT" => return answer(&mut stream, "221 2.0.0 goodbye").await,
            _ => answer(&mut stream, "502 5.5.1 not known here").await?,
        }
    }
}

fn begin(envelope: &mut Envelope, greeted: bool, rest: &str) -> &'static str {
    if !greeted {
        return "503 5.5.1 EHLO comes first";
    }
    if envelope.begun {
        return "503 5.5.1 one message at a time";
    }
    let Some((_, parameters)) = path(rest, "FROM:") else { return "501 5.5.4 MAIL FROM:<address>" };
    let size =
        parameters.split_whitespace().find_map(|word| word.to_ascii_uppercase().strip_prefix("SIZE=")?.parse().ok());
    if size.is_some_and(|size: usize| size > MAX_MESSAGE_BYTES) {
        return "552 5.3.4 message too large";
    }
    envelope.begun = true;
    "250 2.1.0 sender taken"
}

fn add_recipient(envelope: &mut Envelope, rest: &str) -> &'static str {
    if !envelope.begun {
        return "503 5.5.1 MAIL comes first";
    }
    if envelope.recipients.len() == MAX_RECIPIENTS {
        return "452 4.5.3 too many recipients";
    }
    match path(rest, "TO:") {
        Some((address, _)) if address.contains('@') && !address.contains(char::is_control) => {
            envelope.recipients.push(address.to_owned());
            "250 2.1.5 recipient taken"
        }
        _ => "501 5.1.3 RCPT TO:<address>",
    }
}

/// `FROM:<ada@acme.test> SIZE=12` is the address and the parameters. The empty address is a bounce's sender.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (start, inner) = rest.split_at_checked(keyword.len())?;
    if !start.eq_ignore_ascii_case(keyword) {
        return None;
    }
    inner.trim_start().strip_prefix('<')?.split_once('>')
}

enum Message {
    Whole(Vec<u8>),
    TooLong,
}

/// Up to the line with only a dot, a dot at the beginning of other lines taken off. A message that is too large is read to its end and
/// dropped, so that the caller hears the answer. None: the caller went away.
async fn read_message(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Message>> {
    let mut message = Vec::new();
    let mut too_long = false;
    loop {
        match read_line(stream).await? {
            Line::Whole(line) if line == b"." => {
                return Ok(Some(if too_long { Message::TooLong } else { Message::Whole(message) }));
            }
            Line::Whole(line) if message.len() + line.len() <= MAX_MESSAGE_BYTES => {
                message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                message.extend_from_slice(b"\r\n");
            }
            Line::Whole(_) | Line::TooLong => {
                too_long = true;
                message.clear();
            }
            Line::End => return Ok(None),
        }
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let limit = (MAX_LINE_BYTES - line.len()) as u64;
        let read = timeout(PATIENCE, (&mut *stream).take(limit).read_until(b'\n', &mut line)).await??;
        if line.ends_with(b"\n") {
            break;
        }
        if read == 0 && line.len() < MAX_LINE_BYTES {
            return Ok(Line::End);
        }
        if line.len() == MAX_LINE_BYTES {
            too_long = true;
            line.clear();
        }
    }
    line.pop();
    if line.ends_with(b"\r") {
        line.pop();
    }
    Ok(if too_long { Line::TooLong } else { Line::Whole(line) })
}

async fn answer(stream: &mut BufReader<TcpStream>, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await
}
