//! What is said on a channel.
//!
//! Nothing is promised: what is said while nobody listens is lost, as is what was heard and not
//! yet published when this ends. Whoever needs all of it has an outbox.

use std::convert::Infallible;

use recado_types::jmespath::Expression;
use recado_types::trigger::db_event::Identifier;
use serde_json::json;

use super::Sink;
use super::happening::{is_meant, of_notification};
use super::left_out::LeftOut;
use super::session::Session;
use crate::held::SourceError;

/// How many notifications wait to be published. Each has less than 8,000 bytes.
pub(super) const QUEUE: usize = 1_000;
/// How many are published at a time.
const BATCH: usize = 100;

/// Publishes what is said on `channel`, until something fails.
pub(super) async fn read(
    mut session: Session,
    channel: &Identifier,
    filter: Option<&Expression>,
    sink: &impl Sink,
) -> Result<Infallible, SourceError> {
    listen(&session, channel).await?;
    sink.works().await?;
    let mut heard = Vec::with_capacity(BATCH);
    // There is no going on where it was.
    let nowhere = json!({});
    loop {
        let n_heard = session.hear(&mut heard, BATCH).await?;
        if n_heard == 0 {
            // The driver has ended, and says why.
            std::future::pending::<()>().await;
        }
        let happenings = heard.drain(..).map(|it| of_notification(it.channel(), it.payload()));
        let mut left_out = LeftOut::to(sink);
        let meant: Vec<_> = happenings.filter(|it| is_meant(filter, it, &mut left_out)).collect();
        let fired = !meant.is_empty();
        if fired {
            sink.publish(&meant).await?;
        }
        if left_out.log() || fired {
            sink.save(&nowhere, fired).await?;
        }
    }
}

/// Has the server tell this session what is said on `channel`.
pub(super) async fn listen(session: &Session, channel: &Identifier) -> Result<(), SourceError> {
    session.execute(&format!("-- db_event.listen\nLISTEN {}", channel.quoted())).await
}
