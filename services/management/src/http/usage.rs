//! `/api/usage`: what a tenant used, by day.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json};
use chrono::{Days, NaiveDate};
use recado_http::ApiError;
use recado_store::usage::{self, MAX_DAYS, UsageDay};
use recado_types::scope::Scope;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::Found;
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::{Access, Operation, Parameter, Resource};
use crate::query::QueryReader;

/// How many days there are without `from`.
const USUAL_DAYS: u64 = 30;

const FROM: Parameter = Parameter {
    name: "from",
    about: "The first day (UTC). Without it, as many days before `to` as make thirty.",
    schema: date,
};
const TO: Parameter =
    Parameter { name: "to", about: "The last day (UTC); today without it.", schema: date };

/// What can be done with it.
pub(in crate::http) const RESOURCES: &[Resource] = &[Resource::new(
    "/api/usage",
    "Tenant",
    &[Operation::get("Show what the tenant used", Access::Key(Scope::ReadDirectory), || {
        web::get().to(show)
    })
    .details(
        "By day (UTC), and together; days without anything are left out. Counted once a minute, \
         after things have ended; it stays when what it counts is removed.",
    )
    .query(&[FROM, TO])
    .answers_data::<Shown>(200)],
)];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
struct Shown {
    from: NaiveDate,
    to: NaiveDate,
    /// All days together.
    total: Counts,
    days: Vec<Day>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UsageDay")]
struct Day {
    day: NaiveDate,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Clone, Default, Serialize, JsonSchema)]
#[schemars(rename = "UsageCounts")]
struct Counts {
    /// Executions that ended, without those of sub-agents.
    executions: i64,
    /// Those of them that failed or took too long.
    failed_executions: i64,
    /// The messages in them.
    messages: i64,
    /// As providers counted, sub-agents included; so are the next three.
    input_tokens: i64,
    output_tokens: i64,
    tokens: i64,
    cost_usd: f64,
    /// Deliveries that ended.
    deliveries: i64,
    /// Those of them that failed.
    failed_deliveries: i64,
}

impl From<&UsageDay> for Counts {
    fn from(day: &UsageDay) -> Self {
        Self {
            executions: day.executions,
            failed_executions: day.failed_executions,
            messages: day.messages,
            input_tokens: day.input_tokens,
            output_tokens: day.output_tokens,
            tokens: day.tokens,
            cost_usd: day.cost_usd,
            deliveries: day.deliveries,
            failed_deliveries: day.failed_deliveries,
        }
    }
}

impl Counts {
    fn and(self, day: &UsageDay) -> Self {
        Self {
            executions: self.executions + day.executions,
            failed_executions: self.failed_executions + day.failed_executions,
            messages: self.messages + day.messages,
            input_tokens: self.input_tokens + day.input_tokens,
            output_tokens: self.output_tokens + day.output_tokens,
            tokens: self.tokens + day.tokens,
            cost_usd: self.cost_usd + day.cost_usd,
            deliveries: self.deliveries + day.deliveries,
            failed_deliveries: self.failed_deliveries + day.failed_deliveries,
        }
    }
}

/// GET: what the tenant used.
async fn show(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Found<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let today = api.clock.now().date_naive();
    let (from, to) = read_days(&mut query, today);
    query.done()?;
    let days = usage::days(&caller.store, caller.tenant, from, to).await.map_err(store_failed)?;
    let total = days.iter().fold(Counts::default(), Counts::and);
    let days = days.iter().map(|day| Day { day: day.day, counts: day.into() }).collect();
    Ok(Json(Found::new(Shown { from, to, total, days })))
}

/// Days of four digits' years: beyond them, dates are written in another way.
fn read_days(query: &mut QueryReader, today: NaiveDate) -> (NaiveDate, NaiveDate) {
    let given = |query: &mut QueryReader, name: &'static str| {
        let text = query.text(name)?;
        let is_plain = text.len() == 10;
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| is_plain);
        if day.is_none() {
            query.refuse(name, "must be a day such as 2026-02-18");
        }
        day
    };
    let (from, to) = (given(query, "from"), given(query, "to"));
    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| {
        to.checked_sub_days(Days::new(USUAL_DAYS - 1)).unwrap_or(NaiveDate::MIN)
    });
    let n_days = (to - from).num_days() + 1;
    if n_days < 1 {
        query.refuse("to", "must not be before `from`");
    }
    if n_days > MAX_DAYS {
        query.refuse("from", format!("must not be more than {MAX_DAYS} days before `to`"));
    }
    (from, to)
}

fn date() -> Value {
    json!({ "type": "string", "format": "date" })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(query: &str) -> Option<(String, String)> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let mut query = QueryReader::of(&request);
        let today = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let (from, to) = read_days(&mut query, today);
        query.done().ok().map(|()| (from.to_string(), to.to_string()))
    }

    #[test]
    fn days_are_judged() {
        let days = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(read(""), days("2026-01-31", "2026-03-01"));
        assert_eq!(read("to=2026-01-30"), days("2026-01-01", "2026-01-30"));
        assert_eq!(read("from=2026-02-18&to=2026-02-18"), days("2026-02-18", "2026-02-18"));
        for bad in [
            "from=2026-02-30",
            "from=yesterday",
            "from=+12026-01-01",
            "from=2026-03-02",
            "from=2020-01-01",
            "to=0000-00-00",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
