//! Against a real server: sources whose happenings stay in memory.

mod chaos;
mod failures;
mod hostile;
mod installing;
mod reading;

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use recado_http::guard::{Guard, GuardedClient};
use recado_intake::channel::Incoming;
use recado_testkit::{TestDatabase, database, sql, wait_for};
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::{DbEvent, Source, TriggerConfig};
use serde_json::{Value, json};

use super::{Sink, Way, run};
use crate::held::SourceError;

/// How long anything may take to come about on a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// What was published and saved.
#[derive(Default)]
pub(super) struct Memory {
    /// Why something was left out, of each.
    pub(super) left_out: Mutex<Vec<String>>,
    /// How often a position was saved because something came of it.
    n_fired: AtomicUsize,
    published: Mutex<Vec<(Option<String>, Value)>>,
    position: Mutex<Option<Value>>,
    works: AtomicUsize,
    /// Whether every fifth publication is said to have failed, though it has not: what a crash
    /// before the position is saved comes to.
    forgets: AtomicBool,
    n_pages: AtomicUsize,
}

impl Sink for Memory {
    async fn publish(&self, happenings: &[Incoming]) -> Result<(), SourceError> {
        // Between the confirm and the position is where a crash makes a difference.
        tokio::task::yield_now().await;
        let new = happenings.iter().map(|it| (it.provider_id.clone(), it.payload.clone()));
        self.published.lock().unwrap().extend(new);
        let n_pages = self.n_pages.fetch_add(1, Ordering::Relaxed);
        if self.forgets.load(Ordering::Relaxed) && n_pages.is_multiple_of(5) {
            return Err(SourceError::failed("broker_unavailable", "no confirm"));
        }
        Ok(())
    }

    fn leave_out(&self, reason: String) {
        self.left_out.lock().unwrap().push(reason);
    }

    async fn save(&self, position: &Value, fired: bool) -> Result<(), SourceError> {
        *self.position.lock().unwrap() = Some(position.clone());
        self.n_fired.fetch_add(fired.into(), Ordering::Relaxed);
        Ok(())
    }

    async fn works(&self) -> Result<(), SourceError> {
        self.works.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Memory {
    fn n_published(&self) -> usize {
        self.published.lock().unwrap().len()
    }

    fn payloads(&self) -> Vec<Value> {
        let published = self.published.lock().unwrap();
        published.iter().map(|(_, payload)| payload.clone()).collect()
    }

    /// One column of the rows that were published.
    fn column(&self, name: &str) -> Vec<Value> {
        self.payloads().iter().map(|payload| payload["row"][name].clone()).collect()
    }

    fn position(&self) -> Option<Value> {
        self.position.lock().unwrap().clone()
    }

    async fn wait_for(&self, n: usize) {
        let waited = wait_for("rows", SOON, async || (self.n_published() >= n).then_some(())).await;
        waited.unwrap_or_else(|error| panic!("{error}: {}", self.n_published()));
    }

    async fn wait_until_it_begins(&self) {
        wait_for("a source that begins", SOON, async || self.position()).await.unwrap();
    }

    async fn wait_until_it_works(&self) {
        let works = async || (self.works.load(Ordering::Relaxed) > 0).then_some(());
        wait_for("a source that works", SOON, works).await.unwrap();
    }
}

fn parse(db_event: &Value) -> DbEvent {
    let mut config = json!({ "db_event": db_event });
    config["db_event"]["secret_ref"] = "ERP".into();
    match TriggerConfig::parse(&config).unwrap().source {
        Source::DbEvent(db_event) => *db_event,
        other => panic!("{other:?}"),
    }
}

fn client() -> GuardedClient {
    GuardedClient::new(Guard::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap()
}

/// Reads until something fails, from where `memory` is.
async fn reading(url: &str, db_event: &Value, memory: &Memory) -> SourceError {
    let (config, client) = (parse(db_event), client());
    let destinations = DestinationHosts::default();
    let way = Way { client: &client, destinations: &destinations, url };
    let position = memory.position();
    let Err(error): Result<Infallible, _> =
        Box::pin(run(&config, &way, position.as_ref(), memory)).await;
    error
}

/// The code of what goes wrong.
async fn failing(url: &str, db_event: &Value) -> &'static str {
    let memory = Memory::default();
    let failed = tokio::time::timeout(SOON, reading(url, db_event, &memory)).await;
    assert_eq!(memory.works.into_inner(), 0, "whoever says that it works is tried again at once");
    match failed.expect("it fails") {
        SourceError::Failed { code, message } => {
            assert!(!message.contains("hunter2"), "{message}");
            code
        }
        SourceError::LeaseLost => panic!("there is no lease"),
    }
}

/// Does something while sources read; they must not fail meanwhile.
async fn meanwhile<T>(
    sources: impl Future<Output = SourceError>,
    work: impl Future<Output = T>,
) -> T {
    let mut sources = pin!(sources);
    tokio::select! {
        error = &mut sources => panic!("{error:?}"),
        done = work => done,
    }
}

async fn execute(database: &TestDatabase, statements: &str) {
    sql::execute(database.url(), statements).await.unwrap();
}
