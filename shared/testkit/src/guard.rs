//! Clean-up that happens however this process ends, `kill -9` included.
//!
//! A guard is a shell at the other end of a pipe that only this process holds.
//! When the pipe closes without a word, this process is gone, and the shell runs its script.
//! `PR_SET_PDEATHSIG` is not used: it fires when the *thread* that started the child ends.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs a shell script once this process has died; does nothing if it is dropped before.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
}

impl Guard {
    /// Arms a guard. `script` sees `arguments` as `$1`, `$2`, … and runs without a terminal.
    pub fn new<A: AsRef<OsStr>>(script: &str, arguments: &[A]) -> io::Result<Self> {
        let script = format!("trap '' INT TERM HUP\nread -r dismissed && exit 0\n{script}");
        let shell = Command::new("/bin/sh")
            .args(["-c", &script, "recado-guard"])
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What is signalled to our process group must not reach the one who cleans up after it.
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // A guard that somebody killed cannot be told, and need not be.
            let _ = pipe.write_all(b"dismissed\n");
        }
        let _ = self.shell.wait();
    }
}
