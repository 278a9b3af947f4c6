-- The role that the tenant view of Grafana logs in as. It sees counts, states, times, codes and
-- names, of every tenant; no text of a message, no context, no answer, no secret.
--
-- As the owner of the schema, who may make roles, after `recado migrate`; again after each upgrade:
--
--   psql "$RECADO_DATABASE_URL" -v password=… -f deploy/grafana/read-only-role.sql

\set ON_ERROR_STOP on
BEGIN;

SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'recado_grafana') AS is_new \gset
\if :is_new
CREATE ROLE recado_grafana LOGIN NOINHERIT;
\endif
SELECT :'password' = '' AS has_no_password \gset
\if :has_no_password
DO $$ BEGIN RAISE EXCEPTION 'the password is empty'; END $$;
\endif
ALTER ROLE recado_grafana CONNECTION LIMIT 20 PASSWORD :'password';
ALTER ROLE recado_grafana SET default_transaction_read_only = on;
ALTER ROLE recado_grafana SET statement_timeout = '15s';
ALTER ROLE recado_grafana SET timezone = 'UTC';

GRANT SELECT (id, name, over_quota, over_quota_until) ON tenants TO recado_grafana;
GRANT SELECT (id, tenant_id, name) ON triggers TO recado_grafana;
GRANT SELECT (id, tenant_id, trigger_id, parent_execution_id, status, result, error_code, created_at,
              started_at, finished_at) ON executions TO recado_grafana;
GRANT SELECT (tenant_id, execution_id, recorded_at) ON messages TO recado_grafana;
GRANT SELECT (execution_id, provider, model, input_tokens, output_tokens, cost_usd,
              response_time_ms) ON llm_calls TO recado_grafana;
GRANT SELECT (tenant_id, tool_name, status, approval_expires_at, created_at)
    ON tool_calls TO recado_grafana;
GRANT SELECT (id, tenant_id, trigger_id, status, error_code, created_at)
    ON deliveries TO recado_grafana;
GRANT SELECT (trigger_id, tenant_id, error_code, probe_count, probe_at, opened_at)
    ON destinations TO recado_grafana;
GRANT SELECT (tenant_id, name, enabled, disabled_code, disabled_at, failing_since, deleted_at)
    ON event_endpoints TO recado_grafana;
GRANT SELECT (kind, tenant_id, next_run_at) ON lanes TO recado_grafana;
GRANT SELECT (trigger_id, tenant_id, kind, error_code, failure_count, failing_since)
    ON sources TO recado_grafana;
GRANT SELECT ON usage_days, usage_spans TO recado_grafana;

-- Row-level security lets nobody see a row without a policy (docs/adr/0017-row-level-security.md).
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tenants', 'triggers', 'executions', 'messages', 'llm_calls',
                                'tool_calls', 'deliveries', 'destinations', 'event_endpoints',
                                'lanes', 'sources', 'usage_days', 'usage_spans'] LOOP
        IF NOT EXISTS (SELECT FROM pg_policies
                        WHERE schemaname = 'public' AND tablename = name
                          AND policyname = 'grafana') THEN
            EXECUTE format('CREATE POLICY grafana ON %I FOR SELECT TO recado_grafana USING (true)', name);
        END IF;
    END LOOP;
END
$$;

COMMIT;
