//! Lists: `?limit=&cursor=` in, `"pagination": {"limit", "next_cursor"}` out.

use std::str::FromStr;

use serde::Serialize;

use crate::cursor::Cursors;
use crate::query::QueryReader;

const MAX_LIMIT: usize = 100;
const DEFAULT_LIMIT: usize = 20;

/// What part of a list is asked for. `K` is a position in it.
#[derive(Debug)]
pub(crate) struct Page<K> {
    limit: usize,
    scope: String,
    /// Where the last page ended; `None` for the first page.
    pub(crate) after: Option<K>,
}

/// A list's answer.
#[derive(Debug, Serialize)]
pub(crate) struct Listing<T> {
    success: bool,
    data: Vec<T>,
    pagination: Pagination,
}

/// How a list goes on.
#[derive(Debug, Serialize)]
struct Pagination {
    limit: usize,
    next_cursor: Option<String>,
}

impl<K: FromStr> Page<K> {
    /// Reads `limit` and `cursor`. `scope` names the list with everything that makes it this list:
    /// tenant and filters.
    pub(crate) fn read(query: &mut QueryReader, cursors: &Cursors, scope: String) -> Self {
        let after = query
            .text("cursor")
            .map(|cursor| cursors.open(&scope, cursor).and_then(|position| position.parse().ok()));
        if matches!(after, Some(None)) {
            query.refuse("cursor", "is not a cursor of this list");
        }
        let limit = query
            .text("limit")
            .map(|limit| limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)));
        if matches!(limit, Some(None)) {
            query.refuse("limit", format!("must be a whole number from 1 to {MAX_LIMIT}"));
        }
        Self { limit: limit.flatten().unwrap_or(DEFAULT_LIMIT), scope, after: after.flatten() }
    }
}

impl<K> Page<K> {
    /// How many rows to read: one more than are shown tells whether there are more.
    pub(crate) fn n_rows(&self) -> i64 {
        i64::try_from(self.limit + 1).expect("a limit is at most 100")
    }

    /// The answer made of these rows, of which there are at most [`Self::n_rows`].
    pub(crate) fn listing<R, T>(
        &self,
        cursors: &Cursors,
        mut rows: Vec<R>,
        position: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Listing<T> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().filter(|_| has_more);
        let next_cursor = last.map(|last| cursors.seal(&self.scope, &position(last)));
        let data = rows.into_iter().map(show).collect();
        let pagination = Pagination { limit: self.limit, next_cursor };
        Listing { success: true, data, pagination }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> Cursors {
        Cursors::new(b"key")
    }

    fn page(query: &str) -> (Page<usize>, bool) {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let mut reader = QueryReader::of(&request).unwrap();
        let page = Page::read(&mut reader, &cursors(), "list".to_owned());
        (page, reader.done().is_ok())
    }

    /// The rows after a position, as a statement would read them.
    fn rows(n_items: usize, page: &Page<usize>) -> Vec<usize> {
        let n_rows = usize::try_from(page.n_rows()).unwrap();
        (page.after.map_or(0, |last| last + 1)..n_items).take(n_rows).collect()
    }

    proptest! {
        #[test]
        fn every_item_is_on_exactly_one_page(n_items in 0_usize..60, limit in 1_usize..20) {
            let mut seen = Vec::new();
            let mut query = format!("limit={limit}");
            loop {
                let (page, ok) = page(&query);
                prop_assert!(ok);
                let found = rows(n_items, &page);
                let listing = page.listing(&cursors(), found, usize::to_string, |row| row);
                prop_assert!(listing.data.len() <= limit);
                seen.extend(listing.data);
                let Some(cursor) = listing.pagination.next_cursor else { break };
                query = format!("limit={limit}&cursor={cursor}");
            }
            prop_assert_eq!(seen, (0..n_items).collect::<Vec<_>>());
        }
    }

    #[test]
    fn limits_and_cursors_that_are_none_are_refused() {
        for bad in ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "cursor=x", "cursor="]
        {
            assert!(!page(bad).1, "{bad}");
        }
        assert_eq!(page("").0.limit, DEFAULT_LIMIT);
        assert!(page("limit=100").1);
    }
}
