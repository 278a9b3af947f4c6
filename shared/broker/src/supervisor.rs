//! Keeps a connection up, for ever.
//!
//! Connect, declare the topology, work until something fails, back off, again. Whatever fails, a
//! channel, the connection, the broker, is answered by starting afresh: there is one way to
//! recover, it is the way we start, and so it is known to work. lapin's own recovery is not used:
//! it goes silent while it lasts, leaves confirms pending, and knows nothing of a wiped broker.

use std::error::Error;
use std::time::Instant;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::Config;
use crate::connection::{Connection, ConnectionError};
use crate::link::{Link, LinkSender};

/// What is done with a connection.
pub(crate) trait Session: Send {
    /// Works until the connection fails, or until there is no more to do.
    fn run(
        &mut self,
        connection: &Connection,
        link: &LinkSender,
    ) -> impl Future<Output = Result<(), ConnectionError>> + Send;
}

/// Gives `session` one connection after the other until it has no more to do; without a
/// connection, until `shutdown`.
pub(crate) async fn supervise(
    config: &Config,
    link: &LinkSender,
    shutdown: &CancellationToken,
    session: &mut impl Session,
) {
    let mut backoff = Backoff::default();
    loop {
        let opening = Connection::open(config, link.name());
        let opened = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            opened = opening => opened,
        };
        let opened_at = Instant::now();
        let Err(error) = serve(opened, link, session).await else { break };
        report(link, &error);
        if opened_at.elapsed() > Backoff::FORGIVEN_AFTER {
            backoff = Backoff::default();
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = sleep(backoff.next()) => {}
        }
    }
    link.set(Link::Down { reason: "stopped".into() });
}

async fn serve(
    opened: Result<Connection, ConnectionError>,
    link: &LinkSender,
    session: &mut impl Session,
) -> Result<(), ConnectionError> {
    let connection = opened?;
    session.run(&connection, link).await?;
    connection.close().await;
    Ok(())
}

/// Tells operators that the link is down; once, not for each attempt that fails the same way.
pub(crate) fn report(link: &LinkSender, error: &ConnectionError) {
    let reason = match error.source() {
        // lapin's errors say their causes themselves.
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let name = link.name();
    if link.set(Link::Down { reason }) {
        let error = error as &dyn Error;
        tracing::warn!(error, broker.link = name, "{name} link is down, trying again");
    }
}
