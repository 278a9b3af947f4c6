//! Ports for servers that cannot be asked to pick one themselves.
//!
//! A leased port stays ours while the server is down, so that it can come back on it:
//! it lies below the range the kernel takes the ports of outgoing connections from,
//! and other processes that lease ports see the lease, an abstract socket named after the port.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use uuid::Uuid;

/// Linux gives outgoing connections 32768 and up (`net.ipv4.ip_local_port_range`).
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
const TRIES: u16 = 500;

/// A free port of 127.0.0.1, ours until it is dropped.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lease: UnixListener,
}

impl PortLease {
    /// Leases a port that nobody listens on.
    pub fn acquire() -> io::Result<Self> {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        let start = u16::try_from(random % u64::from(COUNT)).unwrap_or_default();
        (0..TRIES)
            .find_map(|offset| Self::try_acquire(FIRST + (start + offset) % COUNT))
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port was found"))
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn try_acquire(port: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("recado-port-{port}")).ok()?;
        let lease = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        Some(Self { port, _lease: lease })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leased_port_is_given_out_once() {
        let first = PortLease::acquire().unwrap();
        assert!(PortLease::try_acquire(first.port()).is_none());
        let port = first.port();
        drop(first);
        assert!(PortLease::try_acquire(port).is_some());
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_given_out() {
        let port = PortLease::acquire().unwrap().port();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(PortLease::try_acquire(port).is_none());
    }
}
