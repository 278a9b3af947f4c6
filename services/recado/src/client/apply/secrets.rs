//! What the server shows only once, kept where nobody else reads it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::{Value, json};

use super::file::Item;
use crate::client::failure::Failure;

/// The fields of an answer that no other answer has.
const SHOWN_ONCE: [&str; 2] = ["webhook_secret", "secret"];

/// Where secrets are kept, if anywhere.
#[derive(Debug)]
pub(super) struct Secrets {
    file: Option<File>,
    /// Of what there were secrets that nobody kept.
    pub(super) lost: Vec<String>,
}

impl Secrets {
    /// Opened before anything is made: what cannot be kept should not be made.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let refused = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
            let file = open_unfollowed(path).map_err(|error| refused(told(&error)))?;
            judge(&file).map_err(refused)?;
            Ok(file)
        };
        Ok(Self { file: path.map(open).transpose()?, lost: Vec::new() })
    }

    /// Keeps what an answer shows of something that was made.
    pub(super) fn keep(&mut self, item: &Item, answer: &Value) -> Result<(), Failure> {
        for field in SHOWN_ONCE.into_iter().filter(|field| answer[*field].is_string()) {
            let Some(file) = &mut self.file else {
                self.lost.push(item.label());
                continue;
            };
            let line = json!({
                "kind": item.kind.singular(),
                "name": item.name,
                "id": answer["id"],
                field: answer[field],
            });
            writeln!(file, "{line}").and_then(|()| file.sync_all()).map_err(|error| {
                Failure::failed(format!("{}: its secret was not kept: {error}", item.label()))
            })?;
        }
        Ok(())
    }
}

/// Opens the file, or makes one that only its owner may read. A symbolic link may lead to what
/// somebody else chose.
fn open_unfollowed(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}

fn told(error: &io::Error) -> String {
    if Errno::from_io_error(error) == Some(Errno::LOOP) {
        "is a symbolic link, or in a circle of them; name the file itself".into()
    } else {
        error.to_string()
    }
}

/// Whether secrets are safe in a file, which may have been there before: its mode is given only to
/// a file that is made.
fn judge(file: &File) -> Result<(), String> {
    let facts = file.metadata().map_err(|error| error.to_string())?;
    if !facts.is_file() {
        return Err("is no ordinary file".into());
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let remedy = "take that away (chmod 600)";
        return Err(format!("others than its owner may use it (mode {mode:03o}); {remedy}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::symlink;

    use recado_testkit::scratch::ScratchDir;

    use super::*;

    #[test]
    fn secrets_are_kept_only_where_nobody_else_reads_them() {
        let scratch = ScratchDir::new().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let refusal = |name: &str| Secrets::open(Some(&at(name))).unwrap_err().to_string();
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;

        Secrets::open(Some(&at("new"))).unwrap();
        assert_eq!(mode("new"), 0o600);
        Secrets::open(Some(&at("new"))).unwrap();
        for open_to_others in [0o640, 0o604, 0o620, 0o610] {
            fs::set_permissions(at("new"), Permissions::from_mode(open_to_others)).unwrap();
            let refused = refusal("new");
            assert!(refused.contains(&format!("mode {open_to_others:o}")), "{refused}");
            assert_eq!(mode("new"), open_to_others, "it is not ours to change");
        }

        fs::write(at("target"), "").unwrap();
        fs::set_permissions(at("target"), Permissions::from_mode(0o600)).unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        for link in ["link", "dangling"] {
            assert!(refusal(link).contains("symbolic link"), "{}", refusal(link));
        }
        assert!(!at("nothing").exists());
        assert!(Secrets::open(Some(scratch.path())).is_err(), "a directory");
        assert!(Secrets::open(Some(Path::new("/dev/null"))).is_err(), "a device");
    }
}
