//! Inputs near the seeds, without a fuzzer.

use std::{fs, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

/// The longest input that is made up.
const LONGEST: usize = 4096;

/// One thing done to an input.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Cut(Index, usize),
    Insert(Index, Vec<u8>),
    /// A word of the target's dictionary.
    Word(Index, Index),
    /// A piece of the input once more, elsewhere.
    Again(Index, usize, Index),
    /// The end of another seed.
    Cross(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        2 => (index(), 1..16_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        2 => (index(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        4 => (index(), index()).prop_map(|(at, word)| Change::Word(at, word)),
        1 => (index(), 1..64_usize, index()).prop_map(|(from, length, to)| Change::Again(from, length, to)),
        1 => (index(), index(), index()).prop_map(|(at, seed, from)| Change::Cross(at, seed, from)),
    ]
}

struct Target {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Target {
    fn read(name: &str) -> Self {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let folder = fuzz.join("seeds").join(name);
        let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = listed.map(|entry| entry.expect("a folder is read").path()).collect();
        files.sort();
        let seeds: Vec<_> = files.iter().map(|file| fs::read(file).expect("a seed is read")).collect();
        assert!(!seeds.is_empty(), "{} holds no seed", folder.display());
        let dictionary = fs::read_to_string(fuzz.join("dictionaries").join(format!("{name}.dict")));
        let words = dictionary.iter().flat_map(|text| text.lines()).filter_map(word).collect();
        Self { seeds, words }
    }

    fn apply(&self, input: &mut Vec<u8>, change: &Change) {
        let at = |index: &Index, length: usize| index.index(length + 1);
        match change {
            Change::Byte(place, byte) => {
                let place = at(place, input.len());
                match input.get_mut(place) {
                    Some(there) => *there = *byte,
                    None => input.push(*byte),
                }
            }
            Change::Cut(from, length) => {
                let from = at(from, input.len());
                input.drain(from..(from + length).min(input.len()));
            }
            Change::Insert(to, bytes) => insert(input, at(to, input.len()), bytes),
            Change::Word(to, word) => {
                if !self.words.is_empty() {
                    insert(input, at(to, input.len()), &self.words[word.index(self.words.len())]);
                }
            }
            Change::Again(from, length, to) => {
                let from = at(from, input.len());
                let piece = input[from..(from + length).min(input.len())].to_vec();
                insert(input, at(to, input.len()), &piece);
            }
            Change::Cross(to, seed, from) => {
                let seed = seed.get(&self.seeds);
                input.truncate(at(to, input.len()));
                input.extend_from_slice(&seed[at(from, seed.len())..]);
            }
        }
        input.truncate(LONGEST);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// A line of a dictionary of libFuzzer's: `name="text"`, with `\xNN`, `\"` and `\\` in it.
fn word(line: &str) -> Option<Vec<u8>> {
    let line = line.trim();
    let (_, quoted) = line.split_once('"').filter(|_| !line.starts_with('#'))?;
    let mut left = quoted.strip_suffix('"')?.bytes();
    let mut word = Vec::new();
    while let Some(byte) = left.next() {
        match byte {
            b'\\' => match left.next()? {
                b'x' => {
                    let digits = [left.next()?, left.next()?];
                    word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                }
                escaped => word.push(escaped),
            },
            byte => word.push(byte),
        }
    }
    Some(word)
}

/// Calls the body with every seed of a target, then with what comes of changing them, and with bytes out of nowhere: as often as
/// `PROPTEST_CASES` says, 256 times unless it is set. A panic of the body is the failure; the input is told, as small as it can be made.
#[expect(clippy::missing_panics_doc, reason = "it is an assertion")]
pub fn each(target: &str, body: fn(&[u8])) {
    let read = Target::read(target);
    read.seeds.iter().for_each(|seed| body(seed));
    let inputs = prop_oneof![
        8 => (any::<Index>(), vec(change(), 1..6)).prop_map(|(seed, changes)| (Some(seed), changes, Vec::new())),
        1 => vec(any::<u8>(), 0..200).prop_map(|bytes| (None, Vec::new(), bytes)),
    ];
    let config = Config { failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&inputs, |(seed, changes, bytes)| {
        let mut input = seed.map_or(bytes, |seed| seed.get(&read.seeds).clone());
        changes.iter().for_each(|change| read.apply(&mut input, change));
        let tried = std::panic::catch_unwind(|| body(&input));
        tried.map_err(|_| TestCaseError::fail(format!("the input was \"{}\"", input.escape_ascii())))
    });
    if let Err(error) = outcome {
        panic!("{target}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_dictionary_is_a_word() {
        assert_eq!(word(r#"quote="a\"\\\x0a""#), Some(b"a\"\\\n".to_vec()));
        assert_eq!(word(r#""bare""#), Some(b"bare".to_vec()));
        for none in ["", "# \"a\"", "a", "\"a", "\"\\x0\""] {
            assert_eq!(word(none), None, "{none}");
        }
    }

    #[test]
    #[should_panic(expected = "the input was")]
    fn a_body_that_can_be_broken_is_broken() {
        // The seeds of paths are.
        each("path", |input| assert!(input.is_ascii()));
    }
}
