//! A load that stays the same: people who write, one message after the other, and send again what
//! nobody took.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::app::{NewTrigger, Role, TestApp};
use recado_testkit::history::token;
use recado_testkit::wait_for;
use tokio::task::JoinSet;

use super::cast::Cast;
use super::ledger::Ledger;
use super::post::{Client, Letter, Sent};
use super::rows::Order;

/// For how long a message is offered: longer than any server takes to come back.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Messages of a burst; the pause after it is longer than a window.
const BURST: usize = 3;
const AFTER_BURST: Duration = Duration::from_secs(1);

/// How many write, by their habits; together some 35 messages a second.
const SENDERS: [(Habit, usize); 4] =
    [(Habit::Direct, 4), (Habit::Burst, 5), (Habit::Twice, 2), (Habit::Scripted, 3)];

/// How somebody writes, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Direct,
    /// Several at once, then nothing for a while.
    Burst,
    /// Each message is posted to two instances at the same time.
    Twice,
    /// To an agent that calls a tool.
    Scripted,
}

/// Many who write until they are told to stop.
pub(super) struct Load {
    pub(super) cast: Arc<Cast>,
    pub(super) ledger: Arc<Ledger>,
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

/// What the senders share with whoever watches them.
struct Shared {
    client: Client,
    stopped: AtomicBool,
    paused: AtomicBool,
    n_refused: AtomicUsize,
    n_unanswered: AtomicUsize,
    /// What no sender should see.
    mistakes: Mutex<Vec<String>>,
}

impl Load {
    /// Begins. `strict`: only a refused connection may be tried again, as whoever balances the load
    /// does; anything else that is not a 2xx is a mistake.
    pub(super) fn start(
        app: &TestApp,
        cast: Cast,
        order: Order,
        strict: bool,
    ) -> anyhow::Result<Self> {
        let urls = 0..app.n_instances(Role::Ingress);
        let urls: Vec<String> = urls
            .map(|index| app.url(Role::Ingress, index, "ingress_url"))
            .collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared {
            client: Client::new(urls, strict)?,
            stopped: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            n_refused: AtomicUsize::new(0),
            n_unanswered: AtomicUsize::new(0),
            mistakes: Mutex::default(),
        });
        let (cast, ledger) = (Arc::new(cast), Arc::new(Ledger::new(order)));
        let mut senders = JoinSet::new();
        let habits = SENDERS.iter().flat_map(|(habit, n)| std::iter::repeat_n(*habit, *n));
        for (session, habit) in habits.enumerate() {
            let trigger = habit.trigger(&cast).clone();
            let (shared, ledger) = (Arc::clone(&shared), Arc::clone(&ledger));
            let sender = Sender { session, habit, trigger, shared, ledger };
            senders.spawn(async move { sender.write().await });
        }
        Ok(Self { cast, ledger, shared, senders })
    }

    /// Whom to post with besides.
    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    /// How many acknowledged messages were not called back so far.
    pub(super) fn n_outstanding(&self) -> usize {
        self.ledger.observe(&self.cast.sink)
    }

    pub(super) fn n_refused(&self) -> usize {
        self.shared.n_refused.load(Ordering::Relaxed)
    }

    pub(super) fn n_unanswered(&self) -> usize {
        self.shared.n_unanswered.load(Ordering::Relaxed)
    }

    /// Notes something that must not be.
    pub(super) fn object(&self, mistake: String) {
        self.shared.object(mistake);
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        self.shared.mistakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets everybody finish the message they are at, and wait; or go on.
    pub(super) fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
    }

    /// Waits until `n` more messages than now have been acknowledged.
    pub(super) async fn acknowledges(&self, n: usize) -> anyhow::Result<()> {
        let enough = self.ledger.n_acknowledged() + n;
        wait_for(&format!("{n} acknowledgements"), PATIENCE, async || {
            (self.ledger.n_acknowledged() >= enough).then_some(())
        })
        .await
    }

    /// Lets everybody finish the message they are at, and nothing fire by itself any more; returns
    /// when that is so.
    pub(super) async fn stop(&mut self, app: &TestApp) -> anyhow::Result<()> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.pause(false);
        let (cast, database) = (Arc::clone(&self.cast), app.database_url());
        let senders = async {
            while let Some(ended) = self.senders.join_next().await {
                ended.context("a sender panicked")?;
            }
            Ok(())
        };
        tokio::try_join!(senders, cast.ticking.stop(&cast.management, &database))?;
        Ok(())
    }
}

impl Shared {
    fn object(&self, mistake: String) {
        self.mistakes.lock().unwrap_or_else(PoisonError::into_inner).push(mistake);
    }
}

impl Habit {
    fn trigger(self, cast: &Cast) -> &NewTrigger {
        match self {
            Self::Direct | Self::Twice => &cast.direct,
            Self::Burst => &cast.buffered,
            Self::Scripted => &cast.scripted,
        }
    }

    /// How long somebody takes for the next message.
    fn typing(self, session: usize, n: usize) -> Duration {
        let some = Duration::from_millis(((session * 131 + n * 197) % 300) as u64);
        match self {
            Self::Burst if n.is_multiple_of(BURST) => AFTER_BURST + some,
            Self::Burst => some / 4,
            Self::Direct | Self::Twice | Self::Scripted => Duration::from_millis(200) + some,
        }
    }
}

fn is(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

/// One who writes.
struct Sender {
    session: usize,
    habit: Habit,
    trigger: NewTrigger,
    shared: Arc<Shared>,
    ledger: Arc<Ledger>,
}

impl Sender {
    async fn write(&self) {
        let name = format!("user-{:03}", self.session);
        for n in 1.. {
            while is(&self.shared.paused) && !is(&self.shared.stopped) {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            if is(&self.shared.stopped) {
                return;
            }
            let letter = Letter::new(&self.trigger, &name, token(self.session, n));
            self.ledger.posting(&letter);
            if !self.offer(n, &letter).await {
                return;
            }
            tokio::time::sleep(self.habit.typing(self.session, n)).await;
        }
    }

    /// Sends a message until it is acknowledged, to one instance of ingress after the other.
    async fn offer(&self, n: usize, letter: &Letter) -> bool {
        let begun = Instant::now();
        for ingress in self.session + n.. {
            if self.send(ingress, letter).await {
                self.ledger.acknowledged(letter);
                return true;
            }
            if begun.elapsed() > PATIENCE {
                break;
            }
            if !self.shared.client.is_strict() {
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
        self.shared.object(format!("nobody took {} within {PATIENCE:?}", letter.id()));
        false
    }

    async fn send(&self, ingress: usize, letter: &Letter) -> bool {
        let client = &self.shared.client;
        let sent = if self.habit == Habit::Twice {
            let both = (client.post(ingress, letter), client.post(ingress + 1, letter));
            let (one, other) = tokio::join!(both.0, both.1);
            self.note(&other);
            if matches!(one, Sent::Acknowledged) {
                self.note(&one);
                one
            } else {
                self.note(&one);
                other
            }
        } else {
            let sent = client.post(ingress, letter).await;
            self.note(&sent);
            sent
        };
        matches!(sent, Sent::Acknowledged)
    }

    fn note(&self, sent: &Sent) {
        match sent {
            Sent::Acknowledged | Sent::NobodyThere => {}
            Sent::Refused => {
                self.shared.n_refused.fetch_add(1, Ordering::Relaxed);
            }
            Sent::Unanswered => {
                self.shared.n_unanswered.fetch_add(1, Ordering::Relaxed);
            }
            Sent::Mistaken(mistake) => self.shared.object(mistake.clone()),
        }
    }
}
