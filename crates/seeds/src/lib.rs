//! What fuzzers and their short cousins in `cargo test` share.
//!
//! A body is a function of bytes that ends in silence or in a panic; it stands in the crate whose code it tries, in a module
//! `fuzzing`, which neither a service nor a release has: `#[cfg(any(test, fuzzing))]`. Two call it. A target in `fuzz/` lets libFuzzer
//! look for bytes for hours, led by what they reach; and a test of the same crate calls [`each`], which needs no fuzzer: every seed
//! as it stands in `fuzz/seeds`, then some hundreds of inputs that are made of them.
//!
//! [`Choices`] reads an input: whatever bytes come, they mean something, and what a person writes into a seed can be read there.

#[cfg(not(fuzzing))]
mod near;

#[cfg(not(fuzzing))]
pub use near::each;

/// An input, read from its front. At its end it gives zeros and nothing more.
#[derive(Debug, Clone)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of `bound` from a single byte; a digit of a seed is its own number, as far as it is below the bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte().wrapping_sub(b'0')) % bound.max(1)
    }

    pub fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }

    /// Two bytes as a place among `length`; 0 where there is none.
    pub fn place(&mut self, length: usize) -> usize {
        let at = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        at.checked_rem(length).unwrap_or_default()
    }

    pub fn number(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Up to the next line's end, which is not in it.
    pub fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        line
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// As text; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.rest()).into_owned()
    }

    /// The same text with up to four places of it changed, cut out or written in between.
    pub fn bend(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.place(bytes.len() + 1);
            let byte = self.byte();
            match (self.below(4), bytes.get_mut(at)) {
                (0 | 1, Some(place)) => *place = byte,
                (2, Some(_)) => drop(bytes.remove(at)),
                (3, Some(_)) => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_to_its_end_and_beyond() {
        let mut choices = Choices::new(b"21a\nbc");
        assert_eq!((choices.below(3), choices.yes()), (2, true));
        assert_eq!(choices.line(), b"a");
        assert_eq!(choices.clone().text(), "bc");
        assert_eq!(choices.rest(), b"bc");
        assert!(choices.is_empty());
        assert_eq!((choices.byte(), choices.number(), choices.place(0), choices.line()), (0, 0, 0, &[][..]));
    }

    #[test]
    fn a_text_is_bent_where_the_input_says() {
        // One change at place 1: 'b' becomes 'x'.
        assert_eq!(Choices::new(b"0\x00\x01x0").bend("abc"), "axc");
        assert_eq!(Choices::new(b"0\x00\x01x2").bend("abc"), "ac");
        assert_eq!(Choices::new(b"0\x00\x01x3").bend("abc"), "a");
        assert_eq!(Choices::new(b"0\x00\x03x0").bend("abc"), "abcx");
    }
}
