//! The sender: hands what waits in the outbox to a mail server.
//!
//! A mail is taken on loan, sent without a transaction open, and removed. A sender that dies in between lets it fall due again, so a
//! mail may come twice, never not at all. Retries are spaced out, from a minute to an hour, until the mail is of no use any more.

use std::{sync::Arc, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
};
use secrecy::{ExposeSecret, SecretString};
use tenancy::{ClusterScope, Database, StoreError};
use tokio::{sync::Notify, time::timeout};

use crate::{mail::Mail, store::outbox};

/// Less than the first loan: what is being sent does not fall due meanwhile.
const SEND_LIMIT: Duration = Duration::from_secs(45);
/// How long to look away at most: another replica's mail may have been left behind.
const LOOK_EVERY: Duration = Duration::from_secs(15);
const AT_ONCE: i64 = 10;

/// Where mail goes to, and from whom it comes.
#[derive(Debug, Clone, clap::Args)]
pub struct SmtpOptions {
    /// The mail server: smtp://[user:password@]host[:port], smtps:// for TLS from the start, ?tls=required for STARTTLS.
    #[arg(long, env = "GUILDHALL_SMTP_URL", value_name = "URL")]
    pub smtp_url: SecretString,
    /// Whom mail is from: an address, or a name with an address in angle brackets.
    #[arg(long, env = "GUILDHALL_MAIL_FROM", value_name = "MAILBOX")]
    pub mail_from: String,
}

impl SmtpOptions {
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if transport(&self.smtp_url).is_err() {
            faults.push("--smtp-url (GUILDHALL_SMTP_URL): must be of the form smtp://host:port".to_owned());
        }
        if self.mail_from.parse::<Mailbox>().is_err() {
            faults.push("--mail-from (GUILDHALL_MAIL_FROM): must be of the form Name <address@example.com>".to_owned());
        }
        faults
    }

    fn sender(&self) -> Result<Sender, runtime::Error> {
        Ok(Sender { transport: transport(&self.smtp_url)?, from: self.mail_from.parse()? })
    }
}

fn transport(url: &SecretString) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
    Ok(AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())?.timeout(Some(SEND_LIMIT)).build())
}

struct Sender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Sends what the outbox holds, until the process ends. `waiting` is told when something was put in.
pub fn send_for_ever(
    options: &SmtpOptions,
    database: Database,
    waiting: Arc<Notify>,
) -> Result<impl Future<Output = ()> + Send + 'static, runtime::Error> {
    let sender = Arc::new(options.sender()?);
    Ok(async move {
        loop {
            match sender.send_due(&database).await {
                // There may be more.
                Ok(sent) if sent > 0 => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %runtime::Chain(&error), "the outbox cannot be read"),
            }
            let pause = next_look(&database).await;
            let _ = timeout(pause, waiting.notified()).await;
        }
    })
}

async fn next_look(database: &Database) -> Duration {
    let next = async {
        let mut read = database.read(ClusterScope::granted()).await?;
        let next = outbox::next_due(read.connection()).await?;
        read.finish().await?;
        Ok::<_, StoreError>(next)
    };
    let until = next.await.ok().flatten().and_then(|until| Duration::try_from(until).ok());
    until.unwrap_or(LOOK_EVERY).clamp(Duration::from_millis(100), LOOK_EVERY)
}

impl Sender {
    /// Sends what is due now; how many mails were tried.
    async fn send_due(self: &Arc<Self>, database: &Database) -> Result<usize, StoreError> {
        let mut tx = database.upkeep(ClusterScope::granted()).await?;
        let due = outbox::take_due(tx.connection(), AT_ONCE).await?;
        tx.commit().await?;
        let tried = due.len();
        let mut sending = tokio::task::JoinSet::new();
        for stored in due {
            let (sender, database) = (Arc::clone(self), database.clone());
            sending.spawn(async move { sender.send_one(&database, stored).await });
        }
        while let Some(outcome) = sending.join_next().await {
            if let Ok(Err(error)) = outcome {
                tracing::warn!(error = %runtime::Chain(&error), "a sent mail stays in the outbox and goes out again");
            }
        }
        Ok(tried)
    }

    /// Sends one mail and removes it. What can never be sent is removed too.
    async fn send_one(&self, database: &Database, stored: outbox::Mail) -> Result<(), StoreError> {
        let (mail_id, tries) = (stored.mail_id, stored.tries);
        let message = match Mail::open(database.sealer(), &stored) {
            Ok(mail) => self.message(mail),
            Err(error) => Err(error.into()),
        };
        match message {
            Err(error) => tracing::error!(%mail_id, %error, "a mail cannot be made and is dropped"),
            Ok(message) => match timeout(SEND_LIMIT, self.transport.send(message)).await {
                Ok(Ok(_)) => tracing::debug!(%mail_id, "a mail is sent"),
                Ok(Err(error)) if error.is_permanent() => {
                    tracing::warn!(%mail_id, status = ?error.status(), "the mail server refuses a mail for good");
                }
                // The server's own words may repeat the address.
                Ok(Err(error)) => {
                    tracing::warn!(%mail_id, tries, status = ?error.status(), "a mail could not be sent; it is tried again");
                    return Ok(());
                }
                Err(_) => {
                    tracing::warn!(%mail_id, tries, "the mail server took too long; the mail is tried again");
                    return Ok(());
                }
            },
        }
        let mut tx = database.upkeep(ClusterScope::granted()).await?;
        outbox::remove(tx.connection(), stored.tenant, mail_id).await?;
        tx.commit().await
    }

    fn message(&self, mail: Mail) -> Result<Message, runtime::Error> {
        let to = Mailbox::new(None, mail.to.as_str().parse()?);
        Ok(Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(mail.subject)
            .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))?)
    }
}
