//! Taking the next delivery of sessions that have one, where its destination has room.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Object;
use recado_types::{DeliveryId, ExecutionId, SessionId, TenantId, TriggerId};
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Claimed, PlannedChunk};
use crate::lanes::{self, LaneKind, Lease, millis};
use crate::messages::trace_from_row;
use crate::{Store, StoreError};

/// Takes from all tenants in turn, and of a tenant from its destinations in turn: the next lane is
/// that of the tenant who has the fewest, in hand and chosen together, and of its destinations the
/// one that has the fewest; there it is the lane that waits longest. (`lanes.claim` does the same
/// for executions, without destinations.)
///
/// Each destination is found by one step in `lanes_due_deliveries` and gives what it has room for,
/// so that the price depends on how many destinations have something waiting and not on how many
/// lanes. One without room gives nothing, and its lanes stay as they are. Together they give about
/// twice the limit, and 16 each on top of that, so that one which has much more than the others is
/// not held up by their number. The second half of twice the limit is for those who claim at the
/// same moment: they skip what is locked here.
///
/// A destination that is open (`destinations`) has room for one delivery, once its time has come:
/// whoever locks its row gives that one away and puts the time off, in this statement. Nothing here
/// waits for a lock, so it does not matter in which order they are taken.
///
/// A lease that has run out in the hands of whoever claims is not taken from them; only lanes whose
/// leases have run out are compared with what they have in hand.
///
/// What is read with this is read by a statement of its own, for the reason given at
/// `lanes.claim`.
const CLAIM: &str = "\
-- deliveries.claim
WITH RECURSIVE waiting AS (
    (SELECT tenant_id, trigger_id, next_run_at FROM lanes
      WHERE kind = 'delivery' AND next_run_at IS NOT NULL
      ORDER BY tenant_id, trigger_id, next_run_at LIMIT 1)
     UNION ALL
    SELECT next.tenant_id, next.trigger_id, next.next_run_at
      FROM waiting,
           LATERAL (SELECT lanes.tenant_id, lanes.trigger_id, lanes.next_run_at FROM lanes
                     WHERE lanes.kind = 'delivery' AND lanes.next_run_at IS NOT NULL
                       AND (lanes.tenant_id, lanes.trigger_id)
                           > (waiting.tenant_id, waiting.trigger_id)
                     ORDER BY lanes.tenant_id, lanes.trigger_id, lanes.next_run_at LIMIT 1) next
), probes AS MATERIALIZED (
    SELECT destinations.trigger_id, destinations.probe_count
      FROM destinations
     WHERE destinations.trigger_id = ANY (ARRAY(SELECT trigger_id FROM waiting
                                                  WHERE next_run_at <= now()))
       AND destinations.probe_at <= now()
       FOR UPDATE SKIP LOCKED
), rooms AS MATERIALIZED (
    SELECT waiting.tenant_id, waiting.trigger_id, probes.probe_count,
           coalesce(tenant.in_hand, 0) AS tenant_in_hand,
           coalesce(named.in_hand, 0) AS in_hand,
           CASE WHEN probes.trigger_id IS NOT NULL THEN 1
                WHEN destinations.trigger_id IS NOT NULL THEN 0
                ELSE coalesce(named.room, $3::bigint) END AS room
      FROM waiting
      LEFT JOIN destinations ON destinations.trigger_id = waiting.trigger_id
      LEFT JOIN probes ON probes.trigger_id = waiting.trigger_id
      LEFT JOIN unnest($4::uuid[], $5::bigint[], $6::bigint[]) AS named (trigger_id, in_hand, room)
             ON named.trigger_id = waiting.trigger_id
      LEFT JOIN unnest($7::uuid[], $8::bigint[]) AS tenant (tenant_id, in_hand)
             ON tenant.tenant_id = waiting.tenant_id
     WHERE waiting.next_run_at <= now()
), candidates AS MATERIALIZED (
    SELECT session_id, next_run_at, turn, probe_count
      FROM (SELECT due.session_id, due.next_run_at, rooms.probe_count,
                   rooms.tenant_in_hand
                   + row_number() OVER (PARTITION BY rooms.tenant_id
                                        ORDER BY due.place, due.next_run_at) AS turn
              FROM rooms,
                   (SELECT greatest(count(*), 1) AS n FROM rooms WHERE room > 0) roomy,
                   LATERAL (SELECT oldest.*, rooms.in_hand
                                   + row_number() OVER (ORDER BY oldest.next_run_at) AS place
                              FROM (SELECT lanes.session_id, lanes.next_run_at FROM lanes
                                     WHERE lanes.kind = 'delivery'
                                       AND lanes.tenant_id = rooms.tenant_id
                                       AND lanes.trigger_id = rooms.trigger_id
                                       AND lanes.next_run_at <= now()
                                       AND (lanes.lease_token IS NULL
                                            OR lanes.lease_token <> ALL ($11::uuid[]))
                                     ORDER BY lanes.next_run_at
                                     LIMIT least(rooms.room, 2 * $1::bigint / roomy.n + 16)) oldest
                   ) due
             WHERE rooms.room > 0) in_turn
     WHERE turn <= $9::bigint
     ORDER BY turn, next_run_at LIMIT 2 * $1::bigint
), chosen AS MATERIALIZED (
    SELECT lanes.session_id, lanes.trigger_id, lanes.next_run_at AS due_at,
           candidates.probe_count
      FROM candidates
      JOIN lanes ON lanes.kind = 'delivery' AND lanes.session_id = candidates.session_id
     WHERE lanes.session_id = ANY (ARRAY(SELECT session_id FROM candidates))
       AND lanes.next_run_at <= now()
     ORDER BY candidates.turn, candidates.next_run_at
     LIMIT $1 FOR UPDATE OF lanes SKIP LOCKED
), probing AS (
    UPDATE destinations SET probe_at = now() + $10::bigint * interval '1 millisecond'
      FROM chosen
     WHERE chosen.probe_count IS NOT NULL AND destinations.trigger_id = chosen.trigger_id
)
UPDATE lanes
   SET next_run_at = now() + $2::bigint * interval '1 millisecond',
       lease_token = gen_random_uuid()
  FROM chosen
 WHERE lanes.kind = 'delivery' AND lanes.session_id = chosen.session_id
RETURNING lanes.session_id, lanes.lease_token, chosen.probe_count,
          extract(epoch FROM now() - chosen.due_at)::double precision AS waited_s";

const HEADS: &str = "\
-- deliveries.heads
SELECT head.id, head.tenant_id, head.execution_id, head.trigger_id, head.session_id,
       head.chunk_count, head.truncated, head.round, head.whole_round, head.requested_at,
       executions.agent_response,
       coalesce(overlay(executions.trace_context PLACING executions.span_id FROM 37 FOR 16),
                executions.trace_context) AS trace_context, triggers.trigger_config, tenants.destination_hosts,
       (SELECT m.context FROM messages m
         WHERE m.id = coalesce(executions.context_from,
                               executions.message_ids[cardinality(executions.message_ids)]))
           AS context,
       (SELECT json_agg(json_build_object('index', chunk_index, 'body', body, 'status', status,
                                          'attempt_count', attempt_count) ORDER BY chunk_index)
          FROM chunks WHERE chunks.delivery_id = head.id) AS chunks
  FROM unnest($1::uuid[]) AS lane (session_id),
       LATERAL (SELECT id, tenant_id, execution_id, trigger_id, session_id, chunk_count, truncated,
                       round, whole_round, requested_at
                  FROM deliveries
                 WHERE deliveries.session_id = lane.session_id AND deliveries.finished_at IS NULL
                 ORDER BY deliveries.seq, deliveries.requested_at LIMIT 1) head
  JOIN executions ON executions.id = head.execution_id
  JOIN triggers ON triggers.id = head.trigger_id
  JOIN tenants ON tenants.id = head.tenant_id";

/// How many deliveries one claim takes at most.
pub const MAX_CLAIM: usize = 256;
/// How many lanes' heads are read at a time: the database holds all their texts at once.
const HEADS_AT_ONCE: usize = 64;

/// How many deliveries there is room for, and where.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// How many a trigger may be given that is not named in `triggers`.
    pub per_trigger: u32,
    /// What is known of some triggers.
    pub triggers: &'a [TriggerRoom],
    /// How many one tenant may have in hand at most.
    pub per_tenant: u32,
    /// How many they have; the tenants that are not named have none.
    pub tenants: &'a [TenantInHand],
    /// The leases of what is in hand. Their lanes are passed over even if they have run out: as
    /// long as nobody else claims them, what is being done can still be written down.
    pub in_work: &'a [Lease],
    /// How long a probe may take before another one is made: no shorter than the longest request.
    pub probe: Duration,
}

/// What is known of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerRoom {
    /// Which.
    pub trigger_id: TriggerId,
    /// How many of its deliveries are in hand.
    pub in_hand: u32,
    /// How many more it may be given.
    pub room: u32,
}

/// How much of what is in hand is a tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantInHand {
    /// Whose.
    pub tenant_id: TenantId,
    /// How many.
    pub in_hand: u32,
}

/// A lane that was claimed, and whether that was for a probe.
struct ClaimedLane {
    lease: Lease,
    probe: Option<u32>,
}

/// Claims up to `limit` deliveries for `lease`, [`MAX_CLAIM`] at most, for which there is `room`. One
/// session has one at a time.
///
/// Of a destination that is open, nobody gets anything before its time, and then one delivery is
/// claimed, as a probe ([`Claimed::probe`]). If nothing comes of that, the next probe is made when
/// [`Room::probe`] has passed.
pub async fn claim(
    store: &Store,
    limit: usize,
    lease: Duration,
    room: &Room<'_>,
) -> Result<Vec<Claimed>, StoreError> {
    let client = store.client("deliveries.claim").await?;
    let lanes = claim_lanes(&client, limit.min(MAX_CLAIM), lease, room).await?;
    let mut claimed = Vec::with_capacity(lanes.len());
    for (n, some) in lanes.chunks(HEADS_AT_ONCE).enumerate() {
        match heads(&client, some).await {
            Ok(heads) => claimed.extend(heads),
            Err(error) => {
                drop(client);
                let unread: Vec<Lease> =
                    lanes[n * HEADS_AT_ONCE..].iter().map(|lane| lane.lease).collect();
                lanes::give_up(store, LaneKind::Delivery, &unread).await;
                // What was read before is worked; whoever claims next meets the error again.
                return if claimed.is_empty() { Err(error) } else { Ok(claimed) };
            }
        }
    }
    Ok(claimed)
}

async fn claim_lanes(
    client: &Object,
    limit: usize,
    lease: Duration,
    room: &Room<'_>,
) -> Result<Vec<ClaimedLane>, StoreError> {
    let failed = StoreError::query("deliveries.claim");
    let statement = client.prepare_cached(CLAIM).await.map_err(&failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX / 2);
    let triggers: Vec<Uuid> = room.triggers.iter().map(|trigger| trigger.trigger_id.0).collect();
    let in_hand: Vec<i64> = room.triggers.iter().map(|trigger| trigger.in_hand.into()).collect();
    let rooms: Vec<i64> = room.triggers.iter().map(|trigger| trigger.room.into()).collect();
    let tenants: Vec<Uuid> = room.tenants.iter().map(|tenant| tenant.tenant_id.0).collect();
    let tenants_in_hand: Vec<i64> =
        room.tenants.iter().map(|tenant| tenant.in_hand.into()).collect();
    let in_work: Vec<Uuid> = room.in_work.iter().map(|lease| lease.token).collect();
    let rows = client
        .query(
            &statement,
            &[
                &limit,
                &millis(lease),
                &i64::from(room.per_trigger),
                &triggers,
                &in_hand,
                &rooms,
                &tenants,
                &tenants_in_hand,
                &i64::from(room.per_tenant),
                &millis(room.probe),
                &in_work,
            ],
        )
        .await
        .map_err(&failed)?;
    lanes::note_waits(LaneKind::Delivery, &rows);
    Ok(rows.iter().map(ClaimedLane::from_row).collect())
}

impl ClaimedLane {
    fn from_row(row: &Row) -> Self {
        let lease =
            Lease { session_id: SessionId(row.get("session_id")), token: row.get("lease_token") };
        let probe_count: Option<i32> = row.get("probe_count");
        Self { lease, probe: probe_count.map(positive) }
    }
}

async fn heads(client: &Object, lanes: &[ClaimedLane]) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::query("deliveries.heads");
    let by_session: HashMap<SessionId, &ClaimedLane> =
        lanes.iter().map(|lane| (lane.lease.session_id, lane)).collect();
    let sessions: Vec<Uuid> = lanes.iter().map(|lane| lane.lease.session_id.0).collect();
    let statement = client.prepare_cached(HEADS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&sessions]).await.map_err(&failed)?;
    lanes::complain_of_empty(LaneKind::Delivery, lanes.len(), rows.len());
    Ok(rows.iter().filter_map(|row| Claimed::from_row(row, &by_session)).collect())
}

impl Claimed {
    fn from_row(row: &Row, lanes: &HashMap<SessionId, &ClaimedLane>) -> Option<Self> {
        let lane = lanes.get(&SessionId(row.get("session_id")))?;
        let context: Option<Json<Map<String, Value>>> = row.get("context");
        let chunks: Option<Json<Vec<PlannedChunk>>> = row.get("chunks");
        Some(Self {
            lease: lane.lease,
            delivery_id: DeliveryId(row.get("id")),
            execution_id: ExecutionId(row.get("execution_id")),
            tenant_id: TenantId(row.get("tenant_id")),
            trigger_id: TriggerId(row.get("trigger_id")),
            probe: lane.probe,
            round: positive(row.get("round")),
            whole_round: positive(row.get("whole_round")),
            requested_at: row.get("requested_at"),
            response: row.get::<_, Option<String>>("agent_response").unwrap_or_default(),
            trigger_config: row.get("trigger_config"),
            destination_hosts: row.get("destination_hosts"),
            context: context.map(|Json(context)| context).unwrap_or_default(),
            chunk_count: row.get::<_, Option<i32>>("chunk_count").map(positive),
            truncated: row.get("truncated"),
            chunks: chunks.map(|Json(chunks)| chunks).unwrap_or_default(),
            trace: trace_from_row(row),
        })
    }
}

/// A count, which is never negative.
fn positive(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}
