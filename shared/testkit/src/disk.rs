//! A disk that is small enough to be filled: a tmpfs, for whoever may mount one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::guard::Guard;

static BLOCK: [u8; 64 * 1024] = [0; 64 * 1024];

const UNMOUNT: &str = r#"umount -l -- "$1""#;

/// A mounted tmpfs. Unmounted when it is dropped, and when this process dies.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    _guard: Guard,
}

impl SmallDisk {
    /// Mounts a disk of so many MiB at `path`, which is made. Refused to whoever is not root, and
    /// to root in most containers.
    pub fn mount(path: &Path, mib: u32) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let guard = Guard::new(UNMOUNT, &[path])?;
        let size = format!("size={mib}m,mode=0755");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "recado-faults"]).arg(path))?;
        Ok(Self { path: path.to_owned(), _guard: guard })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves no byte free.
    pub fn fill(&self) -> io::Result<()> {
        let mut ballast = File::create(self.ballast())?;
        loop {
            match ballast.write_all(&BLOCK) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] has taken.
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there keeps it until it ends.
        if let Err(error) = run(Command::new("umount").arg("-l").arg(&self.path)) {
            eprintln!("failed to unmount {}: {error}", self.path.display());
        }
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::new(io::ErrorKind::PermissionDenied, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::ScratchDir;

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_freed() {
        let scratch = ScratchDir::new().unwrap();
        let Ok(disk) = SmallDisk::mount(&scratch.path().join("disk"), 1) else {
            return; // Nobody may mount here.
        };
        let file = disk.path().join("file");
        disk.fill().unwrap();
        let refused = fs::write(&file, "words").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        disk.free().unwrap();
        fs::write(&file, "words").unwrap();
        let path = disk.path().to_owned();
        drop(disk);
        assert!(!path.join("file").exists());
    }
}
