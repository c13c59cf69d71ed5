//! The entries: whose tokens are refused, and which of them.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use crate::{Bearer, Moment, Subject};

/// More than this within a token's life is a mass event. All tokens of before are then refused at once: callers refresh, and nothing
/// revoked stays in force for want of memory.
const CAPACITY: usize = 200_000;
/// By how much the clocks of two processes that make tokens may differ, in seconds.
const CLOCKS_DIFFER: u64 = 5;

/// Which tokens of a subject are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Which {
    pub standing: Standing,
    /// Tokens with a lower epoch.
    pub minimum_epoch: i64,
    /// Tokens that list permissions, with a lower epoch: of a project the project's.
    pub minimum_permissions_epoch: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    #[default]
    Open,
    /// Every token is refused. The number says since when, in milliseconds since 1970.
    Shut(u64),
    /// It was shut at that time, and is open again: of the sessions from before, tokens from before are refused.
    OpenedAgain(u64),
}

/// A subject with all that is refused of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    pub project: Uuid,
    pub subject: Subject,
    pub which: Which,
    /// The revision that the standing was learnt from: of two the higher is the later, whatever the clocks say.
    pub revision: i64,
    /// When the newest of it was written, in milliseconds since 1970.
    pub time: u64,
}

#[derive(Debug)]
struct Entry {
    project: Uuid,
    which: Which,
    /// The revision that the standing was learnt from: an older event does not undo a newer.
    revision: i64,
    time: u64,
    learnt_at: Moment,
}

/// What is refused. Nothing is held for longer than the longest token lives.
#[derive(Debug)]
pub struct Set {
    entries: HashMap<Subject, Entry>,
    /// Tokens issued up to this time are refused, whoever's they are. Seconds since 1970.
    all_until: u64,
    keep: Duration,
}

impl Set {
    /// An entry is held for `keep` from the moment it is learnt: longer than any token lives, the difference of two clocks included.
    pub fn new(keep: Duration) -> Self {
        Self { entries: HashMap::new(), all_until: 0, keep }
    }

    pub fn refuses(&self, bearer: &Bearer) -> bool {
        let shut = |entry: &Entry, began_at: u64| match entry.which.standing {
            Standing::Open => false,
            Standing::Shut(_) => true,
            Standing::OpenedAgain(time) => began_at < time && bearer.issued_at <= time / 1000,
        };
        let refused = |subject: Subject| {
            self.entries.get(&subject).is_some_and(|entry| {
                shut(entry, bearer.began_at) || bearer.epoch.is_some_and(|epoch| epoch < entry.which.minimum_epoch)
            })
        };
        let lists_what_was = |subject: Subject, epoch: Option<i64>| {
            let entry = self.entries.get(&subject).filter(|_| bearer.project_epoch.is_some());
            entry.is_some_and(|entry| epoch.is_some_and(|epoch| epoch < entry.which.minimum_permissions_epoch))
        };
        bearer.issued_at <= self.all_until && self.all_until > 0
            || refused(bearer.by)
            || bearer.token.is_some_and(|id| refused(Subject::Token(id)))
            || bearer.acting.is_some_and(|(who, by)| {
                // Of their own session, and of when their roles were read, only the token's time is known here. A role that was taken
                // from them since may be the one by which they act.
                let taken = |entry: &Entry| entry.which.minimum_epoch > 0 && bearer.issued_at <= entry.time / 1000;
                [who, by]
                    .iter()
                    .any(|subject| self.entries.get(subject).is_some_and(|entry| shut(entry, 0) || taken(entry)))
            })
            || refused(bearer.holder)
            || lists_what_was(bearer.holder, bearer.epoch)
            || bearer
                .organization
                .map(Subject::Organization)
                .is_some_and(|organization| refused(organization) || lists_what_was(organization, bearer.epoch))
            || refused(Subject::Project(bearer.project))
            || lists_what_was(Subject::Project(bearer.project), bearer.project_epoch)
    }

    /// Refuses all tokens of a subject, until it is opened again if ever.
    pub fn shut(&mut self, project: Uuid, subject: Subject, time: u64, revision: i64) -> Option<Statement> {
        self.change(project, subject, time, |entry| {
            let newer = entry.revision < revision;
            if newer {
                (entry.which.standing, entry.revision) = (Standing::Shut(time), revision);
            }
            newer
        })
    }

    /// Lets a subject in again, but not with the tokens from before it was shut. What was never shut stays as it is.
    pub fn open_again(&mut self, subject: Subject, revision: i64) -> Option<Statement> {
        let entry = self.entries.get_mut(&subject).filter(|entry| entry.revision < revision)?;
        let Standing::Shut(time) = entry.which.standing else { return None };
        (entry.which.standing, entry.revision) = (Standing::OpenedAgain(time), revision);
        Some(entry.statement(subject))
    }

    /// Refuses the tokens of a member, a service account or a whole organization whose roles or permissions were read before the
    /// revision.
    pub fn raise(&mut self, project: Uuid, subject: Subject, time: u64, epoch: i64) -> Option<Statement> {
        self.change(project, subject, time, |entry| raise(&mut entry.which.minimum_epoch, epoch))
    }

    /// Refuses the tokens of a member, a service account, an organization or a project that list permissions which were read before its
    /// revision.
    pub fn raise_permissions(&mut self, project: Uuid, subject: Subject, time: u64, epoch: i64) -> Option<Statement> {
        self.change(project, subject, time, |entry| raise(&mut entry.which.minimum_permissions_epoch, epoch))
    }

    /// Takes over what somebody else's set says. It may be one that has not come as far as what was heard from another: the higher
    /// epoch stands, and of two standings the later.
    pub fn take(&mut self, statement: Statement) {
        let Statement { project, subject, which, revision, time } = statement;
        self.change(project, subject, time, |entry| {
            raise(&mut entry.which.minimum_epoch, which.minimum_epoch);
            raise(&mut entry.which.minimum_permissions_epoch, which.minimum_permissions_epoch);
            if which.standing != Standing::Open && entry.revision < revision {
                (entry.which.standing, entry.revision) = (which.standing, revision);
            }
            true
        });
    }

    /// Refuses every token issued up to then, in seconds since 1970.
    pub fn refuse_all_until(&mut self, time: u64) {
        self.all_until = self.all_until.max(time);
    }

    /// Up to when everything is refused; 0: nothing is.
    pub fn all_until(&self) -> u64 {
        self.all_until
    }

    pub fn forget(&mut self, now: Moment) {
        let keep = self.keep;
        self.entries.retain(|_, entry| entry.learnt_at.until(now) < keep);
    }

    /// All that is held of one project.
    pub fn of_project(&self, project: Uuid) -> Vec<Statement> {
        let own = self.entries.iter().filter(|(_, entry)| entry.project == project);
        own.map(|(subject, entry)| entry.statement(*subject)).collect()
    }

    fn change(
        &mut self,
        project: Uuid,
        subject: Subject,
        time: u64,
        change: impl FnOnce(&mut Entry) -> bool,
    ) -> Option<Statement> {
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(&subject) {
            self.refuse_all_until(seconds_now() + CLOCKS_DIFFER);
            self.entries.clear();
        }
        let learnt_at = Moment::now();
        let entry = self.entries.entry(subject).or_insert(Entry {
            project,
            which: Which::default(),
            // Revisions begin with 1, and what has none is said with 0.
            revision: -1,
            time,
            learnt_at,
        });
        if !change(entry) {
            return None;
        }
        (entry.time, entry.learnt_at) = (entry.time.max(time), learnt_at);
        Some(entry.statement(subject))
    }
}

impl Entry {
    fn statement(&self, subject: Subject) -> Statement {
        Statement { project: self.project, subject, which: self.which, revision: self.revision, time: self.time }
    }
}

/// Whether it was lower.
fn raise(minimum: &mut i64, epoch: i64) -> bool {
    let higher = *minimum < epoch;
    *minimum = (*minimum).max(epoch);
    higher
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(360);
    const PROJECT: Uuid = Uuid::nil();

    fn bearer(member: Uuid, began_at: u64, issued_at: u64) -> Bearer {
        let (organization, session) = (Uuid::now_v7(), Uuid::now_v7());
        Bearer { began_at, ..Bearer::member(PROJECT, organization, member, session, issued_at, 7) }
    }

    #[test]
    fn whoever_is_let_in_again_comes_with_a_new_token() {
        let (mut set, ada) = (Set::new(KEEP), Uuid::now_v7());
        let subject = Subject::Member(ada);
        assert!(set.open_again(subject, 6).is_none(), "nobody shut it");
        set.shut(PROJECT, subject, 5_500, 7).unwrap();
        assert!(set.refuses(&bearer(ada, 4_000, 4)) && set.refuses(&bearer(ada, 6_000, 6)));
        set.open_again(subject, 8).unwrap();
        assert!(set.refuses(&bearer(ada, 4_999, 5)), "a token from before");
        assert!(!set.refuses(&bearer(ada, 4_999, 6)), "a new one of a session from before, if that goes on");
        assert!(!set.refuses(&bearer(ada, 5_501, 5)), "a new session");
        assert!(set.shut(PROJECT, subject, 5_500, 7).is_none());
        assert!(!set.refuses(&bearer(ada, 6_000, 6)), "an event that comes again undoes nothing newer");
        set.shut(PROJECT, subject, 9_000, 9).unwrap();
        assert!(set.open_again(subject, 8).is_none());
        assert!(set.refuses(&bearer(ada, 10_000, 10)), "a late one lets nobody in");
    }

    #[test]
    fn roles_from_before_a_change_are_refused_wherever_it_was_said() {
        let (mut set, ada) = (Set::new(KEEP), Uuid::now_v7());
        let of = |epoch| Bearer { epoch, ..bearer(ada, 0, 0) };
        set.raise(PROJECT, Subject::Member(ada), 1, 8).unwrap();
        assert!(set.raise(PROJECT, Subject::Member(ada), 1, 6).is_none(), "it never falls");
        assert!(set.refuses(&of(Some(7))) && !set.refuses(&of(Some(8))) && !set.refuses(&of(None)));
        let everyone = Bearer { epoch: Some(20), ..bearer(Uuid::now_v7(), 0, 0) };
        let organization = Subject::Organization(everyone.organization.unwrap());
        set.raise(PROJECT, organization, 1, 21).unwrap();
        assert!(set.refuses(&everyone));
        // Neither undoes the other.
        set.shut(PROJECT, organization, 1, 1).unwrap();
        set.open_again(organization, 2).unwrap();
        assert!(set.refuses(&everyone));
    }

    #[test]
    fn permissions_from_before_a_role_permitted_something_else_are_refused_and_roles_are_not() {
        let (mut set, mut told) = (Set::new(KEEP), Set::new(KEEP));
        let ada = Bearer { epoch: Some(7), project_epoch: Some(3), ..bearer(Uuid::now_v7(), 0, 0) };
        let organization = Subject::Organization(ada.organization.unwrap());
        let roles_only = Bearer { project_epoch: None, ..ada };
        let account = Uuid::now_v7();
        let program = Bearer::service_account(PROJECT, ada.organization, account, Uuid::now_v7(), 0);
        let listing = Bearer { epoch: ada.epoch, project_epoch: ada.project_epoch, ..program };

        told.take(set.raise_permissions(PROJECT, organization, 1, 8).unwrap());
        assert!(set.raise_permissions(PROJECT, organization, 1, 8).is_none(), "it is known");
        for set in [&set, &told] {
            assert!(set.refuses(&ada) && set.refuses(&listing));
            assert!(!set.refuses(&roles_only) && !set.refuses(&program));
            assert!(!set.refuses(&Bearer { epoch: Some(8), ..ada }));
        }
        let mut set = Set::new(KEEP);
        set.raise_permissions(PROJECT, Subject::Project(PROJECT), 1, 4).unwrap();
        assert!(set.refuses(&ada) && set.refuses(&listing) && !set.refuses(&roles_only) && !set.refuses(&program));
        assert!(!set.refuses(&Bearer { epoch: Some(1), project_epoch: Some(4), ..ada }));
        let mut set = Set::new(KEEP);
        set.raise_permissions(PROJECT, ada.holder, 1, 8).unwrap();
        assert!(set.refuses(&ada) && !set.refuses(&listing), "she joined a group that may be denied something");
        assert!(!set.refuses(&roles_only), "and took no role away");
        let mut set = Set::new(KEEP);
        set.raise(PROJECT, Subject::ServiceAccount(account), 1, 8).unwrap();
        assert!(set.refuses(&listing) && !set.refuses(&program), "a token that says nothing of rights outlives them");
    }

    #[test]
    fn whoever_acts_as_another_acts_no_longer_than_they_are_in_themselves() {
        let (mut set, ada, grace, session, id) =
            (Set::new(KEEP), Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let acting = Some((Subject::Member(grace), Subject::Session(session)));
        let impersonated = Bearer { acting, token: Some(id), ..bearer(ada, 0, 9) };
        set.raise(PROJECT, Subject::Member(grace), 8_999, 100);
        assert!(!set.refuses(&impersonated), "whoever still may gets another");
        set.raise(PROJECT, Subject::Member(grace), 9_000, 101);
        assert!(set.refuses(&impersonated), "what was taken from her may be the right to act");
        for shut in [Subject::Member(grace), Subject::Session(session), Subject::Token(id), Subject::Member(ada)] {
            let mut set = Set::new(KEEP);
            set.shut(PROJECT, shut, 1, 1);
            assert!(set.refuses(&impersonated), "{shut:?}");
        }
    }

    #[test]
    fn an_entry_outlives_every_token_and_no_more() {
        let mut set = Set::new(KEEP);
        set.shut(PROJECT, Subject::ApiKey(Uuid::now_v7()), 0, 1).unwrap();
        let later = |by: Duration| Moment::from_nanoseconds(Moment::now().nanoseconds() + by.as_nanos() as i64);
        set.forget(later(KEEP.mul_f64(0.99)));
        assert_eq!(set.entries.len(), 1);
        set.forget(later(KEEP));
        assert!(set.entries.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_all_the_rest() {
        let mut set = Set::new(KEEP);
        let begun = seconds_now();
        for _ in 0..CAPACITY {
            set.shut(PROJECT, Subject::Member(Uuid::now_v7()), 0, 1);
        }
        let (stranger, later) = (bearer(Uuid::now_v7(), 0, begun), bearer(Uuid::now_v7(), 0, begun + 600));
        assert!(!set.refuses(&stranger));
        set.shut(PROJECT, Subject::Session(Uuid::now_v7()), 0, 1);
        assert!(set.refuses(&stranger) && !set.refuses(&later));
        assert!(set.entries.len() <= CAPACITY);
    }

    #[test]
    fn one_set_can_be_told_to_another() {
        let (mut set, mut told, ada) = (Set::new(KEEP), Set::new(KEEP), Uuid::now_v7());
        let mut tell = |statement: Option<Statement>| told.take(statement.unwrap());
        tell(set.raise(PROJECT, Subject::Member(ada), 1, 8));
        tell(set.shut(PROJECT, Subject::Member(ada), 5_000, 1));
        tell(set.open_again(Subject::Member(ada), 2));
        for (began_at, issued_at, epoch) in [(4_000, 4, 9), (6_000, 6, 9), (6_000, 6, 7), (6_000, 6, 8)] {
            let bearer = Bearer { epoch: Some(epoch), ..bearer(ada, began_at, issued_at) };
            assert_eq!(set.refuses(&bearer), told.refuses(&bearer), "{bearer:?}");
        }
        assert_eq!(set.of_project(PROJECT), told.of_project(PROJECT));
        // Somebody who has not come as far.
        let before = Statement {
            which: Which { standing: Standing::Shut(5_000), minimum_epoch: 3, ..Which::default() },
            revision: 1,
            ..told.of_project(PROJECT)[0]
        };
        told.take(before);
        told.take(Statement { which: Which::default(), ..before });
        assert_eq!(set.of_project(PROJECT), told.of_project(PROJECT));
        // By a process whose clock is behind.
        let again = Which { standing: Standing::Shut(4_000), ..Which::default() };
        told.take(Statement { which: again, revision: 3, ..before });
        assert!(told.refuses(&Bearer { epoch: Some(9), ..bearer(ada, 9_000, 9) }), "shut once more");
        assert!(set.of_project(Uuid::now_v7()).is_empty());
    }
}
