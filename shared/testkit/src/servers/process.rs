//! One server process and all that it starts: it can be killed, frozen and asked to stop as a
//! whole, and it does not outlive this process.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::guard::Guard;

/// Holds the program back until its guard is armed: there is no moment at which our death leaves
/// it behind. `exec` keeps the process id.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// `$1` is the signal, `$2` the process and its group. What it has started is listed while it can
/// start nothing more: `PostgreSQL`'s children are in groups of their own. Whoever is frozen hears of
/// nothing but KILL until it goes on.
const STOP: &str = r#"
below() {
    for child in $(grep -lsx "PPid:[[:space:]]*$1" /proc/[0-9]*/status | cut -d/ -f3); do
        echo "$child"
        below "$child"
    done
}
kill -s STOP "$2"
all="$2 $(below "$2")"
kill -s "$1" "$2"
kill -s CONT $all
round=0
while kill -0 "$2" && [ "$round" -lt 50 ]; do
    sleep 0.1
    round=$((round + 1))
done
kill -s KILL -- "-$2" $all"#;

/// How long a server may take that is told to end at once.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How long the kernel may take to remove killed processes on a busy machine.
const REMOVAL: Duration = Duration::from_secs(10);

/// What to run and how to end it.
#[derive(Debug)]
pub struct Launch {
    /// The program, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment: nothing is inherited, so that nobody's shell changes a test.
    pub environment: Vec<(&'static str, OsString)>,
    /// Receives standard output and standard error, appended.
    pub log: PathBuf,
    /// What its signals mean.
    pub signals: Signals,
    /// How to tell that it has started.
    pub ready: Ready,
}

/// How to tell that a process has started.
#[derive(Debug, Clone, Copy)]
pub enum Ready {
    /// The recipe says that the server serves.
    Serving,
    /// Something listens on this port.
    Listening(u16),
}

/// What a server's signals mean.
#[derive(Debug, Clone, Copy)]
pub enum Signals {
    /// SIGTERM to finish, and SIGKILL leaves nothing behind.
    Usual,
    /// SIGTERM would wait for all clients to leave, so SIGINT to finish; SIGQUIT to end at once
    /// and yet give shared memory back to the kernel.
    Postgres,
}

impl Signals {
    fn finish(self) -> Signal {
        match self {
            Self::Usual => Signal::TERM,
            Self::Postgres => Signal::INT,
        }
    }

    fn end(self) -> Signal {
        match self {
            Self::Usual => Signal::KILL,
            Self::Postgres => Signal::QUIT,
        }
    }

    /// [`Signals::end`], as a shell knows it.
    fn end_name(self) -> &'static str {
        match self {
            Self::Usual => "KILL",
            Self::Postgres => "QUIT",
        }
    }
}

/// A running server, or any other program. Dropping it ends it and everything it started.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    pid: Pid,
    signals: Signals,
    /// What it had started when it was last asked to end: once it is gone, nobody else can tell.
    started: Vec<Process>,
    /// Dropped last: it stands by until the process is gone.
    _guard: Guard,
}

impl ServerProcess {
    /// Starts the program, in a process group of its own.
    pub fn spawn(launch: &Launch) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(&launch.log)?;
        let mut child = Command::new("/bin/sh")
            .args([OsStr::new("-c"), OsStr::new(GATE), OsStr::new("recado-server")])
            .arg(&launch.program)
            .args(&launch.arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let mut gate = child.stdin.take().expect("stdin was asked for as a pipe");
        let pid = Pid::from_child(&child);
        let signal = launch.signals.end_name();
        let guard = Guard::new(STOP, &[signal, &pid.as_raw_nonzero().to_string()])?;
        let process =
            Self { child, pid, signals: launch.signals, started: Vec::new(), _guard: guard };
        gate.write_all(b"go\n")?;
        Ok(process)
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks the server to finish what it does; if it is frozen, it goes on for that. What it leaves
    /// running is killed when this is dropped.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.started = descendants(self.pid);
        kill_process(self.pid, self.signals.finish())?;
        signal_each(&self.started, Signal::CONT);
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// `SIGKILL`s the server and everything it started, and waits until all of it is gone.
    pub fn kill(&mut self) -> io::Result<()> {
        self.end(Signal::KILL)
    }

    /// Freezes the server and everything it started: connections stay open and silent.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        self.signal_all(Signal::STOP)
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, signal: Signal) -> io::Result<()> {
        kill_process_group(self.pid, signal)?;
        signal_each(&descendants(self.pid), signal);
        Ok(())
    }

    fn end(&mut self, signal: Signal) -> io::Result<()> {
        if self.child.try_wait()?.is_none() {
            self.end_running(signal)?;
        }
        signal_each(&self.started, Signal::KILL);
        let gone = || Ok(!self.started.iter().any(Process::is_alive));
        if !until(REMOVAL, gone)? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "killed processes live on"));
        }
        Ok(())
    }

    fn end_running(&mut self, signal: Signal) -> io::Result<()> {
        // The list is taken while nothing can be started: a child whose parent is gone belongs to
        // init, and PostgreSQL's children are in process groups of their own.
        let _ = kill_process(self.pid, Signal::STOP);
        self.started.extend(descendants(self.pid));
        if signal != Signal::KILL {
            let _ = kill_process(self.pid, signal);
            signal_each(&self.started, Signal::CONT);
            let _ = kill_process(self.pid, Signal::CONT);
            until(ENDS_WITHIN, || Ok(self.child.try_wait()?.is_some()))?;
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.end(self.signals.end());
    }
}

/// Some may have ended since they were listed.
fn signal_each(processes: &[Process], signal: Signal) {
    for process in processes.iter().filter(|process| process.is_alive()) {
        let _ = kill_process(process.pid, signal);
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 30;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Polls for milliseconds as a rule; says whether `done` held in time.
#[expect(clippy::disallowed_methods, reason = "`drop` must wait and cannot await")]
fn until(limit: Duration, mut done: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    while !done()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// A process that is not our child, so that its id may be another's one day.
#[derive(Debug, Clone, Copy)]
struct Process {
    pid: Pid,
    /// In ticks since the machine was started.
    began: u64,
}

impl Process {
    /// A zombie whose parent is slow to collect it is not alive.
    fn is_alive(&self) -> bool {
        let stat = Stat::of(self.pid).filter(|stat| stat.began == self.began);
        stat.is_some_and(|stat| stat.state != 'Z' && stat.state != 'X')
    }
}

/// Everything that `root` started, directly or not, and that is still linked to it.
fn descendants(root: Pid) -> Vec<Process> {
    let mut children: HashMap<Pid, Vec<Process>> = HashMap::new();
    for pid in all_processes() {
        if let Some(stat) = Stat::of(pid) {
            children.entry(stat.parent).or_default().push(Process { pid, began: stat.began });
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        let started = children.remove(&parent).unwrap_or_default();
        open.extend(started.iter().map(|process| process.pid));
        found.extend(started);
    }
    found
}

fn all_processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// What the kernel says of a process.
struct Stat {
    state: char,
    parent: Pid,
    began: u64,
}

impl Stat {
    /// `/proc/<pid>/stat` is `pid (name) state parent …`, where the name may hold anything; the
    /// start is field 22 of it all.
    fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = Pid::from_raw(fields.next()?.parse().ok()?)?;
        Some(Self { state, parent, began: fields.nth(17)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::ScratchDir;

    /// A family whose eldest child is frozen, in a group and a session of its own, as those of
    /// `PostgreSQL` are. The parent ends when it is told to, and lets its children be.
    const FAMILY: &str = r"
trap 'exit 0' TERM
setsid sh -c 'kill -s STOP $$; exec sleep 600' &
sleep 600 &
while :; do sleep 0.02; done";

    const SOON: Duration = Duration::from_secs(10);

    fn launch(scratch: &ScratchDir, signals: Signals) -> Launch {
        Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), FAMILY.into()],
            environment: Vec::new(),
            log: scratch.path().join("log"),
            signals,
            ready: Ready::Serving,
        }
    }

    /// The parent, and its children once they are as they should be.
    fn family(signals: Signals) -> (ServerProcess, Vec<Process>) {
        let scratch = ScratchDir::new().unwrap();
        let parent = ServerProcess::spawn(&launch(&scratch, signals)).unwrap();
        let is_frozen = |process: &Process| Stat::of(process.pid).is_some_and(|it| it.state == 'T');
        let mut children = Vec::new();
        let complete = until(SOON, || {
            children = descendants(parent.pid);
            Ok(children.iter().any(is_frozen) && children.len() >= 2)
        });
        assert!(complete.unwrap(), "{children:?}");
        (parent, children)
    }

    fn are_gone(processes: &[Process]) -> bool {
        until(SOON, || Ok(!processes.iter().any(Process::is_alive))).unwrap()
    }

    #[test]
    fn nothing_is_left_of_a_frozen_family_that_is_dropped() {
        for signals in [Signals::Usual, Signals::Postgres] {
            let (parent, children) = family(signals);
            parent.freeze().unwrap();
            drop(parent);
            assert!(!children.iter().any(Process::is_alive), "{signals:?}: {children:?}");
        }
    }

    #[test]
    fn a_frozen_process_ends_when_it_is_asked_to_and_leaves_nothing() {
        let (mut parent, children) = family(Signals::Usual);
        parent.freeze().unwrap();
        parent.terminate().unwrap();
        assert!(until(SOON, || Ok(parent.exit_status()?.is_some())).unwrap(), "it is still there");
        assert_eq!(parent.exit_status().unwrap().unwrap().code(), Some(0));
        assert!(children.iter().any(Process::is_alive), "its children do not hear of it");
        drop(parent);
        assert!(!children.iter().any(Process::is_alive), "{children:?}");
    }

    /// What is done once we are gone.
    #[test]
    fn the_guard_leaves_nothing_of_a_frozen_family() {
        let (mut parent, children) = family(Signals::Postgres);
        parent.freeze().unwrap();
        let pid = parent.id().to_string();
        let mut guard = Command::new("/bin/sh");
        let mut guard = guard.args(["-c", STOP, "recado-guard", "QUIT", &pid]).spawn().unwrap();
        // It waits for whoever is not collected.
        let done = until(SOON, || Ok(parent.exit_status()?.and(guard.try_wait()?).is_some()));
        assert!(done.unwrap(), "it does not come to an end");
        assert!(are_gone(&children), "{children:?}");
    }
}
