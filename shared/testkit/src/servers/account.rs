//! Who runs servers that refuse to run as root.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::{ServerError, programs};

/// Who runs a server.
pub(super) enum Account {
    Ours,
    Postgres { uid: u32, gid: u32 },
}

impl Account {
    /// The account that `PostgreSQL`'s package made does for others too: we have no better one.
    pub(super) fn of_servers() -> Result<Self, ServerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ours);
        }
        // The package made this directory for the account it made.
        let home = Path::new("/var/lib/postgresql");
        let metadata = fs::metadata(home).map_err(ServerError::io("find the owner of", home))?;
        Ok(Self::Postgres { uid: metadata.uid(), gid: metadata.gid() })
    }

    /// Gives it `directory`.
    pub(super) fn own(&self, directory: &Path) -> Result<(), ServerError> {
        match self {
            Self::Ours => Ok(()),
            Self::Postgres { uid, gid } => chown(directory, Some(*uid), Some(*gid))
                .map_err(ServerError::io("give a server its directory", directory)),
        }
    }

    /// The command line that runs `program` as this account.
    ///
    /// The capability lets it pass through directories that only root may enter, such as a fresh
    /// temporary directory or a checkout below /root.
    pub(super) fn run(
        &self,
        program: PathBuf,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(PathBuf, Vec<OsString>), ServerError> {
        let Self::Postgres { uid, gid } = self else {
            return Ok((program, arguments.into_iter().collect()));
        };
        let switch = [
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".to_owned(),
            "--inh-caps=+dac_override".to_owned(),
            "--ambient-caps=+dac_override".to_owned(),
        ];
        let mut all: Vec<OsString> = switch.into_iter().map(OsString::from).collect();
        all.push(program.into());
        all.extend(arguments);
        Ok((programs::on_path("setpriv")?, all))
    }

    /// The user id that servers see.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Ours => rustix::process::geteuid().as_raw(),
            Self::Postgres { uid, .. } => *uid,
        }
    }

    /// The group id that servers see.
    pub(super) fn gid(&self) -> u32 {
        match self {
            Self::Ours => rustix::process::getegid().as_raw(),
            Self::Postgres { gid, .. } => *gid,
        }
    }
}
