//! Waiting for what must come true, with a deadline and a name.

use std::time::{Duration, Instant};

use anyhow::bail;

const POLL: Duration = Duration::from_millis(20);

/// Polls `level` until it gives a value; an error that names what was awaited if it does not
/// within `deadline`.
///
/// A level is something that stays true once it is: a row, a recorded request, a count.
pub async fn wait_for<T>(
    name: &str,
    deadline: Duration,
    mut level: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = level().await {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("waited {deadline:?} in vain for {name}");
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_level_that_comes_true_ends_the_wait() {
        let mut polls = 0;
        let third = wait_for("three polls", Duration::from_secs(5), async || {
            polls += 1;
            (polls == 3).then_some(polls)
        });
        assert_eq!(third.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_wait_in_vain_says_what_was_awaited() {
        let never = wait_for("rain", Duration::ZERO, async || None::<()>).await;
        assert_eq!(never.unwrap_err().to_string(), "waited 0ns in vain for rain");
    }
}
