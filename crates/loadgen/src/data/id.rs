//! Ids from a seed, in the form and the order of those that the services give.

use rand::RngCore;
use uuid::{Builder, Uuid};

/// 2026-01-01, in milliseconds: before anything that a service makes in the run.
const FIRST: u64 = 1_767_225_600_000;

/// The id of what was made `n`th: UUIDv7, a millisecond apart.
pub fn nth(rng: &mut impl RngCore, n: usize) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    Builder::from_unix_timestamp_millis(FIRST + n as u64, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn one_seed_gives_the_same_ids_in_order() {
        let ids = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..100).map(|n| nth(&mut rng, n)).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        assert!(ids(1).is_sorted());
        assert!(ids(1).iter().all(|id| id.get_version_num() == 7));
    }
}
