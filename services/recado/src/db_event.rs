//! `recado db-event`: what a database needs so that a trigger can watch it.

use std::process::ExitCode;

use recado_sources::{Change, Installation, install_sql};

use crate::cli::{DbEvent, InstallSql, TableEvent};
use crate::say;

/// Prints SQL. Whoever owns the database runs it.
pub(crate) fn main(DbEvent::InstallSql(options): &DbEvent) -> ExitCode {
    if options.table == options.outbox {
        eprintln!("recado: --table is the outbox itself: each row in it would make another one");
        return ExitCode::from(2);
    }
    match install_sql(&installation(options)) {
        Ok(sql) => {
            say(sql.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("recado: --outbox {error}, and leave room for what is named after it");
            ExitCode::from(2)
        }
    }
}

fn installation(options: &InstallSql) -> Installation {
    let change = |event: &TableEvent| match event {
        TableEvent::Insert => Change::Insert,
        TableEvent::Update => Change::Update,
        TableEvent::Delete => Change::Delete,
    };
    let mut events: Vec<Change> = Vec::with_capacity(options.events.len());
    for event in options.events.iter().map(change) {
        if !events.contains(&event) {
            events.push(event);
        }
    }
    Installation {
        table: options.table.clone(),
        events,
        outbox: options.outbox.clone(),
        columns: options.columns.clone(),
        notify: options.notify.clone(),
        reader: options.reader.clone(),
    }
}
