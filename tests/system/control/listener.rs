//! Somebody who listens to all events.

use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use recado_testkit::app::TestApp;
use recado_testkit::wait_for;
use serde_json::Value;

use crate::support::SOON;

const QUEUE: &str = "test.events";

/// A queue with all events that happen from now on.
pub(super) struct Listener {
    channel: Channel,
    heard: Mutex<Vec<Heard>>,
    // The queue goes with it.
    _connection: Connection,
}

/// An event, as it came.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    pub(super) routing_key: String,
    /// The property of the message.
    pub(super) message_id: String,
    pub(super) body: Value,
}

impl Heard {
    /// Its type, such as `tool_called`.
    pub(super) fn kind(&self) -> &str {
        self.body["event_type"].as_str().unwrap_or_default()
    }

    pub(super) fn execution(&self) -> &str {
        self.body["execution_id"].as_str().unwrap_or_default()
    }

    /// What happened: the fields that the event's type has.
    pub(super) fn what(&self) -> &Value {
        let data = &self.body["payload"]["data"]["objectiveEvent"]["data"];
        &data[data["type"].as_str().unwrap_or_default()]
    }
}

impl Listener {
    pub(super) async fn start(app: &TestApp) -> anyhow::Result<Self> {
        let connection =
            Connection::connect(&app.amqp_url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(QUEUE.into(), own, FieldTable::default()).await?;
        let all = QueueBindOptions::default();
        let binding = channel.queue_bind(
            QUEUE.into(),
            "recado.events".into(),
            "objective_event.#".into(),
            all,
            FieldTable::default(),
        );
        binding.await?;
        Ok(Self { channel, heard: Mutex::default(), _connection: connection })
    }

    /// The events of an execution so far, in the order in which they came.
    pub(super) async fn heard_of(&self, execution: &str) -> anyhow::Result<Vec<Heard>> {
        let no_ack = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get(QUEUE.into(), no_ack).await? {
            let delivery = &message.delivery;
            let message_id = delivery.properties.message_id().as_ref().context("it has an id")?;
            let heard = Heard {
                routing_key: delivery.routing_key.to_string(),
                message_id: message_id.to_string(),
                body: serde_json::from_slice(&delivery.data)?,
            };
            self.all().push(heard);
        }
        let all = self.all();
        Ok(all.iter().filter(|heard| heard.execution() == execution).cloned().collect())
    }

    /// Waits for so many events of an execution; answers those that there are then.
    pub(super) async fn n_heard(&self, execution: &str, n: usize) -> anyhow::Result<Vec<Heard>> {
        let heard = wait_for(&format!("{n} events"), SOON, async || {
            self.heard_of(execution).await.ok().filter(|heard| heard.len() >= n)
        })
        .await;
        if heard.is_err() {
            eprintln!("heard: {:?}", kinds(&self.heard_of(execution).await?));
        }
        heard
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The types of events.
pub(super) fn kinds(heard: &[Heard]) -> Vec<&str> {
    heard.iter().map(Heard::kind).collect()
}

/// The first time of each event.
pub(super) fn firsts(heard: &[Heard]) -> Vec<Heard> {
    let mut firsts: Vec<Heard> = Vec::new();
    for one in heard {
        if !firsts.iter().any(|first| first.message_id == one.message_id) {
            firsts.push(one.clone());
        }
    }
    firsts
}
