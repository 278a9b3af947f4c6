//! Lists: `?limit=&cursor=` in, `"pagination": {"limit", "next_cursor"}` out.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cursor::Cursors;
use crate::http::operation::Parameter;
use crate::query::QueryReader;

const MAX_LIMIT: usize = 100;
const DEFAULT_LIMIT: usize = 20;

/// How many items a page has.
pub(crate) const LIMIT: Parameter =
    Parameter { name: "limit", about: "How many items there are at most.", schema: limit_schema };

/// Where a list goes on.
pub(crate) const CURSOR: Parameter = Parameter {
    name: "cursor",
    about: "What `pagination.next_cursor` said, with the same filters.",
    schema: cursor_schema,
};

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
#[derive(Debug, Serialize, JsonSchema)]
struct Pagination {
    /// How many items there are at most.
    limit: usize,
    /// Where the list goes on; `null` at its end.
    next_cursor: Option<String>,
}

impl<T: JsonSchema> JsonSchema for Listing<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Listing{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "success": { "type": "boolean", "const": true },
                "data": {
                    "type": "array",
                    "items": schemas.subschema_for::<T>(),
                    "maxItems": MAX_LIMIT,
                },
                "pagination": schemas.subschema_for::<Pagination>(),
            },
            "required": ["success", "data", "pagination"],
        })
    }
}

fn limit_schema() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT })
}

fn cursor_schema() -> Value {
    json!({ "type": "string", "minLength": 1 })
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
        rows: Vec<R>,
        position: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Listing<T> {
        self.stretch(cursors, rows, None, position, show)
    }

    /// The same of a list that was looked through as far as `stopped_at`: if the page is not full,
    /// it goes on there.
    pub(crate) fn stretch<R, T>(
        &self,
        cursors: &Cursors,
        mut rows: Vec<R>,
        stopped_at: Option<String>,
        position: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Listing<T> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().filter(|_| has_more).map(position);
        let next_cursor = last.or(stopped_at).map(|last| cursors.seal(&self.scope, &last));
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
        Cursors::for_tests()
    }

    fn page(query: &str) -> (Page<usize>, bool) {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let mut reader = QueryReader::of(&request);
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
    fn a_page_that_is_not_full_goes_on_where_looking_stopped() {
        let next = |rows: Vec<usize>, stopped_at: Option<&str>| {
            let (page, _) = page("limit=2");
            let stopped_at = stopped_at.map(str::to_owned);
            let listing = page.stretch(&cursors(), rows, stopped_at, usize::to_string, |row| row);
            let cursor = listing.pagination.next_cursor;
            (listing.data.len(), cursor.map(|cursor| cursors().open("list", &cursor).unwrap()))
        };
        assert_eq!(next(vec![], Some("9")), (0, Some("9".into())));
        assert_eq!(next(vec![1, 2], Some("9")), (2, Some("9".into())));
        assert_eq!(next(vec![1, 2, 3], Some("9")), (2, Some("2".into())));
        assert_eq!(next(vec![1, 2], None), (2, None));
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
