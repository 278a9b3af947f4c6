//! What models are told of answers and of their absence.

use std::time::Instant;

use recado_testkit::receiver::{Receiver, Script};
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::tool::Tool;
use serde_json::json;

use super::*;

async fn told_of(reply: Reply) -> CallOutcome {
    let tool = Tool::start(move |_| reply.clone());
    called(&Setup::post(&tool.url()).open(), json!({})).await
}

#[tokio::test]
async fn a_failure_is_told_with_what_the_tool_says_of_it() {
    let outcome = told_of(Reply::text(422, "no such customer")).await;
    assert_eq!(outcome.output, "the tool answered with status 422:\nno such customer");
    assert_eq!(outcome.error.as_deref(), Some("the tool answered with status 422"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Tool::echoing();
    for status in [301, 302, 307, 308] {
        let reply = Reply::text(status, "moved").with_header("Location", &target.url());
        let outcome = told_of(reply).await;
        let told =
            format!("the tool answered with a redirect (status {status}), which is not followed");
        assert_eq!(outcome.error, Some(told.clone()));
        assert_eq!(outcome.output, told);
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn nothing_and_binaries_are_described() {
    assert_eq!(told_of(Reply::text(204, "")).await.output, "[no content; status 204]");
    let png = told_of(Reply::new(200, "image/png", b"\x89PNG\0".to_vec())).await;
    assert_eq!(png.output, "[binary content, not shown: image/png, 5 bytes]");
    assert_eq!(png.error, None);
}

#[tokio::test]
async fn nul_is_left_out() {
    let outcome = told_of(Reply::text(200, "a\0b")).await;
    assert_eq!(outcome.output, "ab");
}

#[tokio::test]
async fn a_tool_that_hangs_is_given_up_after_its_time_or_the_executions() {
    let tool = Tool::echoing();
    tool.fail_always(Fault::Hang);
    let toolbox = Setup::post(&tool.url()).with("timeout_ms", json!(300)).open();
    let begun = Instant::now();
    let outcome = called(&toolbox, json!({})).await;
    assert_eq!(outcome.error.as_deref(), Some("the tool did not answer within 0.3 s"));
    assert!(outcome.duration >= Duration::from_millis(300));

    let toolbox = Setup::post(&tool.url()).open();
    let call = ready(&toolbox, "{}");
    let outcome = toolbox.call(&call, key(), Duration::from_millis(200)).await;
    assert_eq!(outcome.error.as_deref(), Some("the tool did not answer within 0.2 s"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let talker = Receiver::doing(Script::drip(Duration::from_millis(20)));
    let toolbox = Setup::post(&talker.url()).with("timeout_ms", json!(400)).open();
    let outcome = called(&toolbox, json!({})).await;
    let told = "the tool did not finish its answer within 0.4 s";
    assert_eq!(outcome.error.as_deref(), Some(told));
}

#[tokio::test]
async fn a_gigabyte_is_read_up_to_the_tools_limit() {
    let talker = Receiver::doing(Script::flood());
    let toolbox = Setup::post(&talker.url()).with("max_response_bytes", json!(1_000)).open();
    let begun = Instant::now();
    let outcome = called(&toolbox, json!({})).await;
    assert_eq!(outcome.output, format!("{}\n[cut after 1000 bytes]", "x".repeat(1_000)));
    assert!(outcome.truncated && outcome.error.is_none());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_agents_limit_comes_last_and_cuts_between_characters() {
    let tool = Tool::start(|_| Reply::text(200, &"é".repeat(5_000)));
    let mut setup = Setup::post(&tool.url());
    setup.max_output_bytes = 256;
    let outcome = called(&setup.open(), json!({})).await;
    assert!(outcome.output.len() <= 256, "{}", outcome.output.len());
    assert!(outcome.output.ends_with("é\n[cut after 256 bytes]"), "{}", outcome.output);
    assert!(outcome.truncated);
}

#[tokio::test]
async fn a_tool_that_is_away_is_told_without_its_address() {
    let tool = Tool::echoing();
    let toolbox = Setup::post(&tool.url()).open();
    tool.fail_next(1, &Fault::Cut);
    let cut = called(&toolbox, json!({})).await;
    assert_eq!(cut.error.as_deref(), Some("the connection to the tool failed"));
    drop(tool);
    let away = called(&toolbox, json!({})).await;
    assert_eq!(away.error.as_deref(), Some("the tool cannot be reached"));
}
