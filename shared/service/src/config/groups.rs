//! Settings that several roles share. The crates they are for do not know them.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use ipnet::IpNet;
use recado_http::guard::{Authorities, Ports};
use recado_http::trace::Callers;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::{Reader, SecretUrl, Settings};

/// How to reach `PostgreSQL`.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// `RECADO_DATABASE_URL`.
    pub url: SecretUrl,
    /// `RECADO_DATABASE_POOL_SIZE`: connections that one role keeps, at most.
    pub pool_size: usize,
    /// `RECADO_DATABASE_TIMEOUT_MS`: the longest wait for a connection, and for one statement.
    pub timeout: Duration,
}

impl Settings for Postgres {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        Self::with_pool(read, 16)
    }
}

impl Postgres {
    /// With so many connections unless the operator says otherwise.
    pub fn with_pool(read: &mut Reader<'_>, default_size: usize) -> Option<Self> {
        let url = read.server_url("RECADO_DATABASE_URL", &["postgres", "postgresql"]);
        let pool_size = read.within("RECADO_DATABASE_POOL_SIZE", default_size, 1..=500);
        let timeout = read.millis_or("RECADO_DATABASE_TIMEOUT_MS", 5_000, 100..=60_000);
        Some(Self { url: url?, pool_size, timeout })
    }
}

/// How to reach `RabbitMQ`.
#[derive(Debug, Clone)]
pub struct Amqp {
    /// `RECADO_AMQP_URL`.
    pub url: SecretUrl,
    /// `RECADO_AMQP_TIMEOUT_MS`: the longest wait for a confirm or another answer of the broker.
    pub timeout: Duration,
}

impl Settings for Amqp {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let url = read.server_url("RECADO_AMQP_URL", &["amqp", "amqps"]);
        let timeout = read.millis_or("RECADO_AMQP_TIMEOUT_MS", 5_000, 100..=60_000);
        Some(Self { url: url?, timeout })
    }
}

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct Redis {
    /// `RECADO_REDIS_URL`.
    pub url: SecretUrl,
    /// `RECADO_REDIS_TIMEOUT_MS`: how long a command may take before Redis counts as down.
    pub timeout: Duration,
    /// `RECADO_REDIS_PREFIX`: what every key begins with.
    pub prefix: String,
}

impl Settings for Redis {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let url = read.server_url("RECADO_REDIS_URL", &["redis", "rediss"]);
        let timeout = read.millis_or("RECADO_REDIS_TIMEOUT_MS", 250, 10..=10_000);
        let prefix = read.or("RECADO_REDIS_PREFIX", "recado".to_owned());
        Some(Self { url: url?, timeout, prefix })
    }
}

/// Which addresses requests of tenants may go to besides public ones over TLS.
#[derive(Debug, Clone)]
pub struct Destinations {
    /// `RECADO_ALLOW_PRIVATE_DESTINATIONS`: private networks that are open, in CIDR notation.
    pub allow_private: Vec<IpNet>,
    /// `RECADO_ALLOW_PLAIN_HTTP`: whether public addresses may be reached without TLS.
    pub allow_plain_http: bool,
    /// `RECADO_DESTINATION_PORTS`: which ports of public addresses may be reached.
    pub ports: Ports,
    /// `RECADO_CA_FILE`: who may vouch for servers besides those whom the system trusts.
    pub authorities: Authorities,
}

impl Settings for Destinations {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let allow_private = read.list("RECADO_ALLOW_PRIVATE_DESTINATIONS");
        let allow_plain_http = read.or("RECADO_ALLOW_PLAIN_HTTP", false);
        let ports = read.or("RECADO_DESTINATION_PORTS", Ports::default());
        let authorities = Authorities::read(read);
        Some(Self { allow_private, allow_plain_http, ports, authorities: authorities? })
    }
}

/// `RECADO_CA_FILE`.
impl Settings for Authorities {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        Some(read.optional_by("RECADO_CA_FILE", authorities_in).unwrap_or_default())
    }
}

/// `RECADO_TRUST_TRACEPARENT`.
impl Settings for Callers {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let trusted = read.or("RECADO_TRUST_TRACEPARENT", false);
        Some(if trusted { Self::Trusted } else { Self::Linked })
    }
}

/// The largest bundle of certificates that is read; the whole web's has some 250 kB.
const MAX_CA_FILE: u64 = 4 * 1024 * 1024;

fn authorities_in(path: &str) -> Result<Authorities, String> {
    let mut bundle = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_CA_FILE + 1).read_to_end(&mut bundle));
    read.map_err(|error| format!("names a file that cannot be read: {error}"))?;
    if bundle.len() as u64 > MAX_CA_FILE {
        return Err(format!("names a file of more than {MAX_CA_FILE} bytes"));
    }
    Authorities::from_pem(&bundle)
        .map_err(|error| format!("names a file that is of no use: {error}"))
}

/// Units of work; nothing about the threads of our HTTP servers, nor what strangers send to their
/// parsers: anybody could fill the log with errors.
const DEFAULT_LOG: &str = "info,actix_server=warn,actix_http=off";

/// What is logged, and where traces go.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// `RECADO_LOG`: levels, in the syntax of `EnvFilter` (`info,recado_ingress=debug`).
    pub log: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector; without one, no traces are kept.
    pub otlp_endpoint: Option<Url>,
    /// `RECADO_TRACE_QUEUE`: spans that wait for the collector, at most; more are dropped.
    pub trace_queue: usize,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`: how many of the traces that begin here
    /// are recorded, from 0 to 1.
    pub trace_ratio: f64,
}

/// The samplers that leave a trace whole: whoever goes on with one does as it was decided before.
const SAMPLERS: [&str; 3] =
    ["parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"];

impl Settings for Telemetry {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let log = read.or("RECADO_LOG", DEFAULT_LOG.to_owned());
        if let Err(error) = EnvFilter::try_new(&log) {
            read.mistake(
                "RECADO_LOG",
                format!("must be levels such as info,recado_ingress=debug: {error}"),
            );
        }
        let otlp_endpoint = read.optional("OTEL_EXPORTER_OTLP_ENDPOINT");
        let trace_queue = read.within("RECADO_TRACE_QUEUE", 8_192, 1..=1_000_000);
        let sampler = read.or("OTEL_TRACES_SAMPLER", SAMPLERS[0].to_owned());
        let ratio = read.within("OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0..=1.0);
        let trace_ratio = match SAMPLERS.iter().position(|known| *known == sampler) {
            Some(0) => 1.0,
            Some(1) => 0.0,
            Some(_) => ratio,
            None => {
                let expected = format!("must be one of {}", SAMPLERS.join(", "));
                read.mistake("OTEL_TRACES_SAMPLER", expected);
                1.0
            }
        };
        Some(Self { log, otlp_endpoint, trace_queue, trace_ratio })
    }
}
