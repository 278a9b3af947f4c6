#!/usr/bin/env python3
"""Runs every query of Grafana's tenant view against a real schema, as the role that Grafana has.

    tenant_view.py postgres://…     a database after `recado migrate`, as the owner of its schema

Each has to run under read-only-role.sql, and to find what it reads by an index: with sequential
scans forbidden, PostgreSQL plans none of a table that grows.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "deploy/grafana"
# Those with a row for each message, or more.
GROWING = [
    "messages",
    "executions",
    "llm_calls",
    "tool_calls",
    "deliveries",
    "lanes",
    "usage_spans",
    "usage_days",
]
# A tenant and a day of which there is nothing, whatever else the database holds: who asks for all
# that there is may as well read all of it.
VARIABLES = {
    "$__timeFrom()": "'2001-01-01T00:00:00Z'",
    "$__timeTo()": "'2001-01-02T00:00:00Z'",
    "$__interval_ms": "60000",
    "$tenant": "01930000-0000-7000-8000-000000000001",
}


def psql(database, text, *arguments):
    command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *arguments, database]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


def queries():
    """What the tenant view asks, by where it stands."""
    board = json.loads((GRAFANA / "dashboards/recado-tenant.json").read_text())
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["rawSql"]


def read_whole(plan):
    """The tables that a plan reads from end to end, be it along an index."""
    lines = plan.splitlines() + [""]
    for line, following in zip(lines, lines[1:]):
        scan = re.search(r"(Seq|Index|Index Only|Bitmap Index) Scan(?: using \w+)? on (\w+)", line)
        if scan and (scan[1] == "Seq" or "Index Cond" not in following):
            # The scan of an index has its name, the table stands in the bitmap above it.
            yield scan[2].partition("_")[0] if scan[1].startswith("Bitmap") else scan[2]


def complaints(database):
    role = GRAFANA / "read-only-role.sql"
    made = psql(database, role.read_text(), "-v", "password=for-this-check")
    if made.returncode:
        yield f"read-only-role.sql: {made.stderr.strip()}"
        return
    for title, query in queries():
        of_a_time = "$__timeFrom" in query
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        if "$__" in query:
            yield f"{title}: a macro that this check does not know: {query}"
            continue
        ran = psql(
            database,
            f"""
SET SESSION AUTHORIZATION recado_grafana;
SET default_transaction_read_only = on;
{query};
\\echo ---plan
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) {query};
""",
        )
        if ran.returncode:
            yield f"{title}: {ran.stderr.strip()}"
            continue
        plan = ran.stdout.partition("---plan")[2]
        for table in set(read_whole(plan)).intersection(GROWING):
            yield f"{title}: reads all of {table}"
        if of_a_time and not re.search(r"Index Cond: .* >= ", plan):
            yield f"{title}: reads a tenant's rows of all times"
    hidden = psql(database, "SET SESSION AUTHORIZATION recado_grafana; SELECT text FROM messages")
    if "permission denied" not in hidden.stderr:
        yield "recado_grafana can read what people wrote"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = list(complaints(sys.argv[1]))
    print("\n".join(found) or f"{len(list(queries()))} queries of the tenant view run")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
