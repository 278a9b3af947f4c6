//! Models that hang, drip, refuse, talk nonsense, or never come to an end: the execution ends in
//! time, with an answer or with the reason, and no tool is called by mistake.

use std::time::Duration;

use anyhow::Context;
use chrono::SubsecRound;
use futures_util::future::try_join_all;
use recado_clock::{Clock, SystemClock};
use recado_testkit::model::{Chat, Model, Turn, Usage};
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::tool::Tool;
use serde_json::{Value, json};

use super::{Desk, calls, end, posting};
use crate::support::{Failure, Story, answered_at, system};

/// Time enough for a model that fails now and then.
const PATIENT: u64 = 20_000;
/// How long an execution may take whose model says nothing.
const SHORT: u64 = 1_500;
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(5);

/// What a model does, and what has to come of it.
struct Misconduct {
    what: &'static str,
    plan: fn(&Model),
    timeout_ms: u64,
    end: (&'static str, Option<&'static str>),
    /// How often the model is asked.
    n_asked: usize,
}

const SUCCESS: (&str, Option<&str>) = ("success", None);
const TIMEOUT: (&str, Option<&str>) = ("timeout", Some("timeout"));

fn failed(code: &'static str) -> (&'static str, Option<&'static str>) {
    ("failed", Some(code))
}

/// A stream with an event that is cut off in the middle of its JSON, whatever the API.
fn broken_event() -> Fault {
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"mess\n\n";
    Fault::Answer(Reply::new(200, "text/event-stream", stream))
}

fn misconduct() -> Vec<Misconduct> {
    let of =
        |what, plan, end, n_asked| Misconduct { what, plan, timeout_ms: PATIENT, end, n_asked };
    let short = |misconduct| Misconduct { timeout_ms: SHORT, ..misconduct };
    vec![
        short(of("hangs", |model| model.fail_always(Fault::Hang), TIMEOUT, 1)),
        short(of(
            "drips for ever",
            |model| model.fail_always(Fault::Drip(Duration::from_millis(200))),
            TIMEOUT,
            1,
        )),
        short(of(
            "falls silent in the middle",
            |model| model.fail_always(Fault::Stall(200)),
            TIMEOUT,
            1,
        )),
        of("drips", |model| model.fail_next(1, &Fault::Drip(Duration::from_millis(1))), SUCCESS, 1),
        of("fails once", |model| model.fail_next(1, &Fault::status(500)), SUCCESS, 2),
        of(
            "always fails",
            |model| model.fail_always(Fault::status(500)),
            failed("model_unavailable"),
            4,
        ),
        of("breaks off once", |model| model.fail_next(1, &Fault::Break(200)), SUCCESS, 2),
        of(
            "always breaks off",
            |model| model.fail_always(Fault::Break(200)),
            failed("model_unavailable"),
            4,
        ),
        of("hangs up once", |model| model.fail_next(1, &Fault::Cut), SUCCESS, 2),
        of(
            "is busy for an hour",
            |model| model.fail_always(Fault::retry_after(429, 3_600)),
            failed("model_busy"),
            1,
        ),
        of(
            "answers half a document",
            |model| model.fail_always(Fault::malformed_json()),
            failed("model_answer_malformed"),
            1,
        ),
        of(
            "streams half an event",
            |model| model.fail_always(broken_event()),
            failed("model_answer_malformed"),
            1,
        ),
        of("says nothing", |model| model.answer(""), failed("model_answer_empty"), 1),
    ]
}

#[tokio::test]
async fn whatever_a_model_does_its_execution_ends_in_time_and_says_why() -> Story {
    let desk = Desk::open(system()).await?;
    let cases = misconduct();
    let kinds = ["openai_compatible", "anthropic"];
    let cases = kinds.iter().flat_map(|kind| cases.iter().map(move |case| (*kind, case)));
    try_join_all(cases.map(|(kind, case)| assert_ends(&desk, kind, case))).await?;
    Ok(desk.app.finish().await?)
}

async fn assert_ends(desk: &Desk, kind: &str, case: &Misconduct) -> anyhow::Result<()> {
    let what = format!("{kind} model that {}", case.what);
    let model = Model::start();
    model.answer("fine");
    (case.plan)(&model);
    let agent = desk.agent_by(kind, &model, &json!({})).await?;
    let trigger = desk.trigger(&agent, &json!({"timeout_ms": case.timeout_ms})).await?;
    let detail = desk.ask(&trigger, "how are you?").await?;

    assert_eq!(end(&detail), case.end, "{what}: {detail}");
    let took = detail["execution"]["execution_time_ms"].as_u64().context("it has ended")?;
    let most = Duration::from_millis(case.timeout_ms) + SLACK;
    assert!(Duration::from_millis(took) < most, "{what}: {took} ms");
    let answer = (case.end == SUCCESS).then_some("fine");
    assert_eq!(detail["execution"]["agent_response"].as_str(), answer, "{what}");
    let asked = model.asked();
    assert_eq!(asked.len(), case.n_asked, "{what}");
    let key = &asked[0].idempotency_key;
    assert!(key.is_some() && asked.iter().all(|again| again.idempotency_key == *key), "{what}");
    Ok(())
}

#[tokio::test]
async fn a_busy_model_is_left_alone_for_as_long_as_it_asks_in_seconds_or_by_the_clock() -> Story {
    let desk = Desk::open(system()).await?;
    let model = Model::start();
    let clock = SystemClock::default();
    let agent = desk.agent(&model, &json!({})).await?;
    let trigger = desk.trigger(&agent, &json!({"timeout_ms": PATIENT})).await?;
    // A date of HTTP has whole seconds.
    let date = (clock.now() + Duration::from_secs(4)).trunc_subsecs(0);
    let left = (date - clock.now()).to_std()?;
    let until = model.elapsed() + left;
    let by_date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    model.fail_next(1, &Fault::retry_after(429, 1));
    model.fail_next(1, &Fault::Answer(Reply::text(429, "").with_header("Retry-After", &by_date)));
    model.fail_next(1, &Fault::status(500));
    let detail = desk.ask(&trigger, "are you there?").await?;

    assert_eq!(end(&detail), SUCCESS, "{detail}");
    assert_eq!(detail["metrics"]["total_calls"], 1, "one call, however often it was sent");
    let (asked, received) = (model.asked(), model.received());
    assert_eq!(asked.len(), 4);
    assert!(asked[1].at >= answered_at(&received[0])? + Duration::from_secs(1), "in seconds");
    // The second that the date leaves out is counted by nobody.
    assert!(asked[2].at + Duration::from_secs(1) >= until, "{:?} before {until:?}", asked[2].at);
    assert!(asked.iter().all(|again| again.idempotency_key == asked[0].idempotency_key));
    Ok(desk.app.finish().await?)
}

/// A desk with a tool that takes a number.
struct Clerk {
    desk: Desk,
    tool: Tool,
    tool_id: String,
}

impl Clerk {
    async fn open() -> Result<Self, Failure> {
        let desk = Desk::open(system()).await?;
        let tool = Tool::answering([("/contracts", json!({"status": "active"}))]);
        let parameters = json!({
            "type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"],
        });
        let config = posting(&tool, "/contracts", &parameters, &json!({}));
        let tool_id = desk.tool("look_up", &config).await?;
        Ok(Self { desk, tool, tool_id })
    }

    /// What comes of a message to an agent that has the tool.
    async fn ask(&self, model: &Model, limits: &Value, text: &str) -> anyhow::Result<Value> {
        let agent = json!({"tools": [self.tool_id], "limits": limits});
        let agent = self.desk.agent(model, &agent).await?;
        let trigger = self.desk.trigger(&agent, &json!({"timeout_ms": PATIENT})).await?;
        self.desk.ask(&trigger, text).await
    }

    /// The numbers that the tool was asked for.
    fn asked_for(&self) -> Vec<Value> {
        self.tool
            .calls()
            .into_iter()
            .map(|mut call| call.body.take().unwrap_or_default()["id"].take())
            .collect()
    }
}

fn look_up(id: i64) -> Turn {
    Turn::call("look_up", &json!({"id": id}))
}

/// What a model writes that is no call of a tool, and a part of what it is told.
fn mistakes() -> Vec<(Turn, &'static str)> {
    let raw = |arguments: &str| Turn::default().and_call_raw("look_up", arguments);
    vec![
        (Turn::call("lookup", &json!({"id": 1})), "there are: look_up"),
        (Turn::call("look_up; DROP TABLE tools", &json!({})), "there is no tool"),
        (Turn::call("look_up", &json!({"id": "seven"})), "`id`"),
        (Turn::call("look_up", &json!({})), "\"id\" is a required property"),
        (Turn::call("look_up", &json!({"id": 1, "admin": true})), "admin"),
        (raw("{\"id\": 1"), "not valid JSON"),
        (raw("look up number one, please"), "not valid JSON"),
        (raw("[1]"), "must be a JSON object, not a list"),
        (raw("\"{\\\"id\\\": 1}\""), "must be a JSON object, not a text"),
    ]
}

#[tokio::test]
async fn a_model_is_told_of_its_mistakes_and_can_correct_itself() -> Story {
    let clerk = Clerk::open().await?;
    let tell = async |(n, (mistake, told)): (i64, (Turn, &'static str))| {
        let model = Model::start();
        let wrong = mistake.clone();
        model.respond_with(move |chat| match (chat.turn(), chat.results()[..].first()) {
            (0, _) => wrong.clone(),
            (1, Some(complaint)) if complaint.contains(told) => look_up(n),
            (1, complaint) => Turn::say(format!("I was told {complaint:?}")),
            _ => Turn::say("it is active"),
        });
        let detail = clerk.ask(&model, &json!({}), "what of my contract?").await?;
        assert_eq!(end(&detail), SUCCESS, "{mistake:?}: {detail}");
        assert_eq!(detail["execution"]["agent_response"], "it is active", "{mistake:?}");
        let calls = calls(&detail);
        assert_eq!((calls[0].0, calls[1]), ("error", ("success", "{\"status\":\"active\"}")));
        anyhow::Ok(n)
    };
    let mut expected = try_join_all((100..).zip(mistakes()).map(tell)).await?;
    let mut asked_for: Vec<i64> = clerk.asked_for().iter().filter_map(Value::as_i64).collect();
    expected.sort_unstable();
    asked_for.sort_unstable();
    assert_eq!(asked_for, expected, "nothing was sent but what was right");
    Ok(clerk.desk.app.finish().await?)
}

/// Whether the model may call tools this time.
fn may_call(chat: &Chat) -> bool {
    chat.tools.is_some() && chat.tool_choice != Some(json!("none"))
}

#[tokio::test]
async fn a_model_that_calls_the_same_tool_for_ever_answers_when_its_tools_are_taken_away() -> Story
{
    let clerk = Clerk::open().await?;
    let model = Model::start();
    model.respond_with(|chat| if may_call(chat) { look_up(1) } else { Turn::say("enough") });
    let detail = clerk.ask(&model, &json!({"max_iterations": 5}), "for ever").await?;
    assert_eq!(end(&detail), SUCCESS, "{detail}");
    assert_eq!(detail["execution"]["agent_response"], "enough");
    assert_eq!((model.count(), clerk.tool.count()), (5, 4));
    assert_eq!(clerk.tool.calls_by_key().len(), 4, "the same arguments are another call");

    // Calls are limited too, and whoever does not answer is stopped.
    model.respond_with(|chat| {
        if may_call(chat) {
            look_up(2).and_call("look_up", &json!({"id": 3}))
        } else {
            Turn::say("enough")
        }
    });
    let detail = clerk.ask(&model, &json!({"max_tool_calls": 3}), "twice for ever").await?;
    assert_eq!(end(&detail), SUCCESS, "{detail}");
    assert_eq!(
        calls(&detail).iter().map(|call| call.0).collect::<Vec<_>>(),
        ["success", "success", "success", "error"]
    );
    assert!(calls(&detail)[3].1.contains("the limit of tool calls is reached"), "{detail}");
    assert_eq!(clerk.tool.count(), 4 + 3);

    model.respond_with(|_| look_up(4));
    let detail = clerk.ask(&model, &json!({"max_iterations": 3}), "for ever and ever").await?;
    assert_eq!(end(&detail), failed("iteration_limit"), "{detail}");
    assert_eq!(clerk.tool.count(), 4 + 3 + 2);
    let turns = detail["llm_calls"].as_array().map(Vec::len);
    assert_eq!(turns, Some(3), "the last turn is in the journal too: {detail}");
    Ok(clerk.desk.app.finish().await?)
}

#[tokio::test]
async fn many_calls_in_one_turn_are_made_as_far_as_the_limits_go() -> Story {
    let clerk = Clerk::open().await?;
    let model = Model::start();
    let at_once =
        |n| (0..n).fold(Turn::default(), |turn, id| turn.and_call("look_up", &json!({"id": id})));
    model.respond_with(move |chat| if chat.turn() == 0 { at_once(64) } else { Turn::say("done") });
    let detail = clerk.ask(&model, &json!({"max_tool_calls": 50}), "all of them").await?;
    assert_eq!(end(&detail), SUCCESS, "{detail}");
    let calls = calls(&detail);
    assert_eq!(calls.len(), 64);
    for (n, (status, told)) in calls.iter().enumerate() {
        let expected = if n < 50 { "success" } else { "error" };
        assert_eq!(*status, expected, "call {n}: {told}");
    }
    for (n, call) in detail["tool_calls"].as_array().into_iter().flatten().enumerate() {
        assert_eq!(call["call_index"], n, "in the order of the model");
        assert_eq!(call["tool_input"], json!({"id": n}));
    }
    // The model is told of each under the name that it gave it.
    let told = &model.asked()[1].chat.messages;
    let (asked, answered) = (&told[2].tool_calls, &told[3..]);
    let ids = |n: usize| (Some(asked[n].id.clone()), answered[n].tool_call_id.clone());
    assert!((0..64).all(|n| ids(n).0 == ids(n).1));
    assert_eq!(clerk.tool.calls_by_key().len(), 50, "each under a key of its own");

    model.respond_with(move |chat| if chat.turn() == 0 { at_once(100) } else { Turn::say("done") });
    let detail = clerk.ask(&model, &json!({}), "more than that").await?;
    assert_eq!(end(&detail), failed("model_answer_too_large"), "{detail}");
    assert_eq!(clerk.tool.count(), 50, "none of a hundred is made");
    Ok(clerk.desk.app.finish().await?)
}

#[tokio::test]
async fn a_budget_that_is_spent_ends_the_execution_before_the_next_call_of_the_model() -> Story {
    let clerk = Clerk::open().await?;
    let model = Model::start();
    model.claim_usage(Usage { prompt_tokens: 40, completion_tokens: 20 });
    model.respond_with(|_| look_up(1));
    // A dollar for a thousand tokens.
    for (budget, code) in [
        (json!({"max_tokens": 100}), "token_budget_spent"),
        (json!({"max_cost_usd": 0.1}), "cost_budget_spent"),
    ] {
        let before = model.count();
        let detail = clerk.ask(&model, &budget, "as long as you like").await?;
        assert_eq!(end(&detail), failed(code), "{detail}");
        assert_eq!(model.count() - before, 2, "the first two calls spent it");
        assert_eq!(detail["execution"]["tokens_used"], 120);
        assert_eq!(detail["metrics"]["total_tokens"], 120);
        let cost = detail["metrics"]["total_cost_usd"].as_f64().unwrap_or_default();
        assert!((cost - 0.12).abs() < 1e-9, "{cost}");
        assert_eq!(calls(&detail).len(), 2, "what was asked for before is done");
    }
    Ok(clerk.desk.app.finish().await?)
}
