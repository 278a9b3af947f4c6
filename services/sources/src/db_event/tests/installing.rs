//! What `install-sql` prints, where a table has partitions, and values that are hard to take.

use super::*;
use crate::db_event::{Change, Installation, install_sql};

#[tokio::test]
async fn rows_of_partitions_are_those_of_their_table() {
    let database = database().await;
    let installation = Installation {
        table: "orders".parse().unwrap(),
        events: vec![Change::Insert, Change::Delete],
        outbox: "public.recado_outbox".parse().unwrap(),
        columns: Vec::new(),
        notify: None,
        reader: None,
    };
    let install = install_sql(&installation).unwrap();
    execute(
        &database,
        &format!(
            "CREATE TABLE orders (id int, note json) PARTITION BY RANGE (id);
             CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (10); {install}
             CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (10) TO (20);
             INSERT INTO orders VALUES (1, '[1]'), (2, '\"\\u0000\"'), (11, '{{}}');
             DELETE FROM orders WHERE id = 1"
        ),
    )
    .await;
    let memory = Memory::default();
    let printed = install.split("secret of the tenant:\n").nth(1).unwrap().replace("-- ", "");
    let db_event = serde_json::from_str::<Value>(&printed).unwrap()["db_event"].take();
    meanwhile(reading(database.url(), &db_event, &memory), memory.wait_for(3)).await;
    let one = json!({"id": 1, "note": [1]});
    let noted = memory.column("row");
    assert_eq!(noted, [one.clone(), json!({"id": 11, "note": {}}), one]);
    // What cannot be a message was written all the same, and is left out.
    assert_eq!(memory.left_out.lock().unwrap().len(), 1);
    let tables = memory.column("table_name");
    assert!(tables.iter().all(|name| name == "public.orders"), "{tables:?}");
}
