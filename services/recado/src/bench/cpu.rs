//! How much CPU time the processes of the system have used, and how much memory they hold.
//!
//! From `/proc`, which counts in hundredths of a second: good over seconds, not over messages.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

/// `USER_HZ`: the same on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Some processes that are measured as one.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) root: u32,
    pub(super) kind: Kind,
}

/// What a group is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A process of ours.
    Role,
    /// A server: all that its root process started counts, ended children included.
    Server,
    /// What measures. Its children are what is measured, so they are not counted with it.
    Harness,
}

/// The CPU time of each group so far, in the order of the groups.
pub(super) struct Reading(Vec<Duration>);

impl Reading {
    /// What each group has used since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Vec<Duration> {
        self.0.iter().zip(&earlier.0).map(|(now, then)| now.saturating_sub(*then)).collect()
    }
}

/// Reads the CPU time of all groups, user and system.
pub(super) fn read(groups: &[Group]) -> io::Result<Reading> {
    let processes = processes()?;
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, process) in &processes {
        children.entry(process.parent).or_default().push(*pid);
    }
    let used = groups.iter().map(|group| {
        let mut ticks = 0;
        let mut open = vec![group.root];
        while let Some(pid) = open.pop() {
            let Some(process) = processes.get(&pid) else { continue };
            ticks += process.own_ticks;
            if group.kind != Kind::Harness {
                ticks += process.ended_children_ticks;
                open.extend(children.get(&pid).into_iter().flatten());
            }
        }
        Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SECOND)
    });
    Ok(Reading(used.collect()))
}

/// The resident memory of one process, in MiB.
pub(super) fn resident_mib(pid: u32) -> io::Result<f64> {
    status_mib(pid, "VmRSS:")
}

/// The most that it has been since the process was started, in MiB.
pub(super) fn peak_resident_mib(pid: u32) -> io::Result<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, name: &str) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u32> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    let kib = kib.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no such line"))?;
    Ok(f64::from(kib) / 1024.0)
}

struct Process {
    parent: u32,
    own_ticks: u32,
    ended_children_ticks: u32,
}

fn processes() -> io::Result<HashMap<u32, Process>> {
    let mut processes = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since it was listed.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        if let Some(process) = stat.and_then(|stat| parse(&stat)) {
            processes.insert(pid, process);
        }
    }
    Ok(processes)
}

/// `pid (name) state parent …`, where the name may hold anything; see proc(5).
fn parse(stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(Process {
        parent: number(1)?,
        own_ticks: number(11)? + number(12)?,
        ended_children_ticks: number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7";
        let process = parse(stat).unwrap();
        let ticks = (process.own_ticks, process.ended_children_ticks);
        assert_eq!((process.parent, ticks), (7, (33, 77)));
    }

    #[test]
    fn a_process_that_works_uses_cpu_time() {
        let groups = [Group { name: "this", root: std::process::id(), kind: Kind::Harness }];
        let before = read(&groups).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while read(&groups).unwrap().since(&before)[0].is_zero() {
            assert!(std::time::Instant::now() < deadline);
        }
        let ourselves = std::process::id();
        assert!(resident_mib(ourselves).unwrap() > 1.0);
        assert!(peak_resident_mib(ourselves).unwrap() > 1.0);
    }
}
