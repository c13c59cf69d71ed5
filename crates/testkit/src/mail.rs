use serde::Deserialize;

/// A message that was mailed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
    /// Empty if there was none.
    pub html: String,
}

impl Mail {
    /// The secret of the link in it: what follows `?token=`.
    pub fn token(&self) -> String {
        let (_, rest) = self.text.split_once("?token=").unwrap_or_else(|| panic!("no link with a token in {self:?}"));
        rest.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '&'))
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// The one-time code in it: six digits by themselves, perhaps with a blank between the threes.
    pub fn code(&self) -> String {
        let words: Vec<&str> =
            self.text.split_whitespace().map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation())).collect();
        let digits = |word: &str, count| word.len() == count && word.bytes().all(|byte| byte.is_ascii_digit());
        let whole = words.iter().find(|word| digits(word, 6)).map(|word| (*word).to_owned());
        let halves =
            || words.windows(2).find(|pair| digits(pair[0], 3) && digits(pair[1], 3)).map(|pair| pair.concat());
        whole.or_else(halves).unwrap_or_else(|| panic!("no code in {self:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(text: &str) -> Mail {
        Mail { to: "a@b.test".to_owned(), subject: String::new(), text: text.to_owned(), html: String::new() }
    }

    #[test]
    fn a_code_and_a_link_are_found_in_the_text() {
        assert_eq!(mail("Your code is 012345.\n").code(), "012345");
        assert_eq!(mail("Your code: 012 345, for 10 minutes").code(), "012345");
        assert_eq!(mail("Open http://127.0.0.1:8080/invitation?token=inv_a-B_9\nby Friday").token(), "inv_a-B_9");
    }
}
