"""Thirty items: each turned bad is open, and nothing that is missing, empty, away or unknown is ever passed."""

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from searchsync.cli import main
from searchsync.errors import BadParams, Different
from searchsync.preflight import report as page
from searchsync.preflight import run as preflight
from searchsync.preflight.checks import Outcome
from searchsync.readiness import checklist, of_files, of_records, run
from searchsync.recovery import records
from tests.unit.readiness import good_world
from tests.unit.readiness.good_world import TODAY, Break, World

REPO = Path(__file__).parents[3]
ITEMS = {item.name: item for item in checklist.read().items}
NOON = datetime.combine(TODAY, datetime.min.time(), UTC) + timedelta(hours=12)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return good_world.make(tmp_path, monkeypatch)


def test_what_is_proven_is_passed(world: World) -> None:
    """Without this, nothing below would show anything."""
    results = world.look()
    assert [result.check for result in results if result.outcome is not Outcome.PASSED] == []
    assert [result.check for result in results] == [*ITEMS]
    run.judge("production", run.open_items(results))
    assert all(result.seen for result in results), "each says what has proven it"


def aws(operation: str, change: Callable[[Any], Any]) -> Break:
    return lambda world: change(world.aws[operation])


def line(name: str, outcome: Outcome = Outcome.FAILED) -> Break:
    return lambda world: world.lines.update({name: [replace(world.lines[name][0], outcome=outcome)]})


def chart(change: Callable[[list[Any]], Any]) -> Break:
    """Change the widgets of the board ``health``."""

    def broken(world: World) -> None:
        answer = world.aws["cloudwatch.GetDashboard"]

        def changed(asked: dict[str, str]) -> dict[str, str]:
            body = json.loads(answer(asked)["DashboardBody"])
            if asked["DashboardName"] == "searchsync-health":
                change(body["widgets"])
            return {"DashboardBody": json.dumps(body)}

        world.aws["cloudwatch.GetDashboard"] = changed

    return broken


def text(path: str, old: str, new: str) -> Break:
    def broken(world: World) -> None:
        file = world.root / path
        content = file.read_text(encoding="utf-8")
        assert old in content
        file.write_text(content.replace(old, new), encoding="utf-8")

    return broken


def without_statement(name: str) -> Break:
    def broken(world: World) -> None:
        said = yaml.safe_load(world.policy("statements.yaml").read_text(encoding="utf-8"))["statements"]
        del said[name]
        good_world.state(world, said)

    return broken


def balanced(**changes: Any) -> Break:
    def broken(world: World) -> None:
        answer = world.aws["elbv2.DescribeLoadBalancers"]
        world.aws["elbv2.DescribeLoadBalancers"] = lambda asked: {
            "LoadBalancers": [{**one, **changes} for one in answer(asked)["LoadBalancers"]]
        }

    return broken


DATABASE, CACHE = "rds.DescribeDBInstances", "elasticache.DescribeReplicationGroups"
OF_DATABASES = {"zones", "backups", "encryption-at-rest"}
OF_CACHES = {"zones", "encryption-at-rest", "encryption-in-transit"}
OF_BALANCERS = {"zones", "health-checks", "encryption-in-transit"}
OF_ALARMS = {"health-checks", "alarms"}
OF_DOMAIN = {"encryption-at-rest", "encryption-in-transit"}
OF_DRILL = {"disaster-recovery", "recovery-drill"}


def databases(**changes: Any) -> Break:
    return aws(DATABASE, lambda found: found["DBInstances"][0].update(changes))


def caches(**changes: Any) -> Break:
    return aws(CACHE, lambda found: found["ReplicationGroups"][1].update(changes))


def cluster(**changes: Any) -> Break:
    return aws("opensearch.DescribeDomain", lambda found: found["DomainStatus"]["ClusterConfig"].update(changes))


def rules(change: Callable[[list[Any]], Any]) -> Break:
    return aws("wafv2.GetWebACLForResource", lambda found: change(found["WebACL"]["Rules"]))


def group(**changes: Any) -> Break:
    return aws(
        "ec2.DescribeSecurityGroups", lambda found: found["SecurityGroups"][0]["IpPermissions"][0].update(changes)
    )


def listener(number: int, **changes: Any) -> Break:
    return aws("elbv2.DescribeListeners", lambda found: found["Listeners"][number].update(changes))


def drilled(entity: str, **changes: Any) -> Break:
    return lambda world: world.summary["drills"][entity].update(changes)


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def logged(change: Callable[[list[Any]], Any]) -> Break:
    return aws("logs.DescribeLogGroups", lambda found: change(found["logGroups"]))


def alarm(row: str, word: str) -> Break:
    def change(found: dict[str, Any]) -> None:
        own = next(one for one in found["MetricAlarms"] if one["AlarmName"].startswith(f"searchsync-{row}"))
        own["StateValue"] = word

    return aws("cloudwatch.DescribeAlarms", change)


def silent(metric: str) -> Break:
    """Of this metric, CloudWatch has no figure; the alarms on it are OK all the same."""
    answer = partial(good_world.figures, without=metric)
    return lambda world: world.aws.update(
        {"cloudwatch.GetMetricData": lambda asked: answer(asked["MetricDataQueries"])}
    )


def without_page(page: str) -> Break:
    return lambda world: (world.root / page).unlink()


QUIET = tuple((row, name) for name, item in ITEMS.items() for row in item.quiet)
BROKEN: list[tuple[str, Break, set[str]]] = [
    ("a zone less", cluster(ZoneAwarenessConfig={"AvailabilityZoneCount": 2}), {"zones"}),
    ("zones off", cluster(ZoneAwarenessEnabled=False), {"zones"}),
    ("no standby", databases(MultiAZ=False), OF_DATABASES),
    ("a database in plain", databases(StorageEncrypted=False), OF_DATABASES),
    ("a database for all", databases(PubliclyAccessible=True), OF_DATABASES),
    ("backups of a week", databases(BackupRetentionPeriod=7), OF_DATABASES),
    ("a database less", aws(DATABASE, lambda found: found["DBInstances"].pop()), OF_DATABASES),
    ("a cache without failover", caches(AutomaticFailover="disabled"), OF_CACHES),
    ("a cache in plain", caches(TransitEncryptionEnabled=False), OF_CACHES),
    ("a cache less", aws(CACHE, lambda found: found["ReplicationGroups"].pop()), OF_CACHES),
    ("a balancer in two zones", balanced(AvailabilityZones=[{}, {}]), OF_BALANCERS),
    ("tasks that nobody looks at", aws(
        "elbv2.DescribeTargetGroups", lambda found: found["TargetGroups"][0].update(HealthCheckEnabled=False)
    ), OF_BALANCERS),
    ("old TLS", listener(0, SslPolicy="ELBSecurityPolicy-2016-08"), OF_BALANCERS),
    ("plain text", listener(1, DefaultActions=[{"Type": "forward"}]), OF_BALANCERS),
    ("no TLS", aws("elbv2.DescribeListeners", lambda found: found["Listeners"].pop(0)), OF_BALANCERS),
    ("no policy", aws(
        "application-autoscaling.DescribeScalingPolicies", lambda found: found["ScalingPolicies"].pop()
    ), {"scaling"}),
    ("a fixed number", aws(
        "application-autoscaling.DescribeScalableTargets",
        lambda found: found["ScalableTargets"][0].update(MaxCapacity=2),
    ), {"scaling"}),
    ("no snapshot", lambda world: world.summary.update(hours_since_snapshot=None), {"backups"}),
    ("an old snapshot", lambda world: world.summary.update(hours_since_snapshot=36.5), {"backups"}),
    ("a snapshot of tomorrow", lambda world: world.summary.update(hours_since_snapshot=-5.0), {"backups"}),
    ("a bad snapshot", lambda world: world.summary.update(last_snapshot={"state": "bad", "why": "x"}), {"backups"}),
    ("no repository", line("snapshot repository"), {"backups"}),
    ("no recovery to a second", line("point-in-time recovery"), {"backups"}),
    ("a drill that failed", drilled("members", state="bad", why="different"), OF_DRILL),
    ("an old drill", drilled("locations", at=ago(36)), OF_DRILL),
    ("a drill of tomorrow", drilled("locations", at=ago(-1)), OF_DRILL),
    ("an entity without a drill", lambda world: world.summary["drills"].pop("members"), OF_DRILL),
    ("an old disaster", lambda world: good_world.report(
        world, "docs/operations/disaster.md", TODAY - timedelta(days=91)
    ), {"disaster-recovery"}),
    *((name, line(name), {"authentication"}) for name in (
        "user pool", "user pool's groups", "user pool's clients"
    )),
    ("a domain in plain", line("OpenSearch domain"), OF_DOMAIN),
    ("a table in plain", line("table"), {"encryption-at-rest"}),
    ("a queue in plain", line("queue"), {"encryption-at-rest"}),
    ("no firewall", aws("wafv2.GetWebACLForResource", lambda found: found.pop("WebACL")), {"firewall"}),
    ("no limit", rules(lambda found: found.pop(0)), {"firewall"}),
    ("a limit that counts", rules(lambda found: found[0].update(Action={"Count": {}})), {"firewall"}),
    ("a rule less", rules(lambda found: found.pop()), {"firewall"}),
    ("a rule that counts", rules(lambda found: found[1].update(OverrideAction={"Count": {}})), {"firewall"}),
    ("the internet", group(IpRanges=[{"CidrIp": "0.0.0.0/0"}]), {"security-groups"}),
    ("the other internet", group(Ipv6Ranges=[{"CidrIpv6": "::/0"}]), {"security-groups"}),
    ("no group", aws("ec2.DescribeSecurityGroups", lambda found: found["SecurityGroups"].clear()), {"security-groups"}),
    ("two networks", aws("ec2.DescribeVpcs", lambda found: found["Vpcs"].append({"VpcId": "2"})), {"security-groups"}),
    ("a role that may more", line("role's documents"), {"least-privilege"}),
    ("a role that may less", line("role's calls, simulated"), {"least-privilege"}),
    ("no figures", lambda world: world.aws.update(
        {"cloudwatch.ListMetrics": {"Metrics": []}}
    ), {"metrics"}),
    ("old figures", silent("Freshness"), {"metrics"}),
    ("no request", silent("Latency"), {"queries"}),
    ("no search in OpenSearch", silent("SearchLatency"), {"queries"}),
    ("no search that is kept", silent("CacheHits"), {"caching"}),
    ("a cache that tells nothing", silent("Evictions"), {"caching"}),
    ("a log less", logged(lambda found: found.pop()), {"logs"}),
    ("a log for ever", logged(lambda found: found[0].pop("retentionInDays")), {"logs"}),
    ("a chart less", chart(lambda found: found.pop()), {"dashboards"}),
    ("an empty board", chart(lambda found: found.clear()), {"dashboards"}),
    ("another text", chart(lambda found: found[1]["properties"].update(title="gap-open: Nothing.")), {"dashboards"}),
    ("an alarm less", line("alarms"), OF_ALARMS),
    ("a queue without alarm", line("alarm"), {"alarms"}),
    *((f"{row} {word}", alarm(row, word), {item}) for row, item in QUIET for word in ("ALARM", "INSUFFICIENT_DATA")),
    ("only api-slower", aws("cloudwatch.DescribeAlarms", lambda found: found["MetricAlarms"].pop(0)), {"queries"}),
    ("another mapping", line("mapping"), {"index-settings"}),
    ("an untested build", text(".github/workflows/deploy.yaml", "needs: test\n", "needs: []\n"), {"pipeline"}),
    ("an empty workflow", lambda world: (world.root / ".github/workflows/test.yaml").write_text(""), {"pipeline"}),
    ("no workflow", lambda world: (world.root / ".github/workflows/environment.yaml").unlink(), {"pipeline"}),
    ("an old index", lambda world: world.built.update(members=36.0), {"blue-green"}),
    ("no index", lambda world: world.built.update(locations=None), {"blue-green"}),
    ("an alarm without a page", text("docs/operations/alarms.md", "### gap-open\n", "### gap\n"), {"runbooks"}),
    ("an incident without P0", text("docs/operations/incident.md", "| P0 |", "| Px |"), {"incidents"}),
    *((f"nobody says {name}", without_statement(name), {name}) for name, item in ITEMS.items() if item.statement),
    *((f"no page {item.report}", without_page(item.report), {name}) for name, item in ITEMS.items() if item.report),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "opened"), [one[1:] for one in BROKEN], ids=[one[0] for one in BROKEN])
def test_an_item_that_is_turned_bad_is_open_and_no_other(world: World, broken: Break, opened: set[str]) -> None:
    broken(world)
    assert world.open() == opened


def test_each_of_the_thirty_is_turned_bad_above() -> None:
    assert {name for _, _, opened in BROKEN for name in opened} == ITEMS.keys()


# -- what must never be green


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.PASSED])
def test_a_line_of_the_preflight_that_did_not_pass_is_no_proof(world: World, outcome: Outcome) -> None:
    """*Not applicable* is good for a preflight: nothing is wrong. Here nothing is shown."""
    for name in [*world.lines]:
        line(name, outcome)(world)
    assert world.open() == {name for name, item in ITEMS.items() if item.preflight}


def test_a_preflight_without_lines_and_one_that_cannot_run_are_no_proof(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_preflight = {name for name, item in ITEMS.items() if item.preflight}
    world.lines = {}
    assert world.open() == of_preflight

    asked: list[Any] = []

    def refused(target: Any) -> Any:
        asked.append(target)
        raise BadParams("nobody")

    monkeypatch.setattr(preflight, "run", refused)
    assert world.open() == of_preflight
    assert len(asked) == 1, "a server that is away is waited for once, and not for each line"


@pytest.mark.parametrize("name", run.CHECKS)
@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("?"), OSError("gone")], ids=["key", "runtime", "os"])
def test_a_check_that_raises_leaves_its_items_open(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    def fails(_: Any) -> Any:
        raise error

    monkeypatch.setitem(run.CHECKS, name, fails)
    assert world.open() == {item.name for item in ITEMS.values() if name in item.checks}


def test_an_aws_that_does_not_answer_proves_nothing(world: World) -> None:
    for operation in world.aws:
        world.aws[operation] = OSError("no route")
    aws_checks = set(run.CHECKS) - {*of_records.CHECKS, *of_files.CHECKS}
    assert world.open() == {name for name, item in ITEMS.items() if aws_checks & {*item.checks} or item.quiet}


@pytest.mark.parametrize("operation", sorted(good_world.answers()))
def test_an_empty_answer_of_aws_proves_nothing(world: World, operation: str) -> None:
    """A list of databases that is empty has no database that is wrong."""
    answer = world.aws[operation]
    asked = {"Names": [], "MetricName": "x", "DashboardName": "searchsync-health", "MetricDataQueries": []}
    found = answer(asked) if callable(answer) else answer
    world.aws[operation] = {key: type(value)() for key, value in found.items() if isinstance(value, list | dict)}
    assert world.open()


def test_an_opensearch_that_is_away_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise ConnectionError("refused")

    monkeypatch.setattr(records, "summary", away)
    monkeypatch.setattr(of_records, "EntityIndexes", away)
    opened = world.open()
    assert opened == {name for name, item in ITEMS.items() if {*of_records.CHECKS} & {*item.checks}}


def test_an_opensearch_without_records_proves_nothing(world: World) -> None:
    world.summary = {"snapshot": None, "last_snapshot": None, "hours_since_snapshot": None, "drills": {}}
    assert world.open() == {"backups", "disaster-recovery", "recovery-drill"}


def test_a_system_without_entities_has_no_drill_and_no_index(world: World) -> None:
    target = replace(world.target(), entities={})
    for name in ("drill", "swaps"):
        assert run.CHECKS[name](target).problems == ["there is no entity"]


@pytest.mark.parametrize("content", ["", "{}", "statements:\n", "[]", "statements: [", "statements: {on-call: {}}"])
def test_a_file_of_statements_that_was_emptied_is_no_proof(world: World, content: str) -> None:
    world.policy("statements.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(BadParams, match=r"statements\.yaml"):
        world.look()


def test_without_statements_their_items_are_open(world: World) -> None:
    """As the file is delivered: nobody has said anything yet."""
    (world.policy("statements.yaml")).write_text(
        (REPO / "include" / "policies" / "statements.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    said = yaml.safe_load(world.policy("statements.yaml").read_text(encoding="utf-8"))["statements"]
    assert world.open() == {name for name, item in ITEMS.items() if item.statement} - said.keys()


@pytest.mark.parametrize(("days", "passed"), [(0, True), (1, True), (90, True), (91, False), (400, False), (-1, False)])
def test_a_statement_counts_for_ninety_days_and_not_before_its_day(world: World, days: int, passed: bool) -> None:
    said = yaml.safe_load(world.policy("statements.yaml").read_text(encoding="utf-8"))["statements"]
    said["on-call"] = {**said["on-call"], "date": str(TODAY - timedelta(days=days))}
    good_world.state(world, said)
    assert world.open(NOON) == (set() if passed else {"on-call"})


@pytest.mark.parametrize(("days", "passed"), [(0, True), (90, True), (91, False), (-1, False)])
def test_a_report_counts_for_ninety_days_and_not_before_its_day(world: World, days: int, passed: bool) -> None:
    good_world.report(world, ITEMS["chaos"].report, TODAY - timedelta(days=days))
    assert world.open(NOON) == (set() if passed else {"chaos"})


def test_a_report_of_which_nobody_says_when_it_was_run_is_no_proof(world: World) -> None:
    """A date in the text may be of anything."""
    path = world.root / ITEMS["load"].report
    for content in (
        "",
        f"# Load\n\nOn {TODAY} it was fine.\n",
        f"No Last run: {TODAY}\n",
        "Last run: soon\n",
        "Last run: 2026-02-30\n",
    ):
        path.write_text(content, encoding="utf-8")
        assert world.open() == {"load"}, content


TRACING = "    tracing:\n      says: A request can be followed through all parts.\n      statement: true\n"


def changed(world: World, old: str, new: str) -> None:
    path = world.policy("readiness.yaml")
    content = path.read_text(encoding="utf-8")
    assert content.count(old) == 1, old
    path.write_text(content.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (TRACING, "", "lacks tracing"),
        ("    tracing:\n", "    logs:\n", "logs stands here a second time"),
        ("    tracing:\n", "    traces:\n", "traces is no key of items.observability"),
        ("      checks: [firewall]\n", "", r"items.security.firewall needs says"),
        ("      checks: [firewall]\n", "      checks: []\n", "must not be empty"),
        ("      checks: [firewall]\n", "      checks: [fire]\n", r"items.security.firewall.checks.0 must be "),
        ("[api-slow, cluster-slow]", "[api-slow, cluster-slower]", "alarms.yaml has no row cluster-slower"),
        ("report: docs/operations/chaos.md", "report: /etc/passwd", "must be a page below docs"),
        ("days: 90\n", "days: 365\n", r"days"),
        ("  testing:\n", "  tests:\n", "tests is no key of items"),
    ],
    ids=str,
)
def test_a_list_that_lacks_something_is_refused(world: World, old: str, new: str, said: str) -> None:
    """An item that was taken out of the list would never be open again."""
    changed(world, old, new)
    with pytest.raises(BadParams, match=said):
        world.look()


@pytest.mark.parametrize("content", ["", "{}", "days: 90\nitems: {}\n", "days: 90\n"])
def test_an_empty_list_is_refused(world: World, content: str) -> None:
    world.policy("readiness.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(BadParams, match=r"readiness\.yaml"):
        world.look()


@pytest.mark.parametrize("name", ["zones", "on-cal", "everything"])
def test_a_statement_about_what_does_not_ask_for_one_is_refused(world: World, name: str) -> None:
    """A typo must not be a statement that nobody misses; and a look is not replaced by a word."""
    said = {"date": str(TODAY), "owner": "Ada Lovelace", "says": "It is fine, I promise you all."}
    good_world.state(world, {name: said})
    with pytest.raises(BadParams, match=f"{name} is no item that asks for a statement"):
        world.look()


@pytest.mark.parametrize(
    "change",
    [
        {"date": ""},
        {"date": "yesterday"},
        {"date": "2026-02-30"},
        {"owner": ""},
        {"owner": "  "},
        {"says": "ok"},
        {"says": " " * 40},
    ],
    ids=str,
)
def test_a_statement_needs_a_day_a_person_and_a_text(world: World, change: dict[str, str]) -> None:
    said = {"date": str(TODAY), "owner": "Ada Lovelace", "says": "I saw it with my own eyes, here."}
    good_world.state(world, {"on-call": said | change})
    with pytest.raises(BadParams, match=r"statements\.on-call\."):
        world.look()


def test_an_environment_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(BadParams, match="there is no environment 'qa'"):
        run.run(replace(world.target(), environment="qa"))


def test_one_open_item_fails_the_command(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    target = world.target()
    monkeypatch.setattr("searchsync.cli.readiness.SHELL", target.connections)
    command = ["readiness", "--environment", "production", "--report", str(tmp_path / "out")]
    assert main.main(command) == 0
    assert "30 pass" in capsys.readouterr().out
    without_statement("on-call")(world)
    assert main.main([*command, "--json"]) == 1
    shown = capsys.readouterr()
    assert "1 of 30 items are open: on-call" in shown.err
    assert len(json.loads(shown.out)) == 30
    html = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert html.index("on-call") < html.index("zones"), "what is open comes first"
    assert "<script" not in html
    assert json.loads((tmp_path / "out" / "readiness.json").read_text(encoding="utf-8"))[0]["check"] == "zones"
    assert 'href="readiness.json"' in page.html("x", world.look(), name="readiness")
    with pytest.raises(Different, match="production is not ready, 1 of 30"):
        run.judge("production", ["on-call"])


# -- what the list names is there


def test_the_list_is_that_of_the_document() -> None:
    """003:L596-638: five, six, six, four, five, four."""
    groups = [item.group for item in ITEMS.values()]
    assert [groups.count(name) for name in dict.fromkeys(groups)] == [5, 6, 6, 4, 5, 4]


def test_each_check_is_named_and_each_name_is_a_check() -> None:
    schema = json.loads((REPO / "include" / "policies" / "readiness.schema.json").read_text(encoding="utf-8"))
    allowed = schema["$defs"]["item"]["properties"]["checks"]["items"]["enum"]
    used = {name for item in ITEMS.values() for name in item.checks}
    assert set(allowed) == set(run.CHECKS) == used


def test_each_line_of_the_preflight_that_is_named_is_one() -> None:
    named = {name for item in ITEMS.values() for name in item.preflight}
    there = {
        node.args[0].value
        for file in (REPO / "src" / "searchsync" / "preflight").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Check"
        and isinstance(node.args[0], ast.Constant)
    }
    assert named <= there, named - there
