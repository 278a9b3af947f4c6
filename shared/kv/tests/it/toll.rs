//! What a message pays: its claim, its limits, and what happens to them without Redis.

use std::time::{Duration, Instant};

use recado_kv::toll::{Claim, Ledger, Paid, Rate, RateKey, RateKind, RateState, Refused, Toll};
use recado_kv::{Kv, KvError};
use recado_types::{Fingerprint, TenantId, TriggerId};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{Fixture, Random, TIMEOUT, id};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

fn tenant(per_minute: u32) -> Rate {
    Rate { key: RateKey::Tenant(TenantId(Uuid::from_u128(1))), per_minute }
}

fn trigger(per_minute: u32) -> Rate {
    Rate { key: RateKey::Trigger(TriggerId(Uuid::from_u128(2))), per_minute }
}

fn sender(who: &str, per_minute: u32) -> Rate {
    Rate { key: RateKey::sender(TriggerId(Uuid::from_u128(2)), who), per_minute }
}

fn claim(message_n: u128, content: &str) -> Claim {
    let fingerprint = Fingerprint::of(content.as_bytes());
    Claim { message_id: id(message_n), fingerprint, ttl: DAY }
}

async fn pay(kv: &Kv, rates: &[Rate], claim: Option<Claim>) -> Paid {
    kv.pay(&Toll { rates, claim }).await.unwrap()
}

fn remaining(paid: Paid) -> u32 {
    match paid {
        Paid::Admitted(Some(state)) => state.remaining,
        other => panic!("not admitted by a limit: {other:?}"),
    }
}

fn refusal(paid: Paid) -> Refused {
    match paid {
        Paid::Limited(refused) => refused,
        other => panic!("not limited: {other:?}"),
    }
}

#[tokio::test]
async fn each_limit_admits_its_number_and_no_more() {
    let fixture = Fixture::new().await;
    for (kind, rate) in [
        (RateKind::Tenant, tenant(3)),
        (RateKind::Trigger, trigger(3)),
        (RateKind::Sender, sender("+5511", 3)),
    ] {
        for left in [2, 1, 0] {
            assert_eq!(remaining(pay(&fixture.kv, &[rate], None).await), left);
        }
        let Refused { state, retry_in } = refusal(pay(&fixture.kv, &[rate], None).await);
        assert_eq!((state.rate.key.kind(), state.rate, state.remaining), (kind, rate, 0));
        assert!(retry_in > Duration::ZERO && retry_in <= state.resets_in, "{retry_in:?}");
        assert!(state.resets_in <= MINUTE, "{state:?}");
    }
    let another = pay(&fixture.kv, &[sender("+5521", 3)], None).await;
    assert_eq!(remaining(another), 2, "each sender has its own");
}

#[tokio::test]
async fn a_limit_is_shared_by_all_instances() {
    let fixture = Fixture::new().await;
    let instances = [fixture.kv.clone(), fixture.another_kv()];
    let mut payments = JoinSet::new();
    for n in 0..60 {
        let kv = instances[n % 2].clone();
        payments.spawn(async move { pay(&kv, &[trigger(25)], None).await });
    }
    let paid = payments.join_all().await;
    let n_admitted = paid.iter().filter(|paid| matches!(paid, Paid::Admitted(_))).count();
    assert_eq!(n_admitted, 25);
}

#[tokio::test]
async fn the_limit_with_the_least_left_is_told() {
    let fixture = Fixture::new().await;
    let rates = [tenant(100), trigger(5), sender("+5511", 50)];
    let Paid::Admitted(Some(state)) = pay(&fixture.kv, &rates, None).await else {
        panic!("not admitted");
    };
    assert_eq!((state.rate, state.remaining), (trigger(5), 4));
    assert_eq!(pay(&fixture.kv, &[], None).await, Paid::Admitted(None));
}

#[tokio::test]
async fn a_refused_message_uses_nothing_up_and_claims_nothing() {
    let fixture = Fixture::new().await;
    let all = [tenant(10), trigger(10), sender("+5511", 1)];
    pay(&fixture.kv, &all, None).await;
    for _ in 0..20 {
        refusal(pay(&fixture.kv, &all, Some(claim(1, "a"))).await);
    }
    assert_eq!(remaining(pay(&fixture.kv, &[tenant(10)], None).await), 8);
    assert_eq!(remaining(pay(&fixture.kv, &[trigger(10)], None).await), 8);
    let another = pay(&fixture.kv, &[], Some(claim(1, "b"))).await;
    assert_eq!(another, Paid::Admitted(None), "the id is free");
}

#[tokio::test]
async fn of_a_hundred_claims_of_an_id_over_two_instances_one_is_new() {
    let fixture = Fixture::new().await;
    let instances = [fixture.kv.clone(), fixture.another_kv()];
    let mut payments = JoinSet::new();
    for n in 0..100 {
        let kv = instances[n % 2].clone();
        payments.spawn(async move { pay(&kv, &[tenant(1_000)], Some(claim(1, "a"))).await });
    }
    let paid = payments.join_all().await;
    let n_new = paid.iter().filter(|paid| matches!(paid, Paid::Admitted(_))).count();
    let n_duplicates = paid.iter().filter(|paid| matches!(paid, Paid::Duplicate(_))).count();
    assert_eq!((n_new, n_duplicates), (1, 99));
    let left = remaining(pay(&fixture.kv, &[tenant(1_000)], None).await);
    assert_eq!(left, 899, "a duplicate costs as much as the first");
}

#[tokio::test]
async fn a_duplicate_pays_like_any_other_and_a_conflict_is_one_even_over_the_limit() {
    let fixture = Fixture::new().await;
    pay(&fixture.kv, &[tenant(2)], Some(claim(1, "a"))).await;
    let repeated = pay(&fixture.kv, &[tenant(2)], Some(claim(1, "a"))).await;
    assert!(matches!(repeated, Paid::Duplicate(Some(state)) if state.remaining == 0));
    refusal(pay(&fixture.kv, &[tenant(2)], Some(claim(1, "a"))).await);
    assert_eq!(pay(&fixture.kv, &[tenant(2)], Some(claim(1, "b"))).await, Paid::Conflict);
}

#[tokio::test]
async fn only_its_own_message_gives_a_claim_back() {
    let fixture = Fixture::new().await;
    let [a, b] = [claim(1, "a"), claim(1, "b")];
    pay(&fixture.kv, &[], Some(a)).await;
    fixture.kv.release(b.message_id, b.fingerprint).await.unwrap();
    assert_eq!(pay(&fixture.kv, &[], Some(b)).await, Paid::Conflict);
    fixture.kv.release(a.message_id, a.fingerprint).await.unwrap();
    assert_eq!(pay(&fixture.kv, &[], Some(b)).await, Paid::Admitted(None));
}

#[tokio::test]
async fn everything_expires_by_itself() {
    let fixture = Fixture::new().await;
    let rates = [tenant(10), sender("+5511", 10)];
    pay(&fixture.kv, &rates, Some(claim(1, "a"))).await;
    for (name, at_most) in [
        (format!("rate:{}", rates[0].key), MINUTE),
        (format!("rate:{}", rates[1].key), MINUTE),
        (format!("claim:{}", id(1)), DAY),
    ] {
        let ttl = integer(&fixture, &format!("PTTL {{test}}:{name}")).await;
        let at_most = u64::try_from(at_most.as_millis()).unwrap();
        assert!(ttl > at_most - 30_000 && ttl <= at_most, "{name}: {ttl}");
    }
    assert_eq!(integer(&fixture, "DBSIZE").await, 3);

    let brief = Claim { ttl: Duration::from_millis(1), ..claim(2, "a") };
    pay(&fixture.kv, &[], Some(brief)).await;
    recado_testkit::wait_for("the claim to expire", Duration::from_secs(10), async || {
        (pay(&fixture.kv, &[], Some(claim(2, "b"))).await == Paid::Admitted(None)).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn after_a_wipe_everything_begins_anew() {
    let fixture = Fixture::new().await;
    pay(&fixture.kv, &[tenant(1)], Some(claim(1, "a"))).await;
    fixture.redis.command("FLUSHALL").await.unwrap();
    assert_eq!(remaining(pay(&fixture.kv, &[tenant(1)], Some(claim(1, "b"))).await), 0);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_hold_a_limit() {
    let fixture = Fixture::new().await;
    let hour_ahead = integer(&fixture, NOW).await + 3_600;
    remember(&fixture, tenant(1), &[(hour_ahead, 1)]).await;
    assert_eq!(remaining(pay(&fixture.kv, &[tenant(1)], None).await), 0);
    refusal(pay(&fixture.kv, &[tenant(1)], None).await);
}

#[tokio::test]
async fn a_hanging_redis_costs_a_toll_its_timeout_once() {
    let fixture = Fixture::new().await;
    pay(&fixture.kv, &[tenant(5)], None).await;
    fixture.redis.stop().unwrap();
    let (rates, started) = ([tenant(5)], Instant::now());
    let toll = Toll { rates: &rates, claim: Some(claim(1, "a")) };
    assert!(matches!(fixture.kv.pay(&toll).await, Err(KvError::Failed { .. })));
    // With room for a connection that is tried again, and for a busy machine.
    assert!(started.elapsed() < TIMEOUT * 8, "{:?}", started.elapsed());
    for _ in 0..1_000 {
        assert!(matches!(fixture.kv.pay(&toll).await, Err(KvError::Unavailable)));
    }
    fixture.redis.cont().unwrap();
}

/// Both are given the same history, second by second, and then the same messages.
#[tokio::test]
async fn the_script_counts_as_the_ledger_does() {
    let fixture = Fixture::new().await;
    let mut random = Random(7);
    for _ in 0..200 {
        let rates = [tenant(1 + random.below(12)), trigger(1 + random.below(12))];
        // Both read the clock; a second that ends in between is no disagreement.
        while !agree(&fixture, rates, &mut random).await {}
    }
}

/// Whether the second did not end meanwhile, so that the comparison counts.
async fn agree(fixture: &Fixture, rates: [Rate; 2], random: &mut Random) -> bool {
    fixture.redis.command("FLUSHALL").await.unwrap();
    let mut ledger = Ledger::new(10);
    let now = integer(fixture, NOW).await;
    for rate in rates {
        let history = history(now, random);
        for (second, used) in &history {
            // Each second is used up by a limit that is never reached.
            let unlimited = [Rate { per_minute: u32::MAX, ..rate }];
            for _ in 0..*used {
                ledger.pay(&unlimited, Duration::from_secs(*second)).unwrap();
            }
        }
        remember(fixture, rate, &history).await;
    }
    let mut answers = Vec::new();
    for _ in 0..6 {
        let asked = &rates[..=usize::try_from(random.below(2)).unwrap()];
        let expected = ledger.pay(asked, Duration::from_secs(now));
        let expected = expected.map_or_else(Paid::Limited, Paid::Admitted);
        answers.push((pay(&fixture.kv, asked, None).await, expected));
    }
    if integer(fixture, NOW).await != now {
        return false;
    }
    for (actual, expected) in answers {
        assert_eq!(in_whole_seconds(actual), in_whole_seconds(expected), "{rates:?}");
    }
    true
}

/// What was used in some of the last 80 seconds, oldest first.
fn history(now: u64, random: &mut Random) -> Vec<(u64, u64)> {
    let mut history = Vec::new();
    let mut age = 80;
    while age > 0 {
        history.push((now - u64::from(age), 1 + u64::from(random.below(3))));
        age -= age.min(1 + random.below(30));
    }
    history
}

/// Writes a history into Redis, as `toll.lua` would have.
async fn remember(fixture: &Fixture, rate: Rate, history: &[(u64, u64)]) {
    let total: u64 = history.iter().map(|(_, used)| used).sum();
    let (first, last) = (history[0].0, history[history.len() - 1].0);
    let seconds: Vec<String> =
        history.iter().map(|(second, used)| format!("{second} {used}")).collect();
    let command = format!(
        "HSET {{test}}:rate:{} total {total} first {first} last {last} {}",
        rate.key,
        seconds.join(" ")
    );
    fixture.redis.command(&command).await.unwrap();
}

/// The script knows the milliseconds, the test only the second that they are in.
fn in_whole_seconds(paid: Paid) -> Paid {
    let ceil =
        |time: Duration| Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let rounded = |state: RateState| RateState { resets_in: ceil(state.resets_in), ..state };
    match paid {
        Paid::Admitted(state) => Paid::Admitted(state.map(rounded)),
        Paid::Limited(Refused { state, retry_in }) => {
            Paid::Limited(Refused { state: rounded(state), retry_in: ceil(retry_in) })
        }
        Paid::Duplicate(_) | Paid::Conflict => paid,
    }
}

/// The second of Redis' clock.
const NOW: &str = "EVAL \"return tonumber(redis.call('TIME')[1])\" 0";

async fn integer(fixture: &Fixture, command: &str) -> u64 {
    let answer = fixture.redis.command(command).await.unwrap();
    answer.strip_prefix(':').and_then(|number| number.parse().ok()).unwrap()
}
