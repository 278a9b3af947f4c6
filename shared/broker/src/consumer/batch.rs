//! What is done with the messages of one batch, until each of them is settled.

use std::error::Error;
use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use recado_messages::Message;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handling::{Sample, Unhandled, decode, handle};
use super::{Handler, Received, has_returned, pause};
use crate::backoff::Backoff;
use crate::connection::{ANSWER_TIMEOUT, ConnectionError, within};
use crate::headers;
use crate::metrics::{DEAD_LETTERED, RETRIED};
use crate::parcel::{Failure, Fault, Parcel, Reason};
use crate::publisher::Publisher;
use crate::topology::Queue;

/// How often the time for which messages are held may double. From 30 s to 16 minutes, which is well
/// below the broker's `consumer_timeout` of 30.
const MOST_DOUBLINGS: i64 = 5;

/// Why the work on a batch ended before it was settled. The broker gives the rest again.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// Shutdown.
    Stopping,
    /// There is nothing left to acknowledge on.
    Lost(ConnectionError),
    /// What we depend on has been away for so long that somebody else should try. With the message
    /// that cannot be handled.
    Unable(Option<Box<Sample>>),
}

impl From<ConnectionError> for Interrupted {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error)
    }
}

/// The means to settle messages.
pub(super) struct Batch<'a, H> {
    pub(super) queue: &'static Queue,
    pub(super) handler: &'a H,
    pub(super) publisher: &'a Publisher,
    pub(super) channel: &'a Channel,
    pub(super) hold_for: Duration,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) lost: &'a CancellationToken,
}

/// Messages that can be read, in order, and handled together.
struct Run<M> {
    deliveries: Vec<Delivery>,
    received: Vec<Received<M>>,
}

/// A message that is to leave the queue for a retry or for good.
struct SetAside {
    delivery: Delivery,
    failure: Failure,
}

impl<H: Handler> Batch<'_, H> {
    /// Handles and acknowledges `deliveries`, in order.
    ///
    /// Those that cannot be read or handled are moved out of the way at the end, so that a broker
    /// that takes no copies at present does not stop their neighbours.
    pub(super) async fn settle(&self, deliveries: Vec<Delivery>) -> Result<(), Interrupted> {
        let (runs, mut aside) = Self::sort(deliveries);
        for run in runs {
            self.settle_run(run, &mut aside).await?;
        }
        self.move_away(aside).await
    }

    /// Makes runs of what can be read. A message that came back before gets a run of its own:
    /// it may be one that kills the process, and should then be the only one in hand.
    fn sort(deliveries: Vec<Delivery>) -> (Vec<Run<H::Message>>, Vec<SetAside>) {
        let mut runs: Vec<Run<H::Message>> = Vec::new();
        let mut aside = Vec::new();
        let mut may_join = false;
        for delivery in deliveries {
            match decode(&delivery) {
                Err(fault) => aside.push(SetAside { failure: failure(&delivery, fault), delivery }),
                Ok(received) => {
                    let alone = has_returned(&delivery);
                    match runs.last_mut().filter(|_| may_join && !alone) {
                        Some(run) => run.push(delivery, received),
                        None => runs.push(Run::of(delivery, received)),
                    }
                    may_join = !alone;
                }
            }
        }
        (runs, aside)
    }

    async fn settle_run(
        &self,
        run: Run<H::Message>,
        aside: &mut Vec<SetAside>,
    ) -> Result<(), Interrupted> {
        let deliveries = run.deliveries;
        let Err(fault) = self.handle_held(&deliveries, run.received).await? else {
            return self.acknowledge(&deliveries, aside.is_empty()).await;
        };
        if deliveries.len() > 1 {
            let queue = self.queue.name;
            let n_messages = deliveries.len();
            tracing::warn!(
                error = fault.logged(),
                broker.queue = queue,
                broker.reason = fault.reason.code(),
                "a batch of {n_messages} from {queue} failed, trying each message alone"
            );
            return self.isolate(deliveries, aside).await;
        }
        for delivery in deliveries {
            aside.push(SetAside { failure: failure(&delivery, fault.clone()), delivery });
        }
        Ok(())
    }

    async fn isolate(
        &self,
        deliveries: Vec<Delivery>,
        aside: &mut Vec<SetAside>,
    ) -> Result<(), Interrupted> {
        for delivery in deliveries {
            let alone = std::slice::from_ref(&delivery);
            match self.handle_held(alone, decode_again(alone)).await? {
                Ok(()) => self.acknowledge(alone, aside.is_empty()).await?,
                Err(fault) => {
                    aside.push(SetAside { failure: failure(&delivery, fault), delivery });
                }
            }
        }
        Ok(())
    }

    /// Calls the handler, again and again while it says that the messages must wait, up to the end
    /// of our patience.
    async fn handle_held(
        &self,
        deliveries: &[Delivery],
        mut received: Vec<Received<H::Message>>,
    ) -> Result<Result<(), Fault>, Interrupted> {
        let mut backoff = Backoff::default();
        let mut is_held = false;
        let queue = self.queue.name;
        let give_back_at = Instant::now() + patience(self.hold_for, deliveries);
        loop {
            match handle(self.queue, self.handler, received).await {
                Ok(()) => {
                    if is_held {
                        tracing::info!(broker.queue = queue, "{queue} goes on");
                    }
                    return Ok(Ok(()));
                }
                Err(Unhandled::Isolate(fault)) => return Ok(Err(fault)),
                Err(Unhandled::Hold(error)) => {
                    if !is_held {
                        let error = &error as &dyn Error;
                        tracing::warn!(error, broker.queue = queue, "{queue} is held");
                    }
                    is_held = true;
                }
            }
            if give_back_at <= Instant::now() {
                tracing::warn!(broker.queue = queue, "{queue} is left to others");
                return Err(Interrupted::Unable(deliveries.first().map(Sample::of).map(Box::new)));
            }
            self.pause(backoff.next()).await?;
            received = decode_again(deliveries);
        }
    }

    async fn pause(&self, duration: Duration) -> Result<(), Interrupted> {
        pause(duration, self.shutdown, self.lost).await
    }

    /// Acknowledges `deliveries`; with one frame if everything before them is settled.
    async fn acknowledge(
        &self,
        deliveries: &[Delivery],
        all_before_are_settled: bool,
    ) -> Result<(), Interrupted> {
        let multiple = all_before_are_settled && deliveries.len() > 1;
        let first = if multiple { deliveries.len() - 1 } else { 0 };
        for delivery in &deliveries[first..] {
            self.acknowledge_tag(delivery.delivery_tag, multiple).await?;
        }
        Ok(())
    }

    async fn acknowledge_tag(&self, tag: u64, multiple: bool) -> Result<(), Interrupted> {
        let acknowledging = self.channel.basic_ack(tag, BasicAckOptions { multiple });
        Ok(within(ANSWER_TIMEOUT, "acknowledge", acknowledging).await?)
    }

    /// Copies messages to where they belong, and acknowledges each once its copy is confirmed.
    async fn move_away(&self, mut aside: Vec<SetAside>) -> Result<(), Interrupted> {
        let mut backoff = Backoff::default();
        while !aside.is_empty() {
            let copies = aside.iter().map(|message| self.copy(message)).collect();
            let outcomes = self.publisher.send(copies).await;
            let mut remaining = Vec::new();
            for (message, outcome) in aside.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => {
                        self.acknowledge_tag(message.delivery.delivery_tag, false).await?;
                        self.report(&message);
                    }
                    Err(error) => {
                        tracing::debug!(error = &error as &dyn Error, "failed to move a message");
                        remaining.push(message);
                    }
                }
            }
            aside = remaining;
            if !aside.is_empty() {
                self.pause(backoff.next()).await?;
            }
        }
        Ok(())
    }

    fn copy(&self, message: &SetAside) -> Parcel {
        let SetAside { delivery, failure } = message;
        match self.retry_delay(failure) {
            Some(delay) => {
                Parcel::retry(delivery, self.queue, &self.queue.retry_queue(delay), failure)
            }
            None => Parcel::dead_letter(delivery, self.queue, failure),
        }
    }

    /// How long the message has to wait; `None` if it is given up.
    fn retry_delay(&self, failure: &Failure) -> Option<Duration> {
        if failure.fault.reason == Reason::Undecodable {
            return None;
        }
        let nth = usize::try_from(failure.attempts - 1).ok()?;
        self.queue.retry_delays.get(nth).copied()
    }

    fn report(&self, SetAside { delivery, failure }: &SetAside) {
        let (queue, reason) = (self.queue.name, failure.fault.reason.code());
        let id = delivery.properties.message_id().as_ref().map_or("", |id| id.as_str());
        let (attempts, error) = (failure.attempts, failure.fault.logged());
        let why = &failure.fault.error;
        if let Some(delay) = self.retry_delay(failure) {
            RETRIED.with_label_values(&[queue]).inc();
            tracing::warn!(
                broker.queue = queue,
                message.id = id,
                broker.reason = reason,
                broker.attempts = attempts,
                error,
                "message {id} of {queue} failed, trying again in {delay:?}: {why}"
            );
        } else {
            DEAD_LETTERED.with_label_values(&[queue, reason]).inc();
            tracing::error!(
                broker.queue = queue,
                message.id = id,
                broker.reason = reason,
                broker.attempts = attempts,
                error,
                "message {id} of {queue} is dead-lettered: {why}"
            );
        }
    }
}

impl<M> Run<M> {
    fn of(delivery: Delivery, received: Received<M>) -> Self {
        Self { deliveries: vec![delivery], received: vec![received] }
    }

    fn push(&mut self, delivery: Delivery, received: Received<M>) {
        self.deliveries.push(delivery);
        self.received.push(received);
    }
}

/// Reads messages anew for another attempt; they could be read before, so all can be now.
fn decode_again<M: Message>(deliveries: &[Delivery]) -> Vec<Received<M>> {
    deliveries.iter().filter_map(|delivery| decode(delivery).ok()).collect()
}

/// How long to hold messages: twice as long for each time that one of them came back, up to 32
/// times, so that a fleet that cannot handle them anywhere does not pass them round until their
/// deliveries are used up.
fn patience(hold_for: Duration, deliveries: &[Delivery]) -> Duration {
    let returned = deliveries.iter().map(|delivery| headers::times_returned(&delivery.properties));
    let doublings = returned.max().unwrap_or_default().min(MOST_DOUBLINGS);
    hold_for * (1 << doublings)
}

fn failure(delivery: &Delivery, fault: Fault) -> Failure {
    let attempts = headers::failed_attempts(&delivery.properties).saturating_add(1);
    Failure { fault, attempts }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::{AMQPValue, FieldTable};

    use super::*;

    fn returned(times: i64) -> Delivery {
        let mut headers = FieldTable::default();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(times));
        let mut delivery = Delivery::mock(1, "x".into(), "k".into(), true, Vec::new());
        delivery.properties = BasicProperties::default().with_headers(headers);
        delivery
    }

    #[test]
    fn what_came_back_is_held_for_longer() {
        let second = Duration::from_secs(1);
        for (times, factor) in [(0, 1), (1, 2), (4, 16), (5, 32), (6, 32), (i64::MAX, 32)] {
            assert_eq!(patience(second, &[returned(0), returned(times)]), second * factor);
        }
    }

    #[test]
    fn an_outage_may_last_for_half_a_day_in_a_fleet_of_any_size() {
        let limit = crate::topology::INBOUND.delivery_limit;
        let hold_for = crate::Config::new("amqp://mq", "test").hold_for;
        let lasting: Duration =
            (0..=limit).map(|times| patience(hold_for, &[returned(times)])).sum();
        assert!(lasting > Duration::from_hours(12), "{lasting:?}");
    }
}
