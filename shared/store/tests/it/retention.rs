//! What is taken away, when, and what never is.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use recado_store::event_endpoints::{self, Resend};
use recado_store::executions::{self, History};
use recado_store::messages;
use recado_store::redeliver::{RedeliverFrom, Redelivery, redeliver};
use recado_store::retention::{self, Job, Kept};
use recado_store::tenants::Retention;
use recado_store::{Config, Keyring, Store, usage};
use recado_types::{DeliveryId, EventDeliveryId, TenantId};
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, KEYS, TENANT, TRIGGER, message, now, request, session};

const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(11));

/// What hangs on executions; of each of them one row is made for each execution.
const PARTS: [&str; 10] = [
    "executions",
    "messages",
    "llm_calls",
    "tool_calls",
    "deliveries",
    "chunks",
    "attempts",
    "event_deliveries",
    "event_attempts",
    "context_windows",
];

fn days(n: i64) -> TimeDelta {
    TimeDelta::days(n)
}

fn keeps(executions: Option<i32>, messages: Option<i32>, bodies: Option<i32>) -> Retention {
    Retention { executions_days: executions, messages_days: messages, call_bodies_days: bodies }
}

/// Runs every job for `tenant`, as of `now`, to its end.
async fn tidy(store: &Store, tenant: TenantId, retention: Retention, now: DateTime<Utc>) {
    for mut job in Job::all(&Kept { tenant_id: tenant, retention }, now) {
        while !retention::advance(store, &mut job).await.unwrap().is_over {}
    }
}

impl Fixture {
    /// Another tenant, which has a trigger, too.
    pub(crate) async fn has_other_tenant(&self) {
        self.execute(&format!(
            "INSERT INTO tenants (id, name, created_at, updated_at)
             VALUES ('{OTHER_TENANT}', 'other', now(), now());
             INSERT INTO triggers (id, tenant_id, project_id, agent_id, name, trigger_type,
                                   trigger_config, webhook_secret_key_id, webhook_secret_sealed,
                                   created_at, updated_at)
             SELECT '{OTHER_TENANT}', '{OTHER_TENANT}', project_id, agent_id, name, trigger_type,
                    trigger_config, webhook_secret_key_id, webhook_secret_sealed, created_at,
                    updated_at FROM triggers WHERE id = '{TRIGGER}'"
        ))
        .await;
    }

    /// `n` executions of a tenant that ended at `ended` or up to a minute later, in `sessions`
    /// sessions that begin with number `first`, with one row of each of [`PARTS`].
    ///
    /// The ids of what belongs together are the same: `first` and the number of the execution.
    pub(crate) async fn has_ended(
        &self,
        tenant: TenantId,
        first: u128,
        sessions: u32,
        n: u32,
        ended: DateTime<Utc>,
    ) {
        let trigger = if tenant == TENANT { TRIGGER.0 } else { tenant.0 };
        let id = format!("(lpad(to_hex({first}), 24, '0') || lpad(to_hex(n), 8, '0'))::uuid");
        let session = format!(
            "('00000000-0000-0000-0000-' || lpad(to_hex({} + n % {sessions}), 12, '0'))::uuid",
            1_000 + first
        );
        let at = format!("('{ended}'::timestamptz + (n - 1) % 60 * interval '1 second')");
        let numbers = format!("generate_series(1, {n}) n");
        self.execute(&format!(
            "INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
             SELECT DISTINCT {session}, '{tenant}'::uuid, '{trigger}'::uuid, '{AGENT}'::uuid,
                    now() FROM {numbers};
             INSERT INTO lanes (kind, session_id, tenant_id, queued)
             SELECT DISTINCT kind, {session}, '{tenant}'::uuid, 0
               FROM {numbers}, unnest(ARRAY['execution', 'delivery']) kind;
             INSERT INTO messages (id, tenant_id, trigger_id, session_id, execution_id, text,
                                   context, payload, accepted_at)
             SELECT {id}, '{tenant}', '{trigger}', {session}, {id}, 'question ' || n, '{{}}',
                    '{{\"a\": 1}}', {at} FROM {numbers};
             INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, created_at, started_at,
                                     finished_at, normalized_query, agent_response)
             SELECT {id}, '{tenant}', '{trigger}', '{AGENT}', {session}, m.seq, ARRAY[{id}], '',
                    'success', {at}, {at}, {at}, 'question ' || n, 'answer'
               FROM {numbers} JOIN messages m ON m.id = {id};
             INSERT INTO llm_calls (id, tenant_id, execution_id, number, purpose, iteration,
                                    window_sequence, provider, model, response, input_tokens,
                                    output_tokens, cost_usd, response_time_ms, created_at)
             SELECT {id}, '{tenant}', {id}, 1, 'turn', 1, 1, 'p', 'm', '{{\"text\": \"answer\"}}',
                    10, 3, 0.5, 1, {at} FROM {numbers};
             INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index,
                                     provider_call_id, tool_name, input, status, output,
                                     created_at)
             SELECT {id}, '{tenant}', {id}, 1, 0, 'c', 't', '{{\"x\": 1}}', 'success', 'found',
                    {at} FROM {numbers};
             INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, created_at, requested_at, finished_at)
             SELECT {id}, '{tenant}', {id}, '{trigger}', {session}, n, 'delivered', {at}, {at},
                    {at} FROM {numbers};
             INSERT INTO chunks (delivery_id, chunk_index, body, status)
             SELECT {id}, 0, 'answer', 'sent' FROM {numbers};
             INSERT INTO attempts (id, tenant_id, delivery_id, chunk_index, round, attempt,
                                   started_at, duration_ms, response_body)
             SELECT {id}, '{tenant}', {id}, 0, 1, 1, {at}, 1, 'thanks' FROM {numbers};
             INSERT INTO event_endpoints (id, tenant_id, name, url, secret_key_id, secret_sealed,
                                          created_at, updated_at)
             VALUES ('{tenant}', '{tenant}', 'e', 'https://e.example', 'k', '', now(), now())
             ON CONFLICT DO NOTHING;
             INSERT INTO event_deliveries (id, tenant_id, endpoint_id, event_id, event_type,
                                           agent_id, session_id, execution_id, payload, status,
                                           occurred_at, created_at, finished_at)
             SELECT {id}, '{tenant}', '{tenant}', {id}, 'assistant_message', '{AGENT}', {session},
                    {id}, 'answer', 'failed', {at}, {at}, {at} FROM {numbers};
             INSERT INTO event_attempts (id, tenant_id, event_delivery_id, round, attempt,
                                         started_at, duration_ms, response_headers, response_body)
             SELECT {id}, '{tenant}', {id}, 1, 1, {at}, 1, '[]', 'thanks' FROM {numbers};
             INSERT INTO context_windows (id, tenant_id, session_id, sequence, execution_id,
                                          from_seq, summary, strategies, n_messages, created_at)
             SELECT {id}, '{tenant}', {session}, n + 1, {id}, 0, 'they talked', '{{}}', 1, {at}
               FROM {numbers}"
        ))
        .await;
    }

    /// How many rows of a tenant each of [`PARTS`] has.
    async fn parts(&self, tenant: TenantId) -> Vec<i64> {
        let mut counts = Vec::new();
        for table in PARTS {
            let whose = match table {
                "chunks" => {
                    format!(
                        "delivery_id IN (SELECT id FROM deliveries WHERE tenant_id = '{tenant}')"
                    )
                }
                _ => format!("tenant_id = '{tenant}'"),
            };
            counts.push(self.count(&format!("SELECT count(*) FROM {table} WHERE {whose}")).await);
        }
        counts
    }

    /// Whether the one execution that there is still has what went to others, and what was said.
    async fn says(&self) -> (bool, bool) {
        let bodies = "SELECT (SELECT count(response) FROM llm_calls)
             + (SELECT count(*) FROM tool_calls WHERE input::text <> 'null' AND output IS NOT NULL)
             + (SELECT count(response_body) FROM attempts)
             + (SELECT count(*) FROM event_deliveries WHERE payload <> '')
             + (SELECT count(*) FROM event_attempts WHERE response_body IS NOT NULL
                                                      AND response_headers IS NOT NULL)";
        let texts = "SELECT (SELECT count(*) FROM messages)
             + (SELECT count(*) FROM executions WHERE normalized_query IS NOT NULL
                                                  AND agent_response IS NOT NULL)
             + (SELECT count(*) FROM chunks WHERE body <> '')
             + (SELECT count(summary) FROM context_windows)";
        let (bodies, texts) = (self.count(bodies).await, self.count(texts).await);
        assert!([0, 5].contains(&bodies) && [0, 4].contains(&texts), "{bodies} {texts}");
        (bodies == 5, texts == 4)
    }
}

/// The id of the `n`th of what [`Fixture::has_ended`] made.
fn id(first: u128, n: u128) -> Uuid {
    Uuid::from_u128((first << 32) + n)
}

#[tokio::test]
async fn each_step_is_taken_at_its_day_and_not_before() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    fixture.has_ended(TENANT, 1, 1, 1, now()).await;
    let retention = keeps(Some(90), Some(30), Some(7));
    let second = TimeDelta::seconds(1);

    tidy(store, TENANT, retention, now() + days(7)).await;
    assert_eq!(fixture.says().await, (true, true));
    tidy(store, TENANT, retention, now() + days(7) + second).await;
    assert_eq!(fixture.says().await, (false, true));
    assert_eq!(fixture.count("SELECT count(*) FROM messages WHERE payload IS NULL").await, 1);
    let event = EventDeliveryId(id(1, 1));
    let resend = event_endpoints::send_again(store, TENANT, event).await.unwrap();
    assert_eq!(resend, Resend::Removed);

    tidy(store, TENANT, retention, now() + days(30)).await;
    assert_eq!(fixture.says().await, (false, true));
    tidy(store, TENANT, retention, now() + days(30) + second).await;
    assert_eq!(fixture.says().await, (false, false));
    let delivery = DeliveryId(id(1, 1));
    let from = RedeliverFrom::Start;
    let again = redeliver(store, TENANT, delivery, from, now() + days(31)).await.unwrap();
    assert_eq!(again, Redelivery::Removed);
    assert_eq!(fixture.parts(TENANT).await, [1, 0, 1, 1, 1, 1, 1, 1, 1, 1]);

    tidy(store, TENANT, retention, now() + days(90)).await;
    assert_eq!(fixture.count("SELECT count(*) FROM executions").await, 1);
    tidy(store, TENANT, retention, now() + days(90) + second).await;
    assert_eq!(fixture.parts(TENANT).await, [0; 10]);
    let rest = "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM lanes)";
    assert_eq!(fixture.count(rest).await, 0);
}

#[tokio::test]
async fn what_is_delivered_again_is_kept_from_then_on() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    fixture.has_ended(TENANT, 1, 1, 1, now()).await;
    let retention = keeps(None, Some(30), Some(7));
    tidy(store, TENANT, retention, now() + days(8)).await;
    assert_eq!(fixture.says().await, (false, true));

    let (delivery, asked) = (DeliveryId(id(1, 1)), now() + days(20));
    let again = redeliver(store, TENANT, delivery, RedeliverFrom::Start, asked).await.unwrap();
    assert_eq!(again, Redelivery::Queued);
    // As long as it is on its way nothing is taken away.
    tidy(store, TENANT, retention, now() + days(1_000)).await;
    assert_eq!(fixture.count("SELECT count(agent_response) FROM executions").await, 1);
    let ended = "UPDATE deliveries SET status = 'delivered', finished_at = requested_at;
                 UPDATE attempts SET response_body = 'again'";
    fixture.execute(ended).await;
    tidy(store, TENANT, retention, asked + days(7)).await;
    assert_eq!(fixture.count("SELECT count(response_body) FROM attempts").await, 1);
    tidy(store, TENANT, retention, asked + days(8)).await;
    assert_eq!(fixture.count("SELECT count(response_body) FROM attempts").await, 0);
}

/// What keeps the first of some executions, as a statement.
const NEEDS: [&str; 7] = [
    "UPDATE executions SET status = 'running', finished_at = NULL WHERE id = $1",
    "UPDATE executions SET events_due = true WHERE id = $1",
    "UPDATE deliveries SET status = 'pending', finished_at = NULL WHERE id = $1",
    // Whose sub-agent is still at it, and that one.
    "UPDATE executions SET parent_execution_id = $1, status = 'running', finished_at = NULL
      WHERE id = $2",
    // Whose caller is still at it, and that one.
    "UPDATE executions SET status = 'waiting', finished_at = NULL WHERE id = $2;
     UPDATE executions SET parent_execution_id = $2 WHERE id = $1",
    // Whose message says where to something goes that a person has said, and that.
    "UPDATE executions SET author = 'ana', message_ids = '{}', context_from = $1 WHERE id = $2;
     UPDATE deliveries SET status = 'pending', finished_at = NULL WHERE id = $2",
    "UPDATE sessions SET status = 'suspended'",
];

#[tokio::test]
async fn what_has_not_ended_is_not_touched() {
    let fixture = Fixture::new().await;
    fixture.has_other_tenant().await;
    fixture.has_ended(OTHER_TENANT, 99, 2, 10, now()).await;
    for (first, need) in (1..).zip(NEEDS) {
        fixture.has_ended(TENANT, first * 10, 1, 5, now()).await;
        let quoted = |n| format!("'{}'", id(first * 10, n));
        fixture.execute(&need.replace("$1", &quoted(1)).replace("$2", &quoted(2))).await;
    }
    // And a message that nobody has run yet, in a session that is over otherwise.
    fixture.has_ended(TENANT, 700, 1, 5, now()).await;
    let open = format!(
        "UPDATE messages SET execution_id = NULL WHERE id = '{id}';
         UPDATE executions SET message_ids = '{{}}' WHERE id = '{id}';
         UPDATE event_deliveries SET status = 'pending', finished_at = NULL WHERE id = '{id}'",
        id = id(700, 1)
    );
    fixture.execute(&open).await;

    tidy(&fixture.store, TENANT, keeps(Some(2), Some(2), Some(2)), now() + days(3)).await;
    let mut left = Vec::new();
    for first in (1..=7).map(|n| n * 10).chain([700]) {
        let ids = format!("{}%", &id(first, 0).simple().to_string()[..24]);
        let of = |table| {
            format!("SELECT count(*) FROM {table} WHERE replace(id::text, '-', '') LIKE '{ids}'")
        };
        let (executions, messages) = (of("executions"), of("messages"));
        left.push((fixture.count(&executions).await, fixture.count(&messages).await));
    }
    assert_eq!(left, [(1, 1), (1, 1), (1, 1), (2, 2), (2, 2), (2, 2), (0, 0), (0, 1)]);
    let said =
        "SELECT count(*) FROM executions WHERE tenant_id = '00000000-0000-0000-0000-000000000001'
                   AND (agent_response IS NULL OR erased > 0)";
    assert_eq!(fixture.count(said).await, 0, "nor is any of them emptied");
    let pending = "SELECT count(*) FROM event_deliveries WHERE status = 'pending'
                     AND payload <> ''";
    assert_eq!(fixture.count(pending).await, 1);
    // The sessions of those, the suspended one, and that of the message.
    let sessions = format!("SELECT count(*) FROM sessions WHERE tenant_id = '{TENANT}'");
    assert_eq!(fixture.count(&sessions).await, 8);
    assert_eq!(fixture.parts(OTHER_TENANT).await, [10; 10]);
}

#[tokio::test]
async fn a_session_goes_on_without_what_was_removed() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    // Five exchanges, of which the last two are of today.
    fixture.has_ended(TENANT, 1, 1, 5, now()).await;
    let later = now() + days(10);
    fixture
        .execute(&format!(
            "UPDATE executions SET finished_at = '{later}' WHERE id IN ('{}', '{}');
             UPDATE deliveries SET finished_at = '{later}' WHERE id IN ('{}', '{}')",
            id(1, 4),
            id(1, 5),
            id(1, 4),
            id(1, 5)
        ))
        .await;
    tidy(store, TENANT, keeps(None, Some(5), None), later).await;

    let mut asked = message(1, 1);
    asked.session_id = session(1);
    executions::admit(store, &[&request(&[asked])], later).await.unwrap();
    let history = History { turns: 20, bytes: 256 << 10 };
    let lease = Duration::from_secs(30);
    let claimed = executions::claim(store, 1, lease, usize::MAX, history).await.unwrap();
    let turns = claimed[0].history.iter();
    let told: Vec<_> = turns.map(|turn| (turn.query.as_str(), turn.response.as_deref())).collect();
    assert_eq!(told, [("question 4", Some("answer")), ("question 5", Some("answer"))]);
}

#[tokio::test]
async fn what_comes_under_the_id_of_a_removed_message_is_refused_and_not_kept() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let [first, second, new] = [message(1, 1), message(1, 2), message(1, 3)];
    executions::admit(store, &[&request(&[first.clone(), second])], now()).await.unwrap();
    let end = "UPDATE executions SET status = 'success', finished_at = created_at;
               UPDATE lanes SET queued = 0, next_run_at = NULL";
    fixture.execute(end).await;
    tidy(store, TENANT, keeps(None, Some(2), None), now() + days(3)).await;
    assert_eq!(fixture.count("SELECT count(*) FROM messages").await, 0);

    // With a buffer it is recorded before it is asked for, here together with one that is new.
    messages::record(store, &[&first]).await.unwrap();
    let admitted =
        executions::admit(store, &[&request(&[first.clone(), new.clone()])], now()).await;
    let admitted = admitted.unwrap();
    assert_eq!((admitted.n_messages, admitted.n_executions), (1, 1));
    assert_eq!(admitted.conflicts, [first.id]);
    let kept = format!("SELECT count(*) FROM messages WHERE id = '{}'", new.id.0);
    assert_eq!(fixture.count(&kept).await, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM messages").await, 1);

    let first_id = first.id;
    let again = executions::admit(store, &[&request(&[first])], now()).await.unwrap();
    assert_eq!((again.n_executions, again.conflicts.as_slice()), (0, [first_id].as_slice()));
    assert_eq!(fixture.count("SELECT count(*) FROM executions").await, 2);
}

#[tokio::test]
async fn a_session_in_which_somebody_says_something_now_stays() {
    let fixture = Fixture::new().await;
    fixture.has_ended(TENANT, 1, 1, 1, now()).await;
    let retention = keeps(Some(2), None, None);
    recado_testkit::sql::connected(fixture.database.url(), async |saying| {
        saying.batch_execute("BEGIN; SELECT FROM sessions FOR KEY SHARE").await?;
        tidy(&fixture.store, TENANT, retention, now() + days(3)).await;
        saying.batch_execute("COMMIT").await
    })
    .await
    .unwrap();
    assert_eq!(fixture.parts(TENANT).await[0], 0);
    let rest = "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM lanes)";
    assert_eq!(fixture.count(rest).await, 3);
}

/// Tables that grow with every message.
const BIG: &str = "'executions', 'messages', 'llm_calls', 'tool_calls', 'deliveries', 'chunks',
                   'attempts', 'event_deliveries', 'event_attempts', 'context_windows', 'sessions',
                   'lanes'";

#[tokio::test]
async fn several_instances_share_the_work_and_none_reads_a_whole_table() {
    let fixture = Fixture::new().await;
    fixture.has_other_tenant().await;
    let young = now() + days(20);
    // What nobody removes, so that to read all of it would be the wrong way.
    fixture.has_ended(OTHER_TENANT, 1_000_000, 6_000, 12_000, now()).await;
    fixture.has_ended(TENANT, 2_000_000, 1_500, 3_000, young).await;
    fixture.has_ended(TENANT, 3_000_000, 500, 1_500, now()).await;
    fixture.execute("ANALYZE").await;
    fixture.execute("SELECT pg_stat_reset()").await;

    let instance = async |retention| {
        let config = Config::new(fixture.database.url(), 1, "test");
        let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
        tidy(&store, TENANT, retention, young + days(1)).await;
        let present = usage::present(young);
        usage::count(&store, TENANT, &[present], young).await.unwrap();
        // So that it is counted what this connection did.
        let client = store.client("test").await.unwrap();
        client.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    };
    for retention in
        [keeps(None, None, Some(5)), keeps(None, Some(5), None), keeps(Some(5), None, None)]
    {
        tokio::join!(instance(retention), instance(retention), instance(retention));
        // What one has passed over, because another had it, is the next round's.
        instance(retention).await;
    }
    let client = fixture.store.client("test").await.unwrap();
    let scanned = format!(
        "SELECT relname || ' ' || seq_scan FROM pg_stat_user_tables
          WHERE relname IN ({BIG}) AND seq_scan > 0"
    );
    let scanned = client.query(&scanned, &[]).await.unwrap();
    let scanned: Vec<String> = scanned.iter().map(|row| row.get(0)).collect();
    assert!(scanned.is_empty(), "scans of whole tables: {scanned:?}");
    assert_eq!(fixture.parts(TENANT).await, [3_000; 10]);
    assert_eq!(fixture.parts(OTHER_TENANT).await, [12_000; 10]);
    let sessions = format!("SELECT count(*) FROM sessions WHERE tenant_id = '{TENANT}'");
    assert_eq!(fixture.count(&sessions).await, 1_500);
}

#[tokio::test]
async fn answers_to_repeated_requests_are_kept_for_a_day() {
    let fixture = Fixture::new().await;
    fixture
        .execute(&format!(
            "INSERT INTO idempotent_requests (tenant_id, key, fingerprint, created_at, busy_until)
             SELECT '{TENANT}', 'k' || n, '', '{}'::timestamptz - n * interval '1 hour', now()
               FROM generate_series(0, 30) n",
            now()
        ))
        .await;
    let removed = retention::remove_old_requests(&fixture.store, now()).await.unwrap();
    assert_eq!(removed, (6, true));
    assert_eq!(fixture.count("SELECT count(*) FROM idempotent_requests").await, 25);
}
