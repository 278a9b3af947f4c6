-- The foundation: owners, configuration, and the way of a message through the system.
--
-- Ids are made by the program (UUIDv7, or derived: see shared/types/src/ids.rs).
-- Two kinds of time: columns ending in _at that a service fills are that service's clock, for
-- people; leases and whatever decides who may work use the database's clock, the only one that
-- all instances share.

CREATE TABLE tenants (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE projects (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX projects_by_tenant ON projects (tenant_id);

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
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

CREATE TABLE providers (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('openai_compatible')),
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
    model         text NOT NULL,
    system_prompt text NOT NULL,
    version       integer NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    deleted_at    timestamptz
);
CREATE INDEX agents_by_tenant ON agents (tenant_id, id) WHERE deleted_at IS NULL;

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
    name                  text NOT NULL,
    trigger_type          text NOT NULL CHECK (trigger_type IN ('webhook')),
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
CREATE INDEX triggers_by_tenant ON triggers (tenant_id, id) WHERE deleted_at IS NULL;
CREATE INDEX triggers_by_app ON triggers (app_id) WHERE deleted_at IS NULL;
CREATE INDEX triggers_by_agent ON triggers (agent_id) WHERE deleted_at IS NULL;

CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    trigger_id uuid NOT NULL,
    agent_id   uuid NOT NULL,
    status     text NOT NULL DEFAULT 'active' CHECK (status IN ('active')),
    created_at timestamptz NOT NULL
);

-- One row for each accepted message. execution_id is written once, by executions.admit: that is
-- why a message is in exactly one execution.
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

CREATE TABLE executions (
    id               uuid PRIMARY KEY,
    tenant_id        uuid NOT NULL,
    trigger_id       uuid NOT NULL,
    agent_id         uuid NOT NULL,
    session_id       uuid NOT NULL,
    -- The seq of its first message: its place in the session.
    seq              bigint NOT NULL,
    message_ids      uuid[] NOT NULL,
    separator        text NOT NULL,
    -- The reply queues of those who wait for its end.
    reply_to         text[] NOT NULL DEFAULT '{}',
    status           text NOT NULL CHECK (status IN
                         ('queued', 'running', 'success', 'failed', 'timeout', 'cancelled')),
    attempt_count    integer NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    finished_at      timestamptz,
    normalized_query text,
    agent_response   text,
    error_code       text,
    error_message    text,
    tokens_used      bigint,
    cost_usd         double precision
) WITH (
    -- As above, for executions_unfinished.
    autovacuum_vacuum_scale_factor = 0.02
);
CREATE INDEX executions_unfinished ON executions (session_id, seq) WHERE finished_at IS NULL;
CREATE INDEX executions_by_session ON executions (session_id, seq) WHERE finished_at IS NOT NULL;
CREATE INDEX executions_by_trigger ON executions (trigger_id, seq);

CREATE TABLE llm_calls (
    id                  uuid PRIMARY KEY,
    tenant_id           uuid NOT NULL,
    execution_id        uuid NOT NULL,
    iteration           integer NOT NULL,
    provider            text NOT NULL,
    model               text NOT NULL,
    input_tokens        bigint,
    output_tokens       bigint,
    cached_input_tokens bigint,
    cost_usd            double precision,
    response_time_ms    bigint NOT NULL,
    finish_reason       text,
    created_at          timestamptz NOT NULL
);
CREATE INDEX llm_calls_by_execution ON llm_calls (execution_id);

CREATE TABLE deliveries (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    execution_id uuid NOT NULL,
    trigger_id   uuid NOT NULL,
    session_id   uuid NOT NULL,
    seq          bigint NOT NULL,
    status       text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    -- How many chunks the response became; NULL until it was planned.
    chunk_count  integer,
    -- Whether something had to be cut off.
    truncated    boolean NOT NULL DEFAULT false,
    error_code   text,
    error_message text,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz
);
CREATE INDEX deliveries_unfinished ON deliveries (session_id, seq) WHERE finished_at IS NULL;
CREATE INDEX deliveries_by_execution ON deliveries (execution_id);

CREATE TABLE chunks (
    delivery_id   uuid NOT NULL,
    chunk_index   integer NOT NULL, -- from 0
    body          text NOT NULL,
    status        text NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'skipped')),
    attempt_count integer NOT NULL DEFAULT 0,
    sent_at       timestamptz,
    -- What the channel calls it, a Twilio message SID for example.
    provider_id   text,
    PRIMARY KEY (delivery_id, chunk_index)
);

CREATE TABLE attempts (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL,
    delivery_id   uuid NOT NULL,
    chunk_index   integer NOT NULL,
    attempt       integer NOT NULL, -- from 1
    started_at    timestamptz NOT NULL,
    duration_ms   bigint NOT NULL,
    status_code   integer,
    error_code    text,
    -- At most 20,000 bytes.
    response_body text
);
CREATE INDEX attempts_by_delivery ON attempts (delivery_id, chunk_index, attempt);

-- One session's queue in front of one kind of work. See ARCHITECTURE.md, "Lanes".
CREATE TABLE lanes (
    kind        text NOT NULL CHECK (kind IN ('execution', 'delivery')),
    session_id  uuid NOT NULL,
    -- How many unfinished executions (or deliveries) the session has.
    queued      integer NOT NULL CHECK (queued >= 0),
    -- NULL: nothing to do. Past: may be claimed. Future: leased or parked until then.
    next_run_at timestamptz,
    lease_token uuid,
    PRIMARY KEY (kind, session_id)
) WITH (
    -- Rows are rewritten several times for each message, and lanes_due with them.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000
);
CREATE INDEX lanes_due ON lanes (kind, next_run_at) WHERE next_run_at IS NOT NULL;

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
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON members
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON apps
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON secrets
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON providers
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON agents
    FOR EACH ROW EXECUTE FUNCTION announce_configuration();
