//! Constant load: sessions that write one message after the other, each again until it is
//! acknowledged, and a history of what came of it.
//!
//! It is bounded: each session has one request under way, pauses between two messages, and gives
//! up on a message that nobody takes within [`PATIENCE`].

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use recado_testkit::history::{History, Summary, Violations, token};
use recado_testkit::model::{Asked, Model};
use recado_testkit::twilio::Inbound;
use recado_testkit::wait_for;

use crate::support::{Answer, WhatsApp};

/// For how long a message is offered: longer than any server takes to come back.
const PATIENCE: Duration = Duration::from_mins(1);

/// From the end of the load to the last callback: leases, sweeps and retries included.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// The longest that a refusal may take: 1.9 s by design, and what a busy machine adds.
const REFUSED_WITHIN: Duration = Duration::from_secs(6);

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) sessions: usize,
    /// By each session; `None` to go on until the load is stopped.
    pub(crate) messages: Option<usize>,
}

/// Whether the order of a session's messages is sure to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    IsKept,
    /// The broker may give messages again, and then some may come after later ones.
    MayChangeByRedelivery,
}

/// Many who write to one number whose agent repeats what it is told.
#[derive(Debug)]
pub(crate) struct Load<'w> {
    whatsapp: &'w WhatsApp,
    model: Option<&'w Model>,
    talk: Talk,
    history: History,
    stopped: Cell<bool>,
    n_acknowledged: Cell<usize>,
    n_refused: Cell<usize>,
    /// What no sender should see.
    mistakes: RefCell<Vec<String>>,
}

/// What came of one request.
enum Sent {
    Acknowledged,
    Refused,
    /// Nobody answered.
    Unanswered,
}

impl<'w> Load<'w> {
    /// `model` is whom the agent asks; `None` for `builtin.echo`.
    pub(crate) fn new(
        whatsapp: &'w WhatsApp,
        model: Option<&'w Model>,
        order: Order,
        talk: Talk,
    ) -> Self {
        let history = if model.is_some() { History::new() } else { History::of_echo() };
        let history = match order {
            Order::IsKept => history,
            Order::MayChangeByRedelivery => history.where_redelivery_reorders(),
        };
        Self {
            whatsapp,
            model,
            talk,
            history,
            stopped: Cell::new(false),
            n_acknowledged: Cell::new(0),
            n_refused: Cell::new(0),
            mistakes: RefCell::default(),
        }
    }

    pub(crate) fn is_answered_by_a_model(&self) -> bool {
        self.model.is_some()
    }

    /// How many messages were acknowledged so far.
    pub(crate) fn n_acknowledged(&self) -> usize {
        self.n_acknowledged.get()
    }

    /// How many requests were answered 503 so far.
    pub(crate) fn n_refused(&self) -> usize {
        self.n_refused.get()
    }

    /// How many sessions there are.
    pub(crate) fn n_sessions(&self) -> usize {
        self.talk.sessions
    }

    /// Lets everybody say what they have to say.
    pub(crate) async fn run_to_its_end(&self) -> anyhow::Result<()> {
        try_join_all((0..self.talk.sessions).map(|session| self.write(session))).await.map(drop)
    }

    /// Keeps the load up for as long as `story` takes.
    pub(crate) async fn during<T>(
        &self,
        story: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let told = async {
            let told = story.await;
            self.stopped.set(true);
            told
        };
        let (told, written) = tokio::join!(told, self.run_to_its_end());
        written?;
        told
    }

    /// Waits until `n` more messages than now have been acknowledged.
    pub(crate) async fn acknowledges(&self, n: usize) -> anyhow::Result<()> {
        let enough = self.n_acknowledged() + n;
        wait_for(&format!("{n} acknowledgements"), PATIENCE, async || {
            (self.n_acknowledged() >= enough).then_some(())
        })
        .await
    }

    fn observe(&self) {
        self.history.observe_callbacks(&self.whatsapp.twilio);
        if let Some(model) = self.model {
            self.history.observe_inputs(model, origin);
        }
    }

    /// Waits until everything that was acknowledged has been called back.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let settled = wait_for("the last callbacks", SETTLED_WITHIN, async || {
            self.observe();
            (self.history.n_outstanding() == 0).then_some(())
        });
        let settled = settled.await;
        settled.with_context(|| format!("{} are outstanding", self.history.n_outstanding()))
    }

    /// Judges the history, once nothing more can come.
    pub(crate) fn check(&self) -> Result<Summary, Violations> {
        self.observe();
        let mistakes = self.mistakes.borrow();
        assert!(mistakes.is_empty(), "senders have seen {mistakes:#?}");
        self.history.check()
    }

    async fn write(&self, session: usize) -> anyhow::Result<()> {
        let sender = format!("+55119900{session:05}");
        let name = format!("whatsapp:{sender}");
        for n in 1..=self.talk.messages.unwrap_or(usize::MAX) {
            if self.stopped.get() {
                break;
            }
            let text = format!("{} is what I have to say to you this time", token(session, n));
            let message = Inbound::new(&sender, &text);
            self.history.posting(&name, message.sid(), &text);
            self.offer(session + n, &message).await?;
            self.history.acknowledged(&text);
            self.n_acknowledged.set(self.n_acknowledged.get() + 1);
            tokio::time::sleep(typing(session, n)).await;
        }
        Ok(())
    }

    /// Sends a message until it is acknowledged, to one instance of ingress after the other.
    async fn offer(&self, first: usize, message: &Inbound) -> anyhow::Result<()> {
        let give_up_at = Instant::now() + PATIENCE;
        for ingress in first.. {
            match self.send(ingress, message).await {
                Sent::Acknowledged => return Ok(()),
                Sent::Refused => self.n_refused.set(self.n_refused.get() + 1),
                Sent::Unanswered => {}
            }
            ensure!(Instant::now() < give_up_at, "nobody took {} in {PATIENCE:?}", message.sid());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("there are more tries than numbers")
    }

    async fn send(&self, ingress: usize, message: &Inbound) -> Sent {
        let begun = Instant::now();
        match self.whatsapp.send_to(ingress, message).await {
            Ok(Answer { status: 200, .. }) => Sent::Acknowledged,
            Ok(answer) => {
                let took = begun.elapsed();
                let comes_back = answer.retry_after.as_ref().is_some_and(|s| s.parse() != Ok(0));
                if answer.status != 503 || !comes_back || took > REFUSED_WITHIN {
                    self.mistakes.borrow_mut().push(format!("{answer:?} after {took:?}"));
                }
                Sent::Refused
            }
            Err(_) => Sent::Unanswered,
        }
    }
}

/// Whose execution it was that asked, and which: its prompt names the sender, and each of its
/// requests carries the key of its one call.
fn origin(asked: &Asked) -> (String, String) {
    let mut lines = asked.chat.system().lines();
    let sender = lines.find_map(|line| line.strip_prefix("phoneNumber: ")).unwrap_or_default();
    (sender.to_owned(), asked.idempotency_key.clone().unwrap_or_default())
}

/// How long somebody takes for the next message: now shorter, now longer than the window.
fn typing(session: usize, n: usize) -> Duration {
    let ms = 80 + (session * 131 + n * 197) % 420;
    Duration::from_millis(ms as u64)
}
