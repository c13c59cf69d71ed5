//! Keyset pagination: page tokens that are opaque, authenticated, and bound to the query and the scope that they continue.

use std::io;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::{Stream, TryStreamExt as _};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Scope, Sealer, StoreError};

pub const DEFAULT_SIZE: i32 = 50;
pub const MAX_SIZE: i32 = 500;
/// A page ends early before its rows hold more than this as JSON, which they are stored or counted as: about 1 MiB as a message. (Lists of
/// numbers of one digit grow most, to less than six times as much.) A row that alone holds more stands alone.
pub const MAX_BYTES: usize = 512 * 1024;
/// Longer texts are no page tokens of ours.
const MAX_TOKEN: usize = 2048;
const TAG: usize = 32;

/// Which page of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<C> {
    /// Rows to return, 1 to [`MAX_SIZE`].
    pub size: i64,
    /// The last row of the page before, None for the first page.
    pub after: Option<C>,
}

/// The rows of one page and, where more follow, the place to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T, C> {
    pub rows: Vec<T>,
    pub next: Option<C>,
}

impl<T, C> Listed<T, C> {
    /// From up to `size + 1` rows: the one too many says that there is a next page. The page ends early where its rows are large.
    pub fn from_rows(rows: Vec<T>, size: i64, cursor: impl Fn(&T) -> C) -> Self
    where
        T: Serialize,
    {
        Self::cut(rows, size, false, json_length, cursor)
    }

    /// The same of rows that are weighed otherwise. `more`: there are more than these, whatever their number.
    pub fn cut(
        mut rows: Vec<T>,
        size: i64,
        more: bool,
        weight: impl Fn(&T) -> usize,
        cursor: impl Fn(&T) -> C,
    ) -> Self {
        let mut bytes = 0_usize;
        let fitting = rows.iter().take_while(|row| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(weight(row));
            first || bytes <= MAX_BYTES
        });
        let size = fitting.count().min(usize::try_from(size).unwrap_or(usize::MAX));
        let more = more || rows.len() > size;
        rows.truncate(size);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { rows, next }
    }
}

/// Reads rows until they hold more than `most` bytes as JSON, two at least: what lies beyond a page is not kept in memory, where JSON takes up to
/// twenty times as much. Whether these are all.
pub async fn gather<R, T: Serialize>(
    rows: impl Stream<Item = Result<R, sqlx::Error>>,
    most: usize,
    read: impl Fn(R) -> Result<T, StoreError>,
) -> Result<(Vec<T>, bool), StoreError> {
    let mut rows = std::pin::pin!(rows);
    let (mut gathered, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.try_next().await? {
        if gathered.len() >= 2 && bytes > most {
            return Ok((gathered, false));
        }
        let row = read(row)?;
        bytes = bytes.saturating_add(json_length(&row));
        gathered.push(row);
    }
    Ok((gathered, true))
}

/// How long a value is as JSON, without writing it down.
fn json_length(value: &impl Serialize) -> usize {
    struct Counted(usize);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // What cannot be written as JSON cannot be weighed, and takes a page of its own.
    serde_json::to_writer(&mut counted, value).map_or(MAX_BYTES, |()| counted.0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("must not be negative")]
    Size,
    #[error("is not the next_page_token of this query")]
    Token,
}

/// The size that a request means (AIP-158): 0 is the default, more than the maximum is the maximum.
pub fn size(requested: i32) -> Result<i64, PageError> {
    match requested {
        0 => Ok(DEFAULT_SIZE.into()),
        1.. => Ok(requested.min(MAX_SIZE).into()),
        ..0 => Err(PageError::Size),
    }
}

/// One list query: its name, its scope, and the filters that a token may not outlive.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    pub method: &'static str,
    pub scope: Scope,
    pub filter: &'a str,
}

impl Query<'_> {
    fn binding(&self, cursor: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for part in [self.method.as_bytes(), self.scope.settings().as_bytes(), self.filter.as_bytes(), cursor] {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        message
    }

    /// The token that continues after `cursor`.
    pub fn token<C: Serialize>(&self, sealer: &Sealer, cursor: &C) -> String {
        let cursor = serde_json::to_vec(cursor).expect("a cursor is plain data");
        let mut bytes = sealer.tag("page token", &self.binding(&cursor)).to_vec();
        bytes.extend_from_slice(&cursor);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The page that a request asks for: `page_size` and `page_token` as they stand in it.
    pub fn page<C: DeserializeOwned>(
        &self,
        sealer: &Sealer,
        page_size: i32,
        token: &str,
    ) -> Result<Page<C>, PageError> {
        let size = size(page_size)?;
        if token.is_empty() {
            return Ok(Page { size, after: None });
        }
        if token.len() > MAX_TOKEN {
            return Err(PageError::Token);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| PageError::Token)?;
        let (tag, cursor) = bytes.split_at_checked(TAG).ok_or(PageError::Token)?;
        sealer.verify("page token", &self.binding(cursor), tag).map_err(|_| PageError::Token)?;
        Ok(Page { size, after: Some(serde_json::from_slice(cursor).map_err(|_| PageError::Token)?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{OrganizationId, OrganizationScope, ProjectId};

    fn sealer() -> Sealer {
        Sealer::parse("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap()
    }

    fn scope() -> Scope {
        OrganizationScope::granted(ProjectId::new(), OrganizationId::new()).into()
    }

    #[test]
    fn a_token_continues_its_own_query_only() {
        let sealer = sealer();
        let query = Query { method: "ListMembers", scope: scope(), filter: "ACTIVE" };
        let token = query.token(&sealer, &42);
        assert_eq!(query.page::<i32>(&sealer, 0, &token), Ok(Page { size: 50, after: Some(42) }));
        for other in [
            Query { method: "ListRoles", ..query },
            Query { scope: scope(), ..query },
            Query { filter: "SUSPENDED", ..query },
        ] {
            assert_eq!(other.page::<i32>(&sealer, 0, &token), Err(PageError::Token));
        }
    }

    #[test]
    fn a_size_has_a_default_and_a_maximum() {
        assert_eq!(size(0), Ok(50));
        assert_eq!(size(7), Ok(7));
        assert_eq!(size(501), Ok(500));
        assert_eq!(size(-1), Err(PageError::Size));
    }

    #[test]
    fn a_row_too_large_stands_alone() {
        let rows = vec!["x".repeat(2 * MAX_BYTES), "y".to_owned()];
        let listed = Listed::from_rows(rows, 50, String::len);
        assert_eq!((listed.rows.len(), listed.next), (1, Some(2 * MAX_BYTES)));
        let listed = Listed::from_rows(vec!["x".repeat(2 * MAX_BYTES)], 50, String::len);
        assert_eq!((listed.rows.len(), listed.next), (1, None));
    }

    proptest! {
        /// Pages of rows of any size hold no more than they may, and leave nothing out.
        #[test]
        fn pages_are_small_and_lose_nothing(sizes in prop::collection::vec(0..MAX_BYTES * 3 / 4, 0..12), size in 1i64..5) {
            let rows: Vec<(usize, String)> = sizes.iter().map(|size| "x".repeat(*size)).enumerate().collect();
            let (mut seen, mut from) = (0, 0);
            loop {
                let asked: Vec<_> = rows.iter().skip(from).take(size as usize + 1).cloned().collect();
                let page = Listed::from_rows(asked, size, |row| row.0);
                prop_assert!(page.rows.len() <= size as usize);
                prop_assert!(page.rows.len() <= 1 || page.rows.iter().map(|row| row.1.len()).sum::<usize>() <= MAX_BYTES);
                prop_assert!(page.rows.iter().map(|row| row.0).eq(seen..seen + page.rows.len()));
                seen += page.rows.len();
                match page.next {
                    Some(last) => from = last + 1,
                    None => break,
                }
            }
            prop_assert_eq!(seen, rows.len());
        }

        #[test]
        fn no_text_of_an_outsider_is_a_token(text in ".{1,200}") {
            let query = Query { method: "ListMembers", scope: scope(), filter: "" };
            prop_assert_eq!(query.page::<i32>(&sealer(), 0, &text), Err(PageError::Token));
        }

        #[test]
        fn a_token_with_one_changed_character_is_refused(cursor: i64, at in 0usize..40) {
            let query = Query { method: "ListMembers", scope: scope(), filter: "" };
            let mut token = query.token(&sealer(), &cursor).into_bytes();
            let at = at % token.len();
            token[at] = if token[at] == b'A' { b'B' } else { b'A' };
            let token = String::from_utf8(token).unwrap();
            prop_assert_eq!(query.page::<i64>(&sealer(), 0, &token), Err(PageError::Token));
        }
    }
}
