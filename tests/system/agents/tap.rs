//! What is published on the broker.

use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use recado_testkit::app::TestApp;
use tokio::sync::Mutex;

/// Everything that is published on the broker, from when it was made.
pub(super) struct Tap {
    channel: Channel,
    published: Mutex<Vec<(String, String)>>,
    // The queue goes with it.
    _connection: Connection,
}

impl Tap {
    const QUEUE: &str = "test.tap";
    const EXCHANGES: [&str; 3] = ["recado.work", "recado.events", "recado.dead"];

    pub(super) async fn on(app: &TestApp) -> anyhow::Result<Self> {
        let url = app.amqp_url();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(Self::QUEUE.into(), own, FieldTable::default()).await?;
        for exchange in Self::EXCHANGES {
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            let (queue, all) = (Self::QUEUE.into(), "#".into());
            channel.queue_bind(queue, exchange.into(), all, options, arguments).await?;
        }
        Ok(Self { channel, published: Mutex::default(), _connection: connection })
    }

    /// Everything so far: routing keys and bodies.
    pub(super) async fn published(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut published = self.published.lock().await;
        let no_ack = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get(Self::QUEUE.into(), no_ack).await? {
            let body = String::from_utf8(message.delivery.data.clone())?;
            published.push((message.delivery.routing_key.to_string(), body));
        }
        Ok(published.clone())
    }
}
