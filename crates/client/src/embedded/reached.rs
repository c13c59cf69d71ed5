//! Which revision tokens the held view has reached. A token cannot be read, so nothing is told from its text.

use std::collections::{HashMap, HashSet, VecDeque};

/// As many as are remembered; whoever comes with an older one asks the server.
const MOST: usize = 4096;
/// No token is as long.
const LONGEST: usize = 512;

/// The tokens of the revisions that the stream has come through, and of those that the server answered to be behind one of them.
#[derive(Debug, Default)]
pub struct Reached {
    tokens: Remembered,
    /// By the revision at which the server answered a question that named them: they are reached with it.
    due: HashMap<String, Vec<String>>,
    due_count: usize,
}

/// The last ones.
#[derive(Debug, Default)]
struct Remembered {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Remembered {
    fn add(&mut self, token: String) {
        if token.len() > LONGEST || !self.known.insert(token.clone()) {
            return;
        }
        self.order.push_back(token);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Reached {
    pub fn has(&self, token: &str) -> bool {
        self.tokens.known.contains(token)
    }

    /// The view is at this revision. Of one that begins anew it is not known what of the earlier history is in it.
    pub fn reach(&mut self, revision: &str, anew: bool) {
        if anew {
            *self = Self::default();
        }
        let due = self.due.remove(revision).unwrap_or_default();
        self.due_count -= due.len();
        due.into_iter().chain([revision.to_owned()]).for_each(|token| self.tokens.add(token));
    }

    /// The server answered at the revision where at least the token was asked for.
    pub fn answered(&mut self, token: &str, revision: &str) {
        if token.len() > LONGEST || revision.len() > LONGEST || self.has(token) {
            return;
        }
        if self.has(revision) {
            return self.tokens.add(token.to_owned());
        }
        // The stream may have gone past them without a message of their own.
        if self.due_count >= MOST {
            self.due.clear();
            self.due_count = 0;
        }
        let due = self.due.entry(revision.to_owned()).or_default();
        if !due.iter().any(|known| known == token) {
            due.push(token.to_owned());
            self.due_count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_reached_when_the_stream_or_the_server_says_so() {
        let mut reached = Reached::default();
        reached.reach("r1", true);
        reached.answered("w2", "r3");
        assert!(reached.has("r1") && !reached.has("w2") && !reached.has("r3"));
        reached.reach("r2", false);
        assert!(!reached.has("w2"), "r2 may be before it");
        reached.reach("r3", false);
        assert!(["r1", "r2", "r3", "w2"].iter().all(|token| reached.has(token)));
        reached.answered("w1", "r2");
        assert!(reached.has("w1"), "r2 was passed long ago");
        reached.reach("s1", true);
        assert!(!reached.has("r3") && reached.has("s1"), "it may be another history");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut reached = Reached::default();
        for at in 0..3 * MOST {
            reached.reach(&format!("r{at}"), false);
            reached.answered(&format!("w{at}"), "never");
        }
        assert!(reached.tokens.known.len() <= MOST && reached.tokens.order.len() <= MOST);
        assert!(reached.due.values().map(Vec::len).sum::<usize>() <= MOST);
        assert!(reached.has(&format!("r{}", 3 * MOST - 1)) && !reached.has("r0"));
        reached.answered("w", &"x".repeat(LONGEST + 1));
        assert!(!reached.due.contains_key(&"x".repeat(LONGEST + 1)));
    }
}
