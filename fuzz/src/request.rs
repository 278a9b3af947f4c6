//! Requests as texts, so that a seed can be read and a mutation of it is still a request:
//!
//! ```text
//! /api/triggers/webhook/1?query
//! Header: value
//!
//! body
//! ```

use recado_intake::fuzzing::Request;

/// When every request comes, in Unix seconds.
pub const NOW: i64 = 1_800_000_000;

/// A request, taken apart.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// What is asked for.
    pub path_and_query: &'a str,
    /// Names and values; anything goes.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// All that follows the first empty line.
    pub body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes `bytes` apart. What is missing is empty.
    pub fn of(bytes: &'a [u8]) -> Self {
        let head_end = bytes.windows(2).position(|two| two == b"\n\n");
        let (head, body) = match head_end {
            Some(at) => (&bytes[..at], &bytes[at + 2..]),
            None => (bytes, &b""[..]),
        };
        let mut lines = head.split(|&byte| byte == b'\n');
        let path_and_query = lines.next().map_or("", |line| str::from_utf8(line).unwrap_or(""));
        let header = |line: &'a [u8]| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        };
        Self { path_and_query, headers: lines.filter_map(header).collect(), body }
    }

    /// The request as ingress sees it.
    pub fn received(&self) -> Request {
        Request::new(self.path_and_query, &self.headers, self.body, NOW)
    }
}
