use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;

use crate::Failure;

/// As long as the signed part of an access token.
const TEXT: [u8; 420] = [b'g'; 420];

/// Seconds for one Ed25519 signature with a key that has been read.
pub fn seconds(lasting: Duration) -> Result<f64, Failure> {
    let no_key = |_| Failure::Unmeasurable("no Ed25519 key can be made".to_owned());
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(no_key)?;
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref())
        .map_err(|error| Failure::Unmeasurable(format!("no Ed25519 key: {error}")))?;
    let begun = Instant::now();
    let mut signed = 0_u32;
    while begun.elapsed() < lasting {
        for _ in 0..100 {
            black_box(key.sign(black_box(&TEXT)));
        }
        signed += 100;
    }
    Ok(begun.elapsed().as_secs_f64() / f64::from(signed))
}
