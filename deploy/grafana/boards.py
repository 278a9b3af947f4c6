"""The dashboards that Prometheus feeds. In queries, `@` is what the variables choose."""

HOW_LONG = "How long it took: half, 95 % and 99 % of them took at most that."


DEAD = 'queue=~".+[.]dlq"'
API = 'server="management"'
API_FAILED = 'server="management", status=~"5.."'


def rate(metric, labels="", by=""):
    inner = f"{{@{', ' + labels if labels else ''}}}"
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{inner}[$__rate_interval]))"


def quantiles(metric, labels="", at=(0.5, 0.95, 0.99)):
    buckets = rate(f"{metric}_bucket", labels, "le")
    return [(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in at]


def highest(metric, by="", labels=""):
    """Of what all instances see alike."""
    inner = f"{{@{', ' + labels if labels else ''}}}"
    return f"max{f' by ({by})' if by else ''} ({metric}{inner})"


def share(metric, bad, of=""):
    bad_rate, all_rate = rate(metric, bad), rate(metric, of)
    return f"{bad_rate} / {all_rate}"


def how_long(title, metric, labels="", about=HOW_LONG, **more):
    return dict(title=title, about=about, unit="s", queries=quantiles(metric, labels), **more)


def graph(title, about, *queries, unit="short", **more):
    return dict(title=title, about=about, unit=unit, queries=list(queries), **more)


def number(title, about, query, unit="short", **more):
    return dict(title=title, about=about, unit=unit, queries=[(query, "")], kind="stat", width=4,
                height=4, **more)


def row(title):
    return {"row": title}


def process(role):
    """What every role has: its processes, their connections, what they use."""
    roles = f'role=~"{role}|dev"'
    mine = f"* on (namespace, job, instance) group_left (role) recado_build_info{{@, {roles}}}"
    made = [
        row("Processes"),
        graph("Not ready", "Components that are not ready, as /health/ready says.",
              (f"(recado_component_ready{{@}} {mine}) == 0", "{{instance}} {{component}}")),
        graph("Versions", "How many processes run which version: two of them during a roll-out.",
              (f"count by (version, revision) (recado_build_info{{@, {roles}}})", "{{version}} {{revision}}")),
        graph("Memory", "Resident memory of each process.",
              (f"process_resident_memory_bytes{{@}} {mine}", "{{instance}}"), unit="bytes"),
        graph("CPU", "Cores that each process keeps busy.",
              (f"rate(process_cpu_seconds_total{{@}}[$__rate_interval]) {mine}", "{{instance}}")),
        graph("Connections to PostgreSQL", "In use, and how many may be: once they meet, work waits.",
              (f"sum(recado_store_pool_connections{{@, state=\"in_use\"}} {mine})", "in use"),
              (f"sum(recado_store_pool_max{{@}} {mine})", "most"),
              (f"sum(recado_store_pool_waiting{{@}} {mine})", "waiting")),
        graph("Wait for a connection", "How long it took to get a connection to PostgreSQL: p99 of each process.",
              (f"histogram_quantile(0.99, sum by (namespace, job, instance, le) (rate(recado_store_acquire_seconds_bucket{{@}}[$__rate_interval]))) {mine}",
               "{{instance}}"), unit="s"),
    ]
    return made


def queue(name):
    labels = f'queue="{name}"'
    return [
        graph(f"{name}: waiting", "Messages that no consumer has yet, and those that nobody could handle.",
              (highest("recado_queue_messages", "queue", f'queue=~"{name}([.]dlq)?"'), "{{queue}}")),
        graph(f"{name}: taken", "Messages taken a second, those that were delivered again included; put off; given up.",
              (rate("recado_broker_consumed_total", labels), "taken"),
              (rate("recado_broker_retried_total", labels), "put off"),
              (rate("recado_broker_dead_lettered_total", labels, "reason"), "given up: {{reason}}"), unit="ops"),
        how_long(f"{name}: age", "recado_broker_message_age_seconds", labels,
                 "How long messages were on their way when they were taken from the queue."),
    ]


def board(uid, title, about, panels, **more):
    where = 'namespace=~"$namespace"' + (', instance=~"$instance"' if "role" in more else "")
    for panel in panels:
        if "queries" in panel:
            panel["queries"] = [(query.replace("@", where), legend) for query, legend in panel["queries"]]
    return dict(uid=uid, title=title, about=about, panels=panels, **more)


OVERVIEW = board("recado-overview", "Recado: overview", "Is it well, and if not, where does it hang?", [
    number("Accepted", "Webhooks accepted a second.",
           rate("recado_ingress_requests_total", 'outcome=~"accepted|answered"'), "ops"),
    number("Webhooks failed", "Share of webhooks that were answered 5xx through our own fault. The objective allows 0.1 % in 30 days.",
           "sum(recado:ingress_failures:rate5m{@}) / sum(recado:ingress_webhooks:rate5m{@})", "percentunit", bad_above=0.001),
    number("Oldest lane", "How long the execution or delivery that has waited longest for its turn has been due. Deliveries of a receiver that does not answer count.",
           highest("recado_lanes_oldest_due_seconds"), "s", bad_above=120),
    number("Dead letters", "Messages that nobody could handle, in all queues.",
           f"sum({highest('recado_queue_messages', 'namespace, queue', DEAD)})", bad_above=1),
    number("Not ready", "Processes with a component that is not ready.",
           "count(min by (namespace, job, instance) (recado_component_ready{@}) == 0) or vector(0)", bad_above=1),
    number("Alerts", "Alerts that fire.", 'count(ALERTS{@, alertname=~"Recado.+", alertstate="firing"}) or vector(0)', bad_above=1),
    row("Traffic"),
    graph("Webhooks", "Webhooks a second, by what became of them.",
          (rate("recado_ingress_requests_total", "", "outcome"), "{{outcome}}"), unit="ops", stacked=True),
    graph("Executions", "Executions a second, by how they ended.",
          (rate("recado_runner_executions_total", "", "outcome"), "{{outcome}}"), unit="ops", stacked=True),
    graph("Callbacks", "Requests to receivers a second, by what followed.",
          (rate("recado_delivery_attempts_total", "", "outcome"), "{{outcome}}"), unit="ops", stacked=True),
    row("Errors"),
    graph("Refused", "Webhooks that were not accepted, by why. Those with a 4xx are the senders' to mend.",
          (rate("recado_ingress_requests_total", 'outcome!~"accepted|answered|notice"', "outcome"), "{{outcome}}"), unit="ops"),
    graph("Failing", "Shares of what failed: executions, requests to models, callbacks.",
          (share("recado_runner_executions_total", 'outcome=~"failed|timeout"', 'outcome=~"success|failed|timeout"'), "executions"),
          (share("recado_runner_model_request_seconds_count", 'outcome!="success"'), "model requests"),
          (share("recado_delivery_attempts_total", 'outcome!="sent"'), "callbacks"), unit="percentunit"),
    graph("Receivers that do not answer", "Triggers whose callback is left alone because it does not answer.",
          (highest("recado_delivery_destinations_open"), "open")),
    row("Waiting"),
    how_long("From webhook to run", "recado_runner_admission_lag_seconds",
             about="From acceptance at ingress to the beginning of the execution, the quiet time of its window included."),
    how_long("From answer to callback", "recado_delivery_waited_seconds",
             about="From a delivery's creation to its first request."),
    graph("Oldest", "How long what has waited longest waits: lanes that are due, windows past their time, sources that are due.",
          (highest("recado_lanes_oldest_due_seconds", "kind"), "lane: {{kind}}"),
          (highest("recado_buffer_overdue_seconds"), "window"),
          (highest("recado_sources_oldest_due_seconds"), "source"), unit="s", bad_above=120),
    graph("Queues", "Messages that no consumer has yet.",
          (highest("recado_queue_messages", "queue", 'queue!~".+[.]dlq"'), "{{queue}}")),
    graph("Age of messages", "How old messages are when they are taken from their queue: p95.",
          (f"histogram_quantile(0.95, {rate('recado_broker_message_age_seconds_bucket', '', 'queue, le')})", "{{queue}}"), unit="s"),
    graph("Dead letters", "Messages that nobody could handle, by queue.",
          (highest("recado_queue_messages", "queue", DEAD), "{{queue}}")),
    row("Saturation"),
    graph("Confirms", "How long RabbitMQ takes to confirm: p99, by routing key.",
          (f"histogram_quantile(0.99, {rate('recado_broker_publish_seconds_bucket', '', 'routing_key, le')})", "{{routing_key}}"), unit="s", bad_above=0.5),
    graph("Connections to PostgreSQL", "Share of the pool that is in use, by process.",
          ('recado_store_pool_connections{@, state="in_use"} / ignoring (state) recado_store_pool_max{@}', "{{job}} {{instance}}"), unit="percentunit"),
    graph("At work", "Executions and deliveries that are worked now.",
          ("sum by (kind) (recado_lanes_running{@})", "{{kind}}")),
])

INGRESS = board("recado-ingress", "Recado: ingress", "The front door: webhooks in, acknowledgements out.", [
    row("Requests"),
    graph("Requests", "Requests a second by status; a 503 was not accepted and will be sent again.",
          (rate("recado_http_requests_total", 'server="ingress"', "status"), "{{status}}"), unit="ops", stacked=True),
    how_long("Duration", "recado_http_request_duration_seconds", 'server="ingress"',
             "From a request's headers to the beginning of its response. Senders that wait for the agent are in it."),
    how_long("Acknowledged", "recado_ingress_request_seconds", 'outcome="accepted"',
             "From the head of a webhook to its acknowledgement, of those that do not wait for the agent."),
    graph("Outcomes", "What became of webhooks, a second.",
          (rate("recado_ingress_requests_total", "", "outcome"), "{{outcome}}"), unit="ops"),
    graph("By surface", "Webhooks a second by the kind of address that they came to.",
          (rate("recado_ingress_requests_total", "", "surface"), "{{surface}}"), unit="ops", stacked=True),
    graph("Left out", "Messages of batches that could not be taken, by why.",
          (rate("recado_ingress_left_out_total", "", "reason"), "{{reason}}"), unit="ops"),
    row("Handing over"),
    graph("Confirm", "How long RabbitMQ takes to confirm: p99. After 1.5 s a webhook is answered 503.",
          (f"histogram_quantile(0.99, {rate('recado_broker_publish_seconds_bucket', '', 'routing_key, le')})", "{{routing_key}}"), unit="s", bad_above=0.5),
    graph("Publications", "Publications a second by outcome.",
          (rate("recado_broker_published_total", "", "routing_key, outcome"), "{{routing_key}} {{outcome}}"), unit="ops"),
    graph("In hand", "Messages that wait for their confirm, and senders that wait for their agent.",
          ("sum(recado_ingress_publishing{@})", "to be confirmed"), ("sum(recado_ingress_waiting{@})", "senders waiting")),
    how_long("Wait for a turn", "recado_ingress_publish_wait_seconds", about="How long a message waited for its turn to be published."),
    graph("Link to RabbitMQ", "1 while connected; blocked is 1 while RabbitMQ takes nothing.",
          ('min by (link) (recado_broker_link_up{@, link=~"publisher|replies"})', "{{link}} up"),
          ('max by (link) (recado_broker_link_blocked{@, link=~"publisher|replies"})', "{{link}} blocked")),
    row("Looking up"),
    graph("Configuration", "Look-ups of triggers, keys and members, by where the answer came from. `stale` and `failed` are an outage of PostgreSQL.",
          (rate("recado_ingress_lookups_total", "", "lookup, outcome"), "{{lookup}} {{outcome}}"), unit="ops"),
    graph("Toll", "Rate limits, and whether an id is new: by what Redis said.",
          (rate("recado_ingress_toll_total", "", "outcome"), "{{outcome}}"), unit="ops"),
    graph("Redis", "How long Redis takes (p99), and how often it failed.",
          (f"histogram_quantile(0.99, {rate('recado_redis_request_seconds_bucket', '', 'operation, le')})", "{{operation}}"), unit="s"),
    graph("Redis errors", "Requests to Redis that failed, a second.",
          (rate("recado_redis_errors_total", "", "operation"), "{{operation}}"), unit="ops"),
    how_long("Size of bodies", "recado_ingress_body_bytes", about="How large bodies are: half, 95 % and 99 % of them have at most that.") | {"unit": "bytes"},
    *process("ingress"),
], role="ingress")

BUFFER = board("recado-buffer", "Recado: buffer", "Bursts of messages become one execution.", [
    row("Windows"),
    graph("Open windows", "Sessions with messages that are in no execution yet.",
          (highest("recado_buffer_open_windows"), "windows")),
    graph("Age", "The oldest message in a window, and how long the latest window is past its time.",
          (highest("recado_buffer_oldest_message_seconds"), "oldest message"),
          (highest("recado_buffer_overdue_seconds"), "overdue"), unit="s"),
    how_long("Lateness", "recado_buffer_flush_late_seconds", about="How long after its time a window was published."),
    graph("Flushed", "Windows published a second, by why: due, at once because Redis is away, or found overdue by the sweeper.",
          (rate("recado_buffer_flushes_total", "", "reason"), "{{reason}}"), unit="ops", stacked=True),
    graph("Conflicts and restored", "Messages whose id another content has, and windows put back into Redis after a wipe, a second.",
          (rate("recado_buffer_conflicts_total"), "conflicts"), (rate("recado_buffer_windows_restored_total"), "restored"), unit="ops"),
    graph("Published", "Executions asked for, by outcome.",
          (rate("recado_broker_published_total", 'routing_key="execution.requested"', "outcome"), "{{outcome}}"), unit="ops"),
    row("Redis"),
    graph("Available", "1 while messages are gathered; 0 while each runs at once.",
          ("recado_buffer_redis_available{@}", "{{instance}}")),
    graph("Requests", "How long Redis takes: p99.",
          (f"histogram_quantile(0.99, {rate('recado_redis_request_seconds_bucket', '', 'operation, le')})", "{{operation}}"), unit="s"),
    graph("Errors", "Requests to Redis that failed, a second.",
          (rate("recado_redis_errors_total", "", "operation"), "{{operation}}"), unit="ops"),
    row("Queue"),
    *queue("buffer.inbound"),
    how_long("Recording", "recado_broker_handled_seconds", 'queue="buffer.inbound"', "How long it took to record a batch."),
    *process("buffer"),
], role="buffer")

RUNNER = board("recado-agent-runner", "Recado: agent-runner", "Executions: waiting, running, thinking, calling tools.", [
    row("Executions"),
    graph("Ended", "Executions a second, by how they ended.",
          (rate("recado_runner_executions_total", "", "outcome"), "{{outcome}}"), unit="ops", stacked=True),
    how_long("Duration", "recado_runner_execution_seconds", 'outcome=~"success|failed|timeout"', "From claim to result."),
    graph("Running", "Executions that run now, by process.", ("sum by (instance) (recado_lanes_running{@, kind=\"execution\"})", "{{instance}}"), stacked=True),
    row("Waiting"),
    how_long("From webhook to run", "recado_runner_admission_lag_seconds", about="From acceptance at ingress to the beginning of the execution, the quiet time of its window included."),
    graph("Due", "Lanes whose time has come and that nobody works.", (highest("recado_lanes_due", "", 'kind="execution"'), "due")),
    graph("Oldest due", "How long the oldest of them has been due.", (highest("recado_lanes_oldest_due_seconds", "", 'kind="execution"'), "oldest"), unit="s", bad_above=120),
    row("Models"),
    graph("Requests", "Requests to providers a second, by how they ended. A retry is made again.",
          (rate("recado_runner_model_request_seconds_count", "", "outcome"), "{{outcome}}"), unit="ops", stacked=True),
    how_long("Duration of requests", "recado_runner_model_request_seconds"),
    graph("Tokens", "Tokens a second, by kind of provider.",
          (rate("recado_runner_tokens_total", "", "provider, direction"), "{{provider}} {{direction}}")),
    graph("Cost", "US dollars an hour, by kind of provider, as its price list says.",
          (f"3600 * {rate('recado_runner_cost_usd_total', '', 'provider')}", "{{provider}}"), unit="currencyUSD"),
    row("Tools"),
    graph("Calls", "Tool calls a second, by kind and by how they ended.",
          (rate("recado_runner_tool_calls_total", "", "kind, outcome"), "{{kind}} {{outcome}}"), unit="ops"),
    graph("Duration of calls", "p95 by kind of tool.",
          (f"histogram_quantile(0.95, {rate('recado_runner_tool_seconds_bucket', '', 'kind, le')})", "{{kind}}"), unit="s"),
    row("Queue and upkeep"),
    *queue("agent-runner.executions"),
    graph("Leases and panics", "Leases that ended before the work did, panics, and claims and renewals that failed, a second.",
          (rate("recado_lanes_lost_total", 'kind="execution"'), "leases lost"), (rate("recado_lanes_panicked_total", 'kind="execution"'), "panics"),
          (rate("recado_lanes_failed_requests_total", 'kind="execution"'), "requests failed"), unit="ops"),
    graph("Housekeeping", "How long ago a round came to its end.",
          ("time() - max by (task) (recado_runner_housekeeping_last_success_timestamp_seconds{@})", "{{task}}"), unit="s", bad_above=1800),
    graph("Events", "Events of executions a second, by what became of them.",
          (rate("recado_runner_events_total", "", "outcome"), "{{outcome}}"), unit="ops"),
    *process("agent-runner")[:5],
], role="agent-runner")

DELIVERY = board("recado-delivery", "Recado: delivery", "Answers and events on their way out.", [
    row("Callbacks"),
    graph("Requests", "Callback requests a second, by what followed.",
          (rate("recado_delivery_attempts_total", "", "outcome"), "{{outcome}}"), unit="ops", stacked=True),
    how_long("Duration of requests", "recado_delivery_attempt_seconds"),
    graph("Ended", "Deliveries that ended, a second, by status.",
          (rate("recado_delivery_finished_total", "", "status"), "{{status}}"), unit="ops", stacked=True),
    how_long("Wait", "recado_delivery_waited_seconds", about="From a delivery's creation to its first request."),
    graph("Oldest due", "How long the oldest lane has been due, those of receivers that do not answer included.",
          (highest("recado_lanes_oldest_due_seconds", "", 'kind="delivery"'), "oldest"), unit="s"),
    graph("Due and at work", "Lanes that are due and that nobody works, and those that are worked.",
          (highest("recado_lanes_due", "", 'kind="delivery"'), "due"), ('sum(recado_lanes_running{@, kind="delivery"})', "at work")),
    graph("Receivers that do not answer", "Triggers whose callback is left alone because it does not answer.",
          (highest("recado_delivery_destinations_open"), "open")),
    graph("Put off", "Deliveries that were put off without holding a slot, a second, by why.",
          (rate("recado_delivery_parked_total", "", "reason"), "{{reason}}"), unit="ops"),
    graph("Leases and panics", "Leases that ended before the work did, panics, and claims and renewals that failed, a second.",
          (rate("recado_lanes_lost_total", 'kind="delivery"'), "leases lost"), (rate("recado_lanes_panicked_total", 'kind="delivery"'), "panics"),
          (rate("recado_lanes_failed_requests_total", 'kind="delivery"'), "requests failed"), unit="ops"),
    row("Events"),
    graph("Event requests", "Attempts to send an event, a second, by what followed.",
          (rate("recado_event_delivery_attempts_total", "", "outcome"), "{{outcome}}"), unit="ops", stacked=True),
    how_long("Duration of event requests", "recado_event_delivery_attempt_seconds"),
    graph("Endpoints disabled", "Event endpoints that were disabled within an hour because of what they answered.",
          ("sum(increase(recado_event_endpoints_disabled_total{@}[1h]))", "disabled")),
    row("Queues"),
    *queue("delivery.requests")[:2],
    *queue("delivery.events")[:2],
    *process("delivery")[:5],
], role="delivery")

SOURCES = board("recado-sources", "Recado: sources", "Triggers that fire by themselves: schedules, databases, mailboxes.", [
    row("Firing"),
    graph("Published", "Messages a second that came of sources, by kind.",
          (rate("recado_sources_published_total", "", "kind"), "{{kind}}"), unit="ops", stacked=True),
    how_long("Lateness of schedules", "recado_sources_tick_late_seconds", about="How long after its time a tick was published."),
    graph("Due", "Sources whose time has come and that nobody holds.", (highest("recado_sources_due"), "due")),
    graph("Oldest due", "How long the oldest of them has been due.", (highest("recado_sources_oldest_due_seconds"), "oldest"), unit="s", bad_above=300),
    row("Failing"),
    graph("Failures", "Times a second that a source could not be worked, by kind and why.",
          (rate("recado_sources_failed_total", "", "kind, reason"), "{{kind}} {{reason}}"), unit="ops"),
    graph("Left out", "What did not become a message, a second, by kind and why.",
          (rate("recado_sources_left_out_total", "", "kind, reason"), "{{kind}} {{reason}}"), unit="ops"),
    graph("Held", "Databases and mailboxes that are held, by kind.",
          ('sum by (kind) (recado_lanes_running{@, kind=~"db_event|imap"})', "{{kind}}")),
    graph("Leases and panics", "Leases that ended before the work did, and panics, a second.",
          (rate("recado_lanes_lost_total", 'kind=~"db_event|imap"', "kind"), "{{kind}} lost"),
          (rate("recado_lanes_panicked_total", 'kind=~"db_event|imap"', "kind"), "{{kind}} panicked"), unit="ops"),
    graph("Publications", "Publications a second by outcome.",
          (rate("recado_broker_published_total", "", "routing_key, outcome"), "{{routing_key}} {{outcome}}"), unit="ops"),
    *process("sources"),
], role="sources")

MANAGEMENT = board("recado-management", "Recado: management", "The REST API.", [
    row("Requests"),
    graph("Requests", "Requests a second by status.",
          (rate("recado_http_requests_total", API, "status"), "{{status}}"), unit="ops", stacked=True),
    how_long("Duration", "recado_http_request_duration_seconds", 'server="management"'),
    graph("Failed", "Share of requests that were answered 5xx.",
          (share("recado_http_requests_total", 'server="management", status=~"5.."', 'server="management"'), "5xx"), unit="percentunit"),
    graph("Busiest routes", "The ten routes with the most requests.",
          (f"topk(10, {rate('recado_http_requests_total', API, 'method, route')})", "{{method}} {{route}}"), unit="ops"),
    graph("Slowest routes", "p95 of the ten slowest routes.",
          (f"topk(10, histogram_quantile(0.95, {rate('recado_http_request_duration_seconds_bucket', API, 'method, route, le')}))", "{{method}} {{route}}"), unit="s"),
    graph("Routes that fail", "5xx a second by route.",
          (f"topk(10, {rate('recado_http_requests_total', API_FAILED, 'method, route')})", "{{method}} {{route}}"), unit="ops"),
    graph("Refused", "401, 403 and 429 a second: credentials that are refused, and clients that ask too much.",
          (rate("recado_http_requests_total", 'server="management", status=~"401|403|429"', "status"), "{{status}}"), unit="ops"),
    *process("management"),
], role="management")

BOARDS = [OVERVIEW, INGRESS, BUFFER, RUNNER, DELIVERY, SOURCES, MANAGEMENT]
