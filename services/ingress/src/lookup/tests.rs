//! What is asked, and what is answered when nobody can be asked.

use std::cell::Cell;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::advance;

use super::*;

const FRESHNESS: Freshness =
    Freshness { known_for: Duration::from_secs(30), unknown_for: Duration::from_secs(2) };

/// A database with one row, that counts how often it is asked.
struct Database {
    row: Cell<Option<&'static str>>,
    is_away: Cell<bool>,
    n_asked: Cell<u32>,
}

impl Database {
    fn holding(row: Option<&'static str>) -> Self {
        Self { row: Cell::new(row), is_away: Cell::new(false), n_asked: Cell::new(0) }
    }

    fn answer(&self) -> Result<Option<&'static str>, LookupError> {
        self.n_asked.set(self.n_asked.get() + 1);
        if self.is_away.get() { Err(LookupError::Hung) } else { Ok(self.row.get()) }
    }

    async fn get(
        &self,
        lookups: &Lookups<u8, &'static str>,
    ) -> Result<Option<&'static str>, LookupError> {
        lookups.get(1, async || self.answer()).await
    }
}

fn lookups() -> Lookups<u8, &'static str> {
    Lookups::new("test", 100, FRESHNESS)
}

#[tokio::test(start_paused = true)]
async fn a_known_value_is_believed_for_its_time() {
    let (lookups, database) = (lookups(), Database::holding(Some("a")));
    for _ in 0..10 {
        assert_eq!(database.get(&lookups).await.unwrap(), Some("a"));
    }
    advance(Duration::from_secs(29)).await;
    database.row.set(Some("b"));
    assert_eq!(database.get(&lookups).await.unwrap(), Some("a"));
    assert_eq!(database.n_asked.get(), 1);

    advance(Duration::from_secs(1)).await;
    assert_eq!(database.get(&lookups).await.unwrap(), Some("b"));
    assert_eq!(database.n_asked.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_remembered_until_it_is_made() {
    let (lookups, database) = (lookups(), Database::holding(None));
    for _ in 0..10 {
        assert_eq!(database.get(&lookups).await.unwrap(), None);
    }
    assert_eq!(database.n_asked.get(), 1);

    database.row.set(Some("a"));
    lookups.forget(&1).await;
    assert_eq!(database.get(&lookups).await.unwrap(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_at_once() {
    let (lookups, database) = (lookups(), Database::holding(Some("a")));
    database.get(&lookups).await.unwrap();
    for (row, forget_all) in [(Some("b"), false), (Some("c"), true), (None, false)] {
        database.row.set(row);
        if forget_all {
            lookups.forget_where(|_| true).await;
        } else {
            lookups.forget(&1).await;
        }
        assert_eq!(database.get(&lookups).await.unwrap(), row);
    }
}

#[tokio::test(start_paused = true)]
async fn other_values_are_kept_when_some_are_forgotten() {
    let (lookups, database) = (lookups(), Database::holding(Some("a")));
    database.get(&lookups).await.unwrap();
    lookups.forget_where(|value| *value == "b").await;
    database.get(&lookups).await.unwrap();
    assert_eq!(database.n_asked.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_away_old_values_serve_and_it_is_left_alone() {
    let (lookups, database) = (lookups(), Database::holding(Some("a")));
    database.get(&lookups).await.unwrap();
    advance(Duration::from_secs(31)).await;
    database.is_away.set(true);
    for _ in 0..10 {
        assert_eq!(database.get(&lookups).await.unwrap(), Some("a"));
    }
    assert_eq!(database.n_asked.get(), 2);
    advance(PAUSE).await;
    assert_eq!(database.get(&lookups).await.unwrap(), Some("a"));
    assert_eq!(database.n_asked.get(), 3);

    database.is_away.set(false);
    database.row.set(Some("b"));
    advance(PAUSE).await;
    assert_eq!(database.get(&lookups).await.unwrap(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn doubt_asks_again_and_keeps_what_is_known_in_case_nobody_answers() {
    let (lookups, database) = (lookups(), Database::holding(Some("a")));
    database.get(&lookups).await.unwrap();
    database.is_away.set(true);
    lookups.doubt_all();
    assert_eq!(database.get(&lookups).await.unwrap(), Some("a"));
    assert_eq!(database.n_asked.get(), 2);

    // A row that is known to have changed is another matter: the old one may be revoked.
    lookups.forget(&1).await;
    assert!(database.get(&lookups).await.unwrap_err().is_transient());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_cannot_be_told_while_the_database_is_away() {
    let (lookups, database) = (lookups(), Database::holding(Some("a")));
    database.is_away.set(true);
    assert!(matches!(database.get(&lookups).await, Err(LookupError::Hung)));
    assert!(matches!(database.get(&lookups).await, Err(LookupError::Pausing)));
    assert_eq!(database.n_asked.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_costs_a_bounded_time() {
    let lookups = lookups();
    let started = Instant::now();
    let hangs = async || std::future::pending::<Result<Option<&'static str>, LookupError>>().await;
    assert!(matches!(lookups.get(1, hangs).await, Err(LookupError::Hung)));
    assert!(started.elapsed() <= LOOK_UP_WITHIN + Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn requests_for_one_key_share_a_look_up() {
    let (lookups, database) = (lookups(), Database::holding(Some("a")));
    let found = join_all((0..50).map(|_| database.get(&lookups))).await;
    assert!(found.into_iter().all(|found| found.unwrap() == Some("a")));
    assert_eq!(database.n_asked.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_a_change_overtook_is_not_remembered() {
    let (lookups, database) = (lookups(), Database::holding(Some("new")));
    let (release, released) = oneshot::channel::<()>();
    let overtaken = lookups.get(1, async || {
        released.await.unwrap();
        Ok::<_, LookupError>(Some("old"))
    });
    let change = async {
        lookups.forget(&1).await;
        release.send(()).unwrap();
    };
    let (found, ()) = tokio::join!(overtaken, change);
    assert_eq!(found.unwrap(), Some("old"));
    assert_eq!(database.get(&lookups).await.unwrap(), Some("new"));
}
