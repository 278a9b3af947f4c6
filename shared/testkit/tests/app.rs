//! A `TestApp` runs roles, notices what went wrong with them and what they left behind.
//!
//! The roles are played by a script, so that this is about the `TestApp` alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use recado_testkit::app::{Builder, Role, TestApp};
use recado_testkit::scratch::ScratchDir;
use recado_testkit::{sql, wait_for};

/// Called as `recado <role> --ready-file <path>`. `RECADO_LOG` says how it is to behave.
const FAKE: &str = r#"#!/bin/sh
trap 'exit 0' TERM
echo "this is $1"
[ "$RECADO_LOG" = "$1 fails" ] && exit 78
url="http://${RECADO_INGRESS_LISTEN:-$RECADO_MANAGEMENT_LISTEN}"
printf '{"pid": %d, "ingress_url": "%s", "management_url": "%s"}' $$ "$url" "$url" >"$3.new"
mv "$3.new" "$3"
while :; do sleep 0.02; done
"#;

fn fake() -> (ScratchDir, PathBuf) {
    let scratch = ScratchDir::new().unwrap();
    let path = scratch.path().join("recado");
    fs::write(&path, FAKE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (scratch, path)
}

fn builder(program: &std::path::Path) -> Builder {
    TestApp::builder(program.to_str().unwrap()).settle_within(Duration::from_millis(300))
}

#[tokio::test]
async fn roles_start_die_come_back_and_end() {
    let (_scratch, program) = fake();
    let mut app = builder(&program).instances(Role::Ingress, 2).start().await.unwrap();
    let url = app.url(Role::Ingress, 1, "ingress_url").unwrap();
    assert_ne!(url, app.url(Role::Ingress, 0, "ingress_url").unwrap());

    app.kill(Role::Ingress, 1).unwrap();
    app.restart(Role::Ingress, 1).await.unwrap();
    assert_eq!(app.url(Role::Ingress, 1, "ingress_url").unwrap(), url, "the same address");

    app.stop(Role::Buffer, 0).unwrap();
    app.cont(Role::Buffer, 0).unwrap();
    let exit = app.terminate(Role::Buffer, 0).await.unwrap();
    assert_eq!(exit.code, Some(0));
    assert!(app.terminate(Role::Buffer, 0).await.is_err(), "it does not run");
    assert!(app.kill(Role::Buffer, 7).is_err(), "there is none");
    app.finish().await.unwrap();
}

#[tokio::test]
async fn a_role_that_does_not_start_shows_its_log() {
    let (_scratch, program) = fake();
    let started = builder(&program).env("RECADO_LOG", "delivery fails").start().await;
    let error = format!("{:?}", started.unwrap_err());
    assert!(error.contains("delivery 0 failed:\nthis is delivery"), "{error}");
    assert!(error.contains("exit status: 78"), "{error}");
}

#[tokio::test]
async fn a_crash_is_noticed_at_the_end() {
    let (_scratch, program) = fake();
    let app = builder(&program).start().await.unwrap();
    let pid = app.pid(Role::Buffer, 0).unwrap();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    // A zombie, and not merely on its way to be one: before that it cannot be waited for.
    let stat = format!("/proc/{pid}/stat");
    let dead = async || fs::read_to_string(&stat).ok().filter(|stat| stat.contains(") Z "));
    wait_for("the crash", Duration::from_secs(5), dead).await.unwrap();
    let error = app.finish().await.unwrap_err().to_string();
    assert!(error.contains("buffer 0 crashed"), "{error}");
}

#[tokio::test]
async fn a_lane_with_work_is_noticed_at_the_end() {
    let (_scratch, program) = fake();
    let app = builder(&program).start().await.unwrap();
    let lane = "INSERT INTO lanes (session_id, tenant_id, kind, queued) VALUES \
                (gen_random_uuid(), gen_random_uuid(), 'execution', 1)";
    sql::execute(&app.database_url(), lane).await.unwrap();
    let error = app.finish().await.unwrap_err().to_string();
    assert_eq!(error, "left behind: 1 lanes with work");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "this is not about the product's publisher")]
async fn a_message_in_a_queue_is_noticed_at_the_end() {
    let (_scratch, program) = fake();
    let app = builder(&program).start().await.unwrap();
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&app.amqp_url(), properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare("some.dlq".into(), durable, FieldTable::default()).await.unwrap();
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(
        "".into(),
        "some.dlq".into(),
        options,
        b"left",
        BasicProperties::default(),
    );
    sent.await.unwrap().await.unwrap();
    let error = app.finish().await.unwrap_err().to_string();
    assert_eq!(error, "left behind: 1 messages in some.dlq");
}

#[tokio::test]
async fn a_test_that_does_not_finish_its_system_fails() {
    let (_scratch, program) = fake();
    let app = builder(&program).start().await.unwrap();
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(app)));
    let panic = dropped.unwrap_err();
    let message = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert_eq!(message, "a TestApp was dropped without finish()");
}

#[tokio::test]
async fn a_private_system_has_servers_that_can_be_killed() {
    let (_scratch, program) = fake();
    let mut app = builder(&program).private_servers().start().await.unwrap();
    let url = app.database_url();
    app.servers().postgres.kill().unwrap();
    assert!(sql::execute(&url, "SELECT 1").await.is_err());
    app.servers().postgres.restart().await.unwrap();
    assert_eq!(sql::count(&url, "SELECT count(*) FROM tenants").await.unwrap(), 1);
    app.finish().await.unwrap();
}
