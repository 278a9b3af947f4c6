//! A receiver of callbacks: takes any request and answers 200.

use std::ops::Deref;

use serde_json::json;

use crate::stub::{Reply, Stub};

/// A callback endpoint with a history; faults are planned through [`Stub`].
#[derive(Debug)]
pub struct Sink(Stub);

impl Sink {
    /// Starts an endpoint that accepts everything.
    pub fn start() -> Self {
        Self(Stub::start(|_| Reply::json(200, &json!({"received": true}))))
    }
}

impl Deref for Sink {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.0
    }
}
