//! Every mistake by its path, and what stands in for what is left out.

use serde_json::{Value, json};

use super::*;
use crate::trigger::{Source, TriggerConfig};

fn parse(db_event: &Value) -> Result<DbEvent, Vec<String>> {
    let config = TriggerConfig::parse(&json!({ "db_event": db_event }));
    match config.map(|config| config.source) {
        Ok(Source::DbEvent(db_event)) => Ok(*db_event),
        Ok(other) => panic!("{other:?}"),
        Err(problems) => Err(problems
            .into_iter()
            .map(|it| it.path.trim_start_matches("trigger_config.db_event").to_owned())
            .collect()),
    }
}

fn outbox(outbox: &Value) -> Result<Outbox, Vec<String>> {
    let parsed = parse(&json!({"secret_ref": "ERP", "outbox": outbox}))?;
    match parsed.feed {
        Feed::Outbox(outbox) => Ok(*outbox),
        Feed::Listen(channel) => panic!("{channel}"),
    }
}

#[test]
fn what_is_left_out_has_defaults() {
    let read = outbox(&json!({"table": "public.recado_outbox"})).unwrap();
    assert_eq!(read.cursor.quoted(), "\"id\"");
    assert_eq!(read.order, Order::Settled(2_000));
    assert_eq!((read.start, read.poll_ms, read.batch), (Start::Beginning, 1_000, 100));
    let Rows::Table(table) = read.rows else { panic!("it is a table") };
    assert_eq!(table.quoted(), "\"public\".\"recado_outbox\"");
    assert_eq!(table.to_string(), "public.recado_outbox");

    let read = outbox(&json!({"table": "o", "transaction": "txid", "notify": "news"})).unwrap();
    assert_eq!(read.order, Order::Transaction("txid".parse().unwrap()));
    assert_eq!(read.notify, Some("news".parse().unwrap()));
}

#[test]
fn it_names_its_secret() {
    let config = json!({"db_event": {"secret_ref": "ERP", "listen": {"channel": "orders"},
                                     "filter": "payload.total > `10`"}});
    let config = TriggerConfig::parse(&config).unwrap();
    assert_eq!(config.secret_refs(), [("trigger_config.db_event.secret_ref".to_owned(), "ERP")]);
}

#[test]
fn every_mistake_is_named_by_its_path() {
    let wrong = json!({
        "outbox": {"table": "a.b.c", "cursor": "a\"b", "transaction": "x y", "settle_ms": 60_001,
                   "start": "then", "poll_ms": 99, "batch": 1_001, "notify": "", "typo": 1},
        "filter": "a[",
    });
    let mut found = parse(&wrong).unwrap_err();
    found.sort();
    found.dedup();
    let expected = [
        ".filter",
        ".outbox.batch",
        ".outbox.cursor",
        ".outbox.notify",
        ".outbox.poll_ms",
        ".outbox.settle_ms",
        ".outbox.start",
        ".outbox.table",
        ".outbox.transaction",
        ".outbox.typo",
        ".secret_ref",
    ];
    assert_eq!(found, expected);

    for (wrong, path) in [
        (json!({"secret_ref": "S"}), ".outbox"),
        (
            json!({"secret_ref": "S", "listen": {"channel": "a"}, "outbox": {"table": "a"}}),
            ".outbox",
        ),
        (json!({"secret_ref": "S", "listen": {}}), ".listen.channel"),
        (json!({"secret_ref": "S", "listen": {"channel": "a-b"}}), ".listen.channel"),
        (json!({"secret_ref": "S", "outbox": {}}), ".outbox.table"),
        (
            json!({"secret_ref": "S", "outbox": {"table": "a", "query": "SELECT 1"}}),
            ".outbox.query",
        ),
        (
            json!({"secret_ref": "S", "outbox": {"table": "a", "transaction": "t", "settle_ms": 0}}),
            ".outbox.settle_ms",
        ),
    ] {
        assert_eq!(parse(&wrong), Err(vec![path.to_owned()]), "{wrong}");
    }
}

#[test]
fn a_query_is_one_that_reads() {
    for fine in ["SELECT 1", " select(1)", "WITH a AS (SELECT 1) TABLE a", "Select\n1"] {
        assert!(outbox(&json!({"query": fine})).is_ok(), "{fine}");
    }
    let long = format!("SELECT '{}'", "é".repeat(MAX_QUERY / 2));
    for wrong in
        ["", "DELETE FROM a", "SELECT 1; DELETE FROM a", "SELECT 1;", "selection", "select", &long]
    {
        assert_eq!(outbox(&json!({"query": wrong})), Err(vec![".outbox.query".into()]), "{wrong}");
    }
}

#[test]
fn names_are_plain() {
    for fine in ["a", "Área_1", "a.b", "1"] {
        assert!(fine.parse::<TableName>().is_ok(), "{fine}");
    }
    let long = "é".repeat(32);
    for wrong in ["", ".", "a.", ".a", "a.b.c", "a b", "a\"b", "a;b", "a\n", "a-b", &long] {
        assert_eq!(wrong.parse::<TableName>(), Err(NameError::Table), "{wrong}");
    }
}
