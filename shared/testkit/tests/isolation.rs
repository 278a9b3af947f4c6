//! What a test is given is its own, and is gone after it.

use recado_testkit::rabbit_admin::RabbitAdmin;
use recado_testkit::{database, redis, sql, vhost};

#[tokio::test]
async fn databases_are_strangers_to_each_other() {
    let (one, other) = tokio::join!(database(), database());
    sql::execute(one.url(), "CREATE TABLE mine (n int)").await.unwrap();
    assert!(sql::execute(other.url(), "SELECT * FROM mine").await.is_err());

    let url = one.url().to_owned();
    drop(one);
    assert!(sql::execute(&url, "SELECT 1").await.is_err(), "it should be dropped");
    sql::execute(other.url(), "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_database_is_dropped_under_open_connections() {
    let database = database().await;
    let url = database.url().to_owned();
    let held = sql::connected(&url, async |client| -> Result<(), tokio_postgres::Error> {
        drop(database);
        client.batch_execute("SELECT 1").await
    });
    assert!(held.await.is_err());
}

#[tokio::test]
async fn virtual_hosts_are_strangers_to_each_other() {
    let (one, other) = tokio::join!(vhost(), vhost());
    assert_ne!(one.url(), other.url());
    assert!(one.admin().queues(one.name()).await.unwrap().is_empty());

    let name = one.name().to_owned();
    drop(one);
    assert!(other.admin().queues(&name).await.is_err(), "it should be deleted");
    assert!(other.admin().queues(other.name()).await.is_ok());
}

#[tokio::test]
async fn each_redis_is_a_server_of_its_own() {
    let (one, other) = tokio::join!(redis(), redis());
    one.command("SET key value").await.unwrap();
    assert_eq!(other.command("EXISTS key").await.unwrap(), ":0");
}

#[tokio::test]
async fn refusals_of_the_management_api_name_status_and_path() {
    let vhost = vhost().await;
    let refused = vhost.admin().queues("no-such-vhost").await.unwrap_err();
    assert!(refused.to_string().contains("404 Not Found to /api/queues/no-such-vhost"));
    assert!(RabbitAdmin::new("nonsense").is_err());
}
