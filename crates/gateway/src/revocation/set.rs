//! The entries: whose tokens are refused, and which of them.

use std::{
    collections::HashMap,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use super::KEEP;

/// More than this within a token's life is a mass event. All tokens of before are then refused at once: callers refresh, and nothing
/// revoked stays in force for want of memory.
const CAPACITY: usize = 200_000;
/// By how much the clocks of two gateways may differ, in seconds.
const CLOCKS_DIFFER: u64 = 5;

/// A token as the set looks at it. Ids of all kinds share one space.
#[derive(Debug)]
pub struct Bearer {
    /// The member or service account.
    pub holder: Uuid,
    pub project: Uuid,
    /// Where it is one. None for a service account of the project.
    pub organization: Option<Uuid>,
    /// The session or API key that the token came from.
    pub by: Uuid,
    /// The token itself.
    pub token: Uuid,
    /// When that session began, in milliseconds since 1970; of a service account the time of the token.
    pub began_at: u64,
    /// Seconds since 1970.
    pub issued_at: u64,
}

#[derive(Debug)]
struct Entry {
    refused: Refused,
    /// The feed's revision that it was learnt from: an older event does not undo a newer.
    revision: i64,
    learnt_at: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Refused {
    /// Every token; the number says since when, in milliseconds since 1970.
    Since(u64),
    /// Tokens of sessions that began before. The holder has been let in again, the sessions of then have ended.
    BegunBefore(u64),
}

#[derive(Debug, Default)]
pub struct Set {
    entries: HashMap<Uuid, Entry>,
    /// Tokens issued up to this time are refused, whoever's they are. Seconds since 1970.
    all_until: u64,
}

impl Set {
    pub fn refuses(&self, bearer: &Bearer) -> bool {
        let refused = |id: &Uuid| {
            self.entries.get(id).is_some_and(|entry| match entry.refused {
                Refused::Since(_) => true,
                Refused::BegunBefore(time) => bearer.began_at < time,
            })
        };
        bearer.issued_at <= self.all_until && self.all_until > 0
            || refused(&bearer.by)
            || refused(&bearer.token)
            || refused(&bearer.holder)
            || bearer.organization.as_ref().is_some_and(refused)
            || refused(&bearer.project)
    }

    /// Refuses all tokens of a session or API key for good.
    pub fn refuse(&mut self, id: Uuid, revision: i64, now: Instant) {
        self.refuse_since(id, 0, revision, now);
    }

    /// Refuses all tokens of a member or service account, or of all in an organization or a project, until they are let in again.
    pub fn refuse_since(&mut self, id: Uuid, milliseconds: u64, revision: i64, now: Instant) {
        self.put(id, Entry { refused: Refused::Since(milliseconds), revision, learnt_at: now });
    }

    /// Lets them in again, with new sessions only.
    pub fn allow_again(&mut self, id: Uuid, revision: i64) {
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.revision < revision
            && let Refused::Since(time) = entry.refused
        {
            (entry.refused, entry.revision) = (Refused::BegunBefore(time), revision);
        }
    }

    pub fn forget(&mut self, now: Instant) {
        self.entries.retain(|_, entry| now.saturating_duration_since(entry.learnt_at) < KEEP);
    }

    fn put(&mut self, id: Uuid, entry: Entry) {
        if self.entries.get(&id).is_some_and(|known| known.revision >= entry.revision) {
            return;
        }
        if self.entries.len() >= CAPACITY {
            tracing::warn!(entries = CAPACITY, "too many revocations at once: every token of before now is refused");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            self.all_until = now + CLOCKS_DIFFER;
            self.entries.clear();
        }
        self.entries.insert(id, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(holder: Uuid, began_at: u64) -> Bearer {
        Bearer {
            holder,
            project: Uuid::nil(),
            organization: None,
            by: Uuid::now_v7(),
            token: Uuid::now_v7(),
            began_at,
            issued_at: began_at / 1000,
        }
    }

    #[test]
    fn whoever_is_let_in_again_comes_with_a_new_session() {
        let (mut set, ada, now) = (Set::default(), Uuid::now_v7(), Instant::now());
        set.refuse_since(ada, 5_000, 7, now);
        assert!(set.refuses(&bearer(ada, 4_000)) && set.refuses(&bearer(ada, 6_000)));
        set.allow_again(ada, 8);
        assert!(set.refuses(&bearer(ada, 4_999)) && !set.refuses(&bearer(ada, 5_001)));
        set.refuse_since(ada, 5_000, 7, now);
        assert!(!set.refuses(&bearer(ada, 6_000)), "an event that comes again undoes nothing newer");
        set.refuse_since(ada, 9_000, 9, now);
        set.allow_again(ada, 8);
        assert!(set.refuses(&bearer(ada, 10_000)), "a late one lets nobody in");
    }

    #[test]
    fn an_entry_outlives_every_token_and_no_more() {
        let (mut set, key, now) = (Set::default(), Uuid::now_v7(), Instant::now());
        set.refuse(key, 1, now);
        set.forget(now + KEEP.mul_f64(0.99));
        assert_eq!(set.entries.len(), 1);
        set.forget(now + KEEP);
        assert!(set.entries.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_all_the_rest() {
        let (mut set, now) = (Set::default(), Instant::now());
        for _ in 0..CAPACITY {
            set.refuse(Uuid::now_v7(), 1, now);
        }
        let begun = 1_000 * SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (stranger, later) = (bearer(Uuid::now_v7(), begun), bearer(Uuid::now_v7(), begun + 60_000));
        assert!(!set.refuses(&stranger));
        set.refuse(Uuid::now_v7(), 1, now);
        assert!(set.refuses(&stranger) && !set.refuses(&later));
        assert!(set.entries.len() <= CAPACITY);
    }
}
