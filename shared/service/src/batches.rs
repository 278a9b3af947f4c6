//! What is written together: as much as has come while the batch before was on its way, but not
//! more than a statement should hold.

/// How many entries one statement writes at most.
pub const MAX_BATCH: usize = 256;
/// And how much, in bytes: enough for 256 short texts, but not for 256 of the longest.
pub const MAX_BATCH_SIZE: usize = 8 * 1024 * 1024;

/// Cuts entries, in their order, into batches that are not too large; one that is too large for
/// itself is alone. `size` says how many bytes an entry takes.
pub fn batches<T>(entries: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut left = 0;
    for entry in entries {
        let size = size(&entry);
        match batches.last_mut() {
            Some(batch) if size <= left => {
                left -= size;
                batch.push(entry);
            }
            _ => {
                left = MAX_BATCH_SIZE.saturating_sub(size);
                batches.push(vec![entry]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_batch_is_too_large_and_none_is_smaller_than_it_must_be(
            sizes in prop::collection::vec(0..MAX_BATCH_SIZE + 100, 0..30),
        ) {
            let batches = batches(sizes.iter().copied(), |size| *size);
            prop_assert_eq!(batches.concat(), sizes);
            for batch in &batches {
                prop_assert!(batch.iter().sum::<usize>() <= MAX_BATCH_SIZE || batch.len() == 1);
            }
            for two in batches.windows(2) {
                prop_assert!(two[0].iter().sum::<usize>() + two[1][0] > MAX_BATCH_SIZE);
            }
        }
    }
}
