//! Which endpoints an event has to be sent to, written down.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use recado_types::{
    AgentId, EventDeliveryId, EventEndpointId, EventId, ExecutionId, SessionId, TenantId,
    TraceContext,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError};

const ENDPOINTS: &str = "\
-- event_deliveries.endpoints
SELECT id, tenant_id, agent_id, event_types FROM event_endpoints
 WHERE tenant_id = ANY ($1) AND deleted_at IS NULL AND (agent_id IS NULL OR agent_id = ANY ($2))";

/// In the order of the events, which is that of their numbers then. What was recorded before stays
/// as it is.
const RECORD: &str = "\
-- event_deliveries.record
WITH recorded AS (
    INSERT INTO event_deliveries (id, tenant_id, endpoint_id, event_id, event_type, agent_id,
                                  session_id, execution_id, payload, occurred_at, created_at,
                                  trace_context, status, next_attempt_at, error_code, finished_at)
    SELECT wanted.id, event.tenant_id, endpoint.id, event.id, event.event_type, event.agent_id,
           event.session_id, event.execution_id, event.payload, event.occurred_at, $12,
           event.trace_context,
           CASE WHEN endpoint.enabled THEN 'pending' ELSE 'failed' END,
           CASE WHEN endpoint.enabled THEN now() END,
           CASE WHEN NOT endpoint.enabled THEN $13 END,
           CASE WHEN NOT endpoint.enabled THEN $12::timestamptz END
      FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS wanted (id, endpoint_id, place)
      JOIN event_endpoints endpoint
        ON endpoint.id = wanted.endpoint_id AND endpoint.deleted_at IS NULL
      JOIN unnest($4::uuid[], $5::uuid[], $6::text[], $7::uuid[], $8::uuid[], $9::uuid[],
                  $10::text[], $11::timestamptz[], $14::text[]) WITH ORDINALITY
           AS event (id, tenant_id, event_type, agent_id, session_id, execution_id, payload,
                     occurred_at, trace_context, place)
        ON event.place = wanted.place
     ORDER BY wanted.place
    ON CONFLICT (id) DO NOTHING
    RETURNING status
)
SELECT count(*) FROM recorded WHERE status = 'pending'";

/// An event for which there is an endpoint somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Which. Recorded again, it is the same one.
    pub id: EventId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, among the tenant's agents.
    pub agent_id: AgentId,
    /// The session that it is part of.
    pub session_id: SessionId,
    /// The execution in which it happened.
    pub execution_id: ExecutionId,
    /// `tool_called`, …
    pub event_type: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The body as it is signed and sent, byte for byte.
    pub payload: String,
    /// Where in a trace it was published, if that is recorded.
    pub trace: Option<TraceContext>,
}

/// An endpoint, as far as it says what it wants.
struct Endpoint {
    id: EventEndpointId,
    tenant_id: TenantId,
    agent_id: Option<AgentId>,
    /// None for all.
    event_types: Vec<String>,
}

impl Endpoint {
    fn from_row(row: &Row) -> Self {
        Self {
            id: EventEndpointId(row.get("id")),
            tenant_id: TenantId(row.get("tenant_id")),
            agent_id: row.get::<_, Option<Uuid>>("agent_id").map(AgentId),
            event_types: row.get("event_types"),
        }
    }

    fn wants(&self, event: &NewEvent) -> bool {
        self.tenant_id == event.tenant_id
            && self.agent_id.is_none_or(|agent| agent == event.agent_id)
            && (self.event_types.is_empty() || self.event_types.contains(&event.event_type))
    }
}

/// Writes down each of `events` for every endpoint that wants it, once, however often it is called;
/// for one that is disabled, as failed. Answers how many are new and to be sent.
pub async fn record(
    store: &Store,
    events: &[NewEvent],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let wanted = wanted(events, &endpoints(store, events).await?);
    if wanted.ids.is_empty() {
        return Ok(0);
    }
    let failed = StoreError::query("event_deliveries.record");
    let client = store.client("event_deliveries.record").await?;
    let statement = client.prepare_cached(RECORD).await.map_err(&failed)?;
    let ids = |id: fn(&NewEvent) -> Uuid| events.iter().map(id).collect::<Vec<Uuid>>();
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let payloads: Vec<&str> = events.iter().map(|event| event.payload.as_str()).collect();
    let traces: Vec<Option<&str>> =
        events.iter().map(|event| event.trace.as_ref().map(TraceContext::as_str)).collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|event| event.occurred_at).collect();
    let row = client
        .query_one(
            &statement,
            &[
                &wanted.ids,
                &wanted.endpoints,
                &wanted.places,
                &ids(|event| event.id.0),
                &ids(|event| event.tenant_id.0),
                &types,
                &ids(|event| event.agent_id.0),
                &ids(|event| event.session_id.0),
                &ids(|event| event.execution_id.0),
                &payloads,
                &times,
                &now,
                &super::ENDPOINT_DISABLED,
                &traces,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

async fn endpoints(store: &Store, events: &[NewEvent]) -> Result<Vec<Endpoint>, StoreError> {
    let failed = StoreError::query("event_deliveries.endpoints");
    let tenants: BTreeSet<Uuid> = events.iter().map(|event| event.tenant_id.0).collect();
    let agents: BTreeSet<Uuid> = events.iter().map(|event| event.agent_id.0).collect();
    let tenants: Vec<Uuid> = tenants.into_iter().collect();
    let agents: Vec<Uuid> = agents.into_iter().collect();
    let client = store.client("event_deliveries.endpoints").await?;
    let statement = client.prepare_cached(ENDPOINTS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenants, &agents]).await.map_err(&failed)?;
    Ok(rows.iter().map(Endpoint::from_row).collect())
}

/// Which event (by its place, from 1) goes to which endpoint, as columns.
#[derive(Default)]
struct Wanted {
    ids: Vec<Uuid>,
    endpoints: Vec<Uuid>,
    places: Vec<i64>,
}

fn wanted(events: &[NewEvent], endpoints: &[Endpoint]) -> Wanted {
    let mut wanted = Wanted::default();
    for (place, event) in (1..).zip(events) {
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.wants(event)) {
            wanted.ids.push(EventDeliveryId::derived(endpoint.id, event.id).0);
            wanted.endpoints.push(endpoint.id.0);
            wanted.places.push(place);
        }
    }
    wanted
}
