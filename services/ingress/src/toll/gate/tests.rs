//! The gate, with a real Redis and with one that is away.

use recado_testkit::TestRedis;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::*;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(2));

/// Instances that share a Redis, until they are dropped.
struct Instances {
    gates: [Gate; 2],
    redis: TestRedis,
    _stopped_at_the_end: DropGuard,
}

impl Instances {
    async fn start() -> Self {
        let redis = recado_testkit::redis().await;
        let shutdown = CancellationToken::new();
        let gates = [gate(&redis.url(), &shutdown), gate(&redis.url(), &shutdown)];
        Self { gates, redis, _stopped_at_the_end: shutdown.drop_guard() }
    }

    /// How often the script was run.
    async fn n_scripts(&self) -> u64 {
        let count = "EVAL \"return tonumber(string.match(redis.call('INFO', 'commandstats'), \
                     'cmdstat_evalsha:calls=(%d+)'))\" 0";
        let answer = self.redis.command(count).await.unwrap();
        answer.trim_start_matches(':').parse().unwrap()
    }
}

fn gate(url: &str, shutdown: &CancellationToken) -> Gate {
    let config = recado_kv::Config {
        url: url.to_owned(),
        timeout: Duration::from_millis(500),
        prefix: "test".into(),
    };
    Gate::new(Kv::start(&config, &TaskTracker::new(), shutdown.clone()).unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "it is given as it is taken")]
fn claim(content: &str) -> Option<(MessageId, Fingerprint)> {
    Some((MessageId(Uuid::from_u128(7)), Fingerprint::of(content.as_bytes())))
}

fn tenant_limit(per_minute: u32) -> PerMinute {
    PerMinute { tenant: Some(per_minute), ..PerMinute::default() }
}

/// What a message of a sender with neither a limit of its own nor an id that may come again pays.
async fn pay(gate: &Gate, limits: PerMinute) -> Verdict {
    gate.pay(TENANT, TRIGGER, Some("+5511"), &limits, None).await
}

async fn pay_claim(gate: &Gate, claim: Option<(MessageId, Fingerprint)>) -> Verdict {
    gate.pay(TENANT, TRIGGER, None, &PerMinute::default(), claim).await
}

/// How long nothing is admitted.
fn wait(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Limited(refused) => refused.retry_in,
        other => panic!("not limited: {other:?}"),
    }
}

fn remaining(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Go { rate: Some(rate) } | Verdict::Unknown { rate: Some(rate) } => rate.remaining,
        other => panic!("not admitted by a limit: {other:?}"),
    }
}

#[test]
fn a_message_without_a_sender_has_no_limit_by_sender() {
    let limits = PerMinute { tenant: Some(3), trigger: Some(2), sender: Some(1) };
    let kinds = |sender| -> Vec<RateKind> {
        let rates = limits.rates(TENANT, TRIGGER, sender);
        rates.iter().map(|rate| rate.key.kind()).collect()
    };
    assert_eq!(kinds(Some("+5511")), [RateKind::Tenant, RateKind::Trigger, RateKind::Sender]);
    assert_eq!(kinds(None), [RateKind::Tenant, RateKind::Trigger]);
    assert!(PerMinute::default().rates(TENANT, TRIGGER, Some("+5511")).is_empty());
}

#[tokio::test]
async fn two_instances_share_limits_and_claims() {
    let instances = Instances::start().await;
    let [here, there] = &instances.gates;
    let limits = PerMinute { tenant: Some(10), trigger: Some(3), sender: Some(2) };
    let pay = async |gate: &Gate, sender, claim| {
        gate.pay(TENANT, TRIGGER, Some(sender), &limits, claim).await
    };
    assert_eq!(remaining(pay(here, "+5511", claim("a")).await), 1);
    let repeated = pay(there, "+5511", claim("a")).await;
    assert!(matches!(repeated, Verdict::Duplicate { .. }), "{repeated:?}");
    assert_eq!(pay(there, "+5511", claim("b")).await, Verdict::Conflict);
    assert_eq!(pay(here, "+5511", None).await.outcome(), "limited_by_sender");
    assert_eq!(remaining(pay(here, "+5521", None).await), 0);
    assert_eq!(pay(there, "+5531", None).await.outcome(), "limited_by_trigger");
}

#[tokio::test]
async fn a_claim_that_is_released_can_be_had_by_another_message() {
    let instances = Instances::start().await;
    let [here, there] = &instances.gates;
    let go = Verdict::Go { rate: None };
    assert_eq!(pay_claim(here, claim("a")).await, go);
    assert_eq!(pay_claim(there, claim("b")).await, Verdict::Conflict);
    let (message_id, fingerprint) = claim("a").unwrap();
    here.release(message_id, fingerprint).await;
    assert_eq!(pay_claim(there, claim("b")).await, go);
}

#[tokio::test]
async fn a_flood_over_a_limit_costs_no_call() {
    let instances = Instances::start().await;
    let gate = &instances.gates[0];
    assert_eq!(remaining(pay(gate, tenant_limit(1)).await), 0);
    let first = wait(pay(gate, tenant_limit(1)).await);
    let n_before = instances.n_scripts().await;
    for _ in 0..100 {
        assert!(wait(pay(gate, tenant_limit(1)).await) <= first);
    }
    assert_eq!(instances.n_scripts().await, n_before);
    let raised = pay(gate, tenant_limit(3)).await;
    assert_eq!(remaining(raised), 1, "a limit that was raised is asked");
}

#[tokio::test]
async fn while_redis_is_away_an_instance_counts_for_itself_and_knows_no_claims() {
    let mut instances = Instances::start().await;
    instances.redis.kill().unwrap();
    let gate = &instances.gates[0];
    let first = gate.pay(TENANT, TRIGGER, None, &tenant_limit(2), claim("a")).await;
    assert!(matches!(first, Verdict::Unknown { .. }), "{first:?}");
    assert_eq!(remaining(first), 1);
    assert_eq!(remaining(pay(gate, tenant_limit(2)).await), 0);
    assert!(wait(pay(gate, tenant_limit(2)).await) <= Duration::from_mins(1));

    instances.redis.restart().await.unwrap();
    let gate = &instances.gates[0];
    recado_testkit::wait_for("Redis to be used again", Duration::from_secs(20), async || {
        let verdict = pay_claim(gate, claim("a")).await;
        matches!(verdict, Verdict::Duplicate { .. } | Verdict::Go { .. }).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_redis_a_limit_is_there_again_when_it_said() {
    let shutdown = CancellationToken::new();
    let gate = gate("redis://127.0.0.1:1", &shutdown);
    let rates = tenant_limit(2).rates(TENANT, TRIGGER, None);
    for left in [1, 0] {
        assert_eq!(remaining(gate.ask_here(&rates, None)), left);
    }
    let refused_for = wait(gate.ask_here(&rates, None));
    tokio::time::advance(refused_for.saturating_sub(Duration::from_millis(1))).await;
    wait(gate.ask_here(&rates, None));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(remaining(gate.ask_here(&rates, None)), 1);
    shutdown.cancel();
}

#[tokio::test]
async fn nothing_to_pay_asks_nobody() {
    let instances = Instances::start().await;
    instances.redis.stop().unwrap();
    let gate = &instances.gates[0];
    assert_eq!(pay(gate, PerMinute::default()).await, Verdict::Go { rate: None });
    assert!(gate.kv.is_available(), "a call would have failed");
    instances.redis.cont().unwrap();
}
