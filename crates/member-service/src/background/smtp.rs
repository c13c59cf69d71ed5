//! Handing one mail to a mail server, command by command: which one was refused decides what becomes of the mail.
//!
//! Only a refusal of this recipient or of this content is about the mail. Everything else that a server refuses for good (the password,
//! the missing TLS, the sender's address) is the installation's own fault, and the mail waits until it is mended.

use std::time::Duration;

use lettre::{
    Message,
    transport::smtp::{
        Error, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::{Response, Severity},
    },
};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// For each step; all of them together are bounded by the sender.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// A URL that names no mail server. Never repeats it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be of the form smtp://host:port")]
pub struct BadUrl;

/// Why a mail did not go.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server wants this mail never, however often it is asked.
    #[error("the mail server refuses this recipient or this content for good")]
    Refused(#[source] Error),
    /// It is not the mail's fault, or not for good.
    #[error("the mail could not be handed over")]
    Later(#[from] Error),
}

impl SendError {
    /// The server's reply code. Its words may repeat the address, so they stay out of the log.
    pub fn code(&self) -> Option<String> {
        let (Self::Refused(error) | Self::Later(error)) = self;
        error.status().map(|code| code.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    None,
    IfOffered,
    Required,
    FromTheStart,
}

/// A mail server, and as whom to speak to it.
pub struct Server {
    host: String,
    port: u16,
    tls: Tls,
    hello_name: ClientId,
    credentials: Option<Credentials>,
}

impl Server {
    /// `smtp://[user:password@]host[:port][/name-in-ehlo][?tls=required|opportunistic]`, or `smtps://`.
    pub fn parse(url: &SecretString) -> Result<Self, BadUrl> {
        let url = Url::parse(url.expose_secret()).map_err(|_| BadUrl)?;
        let wanted = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
        let (tls, port) = match (url.scheme(), wanted.as_deref()) {
            ("smtp", None) => (Tls::None, SMTP_PORT),
            ("smtp", Some("opportunistic")) => (Tls::IfOffered, SUBMISSION_PORT),
            ("smtp", Some("required")) => (Tls::Required, SUBMISSION_PORT),
            ("smtps", None) => (Tls::FromTheStart, SUBMISSIONS_PORT),
            _ => return Err(BadUrl),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| BadUrl);
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(decoded(url.username())?, decoded(password)?)),
            None => None,
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BadUrl)?.to_owned();
        let hello_name = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self { host, port: url.port().unwrap_or(port), tls, hello_name, credentials })
    }

    pub async fn send(&self, message: &Message) -> Result<(), SendError> {
        let mut connection = self.connect().await?;
        let sent = hand_over(&mut connection, message).await;
        // Also after a refusal: QUIT, and what it answers is no matter.
        connection.abort().await;
        sent
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let parameters = || TlsParameters::new(self.host.clone());
        let wrapper = if self.tls == Tls::FromTheStart { Some(parameters()?) } else { None };
        let (address, hello) = ((self.host.trim_matches(['[', ']']), self.port), &self.hello_name);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(STEP_LIMIT), hello, wrapper, None).await?;
        if self.tls == Tls::Required || (self.tls == Tls::IfOffered && connection.can_starttls()) {
            connection.starttls(parameters()?, hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

async fn hand_over(connection: &mut AsyncSmtpConnection, message: &Message) -> Result<(), SendError> {
    let (envelope, content) = (message.envelope(), message.formatted());
    let offers = |extension| connection.server_info().supports_feature(extension);
    let mut parameters = Vec::new();
    let mut addresses = envelope.to().iter().chain(envelope.from());
    if !addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii()) && offers(Extension::SmtpUtfEight) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !content.is_ascii() && offers(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(Mail::new(envelope.from().cloned(), parameters)).await?;
    for recipient in envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), Vec::new())).await.map(drop).map_err(about_the_mail)?;
    }
    connection.command(Data).await.map(drop).map_err(about_the_mail)?;
    connection.message(&content).await.map(|_: Response| ()).map_err(about_the_mail)
}

/// What a refusal of RCPT, DATA or the content means.
fn about_the_mail(error: Error) -> SendError {
    let for_good = error.status().is_some_and(|code| {
        let number = u16::from(code);
        // 530, 534, 535, 538: the server wants another, or a better, sign-in first, and says so late.
        code.severity == Severity::PermanentNegativeCompletion && ![530, 534, 535, 538].contains(&number)
    });
    if for_good { SendError::Refused(error) } else { SendError::Later(error) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lettre::message::{Mailbox, MultiPart};
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    /// A mail server that answers as the script says, by the first word of a command (`.` for the content), and keeps what it heard.
    async fn server(script: &[(&'static str, &'static str)]) -> (SecretString, JoinHandle<Vec<String>>) {
        let script: HashMap<_, _> = script.iter().copied().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://ada:p%40ss@{}", listener.local_addr().unwrap());
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let (mut lines, mut heard, mut in_content) = (BufReader::new(read).lines(), Vec::new(), false);
            write.write_all(b"220 mail.test\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                heard.push(line.clone());
                let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
                if in_content && line != "." {
                    continue;
                }
                let usual = match word.as_str() {
                    "EHLO" => "250-mail.test\r\n250 AUTH PLAIN",
                    "AUTH" => "235 welcome",
                    "DATA" => "354 go on",
                    "QUIT" => "221 bye",
                    _ => "250 fine",
                };
                let answer = script.get(word.as_str()).copied().unwrap_or(usual);
                in_content = answer.starts_with("354");
                if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() || word == "QUIT" {
                    break;
                }
            }
            heard
        });
        (url.into(), heard)
    }

    fn message(from: &str) -> Message {
        let from = Mailbox::new(Some(from.to_owned()), "no-reply@mail.test".parse().unwrap());
        let both = MultiPart::alternative_plain_html("hello".to_owned(), "<p>hello</p>".to_owned());
        Message::builder()
            .from(from)
            .to("grace@acme.test".parse().unwrap())
            .subject("Join Bücher")
            .multipart(both)
            .unwrap()
    }

    async fn sent(script: &[(&'static str, &'static str)]) -> Result<(), SendError> {
        let (url, _heard) = server(script).await;
        Server::parse(&url).unwrap().send(&message("Acme")).await
    }

    #[tokio::test]
    async fn a_mail_is_handed_over_whole() {
        let (url, heard) = server(&[]).await;
        let from = "Acme\", <root@evil.test> Bücher";
        Server::parse(&url).unwrap().send(&message(from)).await.unwrap();
        let heard = heard.await.unwrap();
        assert!(heard.contains(&"MAIL FROM:<no-reply@mail.test>".to_owned()), "{heard:?}");
        assert!(heard.contains(&"RCPT TO:<grace@acme.test>".to_owned()), "{heard:?}");
        // A name is a name, whatever stands in it.
        let header = heard.iter().find(|line| line.starts_with("From:")).unwrap();
        assert!(header.is_ascii() && heard.iter().any(|line| line.ends_with("<no-reply@mail.test>")), "{heard:?}");
        assert!(!header.contains("<root@evil.test>") || header.contains('"'), "{header}");
    }

    #[tokio::test]
    async fn only_a_refusal_of_this_mail_is_for_good() {
        for script in [("RCPT", "550 5.1.1 no such user"), ("DATA", "554 no"), (".", "552 too large")] {
            assert!(matches!(sent(&[script]).await, Err(SendError::Refused(_))), "{script:?}");
        }
        for script in [
            ("AUTH", "535 5.7.8 bad credentials"),
            ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
            ("MAIL", "553 sender address rejected"),
            ("RCPT", "530 5.7.1 Authentication required"),
            ("RCPT", "450 mailbox busy"),
            (".", "451 try again"),
            ("EHLO", "502 unknown"),
        ] {
            assert!(matches!(sent(&[script]).await, Err(SendError::Later(_))), "{script:?}");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_gets_nothing_where_tls_is_required() {
        let (url, heard) = server(&[]).await;
        let url = format!("{}?tls=required", url.expose_secret());
        let sent = Server::parse(&url.into()).unwrap().send(&message("Acme")).await;
        assert!(matches!(sent, Err(SendError::Later(_))), "{sent:?}");
        let heard = heard.await.unwrap();
        assert!(!heard.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{heard:?}");
    }

    #[test]
    fn a_url_says_host_port_tls_and_password() {
        let parse = |url: &str| Server::parse(&SecretString::from(url.to_owned()));
        let port = |url: &str| parse(url).map(|server| (server.port, server.tls));
        assert_eq!(port("smtp://mail.test"), Ok((25, Tls::None)));
        assert_eq!(port("smtp://mail.test?tls=required"), Ok((587, Tls::Required)));
        assert_eq!(port("smtp://mail.test:2525?tls=opportunistic"), Ok((2525, Tls::IfOffered)));
        assert_eq!(port("smtps://mail.test"), Ok((465, Tls::FromTheStart)));
        for bad in ["mail.test:25", "http://mail.test", "smtp://", "smtp://mail.test?tls=maybe", "smtp:mail.test"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let credentials = parse("smtp://ada:p%40ss@mail.test").unwrap().credentials;
        assert_eq!(credentials, Some(Credentials::new("ada".to_owned(), "p@ss".to_owned())));
    }
}
