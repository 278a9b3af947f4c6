//! How much flies at once, in messages and in bytes.

use crate::parcel::Parcel;

/// Messages in one flight. More would not be faster, only later.
const MOST_PARCELS: usize = 256;
/// Bodies in one flight. They are in our memory and in the broker's until they are confirmed, and
/// within the timeout all of them have to get there: 16 MiB take 1.3 s at 100 Mbit/s.
const MOST_BYTES: usize = 16 << 20;

/// What flies together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    n_parcels: usize,
    n_bytes: usize,
}

impl Load {
    /// What `parcels` amount to.
    pub(crate) fn of(parcels: &[Parcel]) -> Self {
        let n_bytes = parcels.iter().map(Parcel::size_bytes).sum();
        Self { n_parcels: parcels.len(), n_bytes }
    }

    /// Adds `more` if it can come along. The first can always: it may be larger than it should.
    pub(crate) fn take(&mut self, more: Self) -> bool {
        let sum = Self {
            n_parcels: self.n_parcels + more.n_parcels,
            n_bytes: self.n_bytes + more.n_bytes,
        };
        let fits = sum.n_parcels <= MOST_PARCELS && sum.n_bytes <= MOST_BYTES;
        if fits || *self == Self::default() {
            *self = sum;
            return true;
        }
        false
    }
}

/// Cuts `parcels`, in order, into parts that can fly.
pub(crate) fn cut(parcels: Vec<Parcel>) -> Vec<Vec<Parcel>> {
    let mut parts: Vec<Vec<Parcel>> = Vec::new();
    let mut load = Load::default();
    for parcel in parcels {
        let more = Load::of(std::slice::from_ref(&parcel));
        if let Some(part) = parts.last_mut().filter(|_| load.take(more)) {
            part.push(parcel);
        } else {
            load = more;
            parts.push(vec![parcel]);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use lapin::message::Delivery;

    use super::*;
    use crate::parcel::{Failure, Fault, Reason};
    use crate::topology::INBOUND;

    fn parcels(n: usize, n_bytes: usize) -> Vec<Parcel> {
        let body = vec![b'x'; n_bytes];
        let original = Delivery::mock(1, "x".into(), "k".into(), false, body);
        let fault = Fault { reason: Reason::Failed, error: String::new(), cause: None };
        let failure = Failure { fault, attempts: 1 };
        (0..n).map(|_| Parcel::dead_letter(&original, &INBOUND, &failure)).collect()
    }

    fn cut_to(parcels: Vec<Parcel>) -> Vec<usize> {
        cut(parcels).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_part_is_bounded_by_count_and_by_bytes() {
        assert_eq!(cut_to(parcels(600, 10)), [256, 256, 88]);
        assert_eq!(cut_to(parcels(5, 8 << 20)), [2, 2, 1]);
        assert_eq!(cut_to(parcels(2, 17 << 20)), [1, 1], "what is larger flies alone");
        assert!(cut(Vec::new()).is_empty());
    }

    #[test]
    fn what_does_not_fit_stays_behind_and_changes_nothing() {
        let mut load = Load::default();
        assert!(load.take(Load::of(&parcels(1, 10 << 20))));
        let before = load;
        assert!(!load.take(Load::of(&parcels(1, 7 << 20))));
        assert_eq!(load, before);
        assert!(load.take(Load::of(&parcels(1, 6 << 20))));
    }
}
