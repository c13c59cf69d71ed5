use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mail_parser::MessageParser;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{Failure, Output};

/// The folder of delivered mail: one JSON file for each message and recipient, readable by us alone, since invitations and
/// sign-in codes are in them. File names sort by arrival.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    output: Output,
    arrived: AtomicU32,
}

/// What the file holds.
#[derive(Serialize)]
struct Mail<'a> {
    to: &'a str,
    subject: &'a str,
    text: &'a str,
    html: &'a str,
    time: String,
}

impl Mailbox {
    pub fn open(folder: &Path, output: Output) -> Result<Self, Failure> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(Failure::file("cannot create", folder))?;
        Ok(Self { folder: folder.to_owned(), output, arrived: AtomicU32::new(0) })
    }

    /// Keeps the message for each recipient and prints it. Once this has returned it will not be lost.
    pub(super) fn deliver(&self, recipients: &[String], message: &[u8]) -> io::Result<()> {
        let parsed = MessageParser::default().parse(message).unwrap_or_default();
        let subject = parsed.subject().unwrap_or_default().to_owned();
        let text = parsed.body_text(0).unwrap_or_default();
        // Asked for plainly, the parser would make HTML out of the text.
        let html = parsed.html_part(0).filter(|part| part.is_text_html()).and_then(|part| part.text_contents());
        for to in recipients {
            let now = OffsetDateTime::now_utc();
            let time = now.format(&Rfc3339).map_err(io::Error::other)?;
            let mail = Mail { to, subject: &subject, text: &text, html: html.unwrap_or_default(), time };
            self.keep(now, &serde_json::to_vec_pretty(&mail)?)?;
            self.output.say(format_args!("mail to {to}: {subject}"));
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                self.output.say(format_args!("    {}", printable(line)));
            }
        }
        Ok(())
    }

    /// Written whole before it gets its name, so that a reader never sees half a message.
    fn keep(&self, now: OffsetDateTime, json: &[u8]) -> io::Result<()> {
        let count = self.arrived.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:020}-{count:06}.json", now.unix_timestamp_nanos());
        let draft = self.folder.join(format!(".{name}"));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(json)?;
        fs::rename(&draft, self.folder.join(name))
    }
}

/// Mail comes from outside: no escape sequence of it reaches the terminal.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
