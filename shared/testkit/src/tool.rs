//! A tool behind an HTTP API: it remembers how it was called and answers what a test wants.
//!
//! It answers whole requests; planned faults ([`Stub`]) make it fail, hang or cut the connection.
//! What keeps to no rules at all is a [`Receiver`](crate::receiver::Receiver).

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stub::{Received, Reply, Request, Stub};

/// A tool with a history; faults are planned through [`Stub`].
#[derive(Debug)]
pub struct Tool(Stub);

/// How a tool was called once.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCalled {
    /// 1 for the first request.
    pub seq: u64,
    /// When it was read, since the stub was started.
    pub at: Duration,
    /// Upper case.
    pub method: String,
    /// As it was sent, percent-encoding included.
    pub path: String,
    /// The fields of the query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The body, if it is JSON.
    pub body: Option<Value>,
    /// Whether the tool answered with a 2xx.
    pub succeeded: bool,
}

impl Tool {
    /// Starts a tool that answers every request as `answer` says.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self(Stub::start(answer))
    }

    /// Starts a tool that answers each path with its JSON and everything else with 404.
    pub fn answering<const N: usize>(answers: [(&str, Value); N]) -> Self {
        let answers = answers.map(|(path, answer)| (path.to_owned(), answer));
        Self::start(move |request| {
            let found = answers.iter().find(|(path, _)| *path == request.path);
            match found {
                Some((_, answer)) => Reply::json(200, answer),
                None => Reply::json(404, &json!({"error": "no such path"})),
            }
        })
    }

    /// Starts a tool that answers with everything it was told, credentials included.
    pub fn echoing() -> Self {
        Self::start(|request| {
            let told = json!({
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": request.headers,
                "body": request.text(),
            });
            Reply::json(200, &told)
        })
    }

    /// How it was called, in order.
    pub fn calls(&self) -> Vec<ToolCalled> {
        self.received().iter().map(ToolCalled::of).collect()
    }

    /// How often it was called under each idempotency key; calls without one are left out.
    pub fn calls_by_key(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for key in self.calls().into_iter().filter_map(|call| call.idempotency_key) {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }
}

impl ToolCalled {
    fn of(received: &Received) -> Self {
        let header = |name| received.header(name).map(str::to_owned);
        let query = url::form_urlencoded::parse(received.query.as_bytes());
        Self {
            seq: received.seq,
            at: received.at,
            method: received.method.clone(),
            path: received.path.clone(),
            query: query.into_owned().collect(),
            authorization: header("authorization"),
            idempotency_key: header("idempotency-key"),
            body: received.json(),
            succeeded: received.succeeded(),
        }
    }
}

impl Deref for Tool {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client;

    #[tokio::test]
    async fn a_call_is_remembered_with_its_key() {
        let tool = Tool::answering([("/contracts", json!({"found": 2}))]);
        let url = format!("{}/contracts?q=a%20b", tool.url());
        for key in ["one", "one", "two"] {
            let request = http_client().post(&url).header("Idempotency-Key", key);
            let answer = request.json(&json!({"id": 7})).send().await.unwrap();
            assert_eq!(answer.json::<Value>().await.unwrap(), json!({"found": 2}));
        }
        let calls = tool.calls();
        assert_eq!(calls[0].query, [("q".to_owned(), "a b".to_owned())]);
        assert_eq!(calls[0].body, Some(json!({"id": 7})));
        let counts = [("one".to_owned(), 2), ("two".to_owned(), 1)];
        assert_eq!(tool.calls_by_key(), BTreeMap::from(counts));
    }

    #[tokio::test]
    async fn an_echoing_tool_leaves_nothing_out() {
        let tool = Tool::echoing();
        let request = http_client().get(tool.url()).bearer_auth("hunter2");
        let told = request.send().await.unwrap().text().await.unwrap();
        assert!(told.contains("Bearer hunter2"), "{told}");
    }
}
