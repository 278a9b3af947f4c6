//! One run with three tools, whose runner is killed between every two of its steps.
//!
//! The stubs write down every step that they see, all in one log. Whatever the moment of the kill,
//! it shows the same: the steps never go back (a step that was followed by another one is in the
//! journal, and is not repeated), and what is repeated are requests of one step, the one in doubt,
//! each once and under the key that it had before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use recado_testkit::app::Role;
use recado_testkit::callback::Sink;
use recado_testkit::model::{Chat, Model, Turn};
use recado_testkit::stub::{Fault, Reply, Stub};
use recado_testkit::tool::Tool;
use recado_testkit::{sql, wait_for};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::agents::tap::Tap;
use crate::agents::{Desk, answers, callback, end, posting};
use crate::support::{Failure, SOON, Story, system};

/// Another one gives other random moments.
const SEED: u64 = 20_261_122;
/// How often the runner is killed at a random moment, each time under several runs.
const ROUNDS: usize = 12;
const RUNS_AT_ONCE: usize = 4;
/// Short, so that what a dead runner held is taken over soon.
const LEASE_MS: &str = "1000";
/// How long models and tools take where the moment of the kill is random.
const IN_DOUBT: Duration = Duration::from_millis(40);

/// What a run is seen to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The model asks for two tools at once.
    FirstTurn,
    Pair,
    /// It asks for another one.
    SecondTurn,
    Single,
    /// It answers.
    LastTurn,
    Callback,
}

impl Step {
    const ALL: [Self; 6] = [
        Self::FirstTurn,
        Self::Pair,
        Self::SecondTurn,
        Self::Single,
        Self::LastTurn,
        Self::Callback,
    ];

    /// Of how many requests it consists.
    fn n_requests(self) -> usize {
        if self == Self::Pair { 2 } else { 1 }
    }
}

/// The events of a run, side by side or one call after the other.
const EVENTS: [&[&str]; 2] = {
    const USER: &str = "user_message";
    const MODEL: &str = "assistant_message";
    const CALL: &str = "tool_called";
    const RESULT: &str = "tool_result";
    [
        &[USER, MODEL, CALL, CALL, RESULT, RESULT, MODEL, CALL, RESULT, MODEL],
        &[USER, MODEL, CALL, RESULT, CALL, RESULT, MODEL, CALL, RESULT, MODEL],
    ]
};

/// When the runner is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// All requests of the step have come, and none is answered.
    Held(Step),
    /// One of the two tools has answered, which is in the journal, and the other has not.
    HalfHeld,
    /// The last request of the step has come, and is being answered.
    Answering(Step),
}

/// A request, as the log has it: of which run, and of which step.
type Seen = (String, Step);

/// The log of all stubs.
#[derive(Clone)]
struct Witness(watch::Sender<Vec<Seen>>);

impl Witness {
    fn see(&self, run: &str, step: Step) {
        self.0.send_modify(|seen| seen.push((run.to_owned(), step)));
    }

    fn steps_of(&self, run: &str) -> Vec<Step> {
        let seen = self.0.borrow();
        seen.iter().filter(|(of, _)| of == run).map(|(_, step)| *step).collect()
    }

    /// Returns as soon as all requests of a step have come.
    async fn sees(&self, run: &str, step: Step) -> anyhow::Result<()> {
        let has_come = |seen: &Vec<Seen>| {
            seen.iter().filter(|(of, at)| of == run && *at == step).count() >= step.n_requests()
        };
        let mut seen = self.0.subscribe();
        let seen = timeout(SOON, seen.wait_for(has_come)).await;
        seen.with_context(|| format!("{run} did not come to {step:?}"))?.map(drop)?;
        Ok(())
    }
}

/// A system with one agent that needs three tools.
struct Trial {
    desk: Desk,
    witness: Witness,
    model: Model,
    tool: Tool,
    sink: Stub,
    _events: Sink,
    tap: Tap,
    trigger: String,
    /// All of the agent, in order.
    executions: Vec<String>,
}

impl Trial {
    async fn open() -> Result<Self, Failure> {
        let desk = Desk::open(system().env("RECADO_LEASE_MS", LEASE_MS)).await?;
        let tap = Tap::on(&desk.app).await?;
        let witness = Witness(watch::Sender::new(Vec::new()));
        let model = Model::start();
        let seen = witness.clone();
        model.respond_with(move |chat| turn(chat, &seen));
        let seen = witness.clone();
        let tool = Tool::start(move |request| {
            let run = request.json().and_then(|body| body["run"].as_str().map(str::to_owned));
            let step = if request.path == "/book" { Step::Single } else { Step::Pair };
            seen.see(&run.unwrap_or_default(), step);
            Reply::json(200, &json!({"done": request.path}))
        });
        let seen = witness.clone();
        let sink = Stub::start(move |request| {
            let body = request.json().unwrap_or_default();
            let answer = body["answer"].as_str().unwrap_or_default();
            seen.see(answer.strip_prefix("done: ").unwrap_or_default(), Step::Callback);
            Reply::json(200, &json!({}))
        });
        let parameters = json!({"type": "object", "properties": {"run": {"type": "string"}}});
        let mut tools = Vec::new();
        for name in ["look_up", "price", "book"] {
            let config = posting(&tool, &format!("/{name}"), &parameters, &json!({}));
            tools.push(desk.tool(name, &config).await?);
        }
        let agent = desk.agent(&model, &json!({"tools": tools})).await?;
        // Somebody listens, so that no event may be lost.
        let events = Sink::start();
        let endpoint = json!({"name": "events", "url": events.url(), "agent_id": agent});
        desk.app.management().make_event_endpoint(&endpoint).await?;
        let trigger = desk.trigger(&agent, &json!({"callback": callback(&sink)})).await?;
        let executions = Vec::new();
        Ok(Self { desk, witness, model, tool, sink, _events: events, tap, trigger, executions })
    }

    /// Begins a run, and answers its execution.
    async fn begin(&mut self, run: &str) -> anyhow::Result<String> {
        let execution = self.desk.post(&self.trigger, &json!({"text": run})).await?;
        self.executions.push(execution.clone());
        Ok(execution)
    }

    /// A run whose runner is killed at `moment`.
    async fn kill_at(&mut self, run: &str, moment: Moment) -> anyhow::Result<()> {
        self.hold_until(moment);
        let execution = self.begin(run).await?;
        match moment {
            Moment::Held(step) | Moment::Answering(step) => self.witness.sees(run, step).await?,
            Moment::HalfHeld => {
                self.witness.sees(run, Step::Pair).await?;
                self.one_call_is_journaled(&execution).await?;
            }
        }
        self.kill_and_restart().await?;
        let repeated = self.judge(run, &execution).await?;
        let expected = match moment {
            Moment::Held(step) => step.n_requests(),
            Moment::HalfHeld => 1,
            Moment::Answering(_) => return Ok(()),
        };
        assert_eq!(repeated, expected, "{run}: {:?}", self.witness.steps_of(run));
        Ok(())
    }

    /// Plans that the requests of a step are not answered when they come for the first time.
    fn hold_until(&self, moment: Moment) {
        let nth = |stub: &Stub, n: u64| stub.count() as u64 + n;
        let (model, tool) = (&self.model, &self.tool);
        match moment {
            Moment::Held(Step::FirstTurn) => model.fail_at(nth(model, 1), Fault::Hang),
            Moment::Held(Step::SecondTurn) => model.fail_at(nth(model, 2), Fault::Hang),
            Moment::Held(Step::LastTurn) => model.fail_at(nth(model, 3), Fault::Hang),
            Moment::Held(Step::Pair) => tool.fail_next(2, &Fault::Hang),
            Moment::Held(Step::Single) => tool.fail_at(nth(tool, 3), Fault::Hang),
            Moment::HalfHeld => tool.fail_next(1, &Fault::Hang),
            Moment::Held(Step::Callback) | Moment::Answering(_) => {}
        }
    }

    async fn one_call_is_journaled(&self, execution: &str) -> anyhow::Result<()> {
        let query = format!(
            "SELECT count(*) FROM tool_calls
              WHERE execution_id = '{execution}' AND status = 'success'"
        );
        wait_for("the first result of two", SOON, async || {
            let n_calls = sql::count(&self.desk.app.database_url(), &query).await.ok()?;
            (n_calls == 1).then_some(())
        })
        .await
    }

    async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.desk.app.kill(Role::AgentRunner, 0)?;
        self.desk.app.restart(Role::AgentRunner, 0).await
    }

    /// What a run came to, however often its runner was killed: once. Answers how many requests
    /// were repeated.
    async fn judge(&self, run: &str, execution: &str) -> anyhow::Result<usize> {
        let detail = self.desk.end_of(&self.trigger, execution).await?;
        assert_eq!(end(&detail), ("success", None), "{run}: {detail}");
        assert_eq!(detail["execution"]["agent_response"], format!("done: {run}"));
        let told =
            answers(&self.sink).into_iter().filter(|answer| *answer == format!("done: {run}"));
        assert_eq!(told.count(), 1, "{run} is called back once");
        assert_journal(run, &detail);

        let steps = self.witness.steps_of(run);
        assert!(steps.is_sorted(), "{run} went back: {steps:?}");
        let n_of = |step: &Step| steps.iter().filter(|seen| *seen == step).count();
        let repeated: Vec<Step> =
            Step::ALL.into_iter().filter(|step| n_of(step) != step.n_requests()).collect();
        assert!(repeated.len() <= 1, "{run} repeated more than what was in doubt: {steps:?}");
        let n_repeated = self.n_repeated_turns(run) + self.n_repeated_calls(run);
        assert_eq!(steps.len(), 7 + n_repeated, "{run}: every step has come: {steps:?}");
        Ok(n_repeated)
    }

    /// All events of all runs are told, and none before what it follows from, although some are told
    /// again.
    async fn judge_events(&mut self) -> anyhow::Result<()> {
        // Those that a dead runner had not told yet are told again after a minute; it is over.
        let age = "UPDATE executions SET finished_at = finished_at - interval '2 minutes'
                    WHERE events_due";
        sql::execute(&self.desk.app.database_url(), age).await?;
        self.desk.app.restart(Role::AgentRunner, 0).await?;
        // Not until all are seen only: a runner that still tells some again would leave them behind.
        let due = "SELECT count(*) FROM executions WHERE events_due";
        wait_for("all events to be told", SOON, async || {
            let n_due = sql::count(&self.desk.app.database_url(), due).await.ok()?;
            (n_due == 0).then_some(())
        })
        .await?;
        wait_for("all events", SOON, async || {
            let told = self.told().await.ok()?;
            let n_told = |run| told.get(run).map_or(0, Vec::len);
            self.executions.iter().all(|run| n_told(run) >= EVENTS[0].len()).then_some(())
        })
        .await?;
        for (execution, kinds) in self.told().await? {
            let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
            assert!(EVENTS.contains(&kinds.as_slice()), "{execution}: {kinds:?}");
        }
        Ok(())
    }

    /// The kinds of the events of each execution, in the order in which they were first told.
    async fn told(&self) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
        let mut known = BTreeSet::new();
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, body) in self.tap.published().await? {
            let Some(kind) = key.strip_prefix("objective_event.") else { continue };
            let event: Value = serde_json::from_str(&body)?;
            if known.insert(event["event_id"].to_string()) {
                let execution = event["execution_id"].as_str().context("of an execution")?;
                told.entry(execution.to_owned()).or_default().push(kind.to_owned());
            }
        }
        Ok(told)
    }

    /// How many requests to the model were repeated: each once, under its own key, and word for word.
    fn n_repeated_turns(&self, run: &str) -> usize {
        let mut asked: BTreeMap<String, Vec<Chat>> = BTreeMap::new();
        for ask in self.model.asked().into_iter().filter(|ask| ask.chat.input() == run) {
            asked.entry(ask.idempotency_key.unwrap_or_default()).or_default().push(ask.chat);
        }
        assert_eq!(asked.len(), 3, "{run}: a key for each call: {:?}", asked.keys());
        for chats in asked.values() {
            assert!(chats.len() <= 2 && chats.iter().all(|chat| *chat == chats[0]), "{chats:?}");
        }
        asked.values().map(|chats| chats.len() - 1).sum()
    }

    /// The same of the requests to tools.
    fn n_repeated_calls(&self, run: &str) -> usize {
        let mut made: BTreeMap<String, Vec<(String, Option<Value>)>> = BTreeMap::new();
        for call in self.tool.calls() {
            if call.body.as_ref().is_some_and(|body| body["run"] == run) {
                let key = call.idempotency_key.unwrap_or_default();
                made.entry(key).or_default().push((call.path, call.body));
            }
        }
        let tools: BTreeSet<&str> = made.values().map(|calls| calls[0].0.as_str()).collect();
        assert_eq!(tools, BTreeSet::from(["/book", "/look_up", "/price"]), "{run}");
        assert_eq!(made.len(), 3, "{run}: a key for each call: {:?}", made.keys());
        for calls in made.values() {
            assert!(calls.len() <= 2 && calls.iter().all(|call| *call == calls[0]), "{calls:?}");
        }
        made.values().map(|calls| calls.len() - 1).sum()
    }
}

/// Two tools side by side, then one, then the answer; the text of the message is the name of the run.
fn turn(chat: &Chat, witness: &Witness) -> Turn {
    let run = chat.input();
    let arguments = json!({"run": run});
    let (step, turn) = match chat.turn() {
        0 => (Step::FirstTurn, Turn::call("look_up", &arguments).and_call("price", &arguments)),
        1 => (Step::SecondTurn, Turn::call("book", &arguments)),
        _ => (Step::LastTurn, Turn::say(format!("done: {run}"))),
    };
    witness.see(run, step);
    turn
}

/// The journal has every call once, in the order in which the model asked for them.
fn assert_journal(run: &str, detail: &Value) {
    let calls = detail["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let calls: Vec<_> = calls
        .iter()
        .map(|call| {
            let place = (call["iteration"].as_i64(), call["call_index"].as_i64());
            (call["tool_name"].as_str(), place, call["status"].as_str())
        })
        .collect();
    let made =
        |name, iteration, index| (Some(name), (Some(iteration), Some(index)), Some("success"));
    assert_eq!(calls, [made("look_up", 1, 0), made("price", 1, 1), made("book", 2, 0)], "{run}");
    assert_eq!(detail["llm_calls"].as_array().map(Vec::len), Some(3), "{run}: {detail}");
}

#[tokio::test]
async fn a_run_that_is_killed_between_any_two_steps_repeats_only_what_was_in_doubt() -> Story {
    let mut trial = Trial::open().await?;
    let held = Step::ALL.into_iter().filter(|step| *step != Step::Callback).map(Moment::Held);
    let answering = Step::ALL.map(Moment::Answering);
    let moments = held.chain([Moment::HalfHeld]).chain(answering);
    for moment in moments {
        trial.kill_at(&format!("{moment:?}"), moment).await?;
    }
    trial.judge_events().await?;
    Ok(trial.desk.app.finish().await?)
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_moment_repeats_only_what_was_in_doubt() -> Story {
    let mut trial = Trial::open().await?;
    trial.model.fail_always(Fault::Delay(IN_DOUBT));
    trial.tool.fail_always(Fault::Delay(IN_DOUBT));
    let started = Instant::now();
    let execution = trial.begin("nobody dies").await?;
    trial.witness.sees("nobody dies", Step::Callback).await?;
    let whole = started.elapsed();
    assert_eq!(trial.judge("nobody dies", &execution).await?, 0);

    let mut random = StdRng::seed_from_u64(SEED);
    eprintln!("killed within {whole:?} of the first message, by the seed {SEED}");
    let mut n_repeated = 0;
    for round in 0..ROUNDS {
        let mut runs = Vec::new();
        for n in 0..RUNS_AT_ONCE {
            let run = format!("round {round} run {n}");
            let execution = trial.begin(&run).await?;
            runs.push((run, execution));
            sleep(whole.mul_f64(random.random_range(0.0..0.5))).await;
        }
        sleep(whole.mul_f64(random.random_range(0.0..0.5))).await;
        trial.kill_and_restart().await?;
        for (run, execution) in runs {
            n_repeated += trial.judge(&run, &execution).await?;
        }
    }
    eprintln!("{ROUNDS} kills under {RUNS_AT_ONCE} runs: {n_repeated} requests were in doubt");
    trial.judge_events().await?;
    Ok(trial.desk.app.finish().await?)
}

/// A run that kills its runner whenever it is taken up is given up.
#[tokio::test]
async fn a_run_that_kills_every_runner_ends() -> Story {
    let mut trial = Trial::open().await?;
    trial.model.fail_always(Fault::Hang);
    let execution = trial.begin("deadly").await?;
    for n in 1..=5 {
        wait_for("the next attempt", SOON, async || (trial.model.count() == n).then_some(()))
            .await?;
        trial.kill_and_restart().await?;
    }
    let detail = trial.desk.end_of(&trial.trigger, &execution).await?;
    assert_eq!(end(&detail), ("failed", Some("attempts_exhausted")), "{detail}");
    let keys: BTreeSet<_> =
        trial.model.asked().into_iter().map(|ask| ask.idempotency_key).collect();
    assert_eq!((trial.model.count(), keys.len()), (5, 1), "one call, however often it was sent");
    Ok(trial.desk.app.finish().await?)
}
