//! Which ports may be reached.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

/// Ports and ranges of them: `80,443,1024-65535`, which is also the default. The web's, and those
/// that belong to nobody: below 1024 are the well-known services, which a request could be made to
/// speak to by its lines. Clones share the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Arc<[RangeInclusive<u16>]>);

/// A list of ports is none. Says which item, counted from 1, and does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("item {item} is neither a port from 1 to 65535 nor a range such as 1024-65535")]
pub struct InvalidPorts {
    item: usize,
}

impl Ports {
    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self([80..=80, 443..=443, 1_024..=u16::MAX].into())
    }
}

impl FromStr for Ports {
    type Err = InvalidPorts;

    fn from_str(text: &str) -> Result<Self, InvalidPorts> {
        let items = text.split(',').enumerate();
        let ranges = items.map(|(index, item)| range(item).ok_or(InvalidPorts { item: index + 1 }));
        ranges.collect::<Result<_, _>>().map(Self)
    }
}

fn range(item: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}

fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port > 0)
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (port, last) if port == last => write!(f, "{comma}{port}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_default_the_webs_and_those_of_nobody_are_open() {
        let ports = Ports::default();
        for (port, is_open) in [
            (1, false),
            (22, false),
            (80, true),
            (443, true),
            (1_023, false),
            (1_024, true),
            (u16::MAX, true),
        ] {
            assert_eq!(ports.contains(port), is_open, "{port}");
        }
        assert_eq!(ports.to_string(), "80,443,1024-65535");
    }

    #[test]
    fn a_list_that_is_none_is_told_by_its_item() {
        for (text, item) in [
            ("", 1),
            ("443,", 2),
            ("80,0", 2),
            ("80-79", 1),
            ("80,443,hunter2", 3),
            ("65536", 1),
            ("1-2-3", 1),
            ("-80", 1),
        ] {
            assert_eq!(text.parse::<Ports>(), Err(InvalidPorts { item }), "{text:?}");
        }
        assert_eq!(" 443 , 8000 - 8001 ".parse::<Ports>().unwrap().to_string(), "443,8000-8001");
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_is_written(
            bounds in prop::collection::vec((1..=u16::MAX, 1..=u16::MAX), 1..5), port: u16,
        ) {
            let ranges: Vec<_> = bounds.iter().map(|(a, b)| *a.min(b)..=*a.max(b)).collect();
            let is_open = ranges.iter().any(|range| range.contains(&port));
            let ports = Ports(ranges.into());
            prop_assert_eq!(ports.contains(port), is_open);
            prop_assert_eq!(ports.to_string().parse::<Ports>(), Ok(ports));
        }
    }
}
