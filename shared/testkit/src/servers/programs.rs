//! Finds the programs of the servers where Debian's packages put them.

use std::fs;
use std::path::{Path, PathBuf};

use super::ServerError;

const SCRIPT: &str = "scripts/install-servers.sh";
const MAIL_SCRIPT: &str = "scripts/install-mail-servers.sh";

/// Looks for `program` in the usual directories of binaries.
pub(super) fn on_path(program: &'static str) -> Result<PathBuf, ServerError> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"]
        .map(|directory| Path::new(directory).join(program))
        .into_iter()
        .find(|candidate| candidate.is_file())
        .ok_or(ServerError::NotInstalled { program, script: SCRIPT })
}

/// A program of the mail servers, which needs `file` as well. Debian's own: a Python of somebody
/// else's would not find Debian's modules.
pub(super) fn of_mail_servers(program: &'static str, file: &str) -> Result<PathBuf, ServerError> {
    let is_installed = Path::new(program).is_file() && Path::new(file).exists();
    let missing = ServerError::NotInstalled { program, script: MAIL_SCRIPT };
    is_installed.then(|| program.into()).ok_or(missing)
}

/// Looks for `program` in `<parent>/<any version>/<below>`; the greatest version wins.
pub(super) fn in_versions(
    parent: &str,
    below: &str,
    program: &'static str,
) -> Result<PathBuf, ServerError> {
    let versions = fs::read_dir(Path::new(parent)).into_iter().flatten().flatten();
    versions
        .map(|version| (digits(&version.file_name().to_string_lossy()), version.path()))
        .map(|(version, directory)| (version, directory.join(below).join(program)))
        .filter(|(_, candidate)| candidate.is_file())
        .max()
        .map(|(_, candidate)| candidate)
        .ok_or(ServerError::NotInstalled { program, script: SCRIPT })
}

/// The numbers in a name, so that version 9 comes before version 15.
fn digits(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(digits("9") < digits("15"));
        assert!(digits("rabbitmq_server-3.9.13") < digits("rabbitmq_server-3.10.8"));
    }

    #[test]
    fn a_missing_program_is_named_together_with_the_remedy() {
        let error = on_path("no-such-program").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-program was not found: run scripts/install-servers.sh"
        );
    }
}
