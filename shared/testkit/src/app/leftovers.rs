//! Work that nobody will do any more: messages in queues or open windows, lanes that wait.

use std::time::Duration;

use anyhow::Context;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use super::backing::Backing;
use crate::{sql, wait_for};

/// What may be left in the database, and how to count it.
const ROWS: [(&str, &str); 2] = [
    ("messages in no execution", "SELECT count(*) FROM messages WHERE execution_id IS NULL"),
    ("lanes with work", "SELECT count(*) FROM lanes WHERE queued > 0"),
];

/// An error that names what is left, unless nothing is within `deadline`.
pub(super) async fn wait_until_none(backing: &Backing, deadline: Duration) -> anyhow::Result<()> {
    let mut last = Vec::new();
    let settled = wait_for("all work to be done", deadline, async || {
        match find(backing).await {
            Ok(left) if left.is_empty() => return Some(()),
            Ok(left) => last = left,
            Err(error) => last = vec![format!("{error:#}")],
        }
        None
    });
    let settled = settled.await;
    settled.with_context(|| format!("left behind: {}", last.join(", ")))
}

/// What is left at this moment, each in words.
pub(super) async fn find(backing: &Backing) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for (queue, n) in depths(backing).await? {
        if n > 0 {
            left.push(format!("{n} messages in {queue}"));
        }
    }
    for (what, query) in ROWS {
        let n_rows = sql::count(&backing.database_url(), query).await?;
        if n_rows > 0 {
            left.push(format!("{n_rows} {what}"));
        }
    }
    Ok(left)
}

/// How many messages wait in each queue. A passive declaration asks the queue itself; the
/// management API would answer with what it knew seconds ago.
pub(super) async fn depths(backing: &Backing) -> anyhow::Result<Vec<(String, u32)>> {
    let queues = backing.queues().await?;
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&backing.amqp_url(), properties).await?;
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let mut depths = Vec::new();
    for name in queues {
        let declared = channel.queue_declare(name.as_str().into(), passive, FieldTable::default());
        let queue = declared.await.with_context(|| format!("failed to look into {name}"))?;
        depths.push((name, queue.message_count()));
    }
    connection.close(200, "looked".into()).await?;
    Ok(depths)
}
