#!/usr/bin/env python3
"""Runs every query of Grafana's tenant view against a real schema, as the role that Grafana has.

    tenant_view.py postgres://…     a database after `recado migrate`, as the owner of its schema

`make manifests` gives it a PostgreSQL of its own. Each query has to run under read-only-role.sql,
and to find what it reads by an index: with sequential scans forbidden, PostgreSQL plans none of a
table that grows.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

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


@contextlib.contextmanager
def private_database():
    """A PostgreSQL with the schema of migrations/, which ends with whoever asked for it."""
    programs = max(
        pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda it: int(it.parent.name)
    )
    # It refuses to run as root.
    account = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="recado-manifests-") as directory:
        data = f"{directory}/data"
        if account:
            shutil.chown(directory, "postgres", "postgres")

        def run(program, *arguments):
            command = [programs / program, "-D", data, *arguments]
            subprocess.run(
                command, check=True, cwd=directory, stdout=subprocess.DEVNULL, **account
            )

        run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        options = f"-k {directory} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "-w", "-l", f"{directory}/log", "-o", options, "start")
        try:
            database = f"postgresql:///postgres?host={directory}&user=postgres"
            # What the program notes its migrations in.
            psql(database, "CREATE TABLE refinery_schema_history (version int)")
            for migration in sorted((ROOT / "migrations").glob("V*.sql"), key=version):
                made = psql(database, migration.read_text(), "-1")
                if made.returncode:
                    raise RuntimeError(f"{migration.name}: {made.stderr}")
            yield database
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def version(migration):
    return int(re.match(r"V(\d+)__", migration.name)[1])


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
    if not psql(database, role.read_text(), "-v", "password=").returncode:
        yield "read-only-role.sql: an empty password is no error"
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
