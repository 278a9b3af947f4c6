//! Temporary directories that are removed even if their owner is killed.

use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::guard::Guard;

/// What was written while the owner's servers were still dying is removed by the next round.
const REMOVE: &str = r#"
round=0
while [ -e "$1" ] && [ "$round" -lt 100 ]; do
    rm -rf -- "$1"
    sleep 0.2
    round=$((round + 1))
done"#;

/// A temporary directory of this process.
#[derive(Debug)]
pub struct ScratchDir {
    directory: TempDir,
    _guard: Guard,
}

impl ScratchDir {
    /// Makes an empty directory whose name starts with `recado-`.
    pub fn new() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("recado-").tempdir()?;
        let guard = Guard::new(REMOVE, &[directory.path()])?;
        Ok(Self { directory, _guard: guard })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
