//! Connections to servers of tenants that do not speak HTTP: mail servers and databases.
//!
//! They are made as those for requests are: the name is resolved once, every address is checked,
//! and what was checked is what is connected to. Whether the connection is private is for the
//! protocol to say, since most begin in the clear.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use recado_types::hosts::{DestinationHosts, DestinationNotAllowed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::client::CONNECT_TIMEOUT;
use super::resolver::{LOOK_UP_TIMEOUT, LookUp, open_addresses};
use super::{Authorities, ForbiddenDestination, Guard, GuardedClient, Opening, Route, Transport};

/// What a server is asked for, in a protocol of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Sending mails.
    Smtp,
    /// Reading a mailbox.
    Imap,
    /// A database.
    Postgres,
}

impl Service {
    /// Where such servers usually listen.
    pub const fn usual_ports(self) -> &'static [u16] {
        match self {
            Self::Smtp => &[25, 465, 587, 2525],
            Self::Imap => &[143, 993],
            Self::Postgres => &[5432],
        }
    }
}

/// Why there is no connection. Names the host, and nothing that is secret.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The destination is closed; nothing was sent.
    #[error("{to} is a forbidden destination")]
    Forbidden {
        /// Where to.
        to: Destination,
        /// Why it is closed.
        #[source]
        source: ForbiddenDestination,
    },
    /// The tenant does not let connections go there; nothing was sent.
    #[error("{to} is not among the tenant's destinations")]
    NotAllowed {
        /// Where to.
        to: Destination,
        /// The refusal.
        #[source]
        source: DestinationNotAllowed,
    },
    /// The time was over.
    #[error("no connection to {to} in time")]
    Timeout {
        /// Where to.
        to: Destination,
    },
    /// The name is not found, or nobody listens.
    #[error("failed to connect to {to}")]
    Connect {
        /// Where to.
        to: Destination,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server is not who it should be, or does not speak TLS.
    #[error("no private connection to {to}")]
    Tls {
        /// Where to.
        to: Destination,
        /// What TLS said.
        #[source]
        source: io::Error,
    },
}

/// Host and port, as errors name them. Without a port where only the host matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    host: Host,
    port: Option<u16>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl DialError {
    /// Whether it may fare better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Connect { .. } => true,
            Self::Forbidden { .. } | Self::NotAllowed { .. } => false,
            Self::Tls { source, .. } => !is_about_certificates(source),
        }
    }

    /// A short, stable name for logs, metrics and records: the names that requests have.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "forbidden_destination",
            Self::NotAllowed { .. } => "destination_not_allowed",
            Self::Timeout { .. } => "timeout",
            Self::Connect { .. } => "connect_failed",
            Self::Tls { source, .. } if is_about_certificates(source) => "invalid_certificate",
            Self::Tls { .. } => "connection_failed",
        }
    }
}

fn is_about_certificates(error: &io::Error) -> bool {
    use rustls::Error as Tls;
    let error = error.get_ref().and_then(|wrapped| wrapped.downcast_ref::<Tls>());
    matches!(error, Some(Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented))
}

/// What connections are made with.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    names: Arc<dyn LookUp>,
    tls: Arc<ClientConfig>,
}

impl Dialer {
    pub(super) fn new(
        authorities: &Authorities,
        names: &Arc<dyn LookUp>,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // `SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded, as requests do.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(authorities.ders());
        let tls = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { names: Arc::clone(names), tls: Arc::new(tls) })
    }
}

impl Guard {
    /// How `port` is reached for this service. What keeps requests from the ports of other services
    /// is that their lines could be understood there; this one's own are meant to be.
    fn service_route(&self, service: Service, port: u16) -> Result<Route, ForbiddenDestination> {
        let opening = if !service.usual_ports().contains(&port) {
            self.opening(port).ok_or(ForbiddenDestination::Port)?
        } else if self.allow.is_empty() {
            Opening::Public
        } else {
            Opening::Both
        };
        // It is only plain HTTP that needs leave: whether to be private is the trigger's choice.
        Ok(Route { transport: Transport::Tls, port: opening })
    }
}

impl GuardedClient {
    /// Connects to a server, in the clear, within 10 s. A [`Host`] is made by [`Host::parse`], which
    /// sees through every way to write an address.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn dial(
        &self,
        service: Service,
        host: &Host,
        port: u16,
        destinations: &DestinationHosts,
    ) -> Result<(TcpStream, SocketAddr), DialError> {
        let to = || Destination { host: host.clone(), port: Some(port) };
        let forbidden = |source| DialError::Forbidden { to: to(), source };
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::TimedOut => DialError::Timeout { to: to() },
            _ => DialError::Connect { to: to(), source },
        };
        destinations
            .check_service(host, port, service.usual_ports())
            .map_err(|source| DialError::NotAllowed { to: to(), source })?;
        let route = self.guard().service_route(service, port).map_err(forbidden)?;
        self.guard().check_host(host, route).map_err(forbidden)?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let found = self.addresses(host).await.map_err(failed)?;
        let open = open_addresses(self.guard(), route, found).map_err(forbidden)?;
        connect(&open, port, deadline).await.map_err(failed)
    }

    /// Makes a connection private, within 10 s: whoever is at its other end has to prove that it is
    /// `host`, vouched for by the system's authorities or the operator's.
    ///
    /// # Errors
    /// Why it is not private.
    pub async fn start_tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &Host,
    ) -> Result<TlsStream<S>, DialError> {
        let to = || Destination { host: host.clone(), port: None };
        let name = server_name(host).map_err(|source| DialError::Tls { to: to(), source })?;
        let agreeing = self.tls_connector().connect(name, stream);
        let agreed = timeout(CONNECT_TIMEOUT, agreeing).await;
        let agreed = agreed.map_err(|_elapsed| DialError::Timeout { to: to() })?;
        agreed.map_err(|source| DialError::Tls { to: to(), source })
    }

    /// What [`Self::start_tls`] makes connections private with.
    pub fn tls_connector(&self) -> TlsConnector {
        TlsConnector::from(self.tls_config())
    }

    /// The same, for who makes connections private by itself.
    pub fn tls_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.dialer().tls)
    }

    /// Their ports mean nothing.
    async fn addresses(&self, host: &Host) -> io::Result<Vec<SocketAddr>> {
        let literal = |address: IpAddr| Ok(vec![SocketAddr::new(address, 0)]);
        match host {
            Host::Ipv4(address) => literal((*address).into()),
            Host::Ipv6(address) => literal((*address).into()),
            Host::Domain(name) => {
                timeout(LOOK_UP_TIMEOUT, self.dialer().names.look_up(name.clone())).await?
            }
        }
    }
}

/// Connects to the first of `open` that answers. Each gets its part of the time that is left, so
/// that one that is silent does not take that of the others.
async fn connect(
    open: &[SocketAddr],
    port: u16,
    deadline: Instant,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (address, n_left) in open.iter().zip((1..=open.len()).rev()) {
        let address = SocketAddr::new(address.ip(), port);
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / u32::try_from(n_left).unwrap_or(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = elapsed.into(),
        }
    }
    Err(last)
}

fn server_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Ipv4(address) => Ok(ServerName::from(IpAddr::from(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(IpAddr::from(*address))),
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}
