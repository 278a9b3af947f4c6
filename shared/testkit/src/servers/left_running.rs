//! Who still runs in a directory, for tests of what must be gone.

use std::fs;
use std::path::Path;

/// The command lines of all processes that have to do with `directory`, except this one.
///
/// A server has its directory on its command line or in its environment, except `PostgreSQL`'s
/// children, which overwrite both; those are found by their working directory.
#[expect(clippy::missing_panics_doc, reason = "there is a /proc wherever these servers run")]
pub fn processes_of(directory: &Path) -> Vec<String> {
    let needle = directory.to_string_lossy();
    let entries =
        fs::read_dir("/proc").expect("/proc is mounted").flatten().map(|entry| entry.path());
    let mentions = |process: &Path| {
        let read = |name| fs::read(process.join(name)).unwrap_or_default();
        let cwd = fs::read_link(process.join("cwd")).unwrap_or_default();
        [read("cmdline"), read("environ")]
            .iter()
            .any(|text| String::from_utf8_lossy(text).contains(&*needle))
            || cwd.starts_with(directory)
    };
    let ours = format!("/proc/{}", std::process::id());
    entries
        .filter(|process| process != Path::new(&ours) && mentions(process))
        .map(|process| {
            let command = fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).replace('\0', " ")
        })
        .collect()
}
