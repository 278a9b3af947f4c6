//! What is read, in which order, and what is heard.

use tokio::join;

use super::*;

#[tokio::test]
async fn whatever_orders_rows_can_be_the_cursor() {
    let database = database().await;
    execute(
        &database,
        "CREATE TABLE t AS SELECT n, n::smallint AS small, n::bigint AS big, n / 7.0 AS exact,
                lpad(n::text, 3, '0') AS word, lpad(n::text, 3, '0')::varchar(9) AS \"Wörd\",
                lpad(n::text, 32, '0')::uuid AS uuid, date '2026-01-01' + n AS day,
                timestamptz '2026-01-01 00:00:00.123456+02' + n * interval '1 day' AS moment
           FROM generate_series(1, 12) AS n ORDER BY random()",
    )
    .await;
    let (in_order, all) = (json!((1..=12).collect::<Vec<_>>()), 12);
    for cursor in ["n", "small", "big", "exact", "word", "Wörd", "uuid", "day", "moment"] {
        let memory = Memory::default();
        // Pages of two; the filter sees every one of them.
        let db_event = json!({"outbox": {
            "table": "t", "cursor": cursor, "settle_ms": 0, "batch": 2,
        }, "filter": "row.n > `0`"});
        meanwhile(reading(database.url(), &db_event, &memory), memory.wait_for(all)).await;
        assert_eq!(json!(memory.column("n")), in_order, "{cursor}");
        assert_eq!(memory.payloads()[0]["table"], "t");
    }
    // Where the filter lets nothing through, it is read, and nothing comes of it.
    let memory = Memory::default();
    let db_event = json!({"outbox": {
        "table": "t", "cursor": "n", "settle_ms": 0, "batch": 5,
    }, "filter": "row.n > `99`"});
    let at_the_end = async || memory.position().filter(|it| it["cursor"] == "12");
    meanwhile(reading(database.url(), &db_event, &memory), async {
        wait_for("the last row", SOON, at_the_end).await.unwrap();
    })
    .await;
    assert_eq!((memory.n_published(), memory.n_fired.into_inner()), (0, 0));
    // A query, with a comment at its end; and a position that another source has left.
    let memory = Memory::default();
    *memory.position.lock().unwrap() =
        Some(json!({"of": "t/-/n", "transaction": null, "cursor": "9"}));
    let query = json!({"outbox": {
        "query": "SELECT n AS id FROM t WHERE n > 10 -- only the last", "settle_ms": 0,
    }});
    meanwhile(reading(database.url(), &query, &memory), memory.wait_for(2)).await;
    assert_eq!(memory.payloads(), [json!({"row": {"id": 11}}), json!({"row": {"id": 12}})]);
    assert_eq!(memory.published.lock().unwrap()[0].0.as_deref(), Some("query/-/11"));
}

#[tokio::test]
async fn what_cannot_be_a_message_is_left_out_and_the_rest_comes() {
    let database = database().await;
    // 8 MB, of which a page takes half a one.
    execute(
        &database,
        r#"CREATE TABLE t AS SELECT n AS id, repeat('x', CASE n WHEN 2 THEN 300000 ELSE 200000 END)
             AS text, (CASE n WHEN 3 THEN '"\u0000"' ELSE '"\\u0000"' END)::json AS json
             FROM generate_series(1, 40) AS n"#,
    )
    .await;
    let memory = Memory::default();
    let db_event = json!({"outbox": {"table": "t", "settle_ms": 0, "batch": 1_000}});
    meanwhile(reading(database.url(), &db_event, &memory), memory.wait_for(38)).await;
    let expected: Vec<i32> = (1..=40).filter(|n| ![2, 3].contains(n)).collect();
    assert_eq!(json!(memory.column("id")), json!(expected));
    assert_eq!(memory.column("json")[0], r"\u0000");
    let left_out = memory.left_out.lock().unwrap();
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert_eq!(left_out[0], "t/-/2 has more than 262144 bytes of JSON");
    assert!(left_out[1].starts_with("t/-/3 cannot be read: "), "{left_out:?}");
}

#[tokio::test]
async fn who_begins_now_is_notified_of_what_comes_next() {
    let database = database().await;
    execute(&database, "CREATE TABLE t (id serial); INSERT INTO t DEFAULT VALUES").await;
    let memory = Memory::default();
    // Within an hour, it looks when it is told to, and else not.
    let db_event = json!({"outbox": {
        "table": "t", "settle_ms": 0, "start": "now", "poll_ms": 3_600_000, "notify": "T",
    }});
    meanwhile(reading(database.url(), &db_event, &memory), async {
        memory.wait_until_it_works().await;
        assert_eq!(memory.n_fired.load(Ordering::Relaxed), 0, "nothing came of it yet");
        execute(&database, "INSERT INTO t DEFAULT VALUES; NOTIFY \"T\"").await;
        memory.wait_for(1).await;
    })
    .await;
    assert_eq!(memory.column("id"), [json!(2)]);

    // Of transactions, those that were running count as new.
    execute(&database, "CREATE TABLE x AS SELECT 1 AS id, pg_current_xact_id() AS txid").await;
    let memory = Memory::default();
    let db_event = json!({"outbox": {"table": "x", "transaction": "txid", "start": "now",
                                     "poll_ms": 100}});
    let running = "BEGIN; INSERT INTO x VALUES (2, pg_current_xact_id())";
    sql::connected(database.url(), async |client| -> Result<(), tokio_postgres::Error> {
        client.batch_execute(running).await?;
        meanwhile(reading(database.url(), &db_event, &memory), async {
            memory.wait_until_it_works().await;
            client.batch_execute("COMMIT").await?;
            memory.wait_for(1).await;
            Ok(())
        })
        .await
    })
    .await
    .unwrap();
    assert_eq!(memory.column("id").last(), Some(&json!(2)));
}

#[tokio::test]
async fn a_late_commit_is_waited_for() {
    let database = database().await;
    execute(&database, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let outbox =
        |settle_ms| json!({"outbox": {"table": "t", "settle_ms": settle_ms, "poll_ms": 100}});
    let (hasty, patient) = (Memory::default(), Memory::default());
    let (at_once, settled) = (outbox(0), outbox(5_000));
    sql::connected(database.url(), async |late| -> Result<(), tokio_postgres::Error> {
        late.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await?;
        execute(&database, "INSERT INTO t VALUES (2)").await;
        let sources = async {
            let (url, hasty, patient) = (database.url(), &hasty, &patient);
            tokio::select! {
                error = reading(url, &at_once, hasty) => error,
                error = reading(url, &settled, patient) => error,
            }
        };
        meanwhile(sources, async {
            join!(hasty.wait_for(1), patient.wait_until_it_begins());
            late.batch_execute("COMMIT").await?;
            patient.wait_for(2).await;
            Ok(())
        })
        .await
    })
    .await
    .unwrap();
    assert_eq!(patient.column("id"), [json!(1), json!(2)]);
    // This is what happens without.
    assert_eq!(hasty.column("id"), [json!(2)]);
}

#[tokio::test]
async fn what_is_said_on_a_channel_is_heard() {
    let database = database().await;
    let memory = Memory::default();
    let db_event = json!({"listen": {"channel": "Orders"}, "filter": "payload.total > `10`"});
    meanwhile(reading(database.url(), &db_event, &memory), async {
        memory.wait_until_it_works().await;
        execute(
            &database,
            r#"NOTIFY "Orders", '{"total": 11}'; NOTIFY "Orders", '{"total": 9}';
               NOTIFY orders, '{"total": 99}'; NOTIFY "Orders", 'words';
               NOTIFY "Orders", '{"total": 12}'"#,
        )
        .await;
        memory.wait_for(2).await;
    })
    .await;
    let said = |total: i32| json!({"channel": "Orders", "payload": {"total": total}});
    assert_eq!(memory.payloads(), [said(11), said(12)]);
    assert!(memory.published.lock().unwrap().iter().all(|(id, _)| id.is_none()));
}
