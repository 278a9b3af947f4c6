//! Looking into dead-letter queues, one process at a time.
//!
//! Who looks at a message hides it from everybody else, so two who look at the same time would
//! each be told that half of the dead letters are not there. They take turns instead: within a
//! process by a lock, between processes by a queue that only one connection can own.

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout_at};

use super::DeadLettersError;
use crate::config::Config;
use crate::connection::{ANSWER_TIMEOUT, Connection, ConnectionError, within};
use crate::topology;

/// How often it is tried again.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// AMQP's code for a queue that belongs to another connection.
const RESOURCE_LOCKED: u16 = 405;

/// A connection whose turn it is. Dropping it ends the turn, whatever state the broker is in.
pub(super) struct Turn<'a> {
    pub(super) connection: Connection,
    _ours: Channel,
    _in_this_process: MutexGuard<'a, ()>,
}

impl<'a> Turn<'a> {
    /// Connects and waits for the turn: for `patience`, and for as long as connecting may take.
    pub(super) async fn wait(
        config: &Config,
        in_this_process: &'a Mutex<()>,
        patience: Duration,
    ) -> Result<Self, DeadLettersError> {
        let until = Instant::now() + patience;
        let locking = timeout_at(until, in_this_process.lock());
        let guard = locking.await.map_err(|_elapsed| DeadLettersError::Busy)?;
        let connection = Connection::connect(config, "dead-letters").await?;
        loop {
            if let Some(ours) = own(&connection).await? {
                return Ok(Self { connection, _ours: ours, _in_this_process: guard });
            }
            if Instant::now() >= until {
                return Err(DeadLettersError::Busy);
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Ends the turn in good order.
    pub(super) async fn end(self) {
        self.connection.close().await;
    }
}

/// Takes the queue that stands for the turn; `None` if somebody has it.
async fn own(connection: &Connection) -> Result<Option<Channel>, ConnectionError> {
    // A channel for each try: the broker closes the one that is refused.
    let channel = connection.channel().await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let (name, arguments) = (topology::DEAD_LETTERS_TURN.into(), topology::turn_arguments());
    let declaring = channel.queue_declare(name, exclusive, arguments);
    match within(ANSWER_TIMEOUT, "take a turn", declaring).await {
        Ok(_) => Ok(Some(channel)),
        Err(error) if error.is_refusal(RESOURCE_LOCKED) => Ok(None),
        Err(error) => Err(error),
    }
}
