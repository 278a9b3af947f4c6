//! The ready file: how whoever started a process learns its addresses.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Context;

/// Facts that a process makes known when it is ready.
#[derive(Debug, Clone, Default)]
pub(super) struct Announcements(Arc<Mutex<Map<String, Value>>>);

impl Announcements {
    pub(super) fn add(&self, key: &'static str, value: impl Serialize) {
        let value = serde_json::to_value(value).expect("facts are texts and numbers");
        self.0.lock().expect("no holder of this lock panics").insert(key.to_owned(), value);
    }

    pub(super) fn get(&self, key: &str) -> Option<Value> {
        self.0.lock().expect("no holder of this lock panics").get(key).cloned()
    }

    fn to_json(&self) -> Vec<u8> {
        let facts = self.0.lock().expect("no holder of this lock panics");
        let mut json = serde_json::to_vec_pretty(&*facts).expect("a map of values is JSON");
        json.push(b'\n');
        json
    }
}

/// Removes what an earlier process left at `path`, and writes the facts there once `context` is
/// ready. A file that cannot be written fails the process: somebody waits for it.
pub(super) fn write_when_ready(context: &Context, path: PathBuf) -> anyhow::Result<()> {
    remove(&path).with_context(|| format!("failed to remove the old {}", path.display()))?;
    context.announce("pid", std::process::id());
    let (health, facts) = (context.health.clone(), context.announcements.clone());
    let shutdown = context.shutdown.clone();
    context.try_spawn("ready file", async move {
        let Some(()) = shutdown.run_until_cancelled(health.ready()).await else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || {
            write(&path, &facts.to_json())
                .with_context(|| format!("failed to write {}", path.display()))
        });
        written.await.context("the writer of the ready file panicked")?
    });
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A reader sees all of it or nothing: a rename inside a directory is atomic.
fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let _ = fs::remove_file(&unfinished);
    // It may hold credentials.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(contents)?;
    fs::rename(&unfinished, path)
}
