//! Reads an outbox: page after page, then waits until there may be more.

use std::convert::Infallible;
use std::time::Duration;

use recado_intake::channel::Incoming;
use recado_intake::payload::{self, PayloadLimits};
use recado_types::jmespath::Expression;
use recado_types::trigger::db_event::{Order, Outbox, Start};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::Sink;
use super::happening::{is_meant, of_row};
use super::left_out::LeftOut;
use super::notifications::listen;
use super::pages::{MAX_ROW, PageRow, Pages};
use super::position::Position;
use super::session::Session;
use super::settling::Settling;
use crate::held::SourceError;

/// The least pause between two looks, however often it is notified.
const BREATH: Duration = Duration::from_millis(20);

/// Places for pages from when they are parsed until they are published: what few bytes of JSON say
/// can take many times as much memory. One for all sources of this process; nobody waits for a
/// tenant's server while they have one.
static PLACES: Semaphore = Semaphore::const_new(8);

/// Publishes rows from `position` on, until something fails.
pub(super) async fn read(
    mut session: Session,
    outbox: &Outbox,
    filter: Option<&Expression>,
    position: Option<&Value>,
    sink: &impl Sink,
) -> Result<Infallible, SourceError> {
    // Before the first look: what is committed after that look is heard of.
    if let Some(channel) = &outbox.notify {
        listen(&session, channel).await?;
    }
    let snapshot = session.snapshot().await?;
    let pages = Pages::of(outbox, &snapshot).await?;
    let saved = Position::saved(outbox, position);
    let is_new = saved.is_none();
    let first = match (saved, outbox.start) {
        (Some(saved), _) => saved,
        (None, Start::Beginning) => Position::beginning(outbox),
        (None, Start::Now) => end_of(outbox, &pages, &snapshot).await?,
    };
    Pages::expect_past(&first, &snapshot).await?;
    snapshot.end().await?;
    if is_new {
        // From here on, "now" is a place.
        sink.save(&first.to_json(), false).await?;
    }
    let settling = match outbox.order {
        Order::Settled(ms) if ms > 0 => Some(Settling::new(Duration::from_millis(ms.into()))),
        Order::Settled(_) | Order::Transaction(_) => None,
    };
    let mut reader = Reader { session, outbox, pages, filter, position: first, settling };
    let mut has_worked = false;
    loop {
        let has_read = reader.catch_up(sink).await?;
        if has_read && !has_worked {
            sink.works().await?;
            has_worked = true;
        }
        reader.wait().await?;
    }
}

/// Where rows begin that come from now on.
async fn end_of(
    outbox: &Outbox,
    pages: &Pages<'_>,
    snapshot: &super::session::Snapshot<'_>,
) -> Result<Position, SourceError> {
    let beginning = Position::beginning(outbox);
    match outbox.order {
        // A row of a transaction that runs now counts as new, and so may some that were
        // committed a moment ago.
        Order::Transaction(_) => Ok(beginning.at(Pages::oldest_running(snapshot).await?, None)),
        Order::Settled(_) => Ok(beginning.at(None, pages.highest(snapshot).await?)),
    }
}

struct Reader<'o> {
    session: Session,
    outbox: &'o Outbox,
    pages: Pages<'o>,
    filter: Option<&'o Expression>,
    position: Position,
    settling: Option<Settling>,
}

impl Reader<'_> {
    /// Reads all that can be read by now. Answers whether that is known to work: it is not while
    /// there are rows and all of them have yet to settle.
    async fn catch_up(&mut self, sink: &impl Sink) -> Result<bool, SourceError> {
        let Some(settling) = &mut self.settling else {
            self.read_until(None, sink).await?;
            return Ok(true);
        };
        let snapshot = self.session.snapshot().await?;
        let highest = self.pages.highest(&snapshot).await?;
        snapshot.end().await?;
        let now = Instant::now();
        // What was read up to there is no news.
        if let Some(highest) = highest.filter(|it| Some(it) != self.position.cursor.as_ref()) {
            settling.saw(highest, now);
        }
        let is_waiting = settling.next().is_some();
        match settling.settled(now) {
            Some(until) => {
                self.read_until(Some(&until), sink).await?;
                Ok(true)
            }
            None => Ok(!is_waiting),
        }
    }

    async fn read_until(
        &mut self,
        until: Option<&str>,
        sink: &impl Sink,
    ) -> Result<(), SourceError> {
        loop {
            let snapshot = self.session.snapshot().await?;
            let page = self.pages.after(&self.position, until, &snapshot).await?;
            snapshot.end().await?;
            let Some(last) = page.rows.last().map(|row| row.at.clone()) else { return Ok(()) };
            let is_well_filled = page.is_well_filled(self.outbox.batch);
            let fired = self.publish(page.rows, sink).await?;
            sink.save(&last.to_json(), fired).await?;
            self.position = last;
            // A query that has something new at each look is looked at no more often than others.
            if !is_well_filled {
                return Ok(());
            }
        }
    }

    /// Answers whether anything was to be published.
    async fn publish(&self, rows: Vec<PageRow>, sink: &impl Sink) -> Result<bool, SourceError> {
        let _place = PLACES.acquire().await;
        let mut left_out = LeftOut::to(sink);
        let happenings: Vec<Incoming> =
            rows.into_iter().filter_map(|row| self.happening(row, &mut left_out)).collect();
        left_out.log();
        if happenings.is_empty() {
            return Ok(false);
        }
        sink.publish(&happenings).await?;
        Ok(true)
    }

    fn happening<S: Sink>(&self, row: PageRow, left_out: &mut LeftOut<'_, S>) -> Option<Incoming> {
        let id = row.at.id(self.outbox);
        let Some(content) = row.content else {
            left_out.add("row_too_large", &format!("{id} has more than {MAX_ROW} bytes of JSON"));
            return None;
        };
        match parsed(&content) {
            Ok(content) => {
                let happening = of_row(&self.outbox.rows, content, id);
                is_meant(self.filter, &happening, left_out).then_some(happening)
            }
            Err(why) => {
                left_out.add("row_unreadable", &format!("{id} cannot be read: {why}"));
                None
            }
        }
    }

    /// Waits until it is time to look again.
    async fn wait(&mut self) -> Result<(), SourceError> {
        let until = Instant::now() + Duration::from_millis(self.outbox.poll_ms.into());
        let settled = self.settling.as_ref().and_then(Settling::next);
        let until = settled.map_or(until, |settled| settled.min(until));
        sleep(BREATH).await;
        let mut heard = Vec::with_capacity(1);
        tokio::select! {
            // Nothing but the keeping alive is heard where nobody listens.
            heard = self.session.hear(&mut heard, 1) => match heard {
                // The driver has ended, and says why.
                Ok(0) => std::future::pending().await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            },
            () = sleep_until(until) => Ok(()),
        }
    }
}

/// A row's values, if they can be had: not a number beyond all that can be computed with, too many
/// levels or values, or U+0000.
fn parsed(content: &str) -> Result<Value, String> {
    let content = serde_json::from_str(content).map_err(|error| error.to_string())?;
    payload::check(&content, PayloadLimits::default()).map_err(|refusal| refusal.to_string())?;
    Ok(content)
}
