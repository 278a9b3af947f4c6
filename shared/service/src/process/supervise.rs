//! Runs a role until it ends or has to, and then sees that everything ends.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::signals::Signals;
use super::{Context, Outcome};

/// Why the process waits no longer.
#[derive(Clone, Copy)]
enum End {
    Drained,
    Overrun,
    SecondSignal,
}

/// Runs `main`, passing on requests to stop.
///
/// # Errors
/// The error of `main`, for its caller to judge. What tasks do wrong is in the outcome.
pub(super) async fn supervise<F>(
    context: &Context,
    mut main: Pin<Box<F>>,
    mut signals: impl Signals,
    grace: Duration,
) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut ended = tokio::select! {
        result = &mut main => Some(result),
        () = context.shutdown.cancelled() => None,
        signal = signals.next() => {
            tracing::info!(signal, "received {signal}; draining");
            None
        }
    };

    context.health.shut_down();
    context.shutdown.cancel();
    let give_up_at = Instant::now() + grace;

    let drain = async {
        if ended.is_none() {
            ended = Some(main.await);
        }
        context.tasks.close();
        context.tasks.wait().await;
    };
    let end = tokio::select! {
        () = drain => End::Drained,
        signal = signals.next() => {
            tracing::warn!(signal, "received {signal} while draining");
            End::SecondSignal
        }
        () = sleep_until(give_up_at) => End::Overrun,
    };
    conclude(context, end, ended.unwrap_or(Ok(())))
}

fn conclude(context: &Context, end: End, result: anyhow::Result<()>) -> anyhow::Result<Outcome> {
    result?;
    match end {
        End::Drained if context.has_failed() => Ok(Outcome::Failed),
        End::Drained => {
            tracing::info!("stopped");
            Ok(Outcome::Done)
        }
        End::Overrun => {
            let unfinished = context.tasks.len();
            tracing::error!(unfinished, "stopped without finishing: the grace period is over");
            Ok(Outcome::Failed)
        }
        End::SecondSignal => {
            let unfinished = context.tasks.len();
            tracing::error!(unfinished, "stopped without finishing: asked twice");
            Ok(Outcome::Failed)
        }
    }
}
