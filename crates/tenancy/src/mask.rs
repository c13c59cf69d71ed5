//! Field masks (`google.protobuf.FieldMask`) and etags, as every update takes them.

/// Which fields an update sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(Vec<String>);

impl Mask {
    /// The paths of a request's `update_mask`. Every path must be one of `allowed`; `*` stands for all of them. The error names every
    /// fault.
    pub fn parse(paths: &[String], allowed: &[&str]) -> Result<Self, String> {
        if paths.is_empty() {
            return Err(format!("must name the fields to update, out of: {}", allowed.join(", ")));
        }
        if paths == ["*"] {
            return Ok(Self(allowed.iter().map(|&path| path.to_owned()).collect()));
        }
        let unknown: Vec<String> = paths
            .iter()
            .filter(|path| !allowed.contains(&path.as_str()))
            .take(10)
            .map(|path| printable(path))
            .collect();
        if !unknown.is_empty() {
            return Err(format!("cannot update {}; may name: {}", unknown.join(", "), allowed.join(", ")));
        }
        Ok(Self(paths.to_vec()))
    }

    pub fn has(&self, path: &str) -> bool {
        self.0.iter().any(|p| p == path)
    }

    /// `value` if the mask names its path: what an update sets, and None where it leaves the field as it is.
    pub fn pick<T>(&self, path: &str, value: T) -> Option<T> {
        self.has(path).then_some(value)
    }
}

/// A caller's text, safe to repeat in a message.
fn printable(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// A resource's etag: the revision of its tenant that last changed it.
pub fn etag(revision: i64) -> String {
    format!("{revision:x}")
}

/// Whether an update that was decided on with `given` may go ahead. Without an etag it always may.
pub fn etag_matches(given: &str, revision: i64) -> bool {
    given.is_empty() || given == etag(revision)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALLOWED: &[&str] = &["display_name", "settings.mfa_policy"];

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|&p| p.to_owned()).collect()
    }

    #[test]
    fn a_mask_picks_what_it_names() {
        let mask = Mask::parse(&paths(&["display_name"]), ALLOWED).unwrap();
        assert_eq!(mask.pick("display_name", 1), Some(1));
        assert_eq!(mask.pick("settings.mfa_policy", 1), None);
        assert!(Mask::parse(&paths(&["*"]), ALLOWED).unwrap().has("settings.mfa_policy"));
    }

    #[test]
    fn every_unknown_path_is_named_and_none_is_echoed_raw() {
        let fault = Mask::parse(&paths(&["display_name", "Slug", "a\u{202e}b"]), ALLOWED).unwrap_err();
        assert!(fault.contains("Slug") && fault.contains("\\u{202e}") && !fault.contains('\u{202e}'), "{fault}");
        assert!(Mask::parse(&[], ALLOWED).is_err());
        assert!(Mask::parse(&paths(&["*", "display_name"]), ALLOWED).is_err());
    }

    proptest! {
        #[test]
        fn only_allowed_paths_pass(path in "[a-z_.]{0,24}") {
            prop_assert_eq!(Mask::parse(std::slice::from_ref(&path), ALLOWED).is_ok(), ALLOWED.contains(&path.as_str()));
        }

        #[test]
        fn an_etag_is_of_one_revision(a: i64, b: i64) {
            prop_assert_eq!(etag_matches(&etag(a), b), a == b);
        }
    }
}
