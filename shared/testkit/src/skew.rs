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
    /// Whether `libfaketime` is installed.
    pub fn is_possible() -> bool {
        library().is_some()
    }

    /// A clock that is right, kept in `directory` under `name`.
    pub fn new(directory: &Path, name: &str) -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "libfaketime is not installed");
        let library = library().ok_or_else(missing)?;
        let clock = Self { library, file: directory.join(format!("{name}.clock")) };
        clock.set(0)?;
        Ok(clock)
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

fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|library| Path::new(library).is_file())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::scratch::ScratchDir;

    #[test]
    fn a_process_goes_by_it() {
        if !SkewedClock::is_possible() {
            return;
        }
        let scratch = ScratchDir::new().unwrap();
        let clock = SkewedClock::new(scratch.path(), "test").unwrap();
        let year = || {
            let date = Command::new("date").arg("+%Y").envs(clock.environment()).output().unwrap();
            String::from_utf8(date.stdout).unwrap().trim().parse::<i32>().unwrap()
        };
        let now = year();
        clock.set(-3 * 366 * 24 * 60 * 60).unwrap();
        assert!(now - year() >= 3);
    }
}
