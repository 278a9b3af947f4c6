//! A disk that is small enough to be filled: a tmpfs, for whoever may mount one.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::guard::Guard;
use crate::scratch::ScratchDir;

static BLOCK: [u8; 64 * 1024] = [0; 64 * 1024];

const UNMOUNT: &str = r#"umount -l -- "$1""#;

/// A mounted tmpfs. Unmounted when it is dropped, and when this process dies.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    _guard: Guard,
}

impl SmallDisk {
    /// Whether this process may mount one: only root may, and in most containers not even root. An
    /// error if there is another reason why it cannot.
    pub fn may_be_mounted() -> io::Result<bool> {
        let scratch = ScratchDir::new()?;
        match Self::mount(&scratch.path().join("disk"), 1) {
            Ok(_unmounted_again) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Mounts a disk of so many MiB at `path`, which is made.
    pub fn mount(path: &Path, mib: u32) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let guard = Guard::new(UNMOUNT, &[path])?;
        let size = CString::new(format!("size={mib}m,mode=0755"))?;
        mount("recado-faults", path, "tmpfs", MountFlags::empty(), size.as_c_str())?;
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
        if let Err(error) = unmount(&self.path, UnmountFlags::DETACH) {
            eprintln!("failed to unmount {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_freed() {
        if !SmallDisk::may_be_mounted().unwrap() {
            return;
        }
        let scratch = ScratchDir::new().unwrap();
        let disk = SmallDisk::mount(&scratch.path().join("disk"), 1).unwrap();
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
