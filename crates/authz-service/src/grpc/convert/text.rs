//! Texts of callers: their lengths, and what must not be in them.

use runtime::Violations;

/// A name for people: 1 to 200 characters on one line.
pub fn display_name(violations: &mut Violations, field: &str, text: &str) -> Option<String> {
    violations.check(field, one_line(text, 1, 200))
}

/// Up to 1,000 characters; line breaks are fine.
pub fn description(violations: &mut Violations, field: &str, text: &str) -> Option<String> {
    let fits = text.chars().count() <= 1000 && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    violations.check(
        field,
        if fits { Ok(text.to_owned()) } else { Err("must be at most 1000 characters, without control characters") },
    )
}

/// A key in somebody else's system: up to 256 bytes.
pub fn external_id(violations: &mut Violations, field: &str, text: &str) -> Option<String> {
    let fits = text.len() <= 256 && !text.chars().any(char::is_control);
    violations.check(
        field,
        if fits { Ok(text.to_owned()) } else { Err("must be at most 256 bytes, without control characters") },
    )
}

fn one_line(text: &str, least: usize, most: usize) -> Result<String, String> {
    let fault = || Err(format!("must be {least} to {most} characters, not blank, without control characters"));
    // Marks that turn the direction of writing make one name look like another.
    let misleading = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let count = text.chars().count();
    if count < least || count > most || text.trim().is_empty() || text.chars().any(misleading) {
        return fault();
    }
    Ok(text.to_owned())
}

/// A list that is too long, or empty where it must not be.
pub fn count(violations: &mut Violations, field: &str, count: usize, least: usize, most: usize) {
    violations.require((least..=most).contains(&count), field, format!("must be {least} to {most}, not {count}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_that_reads_as_it_is() {
        for good in ["Editor", "Редактор", "x", &"x".repeat(200)] {
            assert!(one_line(good, 1, 200).is_ok(), "{good:?}");
        }
        for bad in ["", "  ", "a\nb", "a\u{202e}b", "a\0", &"x".repeat(201)] {
            assert!(one_line(bad, 1, 200).is_err(), "{bad:?}");
        }
    }
}
