//! What goes wrong has a code, and nothing is ever written.

use super::*;

#[tokio::test]
async fn every_failure_has_its_code() {
    let database = database().await;
    let url = database.url();
    let name = url.rsplit_once('/').unwrap().1;
    execute(
        &database,
        &format!(
            "CREATE ROLE stranger_{name} LOGIN;
         CREATE TABLE t (id int, same int, yes boolean, txid xid8, long text);
         INSERT INTO t SELECT id, 7, true, id::text::xid8, repeat('x', 256) || id
           FROM generate_series(1, 2) AS id"
        ),
    )
    .await;
    let table = json!({"outbox": {"table": "t", "settle_ms": 0}});
    let outbox = |outbox: Value| json!({ "outbox": outbox });
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let as_role = |role: &str| url.replacen("//postgres@", &format!("//{role}:hunter2@"), 1);
    let other = |name: &str| format!("{}/{name}", url.rsplit_once('/').unwrap().0);
    let cases = [
        ("postgres://a:hunter2@/d".to_owned(), table.clone(), "database_url_invalid"),
        (format!("postgres://a:hunter2@{closed}/d"), table.clone(), "database_unreachable"),
        ("postgres://a:hunter2@10.0.0.1/d".to_owned(), table.clone(), "forbidden_destination"),
        (as_role("nobody_at_all"), table.clone(), "database_auth_failed"),
        (format!("{url}?sslmode=require"), table.clone(), "database_tls_failed"),
        (other("no_such_database"), table.clone(), "unknown_database"),
        (as_role(&format!("stranger_{name}")), table.clone(), "permission_denied"),
        (url.to_owned(), outbox(json!({"table": "nowhere.t"})), "unknown_table"),
        (url.to_owned(), outbox(json!({"table": "t", "cursor": "ID"})), "unknown_column"),
        (url.to_owned(), outbox(json!({"table": "t", "cursor": "yes"})), "cursor_unsupported"),
        (
            url.to_owned(),
            outbox(json!({"table": "t", "transaction": "same"})),
            "cursor_unsupported",
        ),
        (
            url.to_owned(),
            outbox(json!({"table": "t", "cursor": "same", "settle_ms": 0})),
            "cursor_not_unique",
        ),
        (
            url.to_owned(),
            outbox(json!({"table": "t", "cursor": "same", "settle_ms": 50, "poll_ms": 100})),
            "cursor_not_unique",
        ),
        (
            url.to_owned(),
            outbox(json!({"table": "t", "cursor": "long", "settle_ms": 0})),
            "cursor_unsupported",
        ),
        (url.to_owned(), outbox(json!({"query": "SELECT 1 AS id FROM"})), "query_failed"),
    ];
    for (url, db_event, code) in cases {
        assert_eq!(failing(&url, &db_event).await, code, "{db_event}");
    }

    // A position of a server that has come further.
    let ahead = Memory::default();
    let transactions = json!({"outbox": {"table": "t", "transaction": "txid"}});
    *ahead.position.lock().unwrap() =
        Some(json!({"of": "t/txid/id", "transaction": "9999999999", "cursor": "1"}));
    let SourceError::Failed { code, .. } = reading(url, &transactions, &ahead).await else {
        panic!("there is no lease")
    };
    assert_eq!(code, "position_ahead");
    execute(&database, &format!("DROP ROLE stranger_{name}")).await;
}

#[tokio::test]
async fn nothing_can_be_written_and_nothing_takes_for_ever() {
    let database = database().await;
    execute(
        &database,
        "CREATE TABLE t (id int);
         CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING id';
         CREATE FUNCTION insists() RETURNS int LANGUAGE plpgsql AS
         'BEGIN SET TRANSACTION READ WRITE; INSERT INTO t VALUES (1); RETURN 1; END'",
    )
    .await;
    let query = |query: &str| json!({"outbox": {"query": query, "settle_ms": 0}});
    let url = database.url();
    // Even for a superuser.
    assert_eq!(failing(url, &query("SELECT writes() AS id")).await, "query_writes");
    assert_ne!(failing(url, &query("SELECT insists() AS id")).await, "database_unreachable");
    let inserts = "WITH new AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM new";
    assert_eq!(failing(url, &query(inserts)).await, "query_failed");
    let breaks_out = "SELECT 1 AS id) AS a, (SELECT writes() AS id";
    assert_eq!(failing(url, &query(breaks_out)).await, "query_writes");
    assert_eq!(sql::count(url, "SELECT count(*) FROM t").await.unwrap(), 0);

    let sleeps = "SELECT 1 AS id, pg_sleep(60)";
    assert_eq!(failing(url, &query(sleeps)).await, "query_timeout");
}
