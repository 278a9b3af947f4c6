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
#[derive(Debug)]
pub(crate) struct LinkSender {
    name: &'static str,
    sender: watch::Sender<Link>,
}

impl LinkSender {
    /// The link called `name`, which is down.
    pub(crate) fn new(name: &'static str) -> (Self, watch::Receiver<Link>) {
        let (sender, receiver) = watch::channel(Link::Down { reason: "not connected yet".into() });
        let link = Self { name, sender };
        link.show(&Link::Down { reason: String::new() });
        (link, receiver)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Sets the state; watchers are woken only if it is another one. Returns whether it is.
    pub(crate) fn set(&self, link: Link) -> bool {
        self.show(&link);
        self.sender.send_if_modified(|current| {
            let changed = *current != link;
            *current = link;
            changed
        })
    }

    fn show(&self, link: &Link) {
        let gauges = [
            (&metrics::LINK_UP, matches!(link, Link::Up | Link::Blocked)),
            (&metrics::LINK_BLOCKED, matches!(link, Link::Blocked)),
        ];
        for (gauge, is) in gauges {
            gauge.with_label_values(&[self.name]).set(i64::from(is));
        }
    }
}
