//! Which statements PostgreSQL ran, and how often: counted by its extension `pg_stat_statements`,
//! exactly and at once.

use std::collections::BTreeMap;

use recado_testkit::sql;

/// Questions about statistics are our own, and left out. Two statements that differ in nothing but
/// the comment with their name count as one.
const COUNTED: &str = "\
-- bench.statements
SELECT query, sum(calls)::bigint FROM pg_stat_statements
  JOIN pg_database ON pg_database.oid = dbid
 WHERE datname = current_database() AND query NOT LIKE '%pg_stat%'
 GROUP BY query";

const IS_COUNTED: &str = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'";

/// What begins and ends a transaction: it is in the figures of statements only where they say so.
const TRANSACTION: [&str; 3] = ["START TRANSACTION", "COMMIT", "ROLLBACK"];

/// The longest name of a statement that has none.
const MAX_NAME_CHARS: usize = 40;

/// How often each statement was run since they are counted, or per second, or per execution.
#[derive(Clone, Debug, Default)]
pub(super) struct Statements(BTreeMap<String, f64>);

impl Statements {
    /// Reads the counts; `None` if nobody counts.
    pub(super) async fn read(url: &str) -> anyhow::Result<Option<Self>> {
        if sql::count(url, IS_COUNTED).await? == 0 {
            return Ok(None);
        }
        sql::connected(url, async |client| {
            let mut statements = Self::default();
            for row in client.query(COUNTED, &[]).await? {
                let calls = u32::try_from(row.get::<_, i64>(1)).unwrap_or(u32::MAX);
                *statements.0.entry(name_of(row.get(0))).or_default() += f64::from(calls);
            }
            Ok(Some(statements))
        })
        .await
    }

    /// What was run since `earlier`, less `idle` of each, divided by `n`.
    pub(super) fn since(&self, earlier: &Self, idle: &Self, n: f64) -> Self {
        let each = self.0.iter().map(|(name, calls)| {
            let more = calls - earlier.of(name) - idle.of(name);
            (name.clone(), more / n)
        });
        Self(each.collect())
    }

    /// The same for so much of the time.
    pub(super) fn times(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|(name, calls)| (name.clone(), calls * factor)).collect())
    }

    pub(super) fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// All but what begins and ends transactions.
    pub(super) fn work(&self) -> f64 {
        self.total() - TRANSACTION.iter().map(|name| self.of(name)).sum::<f64>()
    }

    pub(super) fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// The names of all that were run more often than now and then.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        const NOW_AND_THEN: f64 = 0.005;
        let often = self.0.iter().filter(|(_, calls)| **calls >= NOW_AND_THEN);
        often.map(|(name, _)| name.as_str())
    }
}

/// The store names its statements in their first line.
pub(super) fn name_of(query: &str) -> String {
    let line = query.lines().next().unwrap_or_default();
    line.trim_start_matches("-- ").chars().take(MAX_NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(calls: &[(&str, f64)]) -> Statements {
        Statements(calls.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect())
    }

    #[test]
    fn statements_are_called_what_the_store_calls_them() {
        assert_eq!(name_of("-- lanes.claim\nWITH RECURSIVE tenants AS"), "lanes.claim");
        assert_eq!(name_of("COMMIT"), "COMMIT");
        assert_eq!(name_of(&"x".repeat(50)).len(), MAX_NAME_CHARS);
    }

    #[test]
    fn what_was_run_before_and_while_idle_does_not_count() {
        let before = statements(&[("a", 5.0)]);
        let after = statements(&[("a", 15.0), ("b", 20.0), ("COMMIT", 10.0)]);
        let idle = statements(&[("b", 10.0)]);
        let each = after.since(&before, &idle, 10.0);
        assert!((each.of("a") - 1.0).abs() < 1e-9);
        assert!((each.of("b") - 1.0).abs() < 1e-9);
        assert!((each.work() - 2.0).abs() < 1e-9 && (each.total() - 3.0).abs() < 1e-9);
        assert_eq!(each.times(0.0).names().count(), 0);
    }
}
