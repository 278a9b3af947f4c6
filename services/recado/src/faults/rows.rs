//! What is done to the system, row by row of the table.

use std::time::Duration;

use recado_testkit::app::Role;
use recado_testkit::proxy::Network;

/// One fault, and what it is tried on.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What happens, in words.
    pub(super) what: &'static str,
    pub(super) on: System,
    pub(super) order: Order,
    pub(super) fault: Fault,
}

/// A kind of system. Rows of one kind share one, as long as it comes to rest after each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    /// Two instances of each role, on private servers.
    Usual,
    /// The same, with proxies between roles and servers.
    BehindProxies,
    /// The same as the usual one, with servers whose disks can be filled.
    OnSmallDisks,
}

/// Whether the order of a session's messages is sure to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    IsKept,
    /// The broker may give messages again, and then some may come after later ones.
    MayChangeByRedelivery,
}

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Postgres,
    RabbitMq,
    Redis,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Nothing,
    KillRole(Role),
    KillAllRoles,
    FreezeRole(Role),
    RollingRestart,
    ClockOf(Role),
    Kill(Server),
    Freeze(Server),
    KillBackend,
    FlushRedis,
    FullRedis,
    DiskAlarm,
    MemoryAlarm,
    ConsumerTimeout,
    WipeRabbitMq,
    FullDisk(Server),
    Network(Server, Network),
    Callbacks(Callbacks),
    HangingModel,
    Poison,
    Duplicates,
    /// What this program cannot do, and why.
    Missing(&'static str),
}

/// What receivers of callbacks do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Callbacks {
    Slow,
    Hang,
    Fail,
    Cut,
}

const fn usual(name: &'static str, what: &'static str, order: Order, fault: Fault) -> Row {
    Row { name, what, on: System::Usual, order, fault }
}

const fn network(name: &'static str, server: Server, network: Network) -> Row {
    let what = match network {
        Network::Works => "nothing",
        Network::Refuses => "connections are closed, new ones refused",
        Network::Holds => "connections stay open, nothing is carried",
        Network::Resets => "connections are reset, new ones too",
        Network::CutsAfter(_) => "each connection is cut after some kilobytes",
        Network::Delays(_) => "each piece arrives 50 ms later",
    };
    let order = match (server, network) {
        // What merely comes late is not given again.
        (Server::RabbitMq, Network::Delays(_)) | (Server::Postgres | Server::Redis, _) => KEPT,
        (Server::RabbitMq, _) => MAY_CHANGE,
    };
    Row { name, what, on: System::BehindProxies, order, fault: Fault::Network(server, network) }
}

const KEPT: Order = Order::IsKept;
const MAY_CHANGE: Order = Order::MayChangeByRedelivery;

/// Not a multiple of anything's size, so that it falls into the middle of a message.
const CUT: Network = Network::CutsAfter(20_011);
const DELAY: Network = Network::Delays(Duration::from_millis(50));

/// All of them, in the order in which they are tried.
pub(super) const ROWS: &[Row] = &[
    usual("nothing", "nothing: what the others are to be compared with", KEPT, Fault::Nothing),
    usual(
        "kill-ingress",
        "kill -9 of one ingress after the other",
        KEPT,
        Fault::KillRole(Role::Ingress),
    ),
    usual(
        "kill-buffer",
        "kill -9 of one buffer after the other",
        MAY_CHANGE,
        Fault::KillRole(Role::Buffer),
    ),
    usual(
        "kill-agent-runner",
        "kill -9 of one agent-runner after the other",
        MAY_CHANGE,
        Fault::KillRole(Role::AgentRunner),
    ),
    usual(
        "kill-delivery",
        "kill -9 of one delivery after the other",
        KEPT,
        Fault::KillRole(Role::Delivery),
    ),
    usual(
        "kill-sources",
        "kill -9 of one sources after the other",
        KEPT,
        Fault::KillRole(Role::Sources),
    ),
    usual(
        "kill-management",
        "kill -9 of one management after the other, while agents are made",
        KEPT,
        Fault::KillRole(Role::Management),
    ),
    usual("kill-all-roles", "kill -9 of all roles at once", MAY_CHANGE, Fault::KillAllRoles),
    usual(
        "freeze-ingress",
        "SIGSTOP of an ingress, longer than a lease",
        KEPT,
        Fault::FreezeRole(Role::Ingress),
    ),
    usual(
        "freeze-buffer",
        "SIGSTOP of a buffer, longer than a lease",
        MAY_CHANGE,
        Fault::FreezeRole(Role::Buffer),
    ),
    usual(
        "freeze-agent-runner",
        "SIGSTOP of an agent-runner, longer than a lease",
        MAY_CHANGE,
        Fault::FreezeRole(Role::AgentRunner),
    ),
    usual(
        "freeze-delivery",
        "SIGSTOP of a delivery, longer than a lease",
        KEPT,
        Fault::FreezeRole(Role::Delivery),
    ),
    usual(
        "freeze-sources",
        "SIGSTOP of a sources, longer than a lease",
        KEPT,
        Fault::FreezeRole(Role::Sources),
    ),
    usual(
        "rolling-restart",
        "SIGTERM, wait, start: all instances of all roles, no request may fail",
        KEPT,
        Fault::RollingRestart,
    ),
    usual(
        "kill-postgres",
        "kill -9 of PostgreSQL, away for a second or more",
        KEPT,
        Fault::Kill(Server::Postgres),
    ),
    usual(
        "kill-backend",
        "kill -9 of one backend of PostgreSQL, which ends all of them",
        KEPT,
        Fault::KillBackend,
    ),
    usual("freeze-postgres", "SIGSTOP of PostgreSQL", KEPT, Fault::Freeze(Server::Postgres)),
    usual(
        "kill-redis",
        "kill -9 of Redis, away for a second or more",
        KEPT,
        Fault::Kill(Server::Redis),
    ),
    usual("flush-redis", "FLUSHALL", KEPT, Fault::FlushRedis),
    usual("full-redis", "maxmemory is reached: Redis refuses to write", KEPT, Fault::FullRedis),
    usual("freeze-redis", "SIGSTOP of Redis", KEPT, Fault::Freeze(Server::Redis)),
    usual(
        "kill-rabbitmq",
        "kill -9 of RabbitMQ, started again after 3 s",
        MAY_CHANGE,
        Fault::Kill(Server::RabbitMq),
    ),
    usual("freeze-rabbitmq", "SIGSTOP of RabbitMQ", MAY_CHANGE, Fault::Freeze(Server::RabbitMq)),
    usual("disk-alarm", "RabbitMQ's disk alarm: publishers are blocked", KEPT, Fault::DiskAlarm),
    usual(
        "memory-alarm",
        "RabbitMQ's memory alarm: publishers are blocked",
        KEPT,
        Fault::MemoryAlarm,
    ),
    usual(
        "consumer-timeout",
        "PostgreSQL is away longer than RabbitMQ waits for acknowledgements",
        MAY_CHANGE,
        Fault::ConsumerTimeout,
    ),
    usual(
        "wipe-rabbitmq",
        "RabbitMQ loses its data, once it holds no message that PostgreSQL has not",
        MAY_CHANGE,
        Fault::WipeRabbitMq,
    ),
    usual(
        "clock-ingress",
        "an ingress' clock jumps by 10 min, forth and back",
        KEPT,
        Fault::ClockOf(Role::Ingress),
    ),
    usual(
        "clock-buffer",
        "a buffer's clock jumps by 10 min, forth and back",
        KEPT,
        Fault::ClockOf(Role::Buffer),
    ),
    usual(
        "clock-agent-runner",
        "an agent-runner's clock jumps by 10 min, forth and back",
        KEPT,
        Fault::ClockOf(Role::AgentRunner),
    ),
    usual(
        "clock-delivery",
        "a delivery's clock jumps by 10 min, forth and back",
        KEPT,
        Fault::ClockOf(Role::Delivery),
    ),
    usual(
        "clock-sources",
        "a sources' clock jumps by 10 min, forth and back",
        KEPT,
        Fault::ClockOf(Role::Sources),
    ),
    usual(
        "slow-callbacks",
        "receivers of a tenant take 2 s; another tenant is unaffected",
        KEPT,
        Fault::Callbacks(Callbacks::Slow),
    ),
    usual(
        "hanging-callbacks",
        "receivers of a tenant never answer; another tenant is unaffected",
        KEPT,
        Fault::Callbacks(Callbacks::Hang),
    ),
    usual(
        "failing-callbacks",
        "receivers of a tenant answer 503; another tenant is unaffected",
        KEPT,
        Fault::Callbacks(Callbacks::Fail),
    ),
    usual(
        "cut-callbacks",
        "receivers of a tenant hang up; another tenant is unaffected",
        KEPT,
        Fault::Callbacks(Callbacks::Cut),
    ),
    usual(
        "hanging-model",
        "a model never answers: its executions end in time, its sessions go on",
        KEPT,
        Fault::HangingModel,
    ),
    usual("poison", "what is no message is put into the queues", KEPT, Fault::Poison),
    usual("duplicates", "each message comes a hundred times at once", KEPT, Fault::Duplicates),
    network("postgres-refuses", Server::Postgres, Network::Refuses),
    network("postgres-silent", Server::Postgres, Network::Holds),
    network("postgres-resets", Server::Postgres, Network::Resets),
    network("postgres-cut", Server::Postgres, CUT),
    network("postgres-delayed", Server::Postgres, DELAY),
    network("rabbitmq-refuses", Server::RabbitMq, Network::Refuses),
    network("rabbitmq-silent", Server::RabbitMq, Network::Holds),
    network("rabbitmq-resets", Server::RabbitMq, Network::Resets),
    network("rabbitmq-cut", Server::RabbitMq, CUT),
    network("rabbitmq-delayed", Server::RabbitMq, DELAY),
    network("redis-refuses", Server::Redis, Network::Refuses),
    network("redis-silent", Server::Redis, Network::Holds),
    network("redis-resets", Server::Redis, Network::Resets),
    network("redis-cut", Server::Redis, CUT),
    network("redis-delayed", Server::Redis, DELAY),
    Row {
        name: "disk-full-postgres",
        what: "no byte is left on the disk of PostgreSQL",
        on: System::OnSmallDisks,
        order: KEPT,
        fault: Fault::FullDisk(Server::Postgres),
    },
    Row {
        name: "disk-full-rabbitmq",
        what: "no byte is left on the disk of RabbitMQ",
        on: System::OnSmallDisks,
        order: MAY_CHANGE,
        fault: Fault::FullDisk(Server::RabbitMq),
    },
    usual(
        "old-and-new",
        "the last release beside this one",
        KEPT,
        Fault::Missing("there is no release before this one"),
    ),
];

/// The rows that `names` want, all if it names none; an error names what there is not.
pub(super) fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    for name in names {
        anyhow::ensure!(
            ROWS.iter().any(|row| row.name == name),
            "there is no fault {name:?}: --list shows them"
        );
    }
    let wanted = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.name);
    Ok(ROWS.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_choose_their_rows() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        let both = ["poison".to_owned(), "kill-redis".to_owned()];
        let found: Vec<_> = chosen(&both).unwrap().iter().map(|row| row.name).collect();
        assert_eq!(found, ["kill-redis", "poison"]);
        assert_eq!(chosen(&[]).unwrap().len(), ROWS.len());
        assert!(chosen(&["kill-moon".to_owned()]).is_err());
    }
}
