//! Password hashes of other systems, which an import brings.
//!
//! Whoever imports a hash decides how much work each try of a password costs here. So what a hash may ask for is bounded, when it is
//! imported, and a hash that asks for more never gets into the store.

use argon2::password_hash::phc::PasswordHash;

use super::Fault;

const BYTES: usize = 1024;
/// What hashing may take of memory, with all its lanes.
const MEMORY_BYTES: u64 = 128 << 20;
/// Memory times passes: some tenths of a second of a core.
const WORK_BYTES: u64 = 512 << 20;
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;
const PBKDF2_ROUNDS: std::ops::RangeInclusive<u64> = 1000..=2_000_000;
const MAX_LANES: u64 = 16;
const MIN_OUTPUT_BYTES: usize = 16;

/// Which function a stored hash was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    Argon2,
    Bcrypt,
    Scrypt,
    Pbkdf2,
}

impl HashKind {
    pub fn of(hash: &str) -> Option<Self> {
        let name = hash.strip_prefix('$')?.split('$').next()?;
        match name {
            "argon2id" | "argon2i" => Some(Self::Argon2),
            "2a" | "2b" | "2y" => Some(Self::Bcrypt),
            "scrypt" => Some(Self::Scrypt),
            "pbkdf2-sha256" | "pbkdf2-sha512" => Some(Self::Pbkdf2),
            _ => None,
        }
    }
}

/// A hash that may be checked against: well-formed, of a known kind, and of bounded cost.
#[derive(Clone, PartialEq, Eq)]
pub struct ForeignHash(String);

impl std::fmt::Debug for ForeignHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForeignHash(..)")
    }
}

impl ForeignHash {
    /// None for an empty text: no password.
    pub fn parse(text: &str) -> Result<Option<Self>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > BYTES {
            return Err(Fault("must be at most 1 KiB"));
        }
        let unknown = Fault("must be a hash by argon2id, argon2i, bcrypt, scrypt, pbkdf2-sha256 or pbkdf2-sha512");
        match HashKind::of(text).ok_or(unknown)? {
            HashKind::Bcrypt => check_bcrypt(text)?,
            kind => check_phc(kind, text)?,
        }
        Ok(Some(Self(text.to_owned())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `$2b$<cost>$<22 of salt><31 of hash>`.
fn check_bcrypt(text: &str) -> Result<(), Fault> {
    let malformed = Fault("is no well-formed bcrypt hash");
    let parts: bcrypt::HashParts = text.parse().map_err(|_| malformed)?;
    if text.len() != 60 {
        return Err(malformed);
    }
    if !BCRYPT_COSTS.contains(&parts.get_cost()) {
        return Err(Fault("must have a cost of 4 to 14"));
    }
    Ok(())
}

fn check_phc(kind: HashKind, text: &str) -> Result<(), Fault> {
    let hash = PasswordHash::new(text).map_err(|_| Fault("is no well-formed hash in PHC string form"))?;
    let output = hash.hash.ok_or(Fault("must hold the hash itself"))?;
    if hash.salt.is_none() || output.len() < MIN_OUTPUT_BYTES {
        return Err(Fault("must hold a salt and a hash of 16 bytes or more"));
    }
    // Of a parameter that is given twice, one would be bounded and the other used.
    let mut names: Vec<_> = hash.params.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != hash.params.iter().count() {
        return Err(Fault("must state each parameter once"));
    }
    let number = |name: &str| hash.params.get_decimal(name).map(u64::from);
    let required = |name: &str| number(name).ok_or(Fault("must state its cost parameters"));
    match kind {
        HashKind::Argon2 => {
            let (memory, passes, lanes) = (required("m")?.saturating_mul(1024), required("t")?, required("p")?);
            let sound = (8 * 1024 * lanes.max(1)..=MEMORY_BYTES).contains(&memory) && passes >= 1;
            let bounded = (1..=MAX_LANES).contains(&lanes) && memory.saturating_mul(passes) <= WORK_BYTES;
            let version = hash.version.is_some_and(|version| matches!(version, 0x10 | 0x13));
            if sound && bounded && version && hash.params.get("keyid").is_none() && hash.params.get("data").is_none() {
                Ok(())
            } else {
                Err(Fault("must take at most 128 MiB of memory, 512 MiB times passes, and 16 lanes"))
            }
        }
        HashKind::Scrypt => {
            let (log_n, r, p) = (required("ln")?, required("r")?, required("p")?);
            let block = 128u64.saturating_mul(r);
            let memory = 1u64.checked_shl(u32::try_from(log_n).unwrap_or(u32::MAX)).map(|n| n.saturating_mul(block));
            let memory = memory.filter(|memory| (1..64).contains(&log_n) && r >= 1 && *memory <= MEMORY_BYTES);
            let work = memory.map(|memory| memory.saturating_mul(p));
            if p >= 1 && work.is_some_and(|work| work <= WORK_BYTES) {
                Ok(())
            } else {
                Err(Fault("must take at most 128 MiB of memory, and 512 MiB times p"))
            }
        }
        HashKind::Pbkdf2 => {
            if PBKDF2_ROUNDS.contains(&required("i")?) {
                Ok(())
            } else {
                Err(Fault("must have 1,000 to 2,000,000 iterations"))
            }
        }
        HashKind::Bcrypt => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUTPUT: &str = "aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";

    #[test]
    fn what_the_usual_systems_write_is_taken() {
        for good in [
            format!("$argon2id$v=19$m=65536,t=3,p=4${OUTPUT}"),
            format!("$argon2i$v=16$m=4096,t=3,p=1${OUTPUT}"),
            format!("$scrypt$ln=16,r=8,p=1${OUTPUT}"),
            format!("$scrypt$ln=17,r=8,p=1${OUTPUT}"),
            format!("$pbkdf2-sha256$i=600000,l=32${OUTPUT}"),
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".to_owned(),
            "$2y$10$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".to_owned(),
        ] {
            assert!(matches!(ForeignHash::parse(&good), Ok(Some(_))), "{good}: {:?}", ForeignHash::parse(&good));
        }
        assert_eq!(ForeignHash::parse(""), Ok(None));
    }

    #[test]
    fn a_hash_that_costs_too_much_or_guards_nothing_is_refused() {
        for bad in [
            format!("$argon2id$v=19$m=4194304,t=3,p=4${OUTPUT}"),
            format!("$argon2id$v=19$m=131072,t=5,p=1${OUTPUT}"),
            format!("$argon2id$v=19$m=65536,t=4294967295,p=1${OUTPUT}"),
            format!("$argon2id$v=19$m=65536,t=0,p=1${OUTPUT}"),
            format!("$argon2id$v=18$m=65536,t=3,p=1${OUTPUT}"),
            format!("$argon2id$v=19$t=3,p=1${OUTPUT}"),
            format!("$argon2id$m=65536,t=3,p=1${OUTPUT}"),
            format!("$argon2id$v=19$m=65536,t=3,p=1,m=4194304${OUTPUT}"),
            format!("$scrypt$ln=16,r=8,p=1,ln=30${OUTPUT}"),
            format!("$pbkdf2-sha256$i=1000,l=32,i=4000000000${OUTPUT}"),
            format!("$argon2d$v=19$m=65536,t=3,p=1${OUTPUT}"),
            format!("$scrypt$ln=30,r=8,p=1${OUTPUT}"),
            format!("$scrypt$ln=64,r=8,p=1${OUTPUT}"),
            format!("$scrypt$ln=0,r=8,p=1${OUTPUT}"),
            format!("$scrypt$ln=16,r=8,p=4000000000${OUTPUT}"),
            format!("$pbkdf2-sha256$i=4000000000,l=32${OUTPUT}"),
            format!("$pbkdf2-sha256$i=1,l=32${OUTPUT}"),
            "$pbkdf2-sha256$i=600000$aM15713r3Xsvxbi31lqr1Q".to_owned(),
            "$2b$31$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".to_owned(),
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9".to_owned(),
            "$1$md5$x".to_owned(),
            "5f4dcc3b5aa765d61d8327deb882cf99".to_owned(),
            format!("$scrypt$ln=16,r=8,p=1${OUTPUT}{}", "A".repeat(1024)),
        ] {
            assert!(ForeignHash::parse(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\$?[a-z0-9-]{0,14}\\$[ -~]{0,80}") {
            let _ = ForeignHash::parse(&text);
        }
    }
}
