//! Regular expressions, in RE2's syntax as CEL has it: turned into a table when the condition is compiled, so that matching takes
//! one step for each byte of the text, whatever the pattern.

use std::sync::Arc;

use regex_automata::dfa::{Automaton, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// The longest pattern, in bytes.
pub const MAX_PATTERN_LENGTH: usize = 512;
/// The tables of all patterns of a condition together, in bytes.
pub const MAX_PATTERN_TABLE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Pattern {
    automaton: Arc<dense::DFA<Vec<u32>>>,
}

impl Pattern {
    /// Takes what its table needs off what the condition has used up.
    pub(super) fn compile(pattern: &str, used: &mut usize) -> Result<Self, String> {
        if pattern.len() > MAX_PATTERN_LENGTH {
            return Err(format!("a pattern has at most {MAX_PATTERN_LENGTH} bytes"));
        }
        let room = MAX_PATTERN_TABLE.saturating_sub(*used);
        let automaton = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(regex_automata::dfa::StartKind::Unanchored)
                    .dfa_size_limit(Some(room))
                    .determinize_size_limit(Some(2 * MAX_PATTERN_TABLE)),
            )
            .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_PATTERN_TABLE)))
            .syntax(syntax::Config::new().nest_limit(32))
            .build(&ascii_classes(pattern)?)
            .map_err(|error| match std::error::Error::source(&error) {
                Some(source) => format!("the pattern cannot be used: {}", last_line(&source.to_string())),
                None => format!("the pattern cannot be used: {}", last_line(&error.to_string())),
            })?;
        *used += automaton.memory_usage();
        Ok(Self { automaton: Arc::new(automaton) })
    }

    pub(super) fn is_match(&self, text: &str) -> Result<bool, String> {
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        match self.automaton.try_search_fwd(&input) {
            Ok(found) => Ok(found.is_some()),
            Err(error) => Err(format!("the pattern gave up: {error}")),
        }
    }
}

/// Errors of the pattern's own grammar quote it over several lines and say what is wrong in the last.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

/// RE2's `\d`, `\s`, `\w` and `\b` are of ASCII. Set operations inside brackets, which RE2 does not have, are refused.
fn ascii_classes(pattern: &str) -> Result<String, String> {
    let mut written = String::with_capacity(pattern.len());
    let mut letters = pattern.chars().peekable();
    let mut in_brackets = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('d') => written.push_str("[0-9]"),
                Some('D') => written.push_str("[^0-9]"),
                Some('w') => written.push_str("[0-9A-Za-z_]"),
                Some('W') => written.push_str("[^0-9A-Za-z_]"),
                Some('s') => written.push_str("[\\t\\n\\f\\r ]"),
                Some('S') => written.push_str("[^\\t\\n\\f\\r ]"),
                Some('b') if !in_brackets => written.push_str("(?-u:\\b)"),
                Some('B') if !in_brackets => written.push_str("(?-u:\\B)"),
                Some(other) => written.extend(['\\', other]),
                None => written.push('\\'),
            },
            '[' => {
                in_brackets = true;
                written.push(letter);
            }
            ']' => {
                in_brackets = false;
                written.push(letter);
            }
            '&' | '-' | '~' if in_brackets && letters.peek() == Some(&letter) => {
                return Err(format!("the pattern has `{letter}{letter}` inside brackets"));
            }
            _ => written.push(letter),
        }
    }
    Ok(written)
}
