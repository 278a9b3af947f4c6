//! What is wrong with files, all of it at once.

use std::fmt::Write as _;

use crate::client::failure::Failure;
use crate::table::one_line;

/// Enough to mend a file by.
const MAX_TOLD: usize = 64;

/// Mistakes, each with where it is.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<String>);

impl Mistakes {
    pub(super) fn add(&mut self, at: impl AsRef<str>, what: impl AsRef<str>) {
        self.0.push(format!("{}: {}", one_line(at.as_ref()), one_line(what.as_ref())));
    }

    /// A failure that tells them, if there are any.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.0.as_slice() {
            [] => Ok(()),
            [only] => Err(Failure::Usage(only.clone())),
            several => {
                let mut told = format!("there are {} mistakes:", several.len());
                for mistake in several.iter().take(MAX_TOLD) {
                    let _ = write!(told, "\n  {mistake}");
                }
                Err(Failure::Usage(told))
            }
        }
    }
}
