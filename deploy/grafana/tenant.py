"""The tenant view. No metric has a label for a tenant, so it reads PostgreSQL, as the role that
read-only-role.sql makes.

Each query begins with the tenant and, where a table grows for ever, with a span of time, as an index
of migrations/V1__foundation.sql does; what could still be many rows is cut off by a LIMIT.
tests/manifests/tenant_view.py runs them against a real schema, given its URL.
"""

TENANTS = "SELECT name AS __text, id::text AS __value FROM tenants ORDER BY name LIMIT 5000"

# A point for each `$__interval_ms`.
AT = "to_timestamp(floor(extract(epoch FROM {}) * 1000 / $__interval_ms) * $__interval_ms / 1000)"
BEGAN = "created_at BETWEEN $__timeFrom() AND $__timeTo()"
MINE = "tenant_id = '$tenant'"
# The executions that people see: a sub-agent's is a part of another one.
WHOLE = "parent_execution_id IS NULL"


def graph(title, about, query, unit="short", **more):
    return dict(title=title, about=about, unit=unit, queries=[query], **more)


def table(title, about, query, **more):
    return dict(title=title, about=about, queries=[query], kind="table", **more)


def number(title, about, query, unit="short", **more):
    return dict(title=title, about=about, unit=unit, queries=[query], kind="stat", width=4, height=4, **more)


BOARD = {
    "uid": "recado-tenant",
    "title": "Recado: a tenant",
    "about": "What one tenant does, waits for, and pays. From PostgreSQL: no metric knows tenants.",
    "panels": [
        number("Executions", "That began in this time.", f"""
SELECT now() AS time, count(*) AS executions FROM executions WHERE {MINE} AND {BEGAN} AND {WHOLE}"""),
        number("Failed", "Of these, how many failed or ran into their timeout.", f"""
SELECT now() AS time, count(*) AS failed FROM executions
 WHERE {MINE} AND {BEGAN} AND {WHOLE} AND result IN ('failed', 'timeout')""", bad_above=1),
        number("Cost", "What models cost in this time, as far as it has been counted (every minute).", f"""
SELECT now() AS time, coalesce(sum(cost_usd), 0) AS cost FROM usage_spans
 WHERE {MINE} AND starts_at BETWEEN $__timeFrom() AND $__timeTo()""", unit="currencyUSD"),
        number("Oldest waiting message", "How long the oldest message that is in no execution yet has waited. A window of its trigger is part of that.", f"""
SELECT now() AS time, coalesce(extract(epoch FROM now() - min(recorded_at)), 0) AS oldest
  FROM (SELECT recorded_at FROM messages WHERE {MINE} AND execution_id IS NULL LIMIT 10000) open""", unit="s", bad_above=120),
        number("Deliveries that failed", "Answers that did not arrive, of this time.", f"""
SELECT now() AS time, count(*) AS failed FROM deliveries WHERE {MINE} AND {BEGAN} AND status = 'failed'""", bad_above=1),
        number("Over quota", "1 if what the operator grants for the month is used up: new messages are answered 429.", """
SELECT now() AS time, (over_quota_until > now())::integer AS over FROM tenants WHERE id = '$tenant' AND over_quota IS NOT NULL
 UNION ALL SELECT now(), 0 WHERE NOT EXISTS (SELECT FROM tenants WHERE id = '$tenant' AND over_quota IS NOT NULL)""", bad_above=1),
        {"row": "Executions"},
        graph("Executions by status", "When they began, and how they stand now.", f"""
SELECT {AT.format("created_at")} AS time, status AS metric, count(*) AS value FROM executions
 WHERE {MINE} AND {BEGAN} AND {WHOLE} GROUP BY 1, 2 ORDER BY 1""", stacked=True, width=12),
        graph("Duration", "From the first start to the end: half and 95 % of them took at most that.", f"""
SELECT {AT.format("created_at")} AS time,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) AS p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) AS p95
  FROM executions
 WHERE {MINE} AND {BEGAN} AND {WHOLE} AND finished_at IS NOT NULL AND started_at IS NOT NULL
 GROUP BY 1 ORDER BY 1""", unit="s", width=12),
        table("Why executions failed", "By code (docs/errors.md), of this time.", f"""
SELECT status, error_code, count(*) AS executions, max(created_at) AS last FROM executions
 WHERE {MINE} AND {BEGAN} AND {WHOLE} AND result IN ('failed', 'timeout')
 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50""", width=8),
        table("By trigger", "Executions of this time, by trigger.", f"""
SELECT t.name AS trigger, e.executions, e.failed
  FROM (SELECT trigger_id, count(*) AS executions,
               count(*) FILTER (WHERE result IN ('failed', 'timeout')) AS failed
          FROM executions WHERE {MINE} AND {BEGAN} AND {WHOLE}
         GROUP BY 1 ORDER BY 2 DESC LIMIT 50) e
  JOIN triggers t ON t.id = e.trigger_id ORDER BY 2 DESC""", width=8),
        table("Failed last", "The newest that failed or timed out: `recado executions show <id>` tells everything.", f"""
SELECT created_at, id, status, error_code FROM executions
 WHERE {MINE} AND {BEGAN} AND result IN ('failed', 'timeout') AND {WHOLE}
 ORDER BY created_at DESC, id DESC LIMIT 50""", width=8),
        {"row": "Tokens and cost"},
        graph("Tokens", "Of executions that ended, as far as they have been counted.", f"""
SELECT {AT.format("starts_at")} AS time, sum(input_tokens) AS input, sum(output_tokens) AS output FROM usage_spans
 WHERE {MINE} AND starts_at BETWEEN $__timeFrom() AND $__timeTo() GROUP BY 1 ORDER BY 1""", stacked=True),
        graph("Cost by day", "US dollars by day (UTC), as the price lists of the providers say.", f"""
SELECT day::timestamptz AS time, cost_usd AS cost FROM usage_days
 WHERE {MINE} AND day BETWEEN ($__timeFrom()::timestamptz)::date AND ($__timeTo()::timestamptz)::date ORDER BY 1""", unit="currencyUSD"),
        table("By model", "Calls of the newest 5,000 executions of this time.", f"""
SELECT c.provider, c.model, count(*) AS calls, sum(c.input_tokens) AS input_tokens,
       sum(c.output_tokens) AS output_tokens, round(sum(c.cost_usd)::numeric, 4) AS cost_usd,
       round(avg(c.response_time_ms)) AS mean_ms
  FROM (SELECT id FROM executions WHERE {MINE} AND {BEGAN} AND {WHOLE}
         ORDER BY created_at DESC, id DESC LIMIT 5000) e
  JOIN llm_calls c ON c.execution_id = e.id
 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50"""),
        {"row": "Waiting, now"},
        table("Executions that have not ended", "How many are queued, run, or wait for people or sub-agents.", f"""
SELECT status, count(*) AS executions, min(created_at) AS oldest
  FROM (SELECT status, created_at FROM executions
         WHERE {MINE} AND finished_at IS NULL AND {WHOLE}
         ORDER BY created_at, id LIMIT 10000) unfinished GROUP BY 1 ORDER BY 2 DESC""", width=6),
        table("Lanes that are due", "Sessions whose execution or delivery could be worked at once.", f"""
SELECT 'execution' AS kind, count(*) AS lanes, now() - min(next_run_at) AS oldest
  FROM (SELECT next_run_at FROM lanes WHERE kind = 'execution' AND {MINE} AND next_run_at <= now()
         ORDER BY next_run_at LIMIT 10000) due
 UNION ALL
SELECT 'delivery', count(*), now() - min(next_run_at)
  FROM (SELECT next_run_at FROM lanes WHERE kind = 'delivery' AND {MINE} AND next_run_at <= now()
         LIMIT 10000) due""", width=6),
        table("Approvals", "Tool calls that wait for a person.", f"""
SELECT tool_name, count(*) AS calls, min(created_at) AS oldest, min(approval_expires_at) AS expires
  FROM (SELECT tool_name, created_at, approval_expires_at FROM tool_calls
         WHERE {MINE} AND status = 'waiting_for_approval' LIMIT 1000) waiting
 GROUP BY 1 ORDER BY 2 DESC LIMIT 50""", width=6),
        table("Sources", "Schedules, databases and mailboxes that fail.", f"""
SELECT t.name AS trigger, s.kind, s.error_code, s.failure_count, s.failing_since
  FROM sources s JOIN triggers t ON t.id = s.trigger_id
 WHERE s.tenant_id = '$tenant' AND s.error_code IS NOT NULL ORDER BY s.failing_since LIMIT 50""", width=6),
        {"row": "Deliveries"},
        graph("Deliveries by status", "When they were made, and how they stand now.", f"""
SELECT {AT.format("created_at")} AS time, status AS metric, count(*) AS value FROM deliveries
 WHERE {MINE} AND {BEGAN} GROUP BY 1, 2 ORDER BY 1""", stacked=True),
        table("Failed by destination", "Answers that did not arrive, by trigger and why (docs/errors.md).", f"""
SELECT t.name AS trigger, d.error_code, count(*) AS deliveries, max(d.created_at) AS last
  FROM deliveries d JOIN triggers t ON t.id = d.trigger_id
 WHERE d.tenant_id = '$tenant' AND d.created_at BETWEEN $__timeFrom() AND $__timeTo() AND d.status = 'failed'
 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50"""),
        table("Receivers that do not answer", "Since when, why, and when they are tried next.", """
SELECT t.name AS trigger, d.error_code, d.opened_at, d.probe_count, d.probe_at
  FROM destinations d JOIN triggers t ON t.id = d.trigger_id
 WHERE d.tenant_id = '$tenant' ORDER BY d.opened_at LIMIT 50"""),
        table("Answers that wait", "Deliveries that have not ended, by trigger.", f"""
SELECT t.name AS trigger, d.deliveries, d.oldest
  FROM (SELECT trigger_id, count(*) AS deliveries, min(created_at) AS oldest
          FROM (SELECT trigger_id, created_at FROM deliveries WHERE {MINE} AND status = 'pending'
                 ORDER BY created_at, id LIMIT 10000) pending
         GROUP BY 1) d
  JOIN triggers t ON t.id = d.trigger_id ORDER BY 2 DESC LIMIT 50""", width=12),
        table("Event endpoints", "Those that were disabled, or have failed for a while.", f"""
SELECT name, enabled, disabled_code, disabled_at, failing_since FROM event_endpoints
 WHERE {MINE} AND deleted_at IS NULL AND (NOT enabled OR failing_since IS NOT NULL)
 ORDER BY failing_since LIMIT 50""", width=12),
    ],
}
