use std::path::Path;

use time::{Duration, OffsetDateTime};
use tokens::write_keys;

use super::files::{Held, key_set, lock, private_file, public_file, replace};
use super::plan::{Wanted, moment, plan};
use super::{ACCESS, Rotate, SIGNERS, algorithms};
use crate::{Failure, Output};

/// Clocks of machines that share a folder may differ by this much.
const CLOCKS: Duration = Duration::minutes(5);

/// To the millisecond, as it is written.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_millisecond(now.millisecond()).unwrap_or(now)
}

pub fn rotate(options: &Rotate, output: Output) -> Result<(), Failure> {
    let signers = signers(options)?;
    let _locked = lock(&options.directory)?;
    for signer in signers {
        let held = Held::read(&options.directory, signer)?;
        let now = now();
        check_clock(&held, signer, now)?;
        let wanted = Wanted {
            algorithms: if options.algorithms.is_empty() { algorithms(signer) } else { &options.algorithms },
            older_than: Duration::days(options.older_than.map_or(0, i64::from)),
            lead: options.lead,
            times: options.times,
        };
        let plan = plan(&held, &wanted, now)?;
        let (private, public) = (private_file(&options.directory, signer), public_file(&options.directory, signer));
        put(&public, &key_set(&held.public), &key_set(&plan.published))?;
        put(&private, &write_keys(&held.private)?, &write_keys(&plan.private)?)?;
        put(&public, &key_set(&plan.published), &key_set(&plan.in_the_end))?;
        for line in plan.news {
            output.say(format_args!("{signer} {line}"));
        }
    }
    Ok(())
}

/// Nothing is written where nothing changes.
fn put(path: &Path, before: &str, after: &str) -> Result<(), Failure> {
    if before == after { Ok(()) } else { replace(path, after) }
}

fn signers(options: &Rotate) -> Result<Vec<&'static str>, Failure> {
    let mut faults = Vec::new();
    let least: Duration = options.times.cache_time * 1.2;
    if options.lead < least {
        faults.push(format!(
            "--lead must be at least {} seconds: for {} others may keep a key set that lacks the new key",
            least.as_seconds_f64().ceil(),
            options.times.cache_time.as_seconds_f64().ceil()
        ));
    }
    let chosen: Vec<&str> = if !options.signers.is_empty() {
        SIGNERS.into_iter().filter(|name| options.signers.iter().any(|signer| signer == name)).collect()
    } else if options.algorithms.is_empty() {
        SIGNERS.to_vec()
    } else {
        vec![ACCESS]
    };
    if !options.algorithms.is_empty() && chosen.iter().any(|name| *name != ACCESS) {
        faults
            .push("--algorithm is for --signer access alone: calls between services are signed with EdDSA".to_owned());
    }
    for folder in ["keys", "trust"] {
        let path = options.directory.join(folder);
        if !path.is_dir() {
            faults.push(format!(
                "--directory: there is no folder {}; `guildhall key generate --directory {}` makes one",
                path.display(),
                options.directory.display()
            ));
        }
    }
    if faults.is_empty() { Ok(chosen) } else { Err(Failure::Usage(faults.join("\n"))) }
}

/// A machine whose clock is behind would have keys sign later than it says, and one that goes wrong by years, never.
fn check_clock(held: &Held, signer: &str, now: OffsetDateTime) -> Result<(), Failure> {
    match held.public.iter().filter_map(|entry| entry.published).max() {
        Some(latest) if latest > now + CLOCKS => {
            Err(Failure::ClockBehind { signer: signer.to_owned(), published: moment(latest), now: moment(now) })
        }
        _ => Ok(()),
    }
}
