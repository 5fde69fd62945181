#!/usr/bin/env bash
# Airflow 3.3.2: "airflow standalone" (scheduler, API server, LocalExecutor) on SQLite. It takes two or three minutes.
#
# A run has ended and is cleared whole. Its second attempt takes another way, which does not start some tasks again.
# A task's result (XCom) of an earlier attempt is deleted when the task starts again, not by the clear. So the last task
# is given results of both attempts:
# - of a task that is skipped by the one before it: what it returned in the first attempt.
# - of a task that starts and then skips itself: None.
# - of a mapped task with three parts in the first attempt and two in the second: three results.
# A new run that goes the second way from the start is given None, None and two results.
#
# Seen:
#   cleared, attempt 1: ['of attempt 1', 'of attempt 1', ['a of attempt 1', 'b of attempt 1', 'c of attempt 1']]
#   cleared, attempt 2: ['of attempt 1', None, ['a of attempt 2', 'b of attempt 2', 'c of attempt 1']]
#   new, attempt 1: [None, None, ['a of attempt 1', 'b of attempt 1']]
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
cd "$tmp"
trap '[ -z "${started:-}" ] || { kill -- "-$started" && wait "$started"; } || true; rm -rf "$tmp"' EXIT

python3 -m venv venv
sed -n '/^[a-z0-9].*==/s/ *[\\]$//p' "$(dirname "$script")/../requirements.txt" >constraints.txt # without the hashes
venv/bin/pip install -q --disable-pip-version-check -c constraints.txt apache-airflow==3.3.2
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PATH="$tmp/venv/bin:$PATH" AIRFLOW_HOME="$tmp" AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$port"
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$port/execution/" AIRFLOW__CORE__PARALLELISM=2
export AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False

mkdir dags
cat >dags/ways.py <<'PY'
import os
from pathlib import Path

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException

def first(ti):
    return ti.run_id == "cleared" and ti.try_number == 1

@dag(schedule=None)
def ways():
    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def decide(ti=None):
        return first(ti)
    @task
    def skipped(ti=None):
        return f"of attempt {ti.try_number}"
    @task
    def skips_itself(ti=None):
        if not first(ti):
            raise AirflowSkipException
        return f"of attempt {ti.try_number}"
    @task
    def parts(ti=None):
        return ["a", "b", "c"] if first(ti) else ["a", "b"]
    @task
    def mapped(part, ti=None):
        return f"{part} of attempt {ti.try_number}"
    @task(trigger_rule="none_failed")
    def last(one, other, many, ti=None):
        with Path(os.environ["AIRFLOW_HOME"], "seen").open("a") as seen:
            print(f"{ti.run_id}, attempt {ti.try_number}: {[one, other, list(many)]}", file=seen)
    before = skipped()
    decide() >> before
    last(before, skips_itself(), mapped.expand(part=parts()))

ways()
PY

again() { # until it succeeds: starting and running take their time on a slow machine
    for _ in $(seq 60); do ! "$@" >>log 2>&1 || return 0; sleep 3; done
    echo "failed for minutes: $*" >&2
    return 1
}
ended() { airflow dags list-runs ways --state success --output plain | grep " $1 "; }

setsid airflow standalone >standalone.log 2>&1 &
started=$!
again airflow dags trigger ways --run-id cleared
again ended cleared
airflow tasks clear --yes ways >>log 2>&1
again ended cleared
again airflow dags trigger ways --run-id new
again ended new
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
