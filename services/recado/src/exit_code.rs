//! What the exit codes of all commands mean; docs/cli.md says the same. 0: it was done. 1,
//! `ExitCode::FAILURE`: it was refused, failed, or was not finished in time.

/// The command line, what the client is told, or a file cannot be understood. The parser of the
/// command line has the same.
pub(crate) const USAGE: u8 = 2;
/// With `apply --dry-run --exit-code`: something would change.
pub(crate) const WOULD_CHANGE: u8 = 3;
/// The server cannot be reached, or cannot answer now: `EX_UNAVAILABLE` of sysexits.h.
pub(crate) const UNAVAILABLE: u8 = 69;
/// The settings of a role are of no use.
pub(crate) const MISCONFIGURED: u8 = recado_service::EX_CONFIG;

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/cli.md");

    #[test]
    fn the_document_lists_every_exit_code_once() {
        let table = DOCUMENT.split_once("| exit code | |\n|---|---|\n").unwrap().1;
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let codes: Vec<u8> = rows.map(|row| row[1..4].trim().parse().unwrap()).collect();
        assert_eq!(codes, [0, 1, USAGE, WOULD_CHANGE, UNAVAILABLE, MISCONFIGURED]);
    }
}
