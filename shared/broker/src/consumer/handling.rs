//! One call of a handler, with everything that can go wrong in it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use lapin::BasicProperties;
use lapin::message::Delivery;
use recado_messages::Message;
use recado_trace::spans;
use tracing::Instrument;

use super::{Handler, OnError, Received};
use crate::headers;
use crate::metrics::{BATCH_MESSAGES, HANDLED, HANDLED_SECONDS};
use crate::parcel::{Fault, Reason};
use crate::topology::Queue;

/// A batch that was not handled.
#[derive(Debug)]
pub(super) enum Unhandled<E> {
    /// Try the same again.
    Hold(E),
    /// Try each message alone; if it is alone already, this is what is wrong with it.
    Isolate(Fault),
}

/// Reads a message. The error says where the mistake is, not what is written there.
pub(crate) fn decode<M: Message>(delivery: &Delivery) -> Result<Received<M>, Fault> {
    read(&delivery.data, &delivery.properties, delivery.redelivered)
}

fn read<M: Message>(
    body: &[u8],
    properties: &BasicProperties,
    redelivered: bool,
) -> Result<Received<M>, Fault> {
    let message = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let error = format!("{:?} error at line {line}, column {column}", error.classify());
        Fault { reason: Reason::Undecodable, error, cause: None }
    })?;
    Ok(Received { message, redelivered, trace: headers::trace(properties) })
}

/// What is kept of a message that was given back.
#[derive(Debug)]
pub(super) struct Sample {
    body: Vec<u8>,
    properties: BasicProperties,
}

impl Sample {
    pub(super) fn of(delivery: &Delivery) -> Self {
        Self { body: delivery.data.clone(), properties: delivery.properties.clone() }
    }

    /// A batch of it alone; it could be read before, so it can be now.
    pub(super) fn batch<M: Message>(&self) -> Vec<Received<M>> {
        read(&self.body, &self.properties, true).into_iter().collect()
    }
}

/// Calls the handler.
pub(super) async fn handle<H: Handler>(
    queue: &Queue,
    handler: &H,
    batch: Vec<Received<H::Message>>,
) -> Result<(), Unhandled<H::Error>> {
    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    BATCH_MESSAGES.with_label_values(&[queue.name]).observe(batch.len() as f64);
    let causes = batch.iter().filter_map(|received| received.trace.as_ref());
    let span = spans::process(queue.name, batch.len(), causes);
    let started = Instant::now();
    let handling = async { handler.handle(batch).await };
    // A handler shares nothing with us but the batch, which it has consumed.
    let result = AssertUnwindSafe(handling.instrument(span)).catch_unwind().await;
    HANDLED_SECONDS.with_label_values(&[queue.name]).observe(started.elapsed().as_secs_f64());

    let (outcome, result) = match result {
        Ok(Ok(())) => ("accepted", Ok(())),
        Ok(Err(error)) => match handler.on_error(&error) {
            OnError::Hold => ("held", Err(Unhandled::Hold(error))),
            OnError::Isolate => {
                let text = error.to_string();
                let cause = Some(Arc::new(error) as Arc<_>);
                let fault = Fault { reason: Reason::Failed, error: text, cause };
                ("isolated", Err(Unhandled::Isolate(fault)))
            }
        },
        Err(_panic) => {
            // Its text may quote the message; the panic hook has shown where it was.
            let error = "the handler panicked".into();
            let fault = Fault { reason: Reason::Panicked, error, cause: None };
            ("isolated", Err(Unhandled::Isolate(fault)))
        }
    };
    HANDLED.with_label_values(&[queue.name, outcome]).inc();
    result
}

#[cfg(test)]
mod tests {
    use recado_messages::DeliveryRequested;

    use super::*;

    fn delivery(body: &str) -> Delivery {
        Delivery::mock(1, "x".into(), "k".into(), false, body.into())
    }

    #[test]
    fn a_decoding_error_quotes_nothing() {
        for body in ["", "{", r#"{"tenant_id":"a secret"}"#, "\"a secret\"", "a secret"] {
            let fault = decode::<DeliveryRequested>(&delivery(body)).unwrap_err();
            assert!(!fault.error.contains("secret"), "{}", fault.error);
            assert!(fault.error.contains("line"), "{}", fault.error);
        }
    }
}
