//! The file for a report that takes long to make. It is opened before, so that nobody waits for
//! what cannot be written down.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

/// The file, if one was asked for.
pub(crate) struct JsonFile(Option<(PathBuf, File)>);

impl JsonFile {
    /// Fails if it cannot be written. What is in it stays until there is something else to write.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(Some((path.to_owned(), file))))
    }

    /// Replaces what is in it.
    pub(crate) fn write(self, report: &impl Serialize) -> anyhow::Result<()> {
        let Some((path, mut file)) = self.0 else { return Ok(()) };
        let text = serde_json::to_vec_pretty(report)?;
        let written = file.set_len(0).and_then(|()| file.write_all(&text));
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use recado_testkit::scratch::ScratchDir;

    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_at_once_and_what_is_there_is_replaced() {
        let scratch = ScratchDir::new().unwrap();
        let nowhere = scratch.path().join("none/report.json");
        assert!(JsonFile::open(Some(&nowhere)).is_err());

        let path = scratch.path().join("report.json");
        fs::write(&path, "something longer than the report").unwrap();
        let file = JsonFile::open(Some(&path)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "something longer than the report");
        file.write(&[1]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1\n]");
        JsonFile::open(None).unwrap().write(&[1]).unwrap();
    }
}
