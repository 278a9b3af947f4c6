//! What is looked up, how long that takes, and how long a bare lookup takes.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::TimeDelta;
use recado_clock::{Clock as _, SystemClock};
use recado_testkit::sql;
use serde_json::Value;
use uuid::Uuid;

use super::super::latency::Latencies;
use super::super::report::{Figure, Goal};
use super::api::Api;
use super::rows::Observed;

/// Each question is asked so often in a row, and all of them in so many turns: what else happens on
/// the machine meets all of them.
const IN_A_ROW: usize = 40;
const TURNS: usize = 25;
const ASKED: usize = IN_A_ROW * TURNS;

/// What looks at very many rows, once all that is over: it drives everything else out of caches.
const ASKED_AT_LAST: usize = 100;

/// Connections, caches, plans.
const WARM_UP: usize = 20;

/// What a page holds if nothing else is said.
const PAGE: usize = 20;

/// A bare program's way to one execution.
const BY_KEY: &str = "SELECT * FROM executions WHERE id = $1";

/// A page or a detail may take so many bare lookups; among a million executions, so many times what
/// it takes among a thousand.
const MOST_LOOKUPS: f64 = 10.0;
const MOST_GROWTH: f64 = 3.0;

/// Something that people look up.
struct Question {
    title: &'static str,
    answer: Expected,
    /// Whether it is one of the pages and details that the goals are about.
    has_goals: bool,
    /// The address, the nth time it is asked.
    path: fn(&Known, usize) -> String,
}

/// What an answer looks like.
enum Expected {
    Page,
    Nothing,
    One,
}

const QUESTIONS: [Question; 10] = [
    Question {
        title: "a trigger's executions, p50",
        answer: Expected::Page,
        has_goals: true,
        path: |known, _| format!("/api/triggers/{}/executions", known.trigger),
    },
    Question {
        title: "a tenant's executions, p50",
        answer: Expected::Page,
        has_goals: true,
        path: |_, _| "/api/executions".to_owned(),
    },
    Question {
        title: "a tenant's failed executions, p50",
        answer: Expected::Page,
        has_goals: true,
        path: |_, _| "/api/executions?status=failed".to_owned(),
    },
    Question {
        title: "a tenant's executions of a month, p50",
        answer: Expected::Page,
        has_goals: true,
        path: |known, _| format!("/api/executions?from={}&to={}", known.from, known.to),
    },
    Question {
        title: "a session's executions, p50",
        answer: Expected::Page,
        has_goals: true,
        path: |known, n| format!("/api/executions?session_id={}", nth(&known.sessions, n)),
    },
    Question {
        title: "one execution in detail, p50",
        answer: Expected::One,
        has_goals: true,
        path: |known, n| nth(&known.details, n).clone(),
    },
    Question {
        title: "a tenant's triggers, p50",
        answer: Expected::Page,
        has_goals: true,
        path: |_, _| "/api/triggers".to_owned(),
    },
    Question {
        title: "a tenant's sessions, p50",
        answer: Expected::Page,
        has_goals: true,
        path: |_, _| "/api/sessions".to_owned(),
    },
    Question {
        title: "executions with a text that is nowhere, p50",
        answer: Expected::Nothing,
        has_goals: false,
        path: |_, _| "/api/executions?text=giraffe".to_owned(),
    },
    Question {
        title: "a tenant's statistics, p50",
        answer: Expected::One,
        has_goals: false,
        path: |_, _| "/api/triggers/stats".to_owned(),
    },
];

/// What there is to ask for.
pub(super) struct Known {
    /// The one with the most executions.
    trigger: String,
    sessions: Vec<String>,
    /// Addresses of executions.
    details: Vec<String>,
    /// Executions that a bare program looks up.
    ids: Vec<Uuid>,
    from: String,
    to: String,
}

impl Known {
    /// Of all that the observed tenant has, a random choice.
    pub(super) async fn of(observed: &Observed, url: &str) -> anyhow::Result<Self> {
        let Observed { tenant, trigger, .. } = observed;
        let random = |what: &str, table: &str| {
            format!(
                "SELECT {what} FROM {table} WHERE tenant_id = '{tenant}'
                  ORDER BY random() LIMIT {ASKED}"
            )
        };
        let detail = "'/api/triggers/' || trigger_id || '/executions/' || id";
        let ids = sql::texts(url, &random("id::text", "executions")).await?;
        let now = SystemClock::default().now();
        let ago = |days| (now - TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        Ok(Self {
            trigger: trigger.clone(),
            sessions: sql::texts(url, &random("id::text", "sessions")).await?,
            details: sql::texts(url, &random(detail, "executions")).await?,
            ids: ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
            from: ago(50),
            to: ago(20),
        })
    }

    /// What those ask who ask as fast as they are answered: two pages and a detail, by turns.
    pub(super) fn mixed(&self, n: usize) -> String {
        match n % 3 {
            0 => (QUESTIONS[0].path)(self, n),
            1 => (QUESTIONS[2].path)(self, n),
            _ => nth(&self.details, n).clone(),
        }
    }
}

fn nth<T>(these: &[T], n: usize) -> &T {
    &these[n % these.len()]
}

/// How long everything took.
pub(super) struct Measured {
    bare: Latencies,
    /// In the order of the questions.
    answered: Vec<Latencies>,
}

/// Asks everything over one connection, and looks rows up over another, by turns.
pub(super) async fn ask(url: &str, known: &Known, api: &mut Api) -> anyhow::Result<Measured> {
    for question in &QUESTIONS {
        for n in 0..WARM_UP {
            let path = (question.path)(known, n);
            question.check(api.get(&path).await?).with_context(|| path)?;
        }
    }
    sql::connected(url, async |client| {
        let statement = client.prepare(BY_KEY).await?;
        for id in &known.ids {
            client.query_one(&statement, &[id]).await?;
        }
        let mut bare = Vec::with_capacity(ASKED);
        let mut answered = vec![Vec::with_capacity(ASKED); QUESTIONS.len()];
        for turn in 0..TURNS {
            let these = turn * IN_A_ROW..(turn + 1) * IN_A_ROW;
            for n in these.clone() {
                let id = nth(&known.ids, n);
                let began = Instant::now();
                client.query_one(&statement, &[id]).await?;
                bare.push(began.elapsed());
            }
            for (question, times) in QUESTIONS.iter().zip(&mut answered) {
                if question.has_goals {
                    question.time(api, known, these.clone(), times).await?;
                }
            }
        }
        for (question, times) in QUESTIONS.iter().zip(&mut answered) {
            if !question.has_goals {
                question.time(api, known, 0..ASKED_AT_LAST, times).await?;
            }
        }
        let answered = answered.into_iter().map(Latencies::from).collect();
        Ok(Measured { bare: Latencies::from(bare), answered })
    })
    .await
}

impl Question {
    /// Asks once for each number, and adds how long each answer took.
    async fn time(
        &self,
        api: &mut Api,
        known: &Known,
        numbers: Range<usize>,
        times: &mut Vec<Duration>,
    ) -> anyhow::Result<()> {
        for n in numbers {
            let path = (self.path)(known, n);
            let began = Instant::now();
            api.get(&path).await?;
            times.push(began.elapsed());
        }
        Ok(())
    }

    /// An answer that shows nothing is quick, and means nothing.
    fn check(&self, answer: &[u8]) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_slice(answer)?;
        let n_shown = answer["data"].as_array().map(Vec::len);
        let is_expected = match self.answer {
            Expected::Page => n_shown == Some(PAGE),
            Expected::Nothing => n_shown == Some(0),
            Expected::One => answer["success"] == true,
        };
        ensure!(is_expected, "the answer shows not what it should, but {n_shown:?} of a list");
        Ok(())
    }
}

/// Everything among many executions, beside the bare lookup and beside few executions.
pub(super) fn figures(few: &Measured, many: &Measured) -> Vec<Figure> {
    let mut figures = vec![
        Figure::new("bare SELECT by primary key, p50", many.bare.p50(), "ms")
            .against(few.bare.p50()),
        Figure::new("  p99; the baseline here: among 1,000 executions", many.bare.p99(), "ms")
            .against(few.bare.p99()),
    ];
    let bare = &many.bare;
    let answered = few.answered.iter().zip(&many.answered);
    for (question, (few, many)) in QUESTIONS.iter().zip(answered) {
        let p50 = Figure::new(question.title, many.p50(), "ms").against(bare.p50());
        let lookups = Figure::new("  p99, beside the bare SELECT", many.p99(), "ms");
        let growth = Figure::new("  p99, beside that among 1,000", many.p99(), "ms");
        let (lookups, growth) = (lookups.against(bare.p99()), growth.against(few.p99()));
        figures.push(p50);
        if question.has_goals {
            figures.push(lookups.goal(Goal::RatioAtMost(MOST_LOOKUPS)));
            figures.push(growth.goal(Goal::RatioAtMost(MOST_GROWTH)));
        } else {
            figures.extend([lookups, growth]);
        }
    }
    figures
}
