-- The foundation: owners, configuration, and the way of a message through the system.
--
-- Ids are made by the program (UUIDv7, or derived: see shared/types/src/ids.rs).
-- Two kinds of time: columns ending in _at that a service fills are that service's clock, for
-- people; leases and whatever decides who may work use the database's clock, the only one that
-- all instances share.

CREATE TABLE tenants (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    -- Where tools may go when a context field or the model names the host: `api.example.com`,
    -- `*.example.com`, each with or without a port.
    allowed_hosts text[] NOT NULL DEFAULT '{}',
    -- In the same forms: where callbacks, tools and event webhooks may go at all. Empty: anywhere
    -- that the operator lets them.
    destination_hosts text[] NOT NULL DEFAULT '{}',
    -- What the operator grants it in a calendar month (UTC); NULL for as much as it likes.
    executions_per_month bigint,
    tokens_per_month     bigint,
    -- Which of them is used up, and until when: what housekeeping found when it last looked.
    over_quota       text CHECK (over_quota IN ('executions', 'tokens')),
    over_quota_until timestamptz,
    -- How long what has ended is kept: the whole of it, what people and agents said, and what went
    -- to models, tools and receivers. NULL for ever.
    executions_retention_days  integer,
    messages_retention_days    integer,
    call_bodies_retention_days integer,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

CREATE TABLE projects (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    external_id text,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (tenant_id, external_id)
);
CREATE INDEX projects_by_tenant ON projects (tenant_id, id);

-- Values are sealed: XChaCha20-Poly1305 under the key that key_id names, bound to owner and name.
CREATE TABLE secrets (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    key_id     text NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);

-- Only the SHA-256 of a key is kept; it has 238 bits of randomness, so a slow hash buys nothing.
CREATE TABLE api_keys (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    prefix     text NOT NULL,
    hash       bytea NOT NULL UNIQUE,
    -- recado_types::scope; NULL for what a key may do if nothing else is said.
    scopes     text[],
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    -- To the minute.
    last_used_at timestamptz
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

CREATE TABLE providers (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('openai_compatible', 'anthropic')),
    base_url   text NOT NULL,
    secret_ref text,
    -- {"<model>": {"input_per_million_usd": n, "output_per_million_usd": n, …}}
    prices     jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE agents (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES tenants,
    project_id    uuid NOT NULL REFERENCES projects,
    name          text NOT NULL,
    external_id   text,
    labels        jsonb NOT NULL DEFAULT '{}',
    version       integer NOT NULL DEFAULT 1,
    -- What the current version says (recado_types::agent::AgentSpec), and what it refers to.
    spec          jsonb NOT NULL,
    providers     text[] NOT NULL,
    tool_ids      uuid[] NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz
);
CREATE INDEX agents_by_tenant ON agents (tenant_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX agents_by_external_id ON agents (tenant_id, external_id)
    WHERE external_id IS NOT NULL AND deleted_at IS NULL;

-- Every version of an agent: an execution that began with one goes on with it.
CREATE TABLE agent_versions (
    tenant_id  uuid NOT NULL,
    agent_id   uuid NOT NULL REFERENCES agents,
    version    integer NOT NULL,
    name       text NOT NULL,
    spec       jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (agent_id, version)
);

-- What agents can do besides talking.
CREATE TABLE tools (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    description text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('http', 'mcp', 'agent')),
    -- recado_types::tool::ToolSpec, and what it refers to.
    config      jsonb NOT NULL,
    secret_refs text[] NOT NULL,
    agent_id    uuid REFERENCES agents,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX tools_by_agent ON tools (agent_id) WHERE agent_id IS NOT NULL;

-- The team: who may write where a trigger's sender_access says `members`.
CREATE TABLE members (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    -- Each as it was given, and as it is compared (see recado_types::identity); the latter is what
    -- senders are looked up by.
    phone       text,
    phone_key   text,
    email       text,
    email_key   text,
    external_id text,
    active      boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (tenant_id, phone_key),
    UNIQUE (tenant_id, email_key),
    UNIQUE (tenant_id, external_id)
);
CREATE INDEX members_by_tenant ON members (tenant_id, id);

-- Published agents with webhook channels (seed 003); each channel is a trigger.
CREATE TABLE apps (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    status     text NOT NULL CHECK (status IN ('draft', 'published', 'archived')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX apps_by_tenant ON apps (tenant_id, id);

CREATE TABLE triggers (
    id                    uuid PRIMARY KEY,
    tenant_id             uuid NOT NULL REFERENCES tenants,
    project_id            uuid NOT NULL REFERENCES projects,
    agent_id              uuid NOT NULL REFERENCES agents,
    -- What its maker calls it in addresses; its id derives from it then.
    external_id           text,
    name                  text NOT NULL,
    description           text NOT NULL DEFAULT '',
    trigger_type          text NOT NULL CHECK (trigger_type IN
                                  ('webhook', 'schedule', 'db_event', 'email')),
    trigger_config        jsonb NOT NULL,
    webhook_secret_key_id text NOT NULL,
    webhook_secret_sealed bytea NOT NULL,
    -- After a rotation, the secret before it, which is good until then.
    previous_webhook_secret_key_id     text,
    previous_webhook_secret_sealed     bytea,
    previous_webhook_secret_expires_at timestamptz,
    -- The app whose webhook channel it is (seed 003), if it is one.
    app_id                uuid REFERENCES apps,
    enabled               boolean NOT NULL DEFAULT true,
    version               integer NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    -- Deleted triggers stay for the executions that refer to them and the messages on their way.
    deleted_at            timestamptz,
    -- For messages, which say both.
    UNIQUE (id, tenant_id)
);
-- What people look at: a tenant's triggers, newest first, those that are on or off, of a name, or
-- of an agent.
CREATE INDEX triggers_by_tenant ON triggers (tenant_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX triggers_by_enabled ON triggers (tenant_id, enabled, created_at, id)
    WHERE deleted_at IS NULL;
CREATE INDEX triggers_by_name ON triggers (tenant_id, name, created_at, id)
    WHERE deleted_at IS NULL;
CREATE INDEX triggers_by_agent ON triggers (agent_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX triggers_by_app ON triggers (app_id) WHERE deleted_at IS NULL;

-- A trigger that fires by itself has a row here, from the moment it is saved until it is deleted.
CREATE TABLE sources (
    trigger_id    uuid PRIMARY KEY REFERENCES triggers,
    tenant_id     uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('schedule', 'db_event', 'imap')),
    -- When there is something to do next, by the clock of whoever looks: a schedule is about time as
    -- people have it. -infinity for at once; NULL for never: the trigger is disabled, or has no
    -- tick left.
    due_at        timestamptz,
    -- Where it begins if there is no position.
    since         timestamptz NOT NULL,
    -- How far it got, in the words of its kind; NULL before the first time.
    position      jsonb,
    -- Who is at it, and until when, by the database's clock.
    lease_token   uuid,
    leased_until  timestamptz,
    -- What went wrong, as long as it does.
    failure_count integer NOT NULL DEFAULT 0,
    error_code    text,
    error_message text,
    failing_since timestamptz,
    -- When something last came of it.
    fired_at      timestamptz,
    -- What did not become a message since it was last changed, and why the last of it did not.
    left_out_count  bigint NOT NULL DEFAULT 0,
    left_out_reason text
);
CREATE INDEX sources_due ON sources (kind, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX sources_by_tenant ON sources (tenant_id, trigger_id);

-- What a configuration says of where to look, without how: the same means that it is read on from
-- where it was left. NULL for nothing, however that is written.
CREATE FUNCTION source_of(config jsonb, kind text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind
        WHEN 'schedule' THEN nullif(config -> 'schedule', 'null')
        WHEN 'db_event' THEN jsonb_build_array(
            nullif(config #> '{db_event,listen}', 'null'),
            nullif(config #> '{db_event,outbox}', 'null')
                - '{query,settle_ms,poll_ms,batch,notify}'::text[])
        ELSE nullif(config #> '{email,imap}', 'null')
            - '{port,tls,secret_ref,mark_seen}'::text[]
    END $$;

-- Derived from triggers, whoever changes them. Any change interrupts who is at work: they read the
-- trigger again. What a schedule missed before it was changed or enabled is not made up for; a
-- database and a mailbox are read on from where they were left, unless another one is meant.
CREATE FUNCTION derive_source() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kind text := CASE NEW.trigger_type
        WHEN 'schedule' THEN 'schedule'
        WHEN 'db_event' THEN 'db_event'
        WHEN 'email' THEN CASE WHEN source_of(NEW.trigger_config, 'imap') IS NOT NULL
                               THEN 'imap' END
    END;
    begins_anew boolean := true;
BEGIN
    IF kind IS NULL OR NEW.deleted_at IS NOT NULL THEN
        DELETE FROM sources WHERE trigger_id = NEW.id;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        begins_anew := OLD.deleted_at IS NOT NULL
            OR (kind = 'schedule' AND NOT OLD.enabled)
            OR source_of(NEW.trigger_config, kind) IS DISTINCT FROM source_of(OLD.trigger_config, kind);
    END IF;
    INSERT INTO sources (trigger_id, tenant_id, kind, due_at, since)
    VALUES (NEW.id, NEW.tenant_id, kind, CASE WHEN NEW.enabled THEN '-infinity'::timestamptz END,
            NEW.updated_at)
    ON CONFLICT (trigger_id) DO UPDATE
       SET kind = excluded.kind, due_at = excluded.due_at,
           since = CASE WHEN begins_anew THEN excluded.since ELSE sources.since END,
           position = CASE WHEN begins_anew THEN NULL ELSE sources.position END,
           lease_token = NULL, leased_until = NULL, failure_count = 0,
           error_code = NULL, error_message = NULL, failing_since = NULL,
           left_out_count = 0, left_out_reason = NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER derive_source
    AFTER INSERT OR UPDATE OF trigger_config, enabled, deleted_at ON triggers
    FOR EACH ROW EXECUTE FUNCTION derive_source();

-- What failed for want of a secret, or because of a wrong one, is tried again at once.
CREATE FUNCTION retry_sources() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sources SET due_at = '-infinity'
     WHERE tenant_id = NEW.tenant_id AND error_code IS NOT NULL AND due_at IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER retry_sources AFTER INSERT OR UPDATE ON secrets
    FOR EACH ROW EXECUTE FUNCTION retry_sources();

CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    trigger_id uuid NOT NULL,
    agent_id   uuid NOT NULL,
    -- suspended: nothing runs, what comes waits. handed_off: a person answers; what comes is
    -- remembered, and nothing runs for it.
    status     text NOT NULL DEFAULT 'active'
                   CHECK (status IN ('active', 'suspended', 'handed_off')),
    -- Why, as whoever changed it said.
    status_reason text,
    created_at timestamptz NOT NULL
);
CREATE INDEX sessions_by_tenant ON sessions (tenant_id, created_at, id);

-- What a session's executions are told of its past. The latest sequence counts; before the first
-- there is window 1, which has no row: everything verbatim.
CREATE TABLE context_windows (
    id                uuid PRIMARY KEY,
    tenant_id         uuid NOT NULL,
    session_id        uuid NOT NULL,
    sequence          integer NOT NULL, -- from 2
    -- The execution that began it.
    execution_id      uuid NOT NULL,
    -- Executions with a smaller seq are told by the summary alone.
    from_seq          bigint NOT NULL,
    summary           text,
    -- Of that execution, tool outputs of earlier iterations are left out.
    outputs_from      integer NOT NULL DEFAULT 0,
    strategies        text[] NOT NULL,
    n_messages        integer NOT NULL,
    prompt_tokens     bigint,
    completion_tokens bigint,
    created_at        timestamptz NOT NULL,
    UNIQUE (session_id, sequence)
);

-- One row for each accepted message. execution_id is written by executions.admit, where it is not
-- set: that is why a message is in exactly one execution. Only executions.supersede moves it, from
-- a run that ends without a result to the next one.
CREATE TABLE messages (
    id           uuid PRIMARY KEY,
    -- The order of the broker's queue, as the first service to record a message saw it.
    seq          bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id    uuid NOT NULL,
    trigger_id   uuid NOT NULL,
    session_id   uuid NOT NULL,
    execution_id uuid,
    -- What it says, in short: a provider that gives one id to two messages is told so.
    fingerprint  uuid,
    -- When a request with it was last confirmed by the broker; see messages.mark_requested.
    requested_at timestamptz,
    text         text NOT NULL,
    -- json, not jsonb: it is written once and read once, as it came.
    context      json NOT NULL,
    -- What came and what was made of it, {"request": …, "transformed": …}, for those who look
    -- invocations up (seed 001): of triggers with the generic channel only.
    payload      json,
    -- Where in a trace it was published (W3C Trace Context); NULL if that is not recorded.
    trace_context text,
    accepted_at  timestamptz NOT NULL,
    -- When it was recorded, by the database's clock: what the sweeper measures waiting with.
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (trigger_id, tenant_id) REFERENCES triggers (id, tenant_id)
) WITH (
    -- Each row leaves messages_open soon after it came: dead entries must not gather there.
    autovacuum_vacuum_scale_factor = 0.02
);
-- The open windows, and nothing else.
CREATE INDEX messages_open ON messages (session_id, seq) WHERE execution_id IS NULL;
-- The same, for whoever sees one tenant only.
CREATE INDEX messages_open_by_tenant ON messages (tenant_id, session_id, seq)
    WHERE execution_id IS NULL;

CREATE TABLE executions (
    id               uuid PRIMARY KEY,
    tenant_id        uuid NOT NULL,
    trigger_id       uuid NOT NULL,
    agent_id         uuid NOT NULL,
    -- What it began with; NULL until it did.
    agent_version    integer,
    agent_variation  text,
    session_id       uuid NOT NULL,
    -- Of a sub-agent's execution: the call that it answers, what it is asked, and the message
    -- whose context it works in.
    parent_execution_id uuid,
    parent_tool_call_id uuid,
    depth            integer NOT NULL DEFAULT 0,
    input            text,
    context_from     uuid,
    -- In place of the trigger's, for a sub-agent: what its parent had left.
    timeout_ms       bigint,
    -- The seq of its first message: its place in the session.
    seq              bigint NOT NULL,
    message_ids      uuid[] NOT NULL,
    separator        text NOT NULL,
    -- The reply queues of those who wait for its end.
    reply_to         text[] NOT NULL DEFAULT '{}',
    status           text NOT NULL CHECK (status IN
                         ('queued', 'running', 'waiting',
                          'success', 'failed', 'timeout', 'cancelled')),
    attempt_count    integer NOT NULL DEFAULT 0,
    cancel_requested_at timestamptz,
    -- How long it has waited for people, which is no time of its own; and since when it does.
    paused_ms        bigint NOT NULL DEFAULT 0,
    paused_at        timestamptz,
    -- The execution that took its messages over, and how often that happened to them.
    superseded_by    uuid,
    supersede_count  integer NOT NULL DEFAULT 0,
    -- What happened in it is not known to be published: told again by whoever takes it up, or by
    -- the sweeper once it has ended.
    events_due       boolean NOT NULL DEFAULT false,
    -- Where in a trace it was asked for, NULL if that is not recorded; and the id that the span of
    -- its last attempt has, which what follows from it is below.
    trace_context    text,
    span_id          text,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    finished_at      timestamptz,
    -- How it ended; NULL until it did. Indexes go by this and not by status, so that none of them is
    -- touched when an execution begins (heap-only tuples).
    result           text GENERATED ALWAYS AS (
        CASE WHEN status IN ('success', 'failed', 'timeout', 'cancelled') THEN status END) STORED,
    normalized_query text,
    agent_response   text,
    -- Who said it in the agent's place; NULL for the agent. Such a row has ended when it is made,
    -- has no messages, and takes its context from that of the session's last one.
    author           text,
    error_code       text,
    error_message    text,
    tokens_used      bigint,
    cost_usd         double precision,
    -- What housekeeping has taken away of it: 0 nothing, 1 what went to models, tools and
    -- receivers, 2 what was said, too.
    erased           smallint NOT NULL DEFAULT 0
) WITH (
    -- As above, for executions_unfinished.
    autovacuum_vacuum_scale_factor = 0.02,
    -- Room for the row as it is when it has begun, beside the one that was queued.
    fillfactor = 60
);
CREATE INDEX executions_unfinished ON executions (session_id, seq) WHERE finished_at IS NULL;
CREATE INDEX executions_by_session ON executions (session_id, seq) WHERE finished_at IS NOT NULL;
-- The past that a session remembers; see executions.start.
CREATE INDEX executions_remembered ON executions (session_id, seq)
    WHERE (result = 'success' OR error_code = 'session_handed_off')
      AND normalized_query IS NOT NULL;
-- In the order in which they ended: what housekeeping counts, and what it takes away. Nothing that
-- was taken away is met again, and nothing that has ended late is missed.
CREATE INDEX executions_ended ON executions (tenant_id, erased, finished_at, id)
    WHERE finished_at IS NOT NULL;
CREATE INDEX executions_by_parent ON executions (parent_execution_id)
    WHERE parent_execution_id IS NOT NULL;
CREATE INDEX executions_events_due ON executions (finished_at)
    WHERE events_due AND finished_at IS NOT NULL;
-- What people look at: a trigger's executions and a tenant's, newest first; and, among all that
-- went well, what did not.
CREATE INDEX executions_by_trigger ON executions (trigger_id, created_at, id)
    WHERE parent_execution_id IS NULL;
CREATE INDEX executions_by_tenant ON executions (tenant_id, created_at, id)
    WHERE parent_execution_id IS NULL;
CREATE INDEX executions_bad_by_trigger ON executions (trigger_id, created_at, id)
    WHERE result IN ('failed', 'timeout', 'cancelled') AND parent_execution_id IS NULL;
CREATE INDEX executions_bad_by_tenant ON executions (tenant_id, created_at, id)
    WHERE result IN ('failed', 'timeout') AND parent_execution_id IS NULL;
-- Those of one trigger are looked for among these: they are few.
CREATE INDEX executions_unfinished_by_tenant ON executions (tenant_id, created_at, id)
    WHERE finished_at IS NULL AND parent_execution_id IS NULL;
-- A session has one trigger, that one agent, and that one tenant. Without this PostgreSQL takes them
-- to be independent of each other, expects next to no row of a session or an agent, and sorts what it
-- could have walked in order.
CREATE STATISTICS executions_owners (dependencies)
    ON tenant_id, trigger_id, agent_id, session_id FROM executions;

-- The journal: what is in it is not done again.
CREATE TABLE llm_calls (
    id                  uuid PRIMARY KEY,
    tenant_id           uuid NOT NULL,
    execution_id        uuid NOT NULL,
    -- Its place among all calls of the execution, from 1; ids derive from it.
    number              integer NOT NULL,
    -- turn: a step of the loop. summary: it shortened the past.
    purpose             text NOT NULL CHECK (purpose IN ('turn', 'summary')),
    -- Which turn of the loop it was, from 1; of a summary, the turn it was made for.
    iteration           integer NOT NULL,
    window_sequence     integer NOT NULL,
    provider            text NOT NULL,
    model               text NOT NULL,
    -- What the model said.
    response            json,
    input_tokens        bigint,
    output_tokens       bigint,
    cached_input_tokens bigint,
    cost_usd            double precision,
    response_time_ms    bigint NOT NULL,
    finish_reason       text,
    created_at          timestamptz NOT NULL
);
CREATE INDEX llm_calls_by_execution ON llm_calls (execution_id, number);

CREATE TABLE tool_calls (
    id                  uuid PRIMARY KEY,
    tenant_id           uuid NOT NULL,
    execution_id        uuid NOT NULL,
    iteration           integer NOT NULL,
    call_index          integer NOT NULL, -- from 0
    -- What the model calls it.
    provider_call_id    text NOT NULL,
    tool_name           text NOT NULL,
    -- NULL if there is no such tool; and as of when it was asked for.
    tool_id             uuid,
    tool_updated_at     timestamptz,
    -- What it is called with, hidden values left out.
    input               json NOT NULL,
    -- requested: to be made. delegated: a sub-agent is at it.
    status              text NOT NULL CHECK (status IN
                            ('requested', 'waiting_for_approval', 'approved', 'denied',
                             'delegated', 'success', 'error')),
    -- What the model is told of it.
    output              text,
    -- Whether something had to be cut off.
    truncated           boolean NOT NULL DEFAULT false,
    error_message       text,
    duration_ms         bigint,
    approval_expires_at timestamptz,
    decided_at          timestamptz,
    -- Who decided, and what they say about it.
    decided_by          text,
    memo                text,
    child_execution_id  uuid,
    created_at          timestamptz NOT NULL,
    finished_at         timestamptz
);
CREATE INDEX tool_calls_by_execution ON tool_calls (execution_id, iteration, call_index);
CREATE INDEX tool_calls_waiting ON tool_calls (tenant_id, id)
    WHERE status = 'waiting_for_approval';

CREATE TABLE deliveries (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    execution_id uuid NOT NULL,
    trigger_id   uuid NOT NULL,
    session_id   uuid NOT NULL,
    -- Its place in the session: that of its execution, or of the last one that was on its way when
    -- it was asked for.
    seq          bigint NOT NULL,
    status       text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    -- How many chunks the response became; NULL until it was planned.
    chunk_count  integer,
    -- Whether something had to be cut off.
    truncated    boolean NOT NULL DEFAULT false,
    error_code   text,
    error_message text,
    -- How often it was asked for: once by the agent, then by whoever had it delivered again.
    round        integer NOT NULL DEFAULT 1,
    -- The round in which it was last to be sent as a whole: its chunks were cut then, and their
    -- idempotency keys are of then.
    whole_round  integer NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL,
    -- When it was asked for the last time.
    requested_at timestamptz NOT NULL,
    finished_at  timestamptz
);
CREATE INDEX deliveries_unfinished ON deliveries (session_id, seq) WHERE finished_at IS NULL;
CREATE INDEX deliveries_by_execution ON deliveries (execution_id);
CREATE INDEX deliveries_by_tenant ON deliveries (tenant_id, created_at, id);
CREATE INDEX deliveries_by_trigger ON deliveries (tenant_id, trigger_id, created_at, id);
-- What people look for, among all that went well.
CREATE INDEX deliveries_failed ON deliveries (tenant_id, created_at, id) WHERE status = 'failed';
CREATE INDEX deliveries_pending ON deliveries (tenant_id, created_at, id) WHERE status = 'pending';

CREATE TABLE chunks (
    delivery_id   uuid NOT NULL,
    chunk_index   integer NOT NULL, -- from 0
    -- Empty once housekeeping took it away.
    body          text NOT NULL,
    status        text NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'skipped')),
    attempt_count integer NOT NULL DEFAULT 0,
    sent_at       timestamptz,
    -- What the channel calls it, a Twilio message SID for example.
    provider_id   text,
    PRIMARY KEY (delivery_id, chunk_index)
);

CREATE TABLE attempts (
    id            uuid NOT NULL,
    tenant_id     uuid NOT NULL,
    delivery_id   uuid NOT NULL,
    chunk_index   integer NOT NULL,
    -- The delivery's round, and the attempt's number in it; both from 1.
    round         integer NOT NULL,
    attempt       integer NOT NULL,
    started_at    timestamptz NOT NULL,
    duration_ms   bigint NOT NULL,
    status_code   integer,
    error_code    text,
    -- At most 20,000 bytes.
    response_body text,
    PRIMARY KEY (delivery_id, chunk_index, round, attempt)
);

-- A trigger's callback is a destination. It has a row while it does not answer: then nothing is
-- sent there but one delivery at a time, to see whether it does again.
CREATE TABLE destinations (
    trigger_id    uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL,
    -- How many requests in a row were not answered, or with a sign of overload.
    failure_count integer NOT NULL,
    -- What came of the last of them.
    error_code    text NOT NULL,
    error_message text NOT NULL,
    -- How often it was tried since without an answer.
    probe_count   integer NOT NULL DEFAULT 0,
    -- When it may be tried next, by the database's clock.
    probe_at      timestamptz NOT NULL,
    opened_at     timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
CREATE INDEX destinations_by_tenant ON destinations (tenant_id, trigger_id);

-- Where an agent's events are sent to.
CREATE TABLE event_endpoints (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES tenants,
    -- Whose events; NULL for those of every agent of the tenant.
    agent_id      uuid REFERENCES agents,
    name          text NOT NULL,
    url           text NOT NULL,
    -- Which: `tool_called`, …; none for all.
    event_types   text[] NOT NULL DEFAULT '{}',
    -- What they are signed with (Standard Webhooks).
    secret_key_id text NOT NULL,
    secret_sealed bytea NOT NULL,
    -- After a rotation, the secret before it, which signs too until then.
    previous_secret_key_id     text,
    previous_secret_sealed     bytea,
    previous_secret_expires_at timestamptz,
    enabled       boolean NOT NULL DEFAULT true,
    -- Why Recado disabled it, as a stable code and for people; NULL if a person did, or nobody.
    disabled_code    text,
    disabled_message text,
    disabled_at      timestamptz,
    -- Since when every attempt has failed; NULL while they succeed.
    failing_since timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    -- Deleted endpoints stay for the deliveries that refer to them.
    deleted_at    timestamptz
);
CREATE UNIQUE INDEX event_endpoints_by_name ON event_endpoints (tenant_id, name)
    WHERE deleted_at IS NULL;
CREATE INDEX event_endpoints_by_agent ON event_endpoints (agent_id)
    WHERE deleted_at IS NULL AND agent_id IS NOT NULL;

-- One event for one endpoint; the id derives from both.
CREATE TABLE event_deliveries (
    id            uuid PRIMARY KEY,
    seq           bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id     uuid NOT NULL,
    endpoint_id   uuid NOT NULL,
    event_id      uuid NOT NULL,
    event_type    text NOT NULL,
    agent_id      uuid NOT NULL,
    session_id    uuid NOT NULL,
    execution_id  uuid NOT NULL,
    -- The body as it is signed and sent, byte for byte; empty once housekeeping took it away.
    payload       text NOT NULL,
    status        text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    -- How often it was asked for, and how often it was tried since it was asked for last.
    round         integer NOT NULL DEFAULT 1,
    attempt_count integer NOT NULL DEFAULT 0,
    -- NULL: not to be tried. Past: may be claimed. Future: leased, or waiting until then.
    next_attempt_at timestamptz,
    lease_token   uuid,
    error_code    text,
    -- Where in a trace the event was published; NULL if that is not recorded.
    trace_context text,
    occurred_at   timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    -- Whether housekeeping took its payload away, and what was answered to it.
    erased        boolean NOT NULL DEFAULT false
) WITH (
    autovacuum_vacuum_scale_factor = 0.02
);
-- Each endpoint's queue by itself, so that a claim can take from all of them in turn.
CREATE INDEX event_deliveries_due ON event_deliveries (endpoint_id, next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX event_deliveries_leased ON event_deliveries (endpoint_id)
    WHERE lease_token IS NOT NULL;
-- What comes first in an execution is tried first.
CREATE INDEX event_deliveries_untried ON event_deliveries (endpoint_id, execution_id, seq)
    WHERE status = 'pending' AND attempt_count = 0;
CREATE INDEX event_deliveries_by_endpoint ON event_deliveries (endpoint_id, seq);
-- What may have to be recovered.
CREATE INDEX event_deliveries_failed ON event_deliveries (endpoint_id, seq)
    WHERE status = 'failed';
CREATE INDEX event_deliveries_by_execution ON event_deliveries (execution_id);
-- As executions_ended.
CREATE INDEX event_deliveries_ended ON event_deliveries (tenant_id, erased, finished_at, id)
    WHERE finished_at IS NOT NULL;

CREATE TABLE event_attempts (
    id                uuid PRIMARY KEY,
    tenant_id         uuid NOT NULL,
    event_delivery_id uuid NOT NULL,
    round             integer NOT NULL,
    attempt           integer NOT NULL, -- from 1
    started_at        timestamptz NOT NULL,
    duration_ms       bigint NOT NULL,
    status_code       integer,
    error_code        text,
    -- [[name, value], …], at most 8 KiB.
    response_headers  json,
    -- At most 20,000 bytes.
    response_body     text
);
CREATE INDEX event_attempts_by_delivery
    ON event_attempts (event_delivery_id, round, attempt);

-- One session's queue in front of one kind of work. See ARCHITECTURE.md, "Lanes".
CREATE TABLE lanes (
    kind        text NOT NULL CHECK (kind IN ('execution', 'delivery')),
    session_id  uuid NOT NULL,
    tenant_id   uuid NOT NULL,
    -- Where its deliveries go: see destinations. NULL for executions.
    trigger_id  uuid,
    -- How many unfinished executions (or deliveries) the session has.
    queued      integer NOT NULL CHECK (queued >= 0),
    -- NULL: nothing to do. Past: may be claimed. Future: leased, or parked until then; infinity:
    -- parked until somebody sets it.
    next_run_at timestamptz,
    lease_token uuid,
    PRIMARY KEY (kind, session_id)
) WITH (
    -- Rows are rewritten several times for each message, and their indexes with them.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000
);
-- Each tenant's queue by itself, so that a claim can take from all of them in turn; of deliveries,
-- each destination's.
CREATE INDEX lanes_due ON lanes (tenant_id, next_run_at)
    WHERE kind = 'execution' AND next_run_at IS NOT NULL;
CREATE INDEX lanes_due_deliveries ON lanes (tenant_id, trigger_id, next_run_at)
    WHERE kind = 'delivery' AND next_run_at IS NOT NULL;
-- How many of a tenant's executions run.
CREATE INDEX lanes_leased ON lanes (tenant_id)
    WHERE kind = 'execution' AND lease_token IS NOT NULL;

-- Whoever caches configuration listens to this channel. Payload: `<table> <id> <tenant id>`.
CREATE FUNCTION announce_configuration() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record;
BEGIN
    changed := coalesce(NEW, OLD);
    PERFORM pg_notify('recado_configuration',
                      TG_TABLE_NAME || ' ' || changed.id || ' ' || changed.tenant_id);
    RETURN NULL;
END
$$;

CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON triggers
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
-- Of members it is told whose they are and not who, and of what is said twice in a transaction
-- PostgreSQL sends one: so thousands that are imported are one piece of news.
CREATE FUNCTION announce_members() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid := coalesce(NEW.tenant_id, OLD.tenant_id);
BEGIN
    PERFORM pg_notify('recado_configuration', 'members ' || tenant || ' ' || tenant);
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON members
    FOR EACH ROW EXECUTE FUNCTION announce_members();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON apps
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON secrets
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
-- That a key was used is no news.
CREATE TRIGGER announce
    AFTER INSERT OR DELETE OR UPDATE OF tenant_id, name, hash, scopes, expires_at, revoked_at
    ON api_keys
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON providers
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON agents
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON tools
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();

-- Who changed what through the API. A row is there before the change is made.
CREATE TABLE audit_log (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    at           timestamptz NOT NULL,
    subject      text NOT NULL,
    role         text NOT NULL,
    method       text NOT NULL,
    -- As it was called, without its query; and the operation: `/api/triggers/{id}`.
    path         text NOT NULL,
    operation    text NOT NULL,
    request_id   text NOT NULL,
    -- Which fields were given, by name only.
    fields       text[] NOT NULL DEFAULT '{}',
    -- What was answered; NULL as long as nothing was, for ever if the process died over it.
    status       integer,
    -- The id of what was made.
    resource_id  text
);
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, at, id);

-- First answers to requests with an Idempotency-Key, for a day.
CREATE TABLE idempotent_requests (
    tenant_id   uuid NOT NULL,
    key         text NOT NULL,
    -- SHA-256 of method, path, query, subject and body.
    fingerprint bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    -- While NULL, somebody is at it, until then.
    status      integer,
    busy_until  timestamptz NOT NULL,
    headers     json,
    -- Sealed: it may hold what is shown only once.
    body_key_id text,
    body_sealed bytea,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotent_requests_by_time ON idempotent_requests (created_at);

-- What a tenant used, by day (UTC) on which it ended.
CREATE TABLE usage_days (
    tenant_id         uuid NOT NULL REFERENCES tenants,
    day               date NOT NULL,
    executions        bigint NOT NULL,
    failed_executions bigint NOT NULL,
    messages          bigint NOT NULL,
    input_tokens      bigint NOT NULL,
    output_tokens     bigint NOT NULL,
    tokens            bigint NOT NULL,
    cost_usd          double precision NOT NULL,
    deliveries        bigint NOT NULL,
    failed_deliveries bigint NOT NULL,
    PRIMARY KEY (tenant_id, day)
);

-- Housekeeping: its columns and indexes stand with their tables.

-- The same for each five minutes of the last days, as it was counted last: usage_days is their sum.
-- Counted again as long as something may still come late, so each row is what there is, and not
-- what was added.
CREATE TABLE usage_spans (
    tenant_id         uuid NOT NULL REFERENCES tenants,
    starts_at         timestamptz NOT NULL,
    executions        bigint NOT NULL,
    failed_executions bigint NOT NULL,
    messages          bigint NOT NULL,
    input_tokens      bigint NOT NULL,
    output_tokens     bigint NOT NULL,
    tokens            bigint NOT NULL,
    cost_usd          double precision NOT NULL,
    deliveries        bigint NOT NULL,
    failed_deliveries bigint NOT NULL,
    -- All that ended in it, those of sub-agents included: what is compared to see whether something
    -- came late.
    ended             bigint NOT NULL,
    PRIMARY KEY (tenant_id, starts_at)
);

-- Ingress refuses the messages of a tenant that is over its quota, and sources let go of databases and
-- mailboxes that it may not reach any more.
CREATE FUNCTION announce_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('recado_configuration', 'tenants ' || NEW.id || ' ' || NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER announce
    AFTER UPDATE OF over_quota, over_quota_until, destination_hosts ON tenants
    FOR EACH ROW
    WHEN (OLD.over_quota IS DISTINCT FROM NEW.over_quota
          OR OLD.over_quota_until IS DISTINCT FROM NEW.over_quota_until
          OR OLD.destination_hosts IS DISTINCT FROM NEW.destination_hosts)
    EXECUTE FUNCTION announce_tenant();

-- Two roles, of which neither owns anything (docs/adr/0017-row-level-security.md). A process logs
-- in as whoever it is told to be, and then becomes one of them.
--
-- recado_worker moves messages, whosever they are. recado_management answers people: it sees one
-- tenant at a time, the one that its connection names in recado.tenant_id, whatever its statements
-- ask for.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['recado_worker', 'recado_management'] LOOP
        -- Roles belong to the whole server: another database may have made them, or an operator, for
        -- a login that may make none.
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- A migration of another database, at this moment.
                NULL;
            END;
        END IF;
        -- Since 16, who makes a role may grant it, and neither become it nor act with its rights.
        IF current_setting('server_version_num')::integer < 160000 THEN
            IF NOT pg_has_role(current_user, name, 'MEMBER') THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', name);
            END IF;
        ELSIF NOT pg_has_role(current_user, name, 'USAGE')
              OR NOT pg_has_role(current_user, name, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', name);
        END IF;
        -- recado_api_key looks past the policies with the rights of recado_worker.
        IF NOT pg_has_role(current_user, name, 'USAGE') THEN
            RAISE EXCEPTION 'the login % does not act with the rights of %', current_user, name
                USING HINT = format('ALTER ROLE %I INHERIT', current_user);
        END IF;
    END LOOP;
END
$$;

-- Whose connection it is; NULL for nobody's.
CREATE FUNCTION recado_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT nullif(current_setting('recado.tenant_id', true), '')::uuid $$;

-- Whose key it is: asked before it is known who asks, so it looks past the policies.
CREATE FUNCTION recado_api_key(wanted bytea)
    RETURNS TABLE (id uuid, tenant_id uuid, scopes text[], expires_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS
    $$ SELECT k.id, k.tenant_id, k.scopes, k.expires_at FROM api_keys k
        WHERE k.hash = wanted AND k.revoked_at IS NULL $$;
REVOKE EXECUTE ON FUNCTION recado_api_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recado_api_key TO recado_worker, recado_management;

DO $$
DECLARE
    name text;
    -- What a row has to be for its tenant to see it.
    condition text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables
                 WHERE schemaname = 'public' AND tablename <> 'refinery_schema_history' LOOP
        condition := CASE name
            WHEN 'tenants' THEN 'id = (SELECT recado_tenant())'
            WHEN 'chunks' THEN 'EXISTS (SELECT FROM deliveries d WHERE d.id = delivery_id)'
            ELSE 'tenant_id = (SELECT recado_tenant())'
        END;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY worker ON %I TO recado_worker USING (true)', name);
        EXECUTE format('CREATE POLICY tenant ON %I TO recado_management USING (%s)',
                       name, condition);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I
                           TO recado_worker, recado_management', name);
    END LOOP;
END
$$;

-- Who writes in an agent's place takes the next place in the session, as messages do.
GRANT USAGE ON SEQUENCE messages_seq_seq TO recado_management;

-- Operators see which tenants there are, and nothing of what is theirs.
CREATE POLICY operator ON tenants TO recado_management
    USING (current_setting('recado.operator', true) = 'on');

-- Nobody rewrites what was done: what came of a call is said once.
REVOKE UPDATE, DELETE ON audit_log FROM recado_management;
GRANT UPDATE (status, fields, resource_id) ON audit_log TO recado_management;
CREATE POLICY once ON audit_log AS RESTRICTIVE FOR UPDATE TO recado_management
    USING (status IS NULL) WITH CHECK (true);

GRANT SELECT ON refinery_schema_history TO recado_worker, recado_management;
