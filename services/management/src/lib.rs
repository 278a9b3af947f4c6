//! The REST API for admins and integrators: what is configured, and what happened.
//!
//! It consumes nothing, and publishes nothing but dead letters that somebody asks it to redrive; it
//! reads and writes rows. It calls a tool or a provider only when somebody asks it to try that one.
//! It promises that
//!
//! * a tenant sees and changes only its own: every statement is filtered by tenant, and what
//!   belongs to somebody else looks like what does not exist;
//! * a configuration that is saved is one that runs: it is judged as a whole, every mistake is
//!   named by its path, and what it refers to exists and cannot be deleted under it;
//! * concurrent changes are both applied or one of them is refused, never lost;
//! * secrets go in and never come out. Webhook secrets and API keys are shown once, when made.
//!
//! One endpoint is one function below [`http`]; [`http::resources`] are all of them.

#![warn(missing_docs)]

mod access;
mod audit;
mod body;
pub mod config;
mod cursor;
mod dead_letters;
mod etag;
mod failure;
mod gate;
mod guesses;
mod head;
pub mod http;
mod idempotency;
mod json;
mod merge;
pub mod openapi;
mod optimistic;
mod page;
mod query;
mod rate;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use anyhow::Context as _;
use hmac::Hmac;
use recado_clock::Clock;
use recado_http::auth::Tokens;
use recado_http::guard::GuardedClient;
use recado_http::trace::RequestSpan;
use recado_http::unread::hang_up_on_unread;
use recado_intake::PublicUrl;
use recado_service::{Context, connect};
use recado_store::api_keys::RecentUses;
use recado_store::{Role as DatabaseRole, Store};
use recado_toolbox::Tools;
use sha2::Sha256;

pub use config::{Config, TokenConfig};
/// Makes the metrics that this role has beside those of every role exist: tools are tried here.
pub use recado_toolbox::register_metrics;

use crate::cursor::Cursors;
use crate::dead_letters::Desk;
use crate::gate::Gate;
use crate::guesses::Guesses;
use crate::rate::Rates;

/// How long a client may take to send its headers.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// How long requests in flight may take once the process has to stop.
const SHUTDOWN_TIMEOUT_S: u64 = 15;

/// What the role is called, to the database and in traces.
const ROLE: &str = "management";

/// What every endpoint needs.
pub(crate) struct Api {
    /// Sees nothing by itself: a caller has one that sees the caller's tenant.
    store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    /// Connects when it is asked for something: without the broker, everything else works.
    pub(crate) dead_letters: Desk,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) key_uses: RecentUses,
    pub(crate) cursors: Cursors,
    /// What requests with an `Idempotency-Key` are told apart by.
    pub(crate) fingerprints: Hmac<Sha256>,
    pub(crate) public_url: PublicUrl,
    /// Reaches what tenants name, as far as they may be reached.
    pub(crate) outbound: GuardedClient,
    /// Sees nothing by itself, like the store.
    pub(crate) tools: Tools,
    /// Before what is tried and checked for somebody.
    pub(crate) trials: Gate,
    /// `None`: nobody is held back.
    pub(crate) rates: Option<Rates>,
    pub(crate) guesses: Guesses,
}

/// Serves the API until the context says to stop, and then finishes the requests in flight.
///
/// Announces `management_url`; the health component `database` says whether the database answers
/// and has the tables this program knows.
pub async fn run(context: Context, config: Config) -> anyhow::Result<()> {
    register_metrics();
    let tokens = Arc::new(config.tokens.checker().context("tokens cannot be checked")?);
    keep_current(&context, Arc::clone(&tokens));
    let store = connect::store_as(
        &context,
        DatabaseRole::Management,
        ROLE,
        &config.postgres,
        &config.keys,
    )?;
    let outbound = connect::outbound_client(&config.destinations)?;
    let api = Data::new(Api {
        // No MCP server is a program of this process.
        tools: Tools::new(store.clone(), outbound.clone(), Vec::new()),
        outbound,
        store,
        clock: Arc::clone(&context.clock),
        dead_letters: Desk::new(connect::broker_config(&context, ROLE, &config.amqp)),
        tokens: Arc::clone(&tokens),
        trials: Gate::default(),
        key_uses: RecentUses::default(),
        cursors: Cursors::new(&config.keys.0),
        fingerprints: idempotency::fingerprints(&config.keys.0),
        public_url: config.public_url.clone(),
        rates: NonZeroU32::new(config.rate_per_minute).map(Rates::new),
        guesses: Guesses::new(
            NonZeroU32::new(config.failures_per_minute),
            config.trusted_proxies.clone(),
        ),
    });
    let callers = config.callers;
    let clock = Arc::clone(&context.clock);
    let reference = Data::new(openapi::Reference::new(&config.public_url.to_string())?);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&api))
            .app_data(Data::clone(&reference))
            .configure(http::configure)
            .configure(openapi::configure)
            .default_service(actix_web::web::to(http::nothing_there))
            .wrap(from_fn(hang_up_on_unread))
            .wrap(from_fn(head::as_get))
            .wrap(RequestSpan::new(ROLE, callers, Arc::clone(&clock)))
    })
    .workers(config.workers)
    .max_connections(config.max_connections)
    .client_request_timeout(HEAD_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(SHUTDOWN_TIMEOUT_S)
    .disable_signals()
    .bind(config.listen)
    .with_context(|| format!("failed to listen on {}", config.listen))?;

    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    context.announce("management_url", format!("http://{address}"));
    context.started();
    tracing::info!(server.address = %address, "management listens on {address}");

    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => ended.context("the HTTP server failed"),
        () = context.shutdown.cancelled() => {
            let (ended, ()) = tokio::join!(server, handle.stop(true));
            ended.context("the HTTP server failed while it stopped")
        }
    }
}

/// Has the keys of tokens as their publisher has them, until shutdown. Nothing waits for it: the
/// role is ready while the publisher is away.
fn keep_current(context: &Context, tokens: Arc<Tokens>) {
    let shutdown = context.shutdown.clone();
    context.spawn("keys of tokens", async move {
        shutdown.run_until_cancelled(tokens.keep_current()).await;
    });
}
