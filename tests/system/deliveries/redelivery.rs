//! Deliveries that somebody has sent again.

use std::time::Duration;

use anyhow::Context;
use recado_testkit::app::Management;
use recado_testkit::callback::Sink;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Line, end, four_paragraphs, in_four, statuses};
use crate::support::{Answer, SOON, Story, system};

/// The keys of all requests so far, in order.
fn keys(sink: &Sink) -> Vec<String> {
    let key = |name: Option<&str>| name.unwrap_or_default().to_owned();
    sink.received().iter().map(|received| key(received.header("idempotency-key"))).collect()
}

/// The texts of all requests so far, in order.
fn texts(sink: &Sink) -> Vec<String> {
    let text = |body: Value| body["text"].as_str().map(str::to_owned);
    sink.received().iter().filter_map(|received| text(received.json()?)).collect()
}

/// The code with which a redelivery is refused.
async fn refusal(management: &Management, id: &str, from: &str) -> anyhow::Result<(u16, String)> {
    let path = format!("/api/deliveries/{id}/redeliver");
    let request = management.request(Method::POST, &path)?.json(&json!({"from": from}));
    let answer = Answer::of(request.send().await?).await?;
    Ok((answer.status, answer.error()))
}

#[tokio::test]
async fn a_failed_delivery_goes_on_at_the_chunk_that_failed_or_begins_anew() -> Story {
    let app = system().start().await?;
    let sink = Sink::start();
    sink.fail_at(2, Fault::status(400));
    let line = Line::open_for(app.management(), &json!({"url": sink.url()}), &in_four()).await?;
    let [one, two, three, four] = four_paragraphs();
    let answer = four_paragraphs().join("\n\n");
    let outcome = line.outcome(&line.say(&app, "ana", &answer).await?).await?;
    assert_eq!(end(&outcome), ("failed", Some("http_400")));
    assert_eq!(statuses(&outcome), ["sent", "failed", "skipped", "skipped"]);
    let id = outcome["id"].as_str().context("it has an id")?;

    let queued = app.management().redeliver(id, "first_failed").await?;
    assert_eq!((&queued["status"], &queued["round"]), (&json!("pending"), &json!(2)));
    let outcome = line.end_of(id).await?;
    assert_eq!(end(&outcome), ("delivered", None), "{outcome}");
    assert_eq!(statuses(&outcome), ["sent"; 4]);
    let key = |n: usize| format!("{id}-{n}");
    assert_eq!(keys(&sink), [key(1), key(2), key(2), key(3), key(4)]);
    assert_eq!(texts(&sink), [&one, &two, &two, &three, &four].map(String::as_str));
    let refused = refusal(app.management(), id, "first_failed").await?;
    assert_eq!(refused, (409, "nothing_to_redeliver".to_owned()));

    // From the start, it is cut as the trigger says today.
    let whole = json!({"trigger_config": {"execution": {"split_config": null}}});
    let path = format!("/api/triggers/{}", line.trigger);
    app.management().patch(&path, &whole).await?;
    app.management().redeliver(id, "start").await?;
    let outcome = line.end_of(id).await?;
    assert_eq!((end(&outcome), &outcome["round"]), (("delivered", None), &json!(3)));
    assert_eq!(statuses(&outcome), ["sent"]);
    assert_eq!(keys(&sink)[5..], [format!("{id}-1-3")]);
    assert_eq!(texts(&sink)[5..], [answer]);
    let rounds: Vec<_> = outcome["attempts"].as_array().into_iter().flatten().collect();
    assert_eq!(rounds.len(), 6, "nothing of what was tried is forgotten: {outcome}");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_redelivered_answer_goes_behind_what_its_session_has_on_its_way() -> Story {
    let app = system().start().await?;
    let sink = Sink::start();
    sink.fail_at(1, Fault::status(400));
    sink.fail_at(2, Fault::Delay(Duration::from_secs(3)));
    let callback = json!({"url": sink.url(), "timeout_ms": 15_000});
    let line = Line::open(&app, &callback).await?;
    let one = line.outcome(&line.say(&app, "ana", "one").await?).await?;
    assert_eq!(one["status"], "failed");
    let one = one["id"].as_str().context("it has an id")?;

    // The second one is on its way and the third one waits when the first one is asked for.
    let two = line.delivery(&line.say(&app, "ana", "two").await?).await?;
    wait_for("the second answer", SOON, async || (sink.count() == 2).then_some(())).await?;
    let three = line.delivery(&line.say(&app, "ana", "three").await?).await?;
    for pending in [&two, &three] {
        for from in ["first_failed", "start"] {
            let refused = refusal(app.management(), pending, from).await?;
            assert_eq!(refused, (409, "delivery_in_progress".to_owned()));
        }
    }
    app.management().redeliver(one, "first_failed").await?;
    let again = refusal(app.management(), one, "first_failed").await?;
    assert_eq!(again, (409, "delivery_in_progress".to_owned()));
    for delivery in [one, &two, &three] {
        assert_eq!(end(&line.end_of(delivery).await?), ("delivered", None));
    }
    assert_eq!(texts(&sink), ["one", "two", "three", "one"]);

    let stranger = app.another_tenant().await?;
    let refused = refusal(&stranger, one, "start").await?;
    assert_eq!(refused, (404, "delivery_not_found".to_owned()));
    Ok(app.finish().await?)
}
