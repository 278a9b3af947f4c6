//! `ingress`: validate, acknowledge, publish.
//!
//! It takes in webhooks (`POST /api/triggers/webhook/{id}`) and publishes a `message.received` for
//! the buffer, or an `execution.requested` for the agent runner. What it promises:
//!
//! * A 2xx means that the broker has confirmed the message. Anything else in its way is a 503 with
//!   `Retry-After`, in bounded time.
//! * A request is authenticated by its raw bytes before anything of it is parsed.
//! * A provider's retry is the same message: its id derives from the provider's, and so does the
//!   answer.
//! * A trigger that is remembered costs no query, and stays usable while the database is away.
//! * Every body, form, depth, wait and memory has a limit.
//!
//! Read `surface/native.rs` first, then `ingress.rs` and
//! `take.rs`: a request's whole way is in the three. What can be told by looking at the request and
//! its trigger alone is in [`recado_intake`].

mod auth;
mod body;
mod config;
mod health;
mod ingress;
mod lookup;
mod mails;
mod metrics;
mod novelty;
mod outbox;
mod place;
mod refusal;
mod sender;
mod server;
mod surface;
mod sync;
mod take;
mod toll;
mod trigger;

use std::sync::Arc;

use anyhow::Context as _;
use recado_broker::{Publisher, Replies, topology};
use recado_service::{Context, connect};
use recado_store::listen::{self, Change};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use auth::ApiKeys;
use ingress::Ingress;
use mails::MailPlaces;
use novelty::Novelty;
use outbox::Outbox;
use place::Places;
use sender::Senders;
use sync::Answers;
use toll::Toll;
use trigger::Triggers;

pub use config::{Config, Limits};
pub use metrics::register_metrics;
pub use recado_intake::{PublicUrl, PublicUrlError};

/// What the role is called, to the broker and to the database.
const ROLE: &str = "ingress";

/// Serves until shutdown. Announces `ingress_url`.
///
/// # Errors
/// When the address cannot be bound, or when the server fails.
pub async fn run(context: Context, config: Config) -> anyhow::Result<()> {
    register_metrics();
    let listener = server::bind(config.listen)
        .with_context(|| format!("failed to listen on {}", config.listen))?;
    let url = format!("http://{}", listener.local_addr().context("failed to get our address")?);
    let public_url = match config.public_url.clone() {
        Some(public_url) => public_url,
        None => url.parse().context("our own address is no public URL")?,
    };

    let store = connect::open_store(ROLE, &config.postgres, &config.keys)?;
    let triggers = Triggers::new(store.clone(), config.cached_triggers);
    let places = Places::new(store.clone());
    let api_keys = ApiKeys::new(store.clone(), context.tasks.clone());
    let senders = Senders::new(store.clone());
    let changes = listen::changes(&store, &context.tasks, context.shutdown.clone());
    let caches =
        (Arc::clone(&triggers), Arc::clone(&places), Arc::clone(&api_keys), Arc::clone(&senders));
    let forwarding = forward(changes, caches);
    context.spawn("configuration changes", forwarding);

    // It has to outlive the requests that are under way at shutdown.
    let stop_publisher = CancellationToken::new();
    let _stopped_at_the_end = stop_publisher.clone().drop_guard();
    let mut broker = connect::broker_config(&context, ROLE, &config.amqp);
    broker.publish_timeout = config.limits.publish_timeout;
    let reply_queue = topology::reply_queue(context.clock.fresh_id());
    let replies =
        Replies::start(broker.clone(), reply_queue, &context.tasks, stop_publisher.clone());
    let publisher = Publisher::start(broker, &context.tasks, stop_publisher);
    health::watch(&context, publisher.link(), store.clone());

    tracing::info!(
        listener.url = url,
        public.url = %public_url,
        "ingress listens on {url} and goes by {public_url}"
    );
    let clock = Arc::clone(&context.clock);
    let outbox = Outbox::new(publisher, config.limits.max_publishing);
    let kv = connect::kv(&context, &config.redis)?;
    let novelty = Novelty::new(kv.clone(), store.clone());
    let toll = Toll::new(kv, store.clone(), config.limits);
    let answers = Answers::new(replies, store, context.shutdown.clone());
    let ingress = Ingress {
        limits: config.limits,
        public_url,
        triggers,
        places,
        api_keys,
        senders,
        toll,
        mails: MailPlaces::of(config.limits.max_mails),
        outbox,
        answers,
        novelty,
        clock,
    };
    let server = server::start(listener, ingress, config.callers, Arc::clone(&context.clock))
        .context("failed to start the HTTP server")?;
    context.announce("ingress_url", url);
    context.started();
    serve(server, &context.shutdown).await
}

/// Serves until `shutdown`, then finishes what has begun.
async fn serve(
    mut server: actix_web::dev::Server,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let handle = server.handle();
    tokio::select! {
        ended = &mut server => {
            ended.context("the HTTP server failed")?;
            anyhow::bail!("the HTTP server ended by itself");
        }
        () = shutdown.cancelled() => {}
    }
    let (ended, ()) = tokio::join!(server, handle.stop(true));
    ended.context("the HTTP server failed while it stopped")
}

/// Tells the caches what changed, until nobody listens to the database any more.
async fn forward(
    mut changes: Receiver<Change>,
    (triggers, places, api_keys, senders): (Arc<Triggers>, Arc<Places>, Arc<ApiKeys>, Arc<Senders>),
) {
    while let Some(change) = changes.recv().await {
        triggers.apply(&change).await;
        places.apply(&change).await;
        api_keys.apply(&change).await;
        senders.apply(&change).await;
    }
}
