//! The server of the people who make the protocol, and what becomes of processes.

use recado_testkit::mcp::Everything;
use recado_testkit::wait_for;
use recado_types::tool::{EnvValue, McpTransport};

use super::*;

/// What any server worth the name does.
async fn is_of_use(server: &McpServer) {
    let echo = server.tools().iter().find(|tool| tool.name == "echo").unwrap();
    assert_eq!(echo.description, "Echoes back the input string");
    assert_eq!(echo.input_schema["required"], json!(["message"]));
    let said = call(server, "echo", json!({"message": "olá"})).await.unwrap();
    assert_eq!(said.text, "Echo: olá");
    assert!(!said.is_error && !said.truncated);
    let sum = call(server, "get-sum", json!({"a": 2, "b": 40})).await.unwrap();
    assert_eq!(sum.text, "The sum of 2 and 40 is 42.");
    let image = call(server, "get-tiny-image", json!({})).await.unwrap();
    assert!(image.text.contains("[image/png, "), "{}", image.text);
    let wrong = call(server, "echo", json!({"message": 7})).await.unwrap();
    assert!(wrong.is_error && wrong.text.contains("message"), "{wrong:?}");

    let long = json!({"duration": 30, "steps": 30});
    let late = call_within(IMPATIENT, server, "trigger-long-running-operation", long).await;
    assert!(matches!(late, Err(McpError::Timeout)), "{late:?}");
    // Whoever waited in vain does not stand in the way of the next.
    let said = call(server, "echo", json!({"message": "still there"})).await.unwrap();
    assert_eq!(said.text, "Echo: still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_serves_over_stdio() {
    let given = Given::everything();
    let server = given.connect().await.unwrap();
    is_of_use(&server).await;
    let said = call(&server, "get-env", json!({})).await.unwrap();
    let env: HashMap<String, String> = serde_json::from_str(&said.text).unwrap();
    assert_eq!(env["PLAIN"], "yes");
    assert_eq!(env["SECRET"], "k-3y");
    let known = ["PATH", "HOME", "LANG", "PLAIN", "SECRET"];
    assert!(env.keys().all(|name| known.contains(&name.as_str())), "{:?}", env.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_serves_over_http_and_is_found_again_after_it_died() {
    let mut everything = Everything::start().await.unwrap();
    let given = Given::http(&everything.url());
    let server = given.connect().await.unwrap();
    is_of_use(&server).await;

    everything.kill().unwrap();
    let gone = call(&server, "echo", json!({"message": "anybody?"})).await.unwrap_err();
    assert_eq!(gone.code(), "unreachable", "{gone:?}");
    let gone = call(&server, "echo", json!({"message": "anybody?"})).await.unwrap_err();
    assert_eq!(gone.told(), "the tool could not be reached");

    everything.restart().await.unwrap();
    // That the server is away was remembered for a while.
    let said = wait_for("the server to be tried again", PATIENT, async || {
        call(&server, "echo", json!({"message": "again"})).await.ok()
    });
    assert_eq!(said.await.unwrap().text, "Echo: again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_dies_with_its_connection_and_with_all_that_it_started() {
    let config = json!({
        "transport": "stdio",
        "command": "sh",
        // Neither the server nor its child ends when its input does.
        "args": ["-c", "sleep 1000 & node \"$0\" stdio; sleep 1000", everything_script().unwrap()],
    });
    let given = Given::with_commands(&config, &["sh"]);
    let server = given.connect().await.unwrap();
    let started = descendants_with("sleep 1000");
    assert!(started.len() > 1, "the shell and its first child at least: {started:?}");
    drop(server);
    drop(given);
    wait_for("the server's processes to end", PATIENT, async || {
        started.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
    .await
    .unwrap();
}

/// The processes of this test whose command line has `text` in it.
fn descendants_with(text: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let us = std::process::id();
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text) && descends_from(*pid, us)
    })
    .collect()
}

fn descends_from(pid: u32, ancestor: u32) -> bool {
    let mut next = Some(pid);
    while let Some(pid) = next.filter(|pid| *pid > 1) {
        if pid == ancestor {
            return true;
        }
        next = stat(pid).map(|(_, parent)| parent);
    }
    false
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// `/proc/<pid>/stat` is `pid (name) state parent …`.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
    Some((fields.next()?, fields.next()?.parse().ok()?))
}

#[tokio::test]
async fn a_command_that_the_operator_does_not_list_is_not_run() {
    let config = json!({"transport": "stdio", "command": "/usr/bin/node", "args": []});
    let refused = Given::with_commands(&config, &["node"]).connect().await.unwrap_err();
    assert!(matches!(refused, McpError::CommandNotAllowed), "{refused:?}");
    let mut given = Given::with_commands(&config, &["/usr/bin/node"]);
    let McpTransport::Stdio { env, .. } = &mut given.spec.transport else { panic!("it is stdio") };
    env.push(("LD_PRELOAD".into(), EnvValue::Literal("/tmp/evil.so".into())));
    let refused = given.connect().await.unwrap_err();
    assert!(matches!(refused, McpError::EnvironmentNotAllowed(_)), "{refused:?}");
    let missing = json!({"transport": "stdio", "command": "/no/such/program"});
    let failed = Given::with_commands(&missing, &["/no/such/program"]).connect().await;
    assert_eq!(failed.unwrap_err().told(), "the tool could not be reached");
}
