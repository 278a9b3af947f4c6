//! A server that asks, floods, changes and ends instead of just answering.

use super::*;

const SCRIPT: &str = include_str!("forward.js");

fn forward() -> Given {
    let config = json!({"transport": "stdio", "command": "node", "args": ["-e", SCRIPT]});
    Given::with_commands(&config, &["node"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_asks_for_is_declined_politely() {
    let server = forward().connect().await.unwrap();
    let said = call(&server, "provoke", json!({"how": "ask"})).await.unwrap();
    let mut answers: Value = serde_json::from_str(&said.text).unwrap();
    answers.as_object_mut().unwrap().remove("call");
    let unknown = -32_601;
    let expected = json!({
        "ping": {},
        "model": unknown,
        "files": unknown,
        "person": {"action": "decline"},
        "else": unknown,
    });
    assert_eq!(answers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_ends_the_connection_and_not_us() {
    let given = forward();
    let server = given.connect().await.unwrap();
    let flooded = call(&server, "provoke", json!({"how": "flood"})).await.unwrap_err();
    assert_eq!(flooded.code(), "unreachable", "{flooded:?}");
    // The next one gets a new process.
    assert_eq!(given.connect().await.unwrap().tools()[0].name, "provoke");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_is_replaced() {
    let server = forward().connect().await.unwrap();
    let ended = call(&server, "provoke", json!({"how": "end"})).await.unwrap_err();
    assert_eq!(ended.code(), "unreachable", "{ended:?}");
    call(&server, "provoke", json!({"how": "ask"})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_tools_are_listed_anew() {
    let given = forward();
    let server = given.connect().await.unwrap();
    call(&server, "provoke", json!({"how": "change"})).await.unwrap();
    assert_eq!(given.connect().await.unwrap().tools()[0].name, "changed");
}
