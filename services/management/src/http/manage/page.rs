//! Numbered pages, as seed 001 has them: `?page=&limit=` in, `{"page", "limit", "total", "pages"}`
//! out.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::operation::Parameter;
use crate::query::QueryReader;

const DEFAULT_LIMIT: u32 = 10;
const MAX_LIMIT: u32 = 100;

/// Which page is asked for.
pub(super) const PAGE: Parameter = Parameter {
    name: "page",
    about: "Which page, from 1.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX, "default": 1 }),
};

/// How large a page is.
pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many items are on a page.",
    schema: || {
        json!({
            "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
        })
    },
};

/// A numbered page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    page: u32,
    limit: u32,
}

impl Numbered {
    pub(super) fn read(query: &mut QueryReader) -> Self {
        let page = number(query, "page", u32::MAX).unwrap_or(1);
        let limit = number(query, "limit", MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        Self { page, limit }
    }

    /// How many items are before it.
    pub(super) fn offset(self) -> i64 {
        i64::from(self.page - 1) * i64::from(self.limit)
    }

    pub(super) fn limit(self) -> i64 {
        self.limit.into()
    }

    pub(super) fn listing<T>(self, data: Vec<T>, total: i64) -> Pages<T> {
        let pages = (total + self.limit() - 1) / self.limit();
        Pages { data, pagination: Pagination { page: self.page, limit: self.limit, total, pages } }
    }
}

fn number(query: &mut QueryReader, name: &'static str, most: u32) -> Option<u32> {
    let number = query.text(name)?.parse().ok().filter(|number| (1..=most).contains(number));
    if number.is_none() {
        query.refuse(name, format!("must be a whole number from 1 to {most}"));
    }
    number
}

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::http) struct Pages<T> {
    data: Vec<T>,
    pagination: Pagination,
}

/// Which page it is, of how many.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ManagePagination")]
struct Pagination {
    page: u32,
    limit: u32,
    /// How many items are on all pages.
    total: i64,
    pages: i64,
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(query: &str) -> Option<Numbered> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let mut query = QueryReader::of(&request);
        let read = Numbered::read(&mut query);
        query.done().is_ok().then_some(read)
    }

    #[test]
    fn pages_are_numbered_from_1() {
        assert_eq!(read(""), Some(Numbered { page: 1, limit: 10 }));
        let third = read("page=3&limit=100").unwrap();
        assert_eq!((third.offset(), third.limit()), (200, 100));
        assert_eq!(read("page=4294967295&limit=100").unwrap().offset(), 429_496_729_400);
        for bad in ["page=0", "page=-1", "page=x", "page=1.5", "limit=0", "limit=101", "size=1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_last_page_may_be_short() {
        let pages = |total| {
            let first = read("limit=10").unwrap();
            first.listing(Vec::<u8>::new(), total).pagination.pages
        };
        assert_eq!([0, 1, 10, 11].map(pages), [0, 1, 1, 2]);
    }
}
