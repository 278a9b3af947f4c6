//! What `install-sql` prints, under writers that race and a source that is interrupted all the time.

use super::*;
use crate::db_event::{Change, Installation, install_sql};

const WRITERS: usize = 5;
const TRANSACTIONS: usize = 200;
/// Of one transaction, in two statements.
const ROWS: usize = 10;

/// The same each time, and different enough.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Inserts in transactions, some of which are rolled back and some of which take their time.
async fn write(url: &str, writer: usize) {
    let mut dice = Dice(writer as u64);
    let wrote = sql::connected(url, async |client| -> Result<(), tokio_postgres::Error> {
        for n in 0..TRANSACTIONS {
            let half = format!(
                "INSERT INTO orders (note) SELECT '{writer}/{n}' FROM generate_series(1, {})",
                ROWS / 2
            );
            if dice.roll(10) == 0 {
                client.batch_execute(&format!("BEGIN; {half}; ROLLBACK")).await?;
            }
            client.batch_execute(&format!("BEGIN; {half}")).await?;
            if dice.roll(20) == 0 {
                client.batch_execute("SELECT pg_sleep(0.03)").await?;
            }
            client.batch_execute(&format!("{half}; COMMIT")).await?;
        }
        Ok(())
    });
    wrote.await.unwrap();
}

/// Lets the source read for a moment, again and again, and sometimes has its server end it.
async fn interrupt(
    url: &str,
    db_event: &Value,
    database: &TestDatabase,
    memory: &Memory,
    n_terminated: &AtomicUsize,
) {
    const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'recado' AND datname = current_database()";
    let mut dice = Dice(99);
    loop {
        let moment = Duration::from_millis(30 + dice.roll(200));
        if dice.roll(4) > 0 {
            let _ = tokio::time::timeout(moment, reading(url, db_event, memory)).await;
            continue;
        }
        let terminating = async {
            tokio::time::sleep(moment).await;
            execute(database, TERMINATE).await;
            pending::<()>().await;
        };
        tokio::select! {
            error = reading(url, db_event, memory) => {
                let SourceError::Failed { code, .. } = error else { panic!("{error:?}") };
                match code {
                    "database_unreachable" => n_terminated.fetch_add(1, Ordering::Relaxed),
                    code => {
                        assert_eq!(code, "broker_unavailable");
                        0
                    }
                };
            }
            () = terminating => {}
            () = tokio::time::sleep(SOON) => panic!("it was terminated, and goes on"),
        }
    }
}

fn place(id: &str) -> (u64, u64) {
    let mut parts = id.strip_prefix("public.recado_outbox/").unwrap().split('/');
    let mut number = || parts.next().unwrap().parse().unwrap();
    (number(), number())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_rows_none_is_missed_and_all_are_in_order() {
    let database = database().await;
    let name = database.url().rsplit_once('/').unwrap().1.to_owned();
    let (reader, writer) = (format!("reader_{name}"), format!("writer_{name}"));
    let installation = Installation {
        table: "orders".parse().unwrap(),
        events: vec![Change::Insert, Change::Update, Change::Delete],
        outbox: "public.recado_outbox".parse().unwrap(),
        columns: vec!["note".parse().unwrap()],
        notify: Some("orders".parse().unwrap()),
        reader: Some(reader.parse().unwrap()),
    };
    let install = install_sql(&installation).unwrap();
    execute(
        &database,
        &format!(
            "CREATE ROLE {reader} LOGIN; CREATE ROLE {writer} LOGIN;
         CREATE TABLE orders (id serial PRIMARY KEY, note text);
         GRANT INSERT, UPDATE, DELETE, SELECT ON orders TO {writer};
         GRANT USAGE ON SEQUENCE orders_id_seq TO {writer}; {install} {install}"
        ),
    )
    .await;
    let as_role = |role: &str| database.url().replacen("//postgres@", &format!("//{role}@"), 1);
    let (reader_url, writer_url) = (as_role(&reader), as_role(&writer));
    let db_event = json!({"outbox": {
        "table": "public.recado_outbox", "transaction": "txid", "notify": "orders", "batch": 300,
    }});

    let (memory, n_terminated) = (Memory::default(), AtomicUsize::default());
    memory.forgets.store(true, Ordering::Relaxed);
    tokio::select! {
        () = write_all(&writer_url) => {}
        () = interrupt(&reader_url, &db_event, &database, &memory, &n_terminated) => {}
    }
    memory.forgets.store(false, Ordering::Relaxed);
    assert!(n_terminated.into_inner() > 0, "its connection was ended under it");
    // Whoever may write to the table may not write to the outbox.
    let refused = sql::execute(&writer_url, "DELETE FROM recado_outbox").await;
    assert!(refused.unwrap_err().code().is_some_and(|code| code.code() == "42501"));

    let all = "SELECT count(*) FROM recado_outbox";
    assert_eq!(sql::count(database.url(), all).await.unwrap(), 10_000);
    let distinct = || {
        let mut seen = std::collections::HashMap::new();
        let mut order = Vec::new();
        for (id, payload) in memory.published.lock().unwrap().iter() {
            let id = id.clone().unwrap();
            if let Some(before) = seen.get(&id) {
                assert_eq!(before, payload, "{id} is the same when it comes again");
            } else {
                order.push(place(&id));
                seen.insert(id, payload.clone());
            }
        }
        order
    };
    meanwhile(
        reading(&reader_url, &db_event, &memory),
        wait_for("all rows", SOON, async || (distinct().len() >= 10_000).then_some(())),
    )
    .await
    .unwrap();

    let places = distinct();
    assert!(memory.n_published() > places.len(), "some were read twice");
    assert!(places.is_sorted(), "they are in the order of their transactions");
    let mut expected: Vec<(u64, u64)> = Vec::new();
    let rows = "SELECT txid::text || '/' || id FROM recado_outbox ORDER BY txid, id";
    for row in sql::texts(database.url(), rows).await.unwrap() {
        expected.push(place(&format!("public.recado_outbox/{row}")));
    }
    assert_eq!(places, expected);
    let last = memory.payloads().pop().unwrap();
    assert_eq!(last["row"]["table_name"], "public.orders");
    assert_eq!(last["row"]["operation"], "insert");

    // Changes have what was before; what is deleted is still told.
    // What was published last may come again first.
    let is_told = async || {
        let payloads = memory.payloads();
        payloads.last().is_some_and(|it| it["row"]["operation"] == "delete").then_some(payloads)
    };
    let payloads = meanwhile(reading(&reader_url, &db_event, &memory), async {
        execute(
            &database,
            "UPDATE orders SET note = 'new' WHERE id = (SELECT max(id) FROM orders);
             DELETE FROM orders WHERE note = 'new'",
        )
        .await;
        wait_for("what is deleted", SOON, is_told).await.unwrap()
    })
    .await;
    let [.., changed, gone] = payloads.as_slice() else { panic!("it is two rows") };
    let (changed, gone) = (&changed["row"], &gone["row"]);
    assert_eq!((&changed["operation"], &changed["row"]["note"]), (&json!("update"), &json!("new")));
    assert!(changed["old"]["note"].is_string() && changed["old"]["note"] != "new", "{changed}");
    assert_eq!((&gone["operation"], &gone["row"]["note"]), (&json!("delete"), &json!("new")));
    execute(&database, &format!("DROP OWNED BY {reader}, {writer}; DROP ROLE {reader}, {writer}"))
        .await;
}

async fn write_all(url: &str) {
    const { assert!(WRITERS == 5 && WRITERS * TRANSACTIONS * ROWS == 10_000) };
    tokio::join!(write(url, 0), write(url, 1), write(url, 2), write(url, 3), write(url, 4));
}
