//! The sender: hands what waits in the outbox to a mail server.
//!
//! A mail is taken on loan, sent without a transaction open, and removed. A sender that dies in between lets it fall due again, so a
//! mail may come twice, never not at all. Retries are spaced out, from a minute to an hour, until the mail is of no use any more.
//!
//! Nothing but the server's refusal of this very mail ends its tries early. What an operator can mend (a sealing key that this
//! process lacks, a wrong password of the mail server) lets it wait.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use lettre::{
    Message,
    message::{Mailbox, MultiPart},
};
use secrecy::SecretString;
use tenancy::{ClusterScope, Database, StoreError};
use tokio::{sync::Notify, time::timeout};

use super::smtp::{BadUrl, SendError, Server};
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
        if let Err(error @ BadUrl) = Server::parse(&self.smtp_url) {
            faults.push(format!("--smtp-url (GUILDHALL_SMTP_URL): {error}"));
        }
        if self.mail_from.parse::<Mailbox>().is_err() {
            faults.push("--mail-from (GUILDHALL_MAIL_FROM): must be of the form Name <address@example.com>".to_owned());
        }
        faults
    }

    fn sender(&self) -> Result<Sender, runtime::Error> {
        Ok(Sender { server: Server::parse(&self.smtp_url)?, from: self.mail_from.parse()? })
    }
}

struct Sender {
    server: Server,
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
            if let Err(error) = measure(&database).await {
                tracing::debug!(error = %runtime::Chain(&error), "the outbox cannot be measured");
            }
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

/// How full the outbox is, as every replica finds it before it sends.
#[expect(clippy::cast_precision_loss, reason = "counted up to 10 000")]
async fn measure(database: &Database) -> Result<(), StoreError> {
    let mut read = database.read(ClusterScope::granted()).await?;
    let depth = outbox::depth(read.connection()).await?;
    read.finish();
    meters::OUTBOX.gauge(meters::NO_LABELS).set(depth.mails as f64);
    let put = depth.oldest.and_then(|id| id.get_timestamp()).map(|at| at.to_unix());
    let put = put.and_then(|(seconds, nanos)| UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)));
    let age = put.and_then(|put| put.elapsed().ok()).unwrap_or_default();
    meters::OUTBOX_AGE.gauge(meters::NO_LABELS).set(age.as_secs_f64());
    Ok(())
}

async fn next_look(database: &Database) -> Duration {
    let next = async {
        let mut read = database.read(ClusterScope::granted()).await?;
        let next = outbox::next_due(read.connection()).await?;
        read.finish();
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

    /// Sends one mail, and removes it once it is sent or refused for good.
    async fn send_one(&self, database: &Database, stored: outbox::Mail) -> Result<(), StoreError> {
        let (mail_id, tries) = (stored.mail_id, stored.tries);
        let message = match Mail::open(database.sealer(), &stored) {
            Ok(mail) => self.message(mail),
            Err(error) => Err(error.into()),
        };
        let message = match message {
            Ok(message) => message,
            // A replica of another version, or with another key file, may be able to.
            Err(error) => {
                tracing::error!(%mail_id, tries, %error, "a mail cannot be made; it is tried again");
                return Ok(());
            }
        };
        match timeout(SEND_LIMIT, self.server.send(&message)).await {
            Ok(Ok(())) => {
                meters::MAILS.count_of("outcome", "sent");
                tracing::debug!(%mail_id, "a mail is sent");
            }
            Ok(Err(error @ SendError::Refused(_))) => {
                meters::MAILS.count_of("outcome", "refused");
                tracing::warn!(%mail_id, code = error.code(), %error, "a mail is dropped");
            }
            Ok(Err(error @ SendError::Later(_))) => {
                meters::MAILS.count_of("outcome", "later");
                tracing::warn!(%mail_id, tries, code = error.code(), %error, "a mail is tried again");
                return Ok(());
            }
            Err(_) => {
                meters::MAILS.count_of("outcome", "later");
                tracing::warn!(%mail_id, tries, "the mail server took too long; the mail is tried again");
                return Ok(());
            }
        }
        let mut tx = database.upkeep(ClusterScope::granted()).await?;
        outbox::remove(tx.connection(), stored.tenant, mail_id).await?;
        tx.commit().await
    }

    fn message(&self, mail: Mail) -> Result<Message, runtime::Error> {
        let to = Mailbox::new(None, mail.to.as_str().parse()?);
        // Under the organization's name, from the installation's address: what the mail server vouches for does not change.
        let from = match mail.sender_name.as_str() {
            "" => self.from.clone(),
            name => Mailbox::new(Some(name.to_owned()), self.from.email.clone()),
        };
        Ok(Message::builder()
            .from(from)
            .to(to)
            .subject(mail.subject)
            .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))?)
    }
}
