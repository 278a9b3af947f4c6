//! Whether the broker can be reached, for whoever answers "ready?".

use std::fmt;

use tokio::sync::watch;

use crate::metrics;

/// The state of one connection to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is no connection; it is being tried again, for ever.
    Down {
        /// Why, for an operator; without secrets.
        reason: String,
    },
    /// Connected, and the topology is declared.
    Up,
    /// Connected, but the broker takes no messages: it is short of memory or disk.
    Blocked,
}

impl Link {
    /// Whether messages can be published or consumed.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { reason } => write!(f, "down: {reason}"),
            Self::Up => f.write_str("up"),
            Self::Blocked => f.write_str("blocked by the broker"),
        }
    }
}

/// Tells the watchers and the gauges.
///
/// A process may have several links of one name (`recado dev` has one of each role), so the gauges
/// count links: each takes part by what has changed of it, and none writes over another's word.
#[derive(Debug)]
pub(crate) struct LinkSender {
    name: &'static str,
    sender: watch::Sender<Link>,
}

impl LinkSender {
    /// The link called `name`, which is down.
    pub(crate) fn new(name: &'static str) -> (Self, watch::Receiver<Link>) {
        let (sender, receiver) = watch::channel(Link::Down { reason: "not connected yet".into() });
        // Naming the series makes them.
        metrics::LINK_UP.with_label_values(&[name]);
        metrics::LINK_BLOCKED.with_label_values(&[name]);
        (Self { name, sender }, receiver)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Sets the state; watchers are woken only if it is another one. Returns whether it is.
    pub(crate) fn set(&self, link: Link) -> bool {
        self.sender.send_if_modified(|current| {
            let changed = *current != link;
            self.count(current, &link);
            *current = link;
            changed
        })
    }

    fn count(&self, before: &Link, after: &Link) {
        let is_connected = |link: &Link| i64::from(!matches!(link, Link::Down { .. }));
        let is_blocked = |link: &Link| i64::from(matches!(link, Link::Blocked));
        let name = &[self.name];
        metrics::LINK_UP.with_label_values(name).add(is_connected(after) - is_connected(before));
        metrics::LINK_BLOCKED.with_label_values(name).add(is_blocked(after) - is_blocked(before));
    }
}

/// Whoever kept the connection is gone, and it with them.
impl Drop for LinkSender {
    fn drop(&mut self) {
        self.set(Link::Down { reason: "stopped".into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauges(name: &str) -> (i64, i64) {
        let of = |gauge: &recado_metrics::IntGaugeVec| gauge.with_label_values(&[name]).get();
        (of(&metrics::LINK_UP), of(&metrics::LINK_BLOCKED))
    }

    #[test]
    fn one_link_does_not_hide_another_of_its_name() {
        const NAME: &str = "the link of this test";
        let (one, _watched) = LinkSender::new(NAME);
        let (other, _watched) = LinkSender::new(NAME);
        assert_eq!(gauges(NAME), (0, 0));
        one.set(Link::Blocked);
        // Again and again, as the supervisors do.
        for _ in 0..2 {
            other.set(Link::Up);
            one.set(Link::Blocked);
        }
        assert_eq!(gauges(NAME), (2, 1));
        drop(one);
        assert_eq!(gauges(NAME), (1, 0));
        other.set(Link::Down { reason: "away".into() });
        assert_eq!(gauges(NAME), (0, 0));
    }
}
