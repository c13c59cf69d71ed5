//! Secrets of service accounts that were right moments ago, so that a program that comes again and again is not looked up anew each time.
//!
//! A secret that was right is believed as a token would be that had been made by it then: no longer than the key lives, not while the news of
//! what was revoked are too old, and not once they say that the key, the account, its organization or its project was shut. So a
//! revoked key opens nothing a second later at the latest, and the tokens that it was traded for in that second are refused with all others of
//! the key. A wrong secret is never remembered.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use access::Invalidations;
use moka::sync::Cache;
use outdated::Bearer;
use tenancy::event::sha256;

use super::clients::Account;

/// For so long a secret is not looked up again. The last use of a key is exact to a minute.
const BELIEVED: Duration = Duration::from_secs(20);
const MOST: u64 = 10_000;

#[derive(Debug)]
pub struct Proven {
    invalidations: Arc<Invalidations>,
    /// By the SHA-256 of the client's id and the secret.
    known: Cache<[u8; 32], Proof>,
}

#[derive(Debug, Clone, Copy)]
struct Proof {
    account: Account,
    /// When it was asked about, by two clocks.
    asked: Instant,
    asked_at: SystemTime,
    /// The end of the key.
    until: Option<SystemTime>,
}

impl Proven {
    pub fn new(invalidations: Arc<Invalidations>) -> Self {
        Self { invalidations, known: Cache::builder().max_capacity(MOST).time_to_live(BELIEVED).build() }
    }

    /// What a client presents, as it is known by here.
    pub fn key(client_id: &str, secret: &str) -> [u8; 32] {
        // An id has no space in it.
        sha256(format!("{client_id} {secret}").as_bytes())
    }

    pub fn account(&self, key: &[u8; 32]) -> Option<Account> {
        let proof = self.known.get(key)?;
        let live = proof.asked.elapsed() < BELIEVED && proof.until.is_none_or(|end| SystemTime::now() < end);
        (live && self.invalidations.check_bearer(&proof.bearer()).is_ok()).then_some(proof.account)
    }

    /// `asked` and `asked_at`: a moment before it was asked about.
    pub fn remember(
        &self,
        key: [u8; 32],
        account: Account,
        (asked, asked_at): (Instant, SystemTime),
        until: Option<SystemTime>,
    ) {
        self.known.insert(key, Proof { account, asked, asked_at, until });
    }
}

impl Proof {
    /// The token that would have been made then.
    fn bearer(&self) -> Bearer {
        let Account { project, organization, id, key } = self.account;
        let at = self.asked_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Bearer::service_account(project.uuid(), organization.map(|id| id.uuid()), id.uuid(), key.uuid(), at)
    }
}

#[cfg(test)]
mod tests {
    use access::{RevocationOptions, Service};
    use outdated::Subject;
    use tenancy::{ApiKeyId, ProjectId, ServiceAccountId};

    use super::*;

    fn account() -> Account {
        Account { project: ProjectId::new(), organization: None, id: ServiceAccountId::new(), key: ApiKeyId::new() }
    }

    /// One that believes for as long as the news of a moment ago are young.
    fn proven(lag: Duration) -> Proven {
        let invalidations = Invalidations::new(&RevocationOptions { revocation_lag: lag });
        for service in [Service::Org, Service::Member, Service::Authz] {
            invalidations.heard_until(service, SystemTime::now().into());
        }
        Proven::new(invalidations)
    }

    fn now() -> (Instant, SystemTime) {
        (Instant::now(), SystemTime::now())
    }

    #[test]
    fn a_secret_is_believed_with_its_client_alone_and_no_longer_than_its_key() {
        let (proven, account) = (proven(Duration::from_secs(60)), account());
        let key = Proven::key("sa_1", "secret");
        assert_eq!(proven.account(&key), None, "nothing is known at first");
        proven.remember(key, account, now(), None);
        assert_eq!(proven.account(&key), Some(account));
        for other in [("sa_2", "secret"), ("sa_1", "Secret"), ("", "secret"), ("sa_1 secret", "")] {
            assert_eq!(proven.account(&Proven::key(other.0, other.1)), None, "{other:?}");
        }
        proven.remember(key, account, now(), Some(SystemTime::now()));
        assert_eq!(proven.account(&key), None, "its key is at its end");
        let old = (Instant::now().checked_sub(BELIEVED).unwrap(), SystemTime::now() - BELIEVED);
        proven.remember(key, account, old, None);
        assert_eq!(proven.account(&key), None, "it was asked about too long ago");
    }

    #[test]
    fn whatever_refuses_its_tokens_refuses_the_secret() {
        let key = Proven::key("sa_1", "secret");
        for shut in [
            |account: Account| Subject::ApiKey(account.key.uuid()),
            |account: Account| Subject::ServiceAccount(account.id.uuid()),
            |account: Account| Subject::Project(account.project.uuid()),
        ] {
            let (proven, account) = (proven(Duration::from_secs(60)), account());
            proven.remember(key, account, now(), None);
            assert_eq!(proven.account(&key), Some(account));
            proven.invalidations.end(account.project, shut(account));
            assert_eq!(proven.account(&key), None, "{:?}", shut(account));
        }
    }

    #[test]
    fn nothing_is_believed_while_the_news_are_old() {
        let (proven, key) = (proven(Duration::from_millis(30)), Proven::key("sa_1", "secret"));
        proven.remember(key, account(), now(), None);
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(proven.account(&key), None);
    }
}
