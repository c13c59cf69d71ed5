//! The words of an expression. Nothing is copied but the contents of string literals.

use super::fault::{Fault, Place};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'s> {
    Name(&'s str),
    /// Without its sign.
    Int(u64),
    Uint(u64),
    Double(f64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// The longest first, so that the first that fits is the one meant.
const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", "-", "+", "*", "/", "%", "?", ":", "!",
    "<", ">", "=",
];

#[derive(Debug)]
pub(super) struct Tokens<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Tokens<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, at: 0 }
    }

    /// The next word and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token<'s>, Place), Fault> {
        self.skip();
        let place = Place(self.at);
        let rest = &self.source[self.at..];
        let Some(first) = rest.chars().next() else { return Ok((Token::End, place)) };
        let quoted = ["r'", "r\"", "R'", "R\"", "'", "\""].iter().any(|start| rest.starts_with(start));
        let token = if quoted {
            self.text(place)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            self.name(rest, place)?
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            self.number(rest, place)?
        } else {
            let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
                return Err(Fault::new(place, format!("`{first}` has no meaning here")));
            };
            self.at += sign.len();
            Token::Sign(sign)
        };
        Ok((token, place))
    }

    /// Blanks, and comments to the end of their line.
    fn skip(&mut self) {
        loop {
            let rest = &self.source[self.at..];
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            let comment = if rest[blank..].starts_with("//") {
                rest[blank..].find('\n').unwrap_or(rest.len() - blank)
            } else {
                0
            };
            if blank + comment == 0 {
                return;
            }
            self.at += blank + comment;
        }
    }

    fn name(&mut self, rest: &'s str, place: Place) -> Result<Token<'s>, Fault> {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        let is_prefix = ["b", "br", "rb"].iter().any(|prefix| name.eq_ignore_ascii_case(prefix));
        if is_prefix && rest[end..].starts_with(['\'', '"']) {
            return Err(Fault::new(place, "bytes are not supported".to_owned()));
        }
        self.at += end;
        Ok(Token::Name(name))
    }

    fn number(&mut self, rest: &'s str, place: Place) -> Result<Token<'s>, Fault> {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let unreadable = |text: &str| Fault::new(place, format!("`{text}` is not a number that can be held"));
        if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let value = u64::from_str_radix(&hex[..end], 16).map_err(|_| unreadable(&rest[..2 + end]))?;
            self.at += 2 + end;
            return self.whole(value, place);
        }
        let mut end = digits(rest);
        let mut is_double = false;
        if let Some(fraction) = rest[end..].strip_prefix('.')
            && fraction.starts_with(|c: char| c.is_ascii_digit())
        {
            is_double = true;
            end += 1 + digits(fraction);
        }
        if let Some(exponent) = rest[end..].strip_prefix(['e', 'E']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            if digits(&exponent[sign..]) > 0 {
                is_double = true;
                end += 1 + sign + digits(&exponent[sign..]);
            }
        }
        let text = &rest[..end];
        self.at += end;
        if !is_double {
            return self.whole(text.parse().map_err(|_| unreadable(text))?, place);
        }
        let value: f64 = text.parse().map_err(|_| unreadable(text))?;
        if value.is_finite() { self.ended(Token::Double(value), place) } else { Err(unreadable(text)) }
    }

    fn whole(&mut self, value: u64, place: Place) -> Result<Token<'s>, Fault> {
        if self.source[self.at..].starts_with(['u', 'U']) {
            self.at += 1;
            return self.ended(Token::Uint(value), place);
        }
        self.ended(Token::Int(value), place)
    }

    /// A number does not run into a name.
    fn ended(&self, token: Token<'s>, place: Place) -> Result<Token<'s>, Fault> {
        if self.source[self.at..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Fault::new(place, "a number is followed by a letter".to_owned()));
        }
        Ok(token)
    }

    fn text(&mut self, place: Place) -> Result<Token<'s>, Fault> {
        let raw = self.source[self.at..].starts_with(['r', 'R']);
        self.at += usize::from(raw);
        let rest = &self.source[self.at..];
        let quote = ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| rest.starts_with(quote)).unwrap_or("'");
        self.at += quote.len();
        let open = || Fault::new(place, "a string does not end".to_owned());
        let mut text = String::new();
        loop {
            let rest = &self.source[self.at..];
            if rest.starts_with(quote) {
                self.at += quote.len();
                return Ok(Token::Text(text));
            }
            let next = rest.chars().next().ok_or_else(open)?;
            if quote.len() == 1 && (next == '\n' || next == '\r') {
                return Err(open());
            }
            self.at += next.len_utf8();
            if next == '\\' && !raw {
                text.push(self.escaped()?);
            } else {
                text.push(next);
                // In a raw string a quote behind a backslash does not end it, and both stay.
                let rest = &self.source[self.at..];
                if next == '\\' && rest.starts_with(['\'', '"']) {
                    text.push_str(&rest[..1]);
                    self.at += 1;
                }
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Fault> {
        let place = Place(self.at - 1);
        let wrong = || Fault::new(place, "no such escape in a string".to_owned());
        let rest = &self.source[self.at..];
        let kind = rest.chars().next().ok_or_else(wrong)?;
        let (skipped, length, radix) = match kind {
            'x' | 'X' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='3' => (0, 3, 8),
            _ => {
                let meant = match kind {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' | '?' | '"' | '\'' | '`' => kind,
                    _ => return Err(wrong()),
                };
                self.at += 1;
                return Ok(meant);
            }
        };
        let digits = rest.get(skipped..skipped + length).filter(|text| text.chars().all(|c| c.is_digit(radix)));
        let value = digits.and_then(|text| u32::from_str_radix(text, radix).ok());
        let meant = value.and_then(char::from_u32).ok_or_else(wrong)?;
        self.at += skipped + length;
        Ok(meant)
    }
}
