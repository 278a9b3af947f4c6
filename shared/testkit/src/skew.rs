//! A wall clock that goes wrong for one process while it runs, by Debian's `libfaketime`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// What a process takes for the time of day. The time that waits are measured with stays right, as
/// it does when somebody sets a machine's clock.
#[derive(Debug)]
pub struct SkewedClock {
    library: &'static str,
    file: PathBuf,
}

impl SkewedClock {
    /// A clock that is right, kept in `directory` under `name`; `None` if `libfaketime` is not
    /// installed.
    pub fn new(directory: &Path, name: &str) -> io::Result<Option<Self>> {
        let Some(library) = LIBRARIES.into_iter().find(|library| Path::new(library).is_file())
        else {
            return Ok(None);
        };
        let clock = Self { library, file: directory.join(format!("{name}.clock")) };
        clock.set(0)?;
        Ok(Some(clock))
    }

    /// From now on, or a second later, it is wrong by so many seconds.
    pub fn set(&self, seconds: i64) -> io::Result<()> {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n"))?;
        fs::rename(next, &self.file)
    }

    /// What a process has to find in its environment to go by this clock.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.into()),
            ("FAKETIME_TIMESTAMP_FILE", (&self.file).into()),
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_DISABLE_SHM", "1".into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::scratch::ScratchDir;

    #[test]
    fn a_process_goes_by_it() {
        let scratch = ScratchDir::new().unwrap();
        let Some(clock) = SkewedClock::new(scratch.path(), "test").unwrap() else {
            return; // It is not installed.
        };
        let year = || {
            let date = Command::new("date").arg("+%Y").envs(clock.environment()).output().unwrap();
            String::from_utf8(date.stdout).unwrap().trim().parse::<i32>().unwrap()
        };
        let now = year();
        clock.set(-3 * 366 * 24 * 60 * 60).unwrap();
        assert!(now - year() >= 3);
    }
}
