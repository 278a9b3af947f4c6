//! One connection to the broker: nothing on it waits for ever, and it can always be ended.

use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ConnectionProperties, Consumer, ErrorKind, Event};
use tokio::time::timeout;

use crate::config::Config;
use crate::link::{Link, LinkSender};
use crate::socket::{SeverOnDrop, Socket};
use crate::topology::{self, Queue};

/// Dialling, TLS, and the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One question to a broker that is there. Declaring a quorum queue on a busy cluster is the
/// slowest of them.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Saying goodbye; nothing depends on it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often to look at the state although no event said so.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("the broker's URL is not valid ({reason})")]
    Url { reason: String },
    #[error("failed to {operation}")]
    Failed {
        operation: &'static str,
        #[source]
        source: lapin::Error,
    },
    #[error("the broker did not answer in time (to {operation})")]
    Hung { operation: &'static str },
    #[error("the connection was lost")]
    Lost(#[source] Option<lapin::Error>),
    #[error("the broker ended the consumer")]
    ConsumerEnded,
}

impl ConnectionError {
    /// Whether the broker refused with this code of AMQP's. It has closed the channel then.
    pub(crate) fn is_refusal(&self, code: u16) -> bool {
        let Self::Failed { source, .. } = self else { return false };
        matches!(source.kind(), ErrorKind::ProtocolError(error) if error.get_id() == code)
    }
}

/// An open connection. Dropping it ends it, whatever state the broker is in.
pub(crate) struct Connection {
    amqp: lapin::Connection,
    _socket: SeverOnDrop,
}

impl Connection {
    /// Connects and declares the topology, in that order and in bounded time.
    pub(crate) async fn open(config: &Config, name: &str) -> Result<Self, ConnectionError> {
        let connection = Self::connect(config, name).await?;
        connection.declare(topology::QUEUES).await?;
        Ok(connection)
    }

    /// Connects, and changes nothing there.
    pub(crate) async fn connect(config: &Config, name: &str) -> Result<Self, ConnectionError> {
        let uri = config.uri()?;
        let name = format!("{} {name}", config.connection_name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime()
            .map_err(|source| ConnectionError::Failed { operation: "find a runtime", source })?;

        let socket = Arc::new(Socket::default());
        let guard = SeverOnDrop(Arc::clone(&socket));
        // In place, or the compiler cannot tell what kind of stream it is.
        let connecting = lapin::Connection::connector(
            uri,
            runtime,
            async move |uri: lapin::uri::AMQPUri, runtime| {
                let host = uri.authority.host.as_str();
                let addresses: Vec<_> =
                    tokio::net::lookup_host((host, uri.authority.port)).await?.collect();
                let connecting = AsyncTcpStream::connect(&runtime, addresses);
                // On lapin's own thread, which outlives us if we stop waiting.
                let stream = timeout(CONNECT_TIMEOUT, connecting)
                    .await
                    .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
                if let AsyncTcpStream::Plain(stream) = &stream {
                    socket.hold(stream.get_ref().as_fd().try_clone_to_owned()?.into())?;
                }
                match uri.scheme {
                    lapin::uri::AMQPScheme::AMQP => Ok(stream),
                    lapin::uri::AMQPScheme::AMQPS => {
                        Ok(stream.into_tls(host, OwnedTLSConfig::default().as_ref()).await?)
                    }
                }
            },
            properties,
        );
        let amqp = within(CONNECT_TIMEOUT, "connect", Box::pin(connecting)).await?;
        Ok(Self { amqp, _socket: guard })
    }

    /// Declares what is missing of the topology, on a channel of its own.
    pub(crate) async fn declare(&self, queues: &[Queue]) -> Result<(), ConnectionError> {
        let channel = self.channel().await?;
        // Not one answer but some thirty: each is quick, all of them together still bounded.
        within(CONNECT_TIMEOUT, "declare the topology", topology::declare(&channel, queues)).await
    }

    pub(crate) async fn channel(&self) -> Result<Channel, ConnectionError> {
        within(ANSWER_TIMEOUT, "open a channel", self.amqp.create_channel()).await
    }

    /// A channel on which the broker confirms every message it has taken over.
    pub(crate) async fn publishing_channel(&self) -> Result<Channel, ConnectionError> {
        let channel = self.channel().await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        within(ANSWER_TIMEOUT, "ask for publisher confirms", confirming).await?;
        Ok(channel)
    }

    /// Starts to consume `queue`, with at most `prefetch` messages unacknowledged.
    pub(crate) async fn consume(
        &self,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<(Channel, Consumer), ConnectionError> {
        let channel = self.channel().await?;
        let limiting = channel.basic_qos(prefetch.max(1), BasicQosOptions::default());
        within(ANSWER_TIMEOUT, "set the prefetch", limiting).await?;
        let consuming = channel.basic_consume(
            queue.name.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = within(ANSWER_TIMEOUT, "consume", consuming).await?;
        Ok((channel, consumer))
    }

    /// Declares a reply queue, which lives as long as this connection, and consumes it. Nothing
    /// that comes there needs to be acknowledged.
    pub(crate) async fn consume_replies(
        &self,
        queue: &ShortString,
    ) -> Result<(Channel, Consumer), ConnectionError> {
        let channel = self.channel().await?;
        let ours = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let arguments = topology::reply_arguments();
        let declaring = channel.queue_declare(queue.clone(), ours, arguments);
        within(ANSWER_TIMEOUT, "declare the reply queue", declaring).await?;
        let at_once = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consuming =
            channel.basic_consume(queue.clone(), "".into(), at_once, FieldTable::default());
        let consumer = within(ANSWER_TIMEOUT, "consume", consuming).await?;
        Ok((channel, consumer))
    }

    /// Keeps `link` true until the connection is lost, and says why it was.
    pub(crate) async fn follow(&self, link: &LinkSender) -> ConnectionError {
        let mut events = pin!(self.amqp.events_listener());
        let mut cause = None;
        loop {
            let status = self.amqp.status();
            if !status.connected() {
                return ConnectionError::Lost(cause);
            }
            if link.set(if status.blocked() { Link::Blocked } else { Link::Up }) {
                tracing::info!(broker.link = link.name(), "{} link is {}", link.name(), {
                    if status.blocked() { "blocked by the broker" } else { "up" }
                });
            }
            // An event says when to look; what counts is the state.
            match timeout(LOOK_EVERY, events.next()).await {
                Ok(Some(Event::Error(error))) => cause = Some(error),
                Ok(None) => return ConnectionError::Lost(cause),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }

    /// Says goodbye, so that the broker does not log a broken connection.
    pub(crate) async fn close(self) {
        let closing = self.amqp.close(200, "bye".into());
        if let Err(error) = within(CLOSE_TIMEOUT, "close", closing).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "failed to say goodbye");
        }
    }
}

/// Asks the broker something, and waits for the answer for `limit` at most.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: &'static str,
    asking: impl Future<Output = lapin::Result<T>>,
) -> Result<T, ConnectionError> {
    match timeout(limit, asking).await {
        Ok(answer) => answer.map_err(|source| ConnectionError::Failed { operation, source }),
        Err(_elapsed) => Err(ConnectionError::Hung { operation }),
    }
}
