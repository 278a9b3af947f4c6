//! A database that goes away and comes back.

use std::time::Duration;

use recado_testkit::{sql, wait_for};

use crate::server::Server;

/// Nobody can connect to it, and whoever was connected is not any more.
async fn close(server: &Server, closed: bool) {
    let (elsewhere, name) = server.database.url().rsplit_once('/').unwrap();
    let statements = format!(
        "ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {};
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        !closed
    );
    sql::execute(&format!("{elsewhere}/postgres"), &statements).await.unwrap();
}

#[tokio::test]
async fn a_lost_database_is_told_and_needs_no_restart() {
    let server = Server::start().await;
    let agent = server.agent().await;
    close(&server, true).await;
    let away = server.get("/api/agents").await;
    assert_eq!((away.status, away.code()), (503, "unavailable"));
    assert!(away.headers.contains_key("retry-after"));
    assert_eq!(away.body["message"], "The service is temporarily unavailable");

    close(&server, false).await;
    let found = wait_for("the database", Duration::from_secs(20), async || {
        let answer = server.get(&format!("/api/agents/{agent}")).await;
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(found.await.unwrap().data(200)["name"], "Echo");
}
