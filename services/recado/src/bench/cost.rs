//! What a phase cost, by process, in commits, in bytes of the write-ahead log, in publishes.

use anyhow::Context as _;

use super::cpu::{self, Kind, Reading};
use super::report::{Figure, Goal, Process};
use super::system::{Counters, System};
use super::{count, ratio};

/// The peers' range ends here (`facts/peers.md`, section 7: svix needs 2.3 to 3.2 ms).
const PEERS_CPU_MS: f64 = 3.2;

const KIB: f64 = 1024.0;

/// All counters at one moment.
pub(super) struct Snapshot {
    cpu: Reading,
    counters: Counters,
}

/// What was used between two moments.
pub(super) struct Cost {
    pub(super) figures: Vec<Figure>,
    pub(super) processes: Vec<Process>,
}

impl Snapshot {
    pub(super) async fn take(system: &System) -> anyhow::Result<Self> {
        let cpu = cpu::read(&system.groups).context("/proc cannot be read")?;
        Ok(Self { cpu, counters: system.counters().await? })
    }

    /// The cost of `n_messages` since then; `idle` is what each group uses without any, in
    /// milliseconds per second.
    pub(super) async fn cost(
        &self,
        system: &System,
        idle: &[f64],
        n_messages: usize,
    ) -> anyhow::Result<Cost> {
        let now = Self::take(system).await?;
        let processes = self.processes(&now, system, idle, count(n_messages))?;
        let total = processes.last().map(|total| total.cpu_ms_per_message);
        let per_message = |used: f64| ratio(used, count(n_messages));
        let (then, now) = (self.counters, now.counters);
        let figures = vec![
            Figure::new("  CPU time per message, roles and servers", total, "ms")
                .goal(Goal::ValueAtMost(PEERS_CPU_MS)),
            Figure::new("  publishes per message", per_message(now.publishes - then.publishes), ""),
            Figure::new("  commits per message", per_message(now.commits - then.commits), ""),
            Figure::new(
                "  write-ahead log per message",
                per_message((now.wal_bytes - then.wal_bytes) / KIB),
                "KiB",
            ),
        ];
        Ok(Cost { figures, processes })
    }

    /// The last one is the sum of all that is ours.
    fn processes(
        &self,
        now: &Self,
        system: &System,
        idle: &[f64],
        n_messages: f64,
    ) -> anyhow::Result<Vec<Process>> {
        let used = now.cpu.since(&self.cpu);
        let mut processes = Vec::new();
        let mut total = Process { name: "all but generator and sink", ..Process::default() };
        for ((group, used), idle) in system.groups.iter().zip(used).zip(idle) {
            let cpu_ms_per_message = ratio(used.as_secs_f64() * 1_000.0, n_messages);
            let resident_mib = match group.kind {
                Kind::Role => Some(cpu::resident_mib(group.root)?),
                Kind::Server | Kind::Harness => None,
            };
            if group.kind != Kind::Harness {
                total.cpu_ms_per_message += cpu_ms_per_message;
                total.idle_cpu_ms_per_second += idle;
            }
            processes.push(Process {
                name: group.name,
                cpu_ms_per_message,
                idle_cpu_ms_per_second: *idle,
                resident_mib,
            });
        }
        processes.push(total);
        Ok(processes)
    }
}
