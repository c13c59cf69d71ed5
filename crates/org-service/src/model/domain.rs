//! Domain names that organizations claim, and what a look at the record makes of them.

use tenancy::{DomainId, OrganizationId};
use time::{Duration, OffsetDateTime};

use super::{
    Fault,
    email_domain::{host_name, is_public_provider},
    text,
};

text! {
    /// A registrable domain name or one below, in lower case and ASCII form, without a dot at the end.
    DomainName;
    /// What the TXT record must say.
    RecordValue;
}

/// What the challenge's record stands under.
const RECORD_LABEL: &str = "_guildhall";
/// A name of DNS has at most 253 characters, and the record's is longer than the domain's.
const LONGEST: usize = 253 - RECORD_LABEL.len() - 1;
/// Names that mean something inside of one network only, or nothing at all (RFC 6761 and its successors). `test` and `example` lead
/// nowhere and stay for those who try things out.
const OF_NO_OWNER: &[&str] = &["alt", "arpa", "internal", "invalid", "local", "localhost", "onion"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DomainPurpose {
    Email,
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DomainState {
    Pending,
    Verified,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Domain {
    pub domain_id: DomainId,
    pub organization_id: OrganizationId,
    pub name: DomainName,
    pub purpose: DomainPurpose,
    pub state: DomainState,
    pub record_value: RecordValue,
    #[serde(with = "time::serde::rfc3339::option")]
    pub verify_time: Option<OffsetDateTime>,
    pub revision: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub create_time: OffsetDateTime,
    /// Of its state.
    #[serde(with = "time::serde::rfc3339")]
    pub update_time: OffsetDateTime,
}

impl DomainName {
    /// A name that may be claimed.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let name = host_name(text).ok_or(Fault("must be a domain name such as acme.test"))?;
        if name.len() > LONGEST {
            return Err(Fault("must be at most 242 characters in ASCII form"));
        }
        if name.rsplit('.').next().is_some_and(|top| OF_NO_OWNER.contains(&top)) {
            return Err(Fault("must not be a name of special use, which nobody can own"));
        }
        if psl::domain_str(&name).is_none() {
            return Err(Fault("must not be a public suffix, under which anybody registers names"));
        }
        if is_public_provider(&name) {
            return Err(Fault("must not be a public mail provider, where anybody gets an address"));
        }
        Ok(Self(name))
    }

    /// Whether it is `base` or stands below it.
    pub fn is_within(&self, base: &HostBase) -> bool {
        self.0 == base.0 || base.label_of(&self.0).is_some()
    }
}

/// The name whose subdomains are the organizations' vanity hosts: `{slug}.<base>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBase(String);

impl HostBase {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        host_name(text).map(Self).ok_or(Fault("must be a domain name such as app.example.com"))
    }

    /// What stands before the base in a name below it.
    fn label_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_suffix(self.0.as_str())?.strip_suffix('.')
    }

    /// The slug that a vanity host names: one label, as a wildcard certificate covers.
    pub fn slug_of<'n>(&self, host: &'n AskedName) -> Option<&'n str> {
        self.label_of(&host.0).filter(|label| !label.contains('.'))
    }
}

/// A name that somebody looks up, in the form that names are kept in. It need not be one that may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedName(String);

impl AskedName {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let name = host_name(text.strip_suffix('.').unwrap_or(text));
        name.map(Self).ok_or(Fault("must be a domain name such as acme.test, without a port"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RecordValue {
    /// A value that only the claim that it is made for proves: 160 bits that nobody else was given.
    pub fn random() -> Self {
        let bytes: [u8; 20] = tenancy::sealing::random();
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("guildhall-domain-verification={token}"))
    }
}

/// What was seen at a domain's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Seen,
    /// The name servers say that it is not there, or that something else is.
    Missing,
    /// They say nothing of use.
    NoAnswer,
}

/// How often records are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From a claim to the first look. Doubles with each look that finds nothing.
    pub first: Duration,
    /// Between two looks at a record that is there.
    pub recheck: Duration,
}

/// So many looks in a row without the record end a proof.
pub const MISSES: i32 = 5;
const LONGEST_PAUSE: Duration = Duration::hours(6);
/// After this long nobody looks for the record of a claim by himself.
const PATIENCE: Duration = Duration::days(30);
/// Name servers that have not said anything for so long count as if they denied the record.
const SILENCE: Duration = Duration::days(30);

impl Schedule {
    /// When to look next at a claim that is not proven, after `misses` looks.
    fn until_proven(&self, misses: i32, state_since: OffsetDateTime, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let doubled = self.first * 2_i32.pow(u32::try_from(misses.clamp(0, 16)).unwrap_or_default());
        (now - state_since < PATIENCE).then(|| now + doubled.min(LONGEST_PAUSE.max(self.first)))
    }
}

/// A domain with how the search for its record goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub domain: Domain,
    pub misses: i32,
    pub next_look_time: Option<OffsetDateTime>,
}

impl Watched {
    pub fn claimed(domain: Domain, schedule: &Schedule) -> Self {
        let next_look_time = Some(domain.create_time + schedule.first);
        Self { domain, misses: 0, next_look_time }
    }

    /// What a look of the schedule makes of it. The revision is the caller's to set, should the state be another.
    pub fn after(&self, look: Look, schedule: &Schedule, now: OffsetDateTime) -> Self {
        let mut next = self.clone();
        if look == Look::Seen {
            return next.proven(schedule, now);
        }
        let silent = || self.domain.verify_time.is_some_and(|seen| now - seen > SILENCE);
        if look == Look::Missing || self.domain.state != DomainState::Verified || silent() {
            next.misses = self.misses.saturating_add(1);
        }
        if self.domain.state == DomainState::Verified {
            if next.misses < MISSES {
                next.next_look_time = Some(now + schedule.recheck / 4);
                return next;
            }
            next.domain.state = DomainState::Failed;
            next.domain.update_time = now;
            next.misses = 0;
        }
        next.next_look_time = schedule.until_proven(next.misses, next.domain.update_time, now);
        next
    }

    /// What a look that somebody asked for makes of it: one that finds nothing changes nothing.
    pub fn after_asked(&self, look: Look, schedule: &Schedule, now: OffsetDateTime) -> Self {
        if look == Look::Seen { self.clone().proven(schedule, now) } else { self.clone() }
    }

    fn proven(mut self, schedule: &Schedule, now: OffsetDateTime) -> Self {
        if self.domain.state != DomainState::Verified {
            self.domain.state = DomainState::Verified;
            self.domain.update_time = now;
        }
        self.domain.verify_time = Some(now);
        self.misses = 0;
        self.next_look_time = Some(now + schedule.recheck);
        self
    }
}

impl Domain {
    pub fn record_name(&self) -> String {
        format!("{RECORD_LABEL}.{}", self.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEDULE: Schedule = Schedule { first: Duration::minutes(1), recheck: Duration::days(1) };

    fn watched() -> Watched {
        let now = tenancy::event::now();
        let domain = Domain {
            domain_id: DomainId::new(),
            organization_id: OrganizationId::new(),
            name: DomainName::parse("acme.test").unwrap(),
            purpose: DomainPurpose::Email,
            state: DomainState::Pending,
            record_value: RecordValue::random(),
            verify_time: None,
            revision: 1,
            create_time: now,
            update_time: now,
        };
        Watched::claimed(domain, &SCHEDULE)
    }

    #[test]
    fn a_name_is_kept_in_one_form() {
        for (given, kept) in [
            ("ACME.Test.", "acme.test"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("a.b.acme.co.uk", "a.b.acme.co.uk"),
            ("acme.github.io", "acme.github.io"),
        ] {
            assert_eq!(DomainName::parse(given).map(String::from), Ok(kept.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_nobody_owns_alone_is_refused() {
        for bad in [
            "co.uk",
            "github.io",
            "com",
            "gmail.com",
            "GMAIL.com.",
            "printer.local",
            "kubernetes.default.svc.cluster.local",
            "metadata.google.internal",
            "1.0.0.127.in-addr.arpa",
            "10.0.0.1",
            "acme.test..",
            "*.acme.test",
            "_guildhall.acme.test",
        ] {
            assert!(DomainName::parse(bad).is_err(), "{bad}");
        }
        let long = |last: usize| {
            format!("{}.test", ["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(last)].join("."))
        };
        assert!(DomainName::parse(&long(54)).is_ok() && DomainName::parse(&long(55)).is_err());
    }

    #[test]
    fn a_vanity_host_is_one_label_below_the_base() {
        let base = HostBase::parse("app.guildhall.test").unwrap();
        let slug = |host: &str| AskedName::parse(host).ok().and_then(|host| base.slug_of(&host).map(str::to_owned));
        assert_eq!(slug("Acme.app.guildhall.test."), Some("acme".to_owned()));
        for other in ["app.guildhall.test", "a.b.app.guildhall.test", "acmeapp.guildhall.test", "acme.guildhall.test"] {
            assert_eq!(slug(other), None, "{other}");
        }
        let within = |name: &str| DomainName::parse(name).unwrap().is_within(&base);
        assert!(within("app.guildhall.test") && within("a.b.app.guildhall.test"));
        assert!(!within("guildhall.test") && !within("myapp.guildhall.test"));
    }

    #[test]
    fn a_proof_ends_after_several_misses_in_a_row_and_comes_back_by_one_look() {
        let now = tenancy::event::now();
        let mut it = watched().after(Look::Seen, &SCHEDULE, now);
        assert_eq!((it.domain.state, it.domain.verify_time), (DomainState::Verified, Some(now)));
        for _ in 1..MISSES {
            it = it.after(Look::Missing, &SCHEDULE, now);
            assert_eq!(it.domain.state, DomainState::Verified);
        }
        let mended = it.after(Look::Seen, &SCHEDULE, now);
        assert_eq!((mended.misses, mended.next_look_time), (0, Some(now + SCHEDULE.recheck)));
        let lost = it.after(Look::Missing, &SCHEDULE, now);
        assert_eq!((lost.domain.state, lost.misses), (DomainState::Failed, 0));
        assert_eq!(lost.after(Look::Seen, &SCHEDULE, now).domain.state, DomainState::Verified);
    }

    #[test]
    fn name_servers_that_are_silent_for_a_while_take_no_proof_away() {
        let now = tenancy::event::now();
        let mut it = watched().after(Look::Seen, &SCHEDULE, now);
        for _ in 0..100 {
            it = it.after(Look::NoAnswer, &SCHEDULE, now + Duration::days(29));
        }
        assert_eq!((it.domain.state, it.misses), (DomainState::Verified, 0));
        for _ in 0..MISSES {
            it = it.after(Look::NoAnswer, &SCHEDULE, now + Duration::days(31));
        }
        assert_eq!(it.domain.state, DomainState::Failed);
    }

    #[test]
    fn a_look_that_was_asked_for_only_ever_proves() {
        let now = tenancy::event::now();
        let proven = watched().after(Look::Seen, &SCHEDULE, now);
        for look in [Look::Missing, Look::NoAnswer] {
            assert_eq!(proven.after_asked(look, &SCHEDULE, now), proven);
            assert_eq!(watched().after_asked(look, &SCHEDULE, now).domain.state, DomainState::Pending);
        }
        assert_eq!(watched().after_asked(Look::Seen, &SCHEDULE, now).domain.state, DomainState::Verified);
    }

    proptest! {
        #[test]
        fn looks_grow_rare_and_end(misses in 0..1000i32, age in 0..100i64) {
            let now = tenancy::event::now();
            let next = SCHEDULE.until_proven(misses, now - Duration::days(age), now);
            prop_assert_eq!(next.is_some(), age < 30);
            if let Some(next) = next {
                prop_assert!(next - now >= SCHEDULE.first && next - now <= LONGEST_PAUSE);
            }
        }

        #[test]
        fn a_kept_name_is_good_again(text in "[a-zA-ZäöÜ0-9.-]{1,40}") {
            if let Ok(name) = DomainName::parse(&text) {
                prop_assert_eq!(DomainName::parse(name.as_str()), Ok(name));
            }
        }
    }
}
