use std::fs;
use std::path::Path;

use lettre::message::MultiPart;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Mailbox, serve};
use crate::Output;

async fn mailbox() -> (tempfile::TempDir, u16) {
    let folder = tempfile::tempdir().unwrap();
    let (port, _) = serve(Mailbox::open(folder.path(), Output::new(true)).unwrap()).await.unwrap();
    (folder, port)
}

fn delivered(folder: &Path) -> Vec<Value> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().map(|name| serde_json::from_slice(&fs::read(name).unwrap()).unwrap()).collect()
}

/// Sends the text as it is and tells all that came back until the server closed.
async fn converse(port: u16, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    answers
}

fn codes(answers: &str) -> Vec<&str> {
    answers.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect()
}

#[tokio::test]
async fn a_mail_of_lettre_arrives_with_text_and_html() {
    let (folder, port) = mailbox().await;
    let text = "Grüße, Grace.\n.a line that begins with a dot\nhttp://127.0.0.1:8080/invitation?token=abc_def-123\n";
    let message = Message::builder()
        .from("Guildhall <no-reply@guildhall.test>".parse().unwrap())
        .to("Grace Hopper <grace@acme.test>".parse().unwrap())
        .subject("Ada lädt Sie ein: Acme")
        .multipart(MultiPart::alternative_plain_html(text.to_owned(), "<p>Grüße</p>".to_owned()))
        .unwrap();
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(port).build();
    for _ in 0..3 {
        transport.send(message.clone()).await.unwrap();
    }

    let mails = delivered(folder.path());
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0]["to"], "grace@acme.test");
    assert_eq!(mails[0]["subject"], "Ada lädt Sie ein: Acme");
    assert_eq!(mails[0]["text"].as_str().unwrap().replace("\r\n", "\n").trim(), text.trim());
    assert_eq!(mails[0]["html"].as_str().unwrap().trim(), "<p>Grüße</p>");
}

#[tokio::test]
async fn a_mail_without_html_says_so() {
    let (folder, port) = mailbox().await;
    let answers = converse(
        port,
        b"EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: hi\r\n\r\nplain\r\n.\r\nQUIT\r\n",
    )
    .await;
    assert_eq!(codes(&answers), ["220", "250", "250", "250", "250", "354", "250", "221"]);
    let mails = delivered(folder.path());
    assert_eq!(mails.iter().map(|mail| mail["to"].as_str().unwrap()).collect::<Vec<_>>(), ["a@b.test", "c@d.test"]);
    assert_eq!((mails[0]["text"].as_str().unwrap().trim(), mails[0]["html"].as_str().unwrap()), ("plain", ""));
}

#[tokio::test]
async fn commands_out_of_order_are_refused_and_harm_nothing() {
    let (folder, port) = mailbox().await;
    let answers = converse(
        port,
        b"MAIL FROM:<a@b.test>\r\nHELO me\r\nRCPT TO:<a@b.test>\r\nDATA\r\nMAIL TO:<a@b.test>\r\nMAIL FROM:<a@b.test>\r\n\
          MAIL FROM:<a@b.test>\r\nRCPT TO:nobody\r\nRSET\r\nDATA\r\nSTARTTLS\r\nNOOP\r\n\xff\r\nQUIT\r\n",
    )
    .await;
    let expected =
        ["220", "503", "250", "503", "503", "501", "250", "503", "501", "250", "503", "502", "250", "500", "221"];
    assert_eq!(codes(&answers), expected);
    assert!(delivered(folder.path()).is_empty());
}

#[tokio::test]
async fn a_message_of_more_than_a_mebibyte_is_refused_and_the_next_one_taken() {
    let (folder, port) = mailbox().await;
    let mut text =
        b"HELO me\r\nMAIL FROM:<a@b.test> SIZE=2000000\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n"
            .to_vec();
    for _ in 0..1100 {
        text.extend([b'x'; 1000]);
        text.extend(b"\r\n");
    }
    text.extend(b".\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n");
    text.extend([b'y'; 20_000]);
    text.extend(b"\r\n.\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nSubject: small\r\n\r\n.\r\nQUIT\r\n");
    let answers = converse(port, &text).await;
    let expected = [
        "220", "250", "552", "250", "250", "354", "552", "250", "250", "354", "552", "250", "250", "354", "250", "221",
    ];
    assert_eq!(codes(&answers), expected);
    assert_eq!(delivered(folder.path()).len(), 1);
}
