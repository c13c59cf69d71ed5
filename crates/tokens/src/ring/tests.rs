use std::fs;

use time::Duration as Span;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

struct Bench {
    folder: tempfile::TempDir,
    keys: Vec<RingKey>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), keys: Vec::new() }
    }

    fn add(&mut self, algorithm: Algorithm, from_now: Span) -> String {
        let key = Arc::new(SigningKey::generate(algorithm).unwrap());
        let kid = key.kid().to_owned();
        self.keys.push(RingKey { key, signs_from: OffsetDateTime::now_utc() + from_now });
        kid
    }

    fn write(&self) {
        fs::write(self.folder.path().join("keys.pem"), write_keys(&self.keys).unwrap()).unwrap();
    }

    fn publish(&self, kids: &[&str]) {
        let keys: Vec<_> =
            self.keys.iter().filter(|k| kids.contains(&k.key.kid())).map(|k| k.key.public_jwk()).collect();
        fs::write(self.folder.path().join("keys.jwks.json"), serde_json::json!({"keys": keys}).to_string()).unwrap();
    }

    fn open(&self, poll: Duration, cache_time: Duration) -> Result<Ring, KeyError> {
        let path = |name| self.folder.path().join(name);
        Ring::open(&path("keys.pem"), &path("keys.jwks.json"), poll, cache_time)
    }
}

fn signs(ring: &Ring, algorithm: Algorithm) -> Option<String> {
    ring.signer(algorithm).map(|key| key.kid().to_owned())
}

#[test]
fn the_key_that_began_last_signs_and_one_to_come_does_not() {
    let mut bench = Bench::new();
    let _before = bench.add(Algorithm::EdDsa, -Span::hours(2));
    let now = bench.add(Algorithm::EdDsa, -Span::hours(1));
    let to_come = bench.add(Algorithm::EdDsa, Span::hours(1));
    let other = bench.add(Algorithm::Es256, -Span::hours(3));
    bench.write();
    bench.publish(&[&_before, &now, &to_come, &other]);
    let ring = bench.open(LONG, LONG).unwrap();
    assert_eq!(signs(&ring, Algorithm::EdDsa), Some(now));
    assert_eq!(signs(&ring, Algorithm::Es256), Some(other));
    assert_eq!(signs(&ring, Algorithm::Rs256), None);
}

#[test]
fn a_key_that_is_not_published_signs_nothing() {
    let mut bench = Bench::new();
    let old = bench.add(Algorithm::EdDsa, -Span::hours(2));
    bench.add(Algorithm::EdDsa, -Span::hours(1));
    bench.write();
    bench.publish(&[&old]);
    assert_eq!(signs(&bench.open(LONG, LONG).unwrap(), Algorithm::EdDsa), Some(old));
    bench.publish(&[]);
    assert!(matches!(bench.open(LONG, LONG), Err(KeyError::NoneSigns { .. })));
}

#[test]
fn a_key_that_comes_late_waits_until_the_others_have_it() {
    let mut bench = Bench::new();
    let old = bench.add(Algorithm::EdDsa, -Span::hours(2));
    bench.write();
    bench.publish(&[&old]);
    let patient = bench.open(Duration::ZERO, LONG).unwrap();
    let hasty = bench.open(Duration::ZERO, Duration::ZERO).unwrap();
    let new = bench.add(Algorithm::EdDsa, -Span::hours(1));
    bench.write();
    bench.publish(&[&old, &new]);
    assert_eq!(signs(&patient, Algorithm::EdDsa), Some(old));
    assert_eq!(signs(&hasty, Algorithm::EdDsa), Some(new));
}

#[test]
fn a_file_that_cannot_be_used_leaves_the_keys_as_they_were() {
    let mut bench = Bench::new();
    let kid = bench.add(Algorithm::EdDsa, -Span::hours(2));
    bench.write();
    bench.publish(&[&kid]);
    let ring = bench.open(Duration::ZERO, Duration::ZERO).unwrap();
    for broken in
        ["", "-----BEGIN PRIVATE KEY-----\nMC4CAQ", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
    {
        fs::write(bench.folder.path().join("keys.pem"), broken).unwrap();
        assert_eq!(signs(&ring, Algorithm::EdDsa).as_ref(), Some(&kid), "{broken}");
    }
    fs::remove_file(bench.folder.path().join("keys.pem")).unwrap();
    assert_eq!(signs(&ring, Algorithm::EdDsa), Some(kid));
}

#[test]
fn a_folder_of_files_whose_links_are_swapped_is_followed() {
    let mut bench = Bench::new();
    let old = bench.add(Algorithm::EdDsa, -Span::hours(2));
    let new = bench.add(Algorithm::EdDsa, -Span::hours(1));
    bench.publish(&[&old, &new]);
    // As a kubelet mounts a Secret: the file is a link into a folder that a link names.
    let mount = bench.folder.path().join("mount");
    for (at, keys) in [("..1", &bench.keys[..1]), ("..2", &bench.keys[..])] {
        fs::create_dir_all(mount.join(at)).unwrap();
        fs::write(mount.join(at).join("access.pem"), write_keys(keys).unwrap()).unwrap();
    }
    std::os::unix::fs::symlink("..1", mount.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/access.pem", mount.join("access.pem")).unwrap();
    let ring = Ring::open(&mount, &bench.folder.path().join("keys.jwks.json"), Duration::ZERO, Duration::ZERO).unwrap();
    assert_eq!(signs(&ring, Algorithm::EdDsa), Some(old));
    std::os::unix::fs::symlink("..2", mount.join("..next")).unwrap();
    fs::rename(mount.join("..next"), mount.join("..data")).unwrap();
    assert_eq!(signs(&ring, Algorithm::EdDsa), Some(new));
}

#[test]
fn keys_are_read_as_they_are_written_and_nonsense_is_named_by_its_line() {
    let mut bench = Bench::new();
    for algorithm in Algorithm::ALL {
        bench.add(algorithm, Span::ZERO);
    }
    let text = write_keys(&bench.keys).unwrap();
    let read = read_keys(&text).unwrap();
    let what = |keys: &[RingKey]| keys.iter().map(|k| (k.key.kid().to_owned(), k.signs_from)).collect::<Vec<_>>();
    assert_eq!(what(&read), what(&bench.keys));
    let second = read_keys(&(text.clone() + &text)).unwrap_err();
    assert!(second.contains("twice"), "{second}");
    assert!(read_keys(&text.replace("Key-Id: ", "Key-Id: x")).unwrap_err().contains("Key-Id"));
    assert!(read_keys("Signs-From: soon\n").unwrap_err().starts_with("line 1"));
    assert!(read_keys("-----BEGIN RSA PRIVATE KEY-----\n").is_err());
    assert_eq!(read_keys("").unwrap().len(), 0);
}
