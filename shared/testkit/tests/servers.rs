//! Private servers keep what they promise: data, ports, and nothing left behind.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use recado_testkit::rabbit_admin::RabbitAdmin;
use recado_testkit::scratch::ScratchDir;
use recado_testkit::servers::{Postgres, RabbitMq, processes_of};
use recado_testkit::{sql, wait_for};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn postgres_keeps_what_was_committed_across_a_kill() {
    let scratch = ScratchDir::new().unwrap();
    let mut postgres = Postgres::start(scratch.path().join("pg")).await.unwrap();
    let url = postgres.url();
    sql::execute(&url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await.unwrap();

    postgres.kill().unwrap();
    assert!(sql::execute(&url, "SELECT 1").await.is_err());
    assert_eq!(postgres.pid(), None);
    postgres.restart().await.unwrap();
    assert_eq!(postgres.url(), url);
    assert_eq!(sql::count(&url, "SELECT sum(n) FROM kept").await.unwrap(), 7);

    postgres.wipe().await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'";
    assert_eq!(sql::count(&url, tables).await.unwrap(), 0);

    let directory = postgres.dir().to_owned();
    drop(postgres);
    assert_eq!(processes_of(&directory), [""; 0]);
}

#[tokio::test]
async fn a_frozen_postgres_is_silent_until_it_goes_on() {
    let scratch = ScratchDir::new().unwrap();
    let postgres = Postgres::start_without_fsync(scratch.path().join("pg")).await.unwrap();
    let url = postgres.url();
    sql::connected(&url, async |client| -> anyhow::Result<()> {
        postgres.stop()?;
        let mut query = Box::pin(client.batch_execute("SELECT 1"));
        let limit = Duration::from_millis(300);
        assert!(tokio::time::timeout(limit, &mut query).await.is_err(), "it answered");
        postgres.cont()?;
        Ok(tokio::time::timeout(SOON, query).await??)
    })
    .await
    .unwrap();
    postgres.shutdown().await.unwrap();
}

#[tokio::test]
async fn postgres_finds_its_data_again_on_another_port() {
    let scratch = ScratchDir::new().unwrap();
    let directory = scratch.path().join("pg");
    let first = Postgres::start(&directory).await.unwrap();
    let url = first.url();
    sql::execute(&url, "CREATE TABLE kept (n int)").await.unwrap();
    // A client that stays connected must not hold it up.
    sql::connected(&url, async |_client| -> anyhow::Result<()> { Ok(first.shutdown().await?) })
        .await
        .unwrap();

    let second = Postgres::start(&directory).await.unwrap();
    assert_eq!(sql::count(&second.url(), "SELECT count(*) FROM kept").await.unwrap(), 0);
}

#[tokio::test]
async fn redis_keeps_what_it_was_told_across_a_kill_but_not_across_a_wipe() {
    let mut redis = recado_testkit::redis().await;
    redis.command("SET key value").await.unwrap();

    redis.kill().unwrap();
    assert!(redis.command("PING").await.is_err());
    redis.restart().await.unwrap();
    assert_eq!(redis.command("EXISTS key").await.unwrap(), ":1");

    redis.wipe().await.unwrap();
    assert_eq!(redis.command("EXISTS key").await.unwrap(), ":0");
    assert!(redis.command("NO-SUCH-COMMAND").await.unwrap_err().to_string().contains("ERR"));

    let directory = redis.dir().to_owned();
    drop(redis);
    assert_eq!(processes_of(&directory), [""; 0]);
    assert!(!directory.exists());
}

#[tokio::test]
async fn rabbitmq_keeps_its_virtual_hosts_across_a_kill_but_not_across_a_wipe() {
    let scratch = ScratchDir::new().unwrap();
    let mut rabbitmq = RabbitMq::start(scratch.path().join("rmq")).await.unwrap();
    let admin = RabbitAdmin::new(&rabbitmq.admin_url()).unwrap();
    admin.create_vhost("kept").await.unwrap();

    rabbitmq.kill().unwrap();
    assert!(admin.queues("kept").await.is_err());
    rabbitmq.restart().await.unwrap();
    assert!(admin.queues("kept").await.unwrap().is_empty());

    rabbitmq.stop().unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(300), admin.queues("kept")).await;
    assert!(silent.is_err(), "it answered");
    rabbitmq.cont().unwrap();
    wait_for("an answer", SOON, async || admin.queues("kept").await.ok()).await.unwrap();

    rabbitmq.set_disk_free_limit(u64::MAX / 4).await.unwrap();
    assert!(rabbitmq.ctl(&["status"]).await.unwrap().contains("Free disk space alarm"));

    rabbitmq.wipe().await.unwrap();
    assert!(admin.queues("kept").await.is_err());

    let directory = rabbitmq.dir().to_owned();
    rabbitmq.shutdown().await.unwrap();
    assert_eq!(processes_of(&directory), [""; 0]);
}

#[tokio::test]
async fn servers_and_their_directory_go_with_a_killed_owner() {
    let scratch = ScratchDir::new().unwrap();
    let marker = scratch.path().join("database-url");
    // Not the scratch directory itself: that is on the command line of our own guard.
    let temporary = scratch.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let report = r#"printf '%s' "$TEST_DATABASE_URL" >"$0.new" && mv "$0.new" "$0" && sleep 600"#;
    let mut owner = Command::new(env!("CARGO_BIN_EXE_with-servers"))
        .args(["sh", "-c", report])
        .arg(&marker)
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let url = wait_for("the servers", Duration::from_secs(150), async || {
        fs::read_to_string(&marker).ok()
    });
    let url = url.await.unwrap();
    sql::execute(&url, "SELECT 1").await.unwrap();

    owner.kill().unwrap();
    owner.wait().unwrap();
    let left = wait_for("an end of all", SOON, async || {
        let files = fs::read_dir(&temporary).unwrap().count();
        (files == 0 && processes_of(&temporary).is_empty()).then_some(())
    });
    left.await.unwrap_or_else(|error| panic!("{error}: {:?}", processes_of(&temporary)));
}

#[test]
fn with_servers_passes_on_the_exit_code() {
    let status = Command::new(env!("CARGO_BIN_EXE_with-servers"))
        .args(["--", "sh", "-c", "exit 7"])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}
