use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};

use crate::Failure;

/// What member-service hashes with.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Passwords hashed in a second by Argon2id and nothing else, on so many threads.
pub fn per_second(threads: usize, lasting: Duration) -> Result<f64, Failure> {
    let failed = |error: argon2::Error| Failure::Unmeasurable(format!("Argon2id: {error}"));
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(failed)?;
    let hash = || -> Result<f64, argon2::Error> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let (begun, mut hashed) = (Instant::now(), 0_u32);
        while begun.elapsed() < lasting {
            let mut out = [0; 32];
            argon2.hash_password_into(b"a password of some length", b"sixteen bytes it", &mut out)?;
            black_box(out);
            hashed += 1;
        }
        Ok(f64::from(hashed) / begun.elapsed().as_secs_f64())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(hash)).collect();
        let mut all = 0.0;
        for thread in threads {
            let each = thread.join().map_err(|_| Failure::Unmeasurable("a hashing thread failed".to_owned()))?;
            all += each.map_err(failed)?;
        }
        Ok(all)
    })
}
