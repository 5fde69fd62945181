"""What is watched, against the table that says what is to be: row by row, in each environment."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from local.paths import ROOT
from local.stream_function import served
from searchsync.catalog import CATALOG
from searchsync.telemetry import metrics
from tests.infra.alarms import ENVIRONMENTS, TABLE, WATCHED, measured, threshold_of
from tests.infra.plans import ACCOUNT, REGION, Planned

LOCATED = pytest.mark.parametrize("environment", ["dev", "staging", "production"])
COMPARISONS = {
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
    "<": "LessThanThreshold",
    "<=": "LessThanOrEqualToThreshold",
}
WORDS = {
    "account": ACCOUNT,
    "domain": "searchsync",
    "cluster": "searchsync",
    "token_customisation": "searchsync-token-customisation",
    "workers": "airflow-worker",
    "api": "a1b2c3d4e5",
    "load_balancer": "app/searchsync-search-api/0123456789abcdef",
    "target_group": "targetgroup/searchsync-search-api/0123456789abcdef",
}
"""What the words of the table mean; of what AWS names late, what the plans of tests are told."""

Subjects = dict[str, dict[str, str]]


def subjects(kind: str | None, environment: str) -> Subjects:
    """What there is an alarm each for, and the words that are its own."""
    nodes = [f"{number:03}" for number in range(1, ENVIRONMENTS["cache_nodes"][environment] + 1)]
    services = [
        "search-api",
        "search-api-canary",
        *(f"airflow-{part}" for part in ("api-server", "scheduler", "dag-processor")),
    ]
    services += ["airflow-triggerer", "airflow-worker"]
    kinds: dict[str | None, Subjects] = {
        None: {"": {}},
        "table": {
            entity.name: {
                "entity": entity.name,
                "function": f"{entity.name}-stream",
                "dead_letter_queue": f"{entity.name}-dlq",
                "parked_queue": f"{entity.name}-parked",
            }
            for entity in served()
        },
        "entity": {name: {"entity": name} for name in CATALOG},
        "synced": {one.name: {"entity": one.name} for one in CATALOG.values() if one.source == "postgres"},
        "component": {name: {"component": name} for name in ("scheduler", "dag_processor", "triggerer")},
        "database": {name: {"database": f"searchsync-{name}"} for name in ("source", "airflow")},
        "broker_node": {node: {"node": node} for number in nodes if (node := f"searchsync-broker-{number}")},
        "cache_node": {node: {"node": node} for number in nodes if (node := f"searchsync-cache-{number}")},
        "service": {name: {"service": name} for service in services if (name := f"searchsync-{service}")},
    }
    return kinds[kind]


def expected(environment: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the values of each alarm that the table asks for."""
    for row_name, row in WATCHED.items():
        if environment not in row["environments"]:
            continue
        for subject, words in subjects(row.get("each"), environment).items():
            name = "-".join(part for part in ("searchsync", row_name, subject) if part)
            of = subject if row.get("each") in ("table", "entity", "synced") else "members"
            severity = row.get("severity")
            topic = [f"arn:aws:sns:{REGION}:{ACCOUNT}:searchsync-{severity.lower()}"] if severity else []
            yield (
                name,
                {
                    "metrics": metrics_of(row, {**WORDS, **words, "alarm": row_name}),
                    "comparison_operator": COMPARISONS[row["is"]],
                    "threshold": pytest.approx(threshold_of(row["threshold"], environment, of)),
                    "evaluation_periods": row["periods"],
                    "datapoints_to_alarm": row["breaching"],
                    "treat_missing_data": row["missing"],
                    "alarm_actions": topic,
                    "ok_actions": topic,
                },
            )


def metrics_of(row: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """What an alarm of a row looks at, by id."""
    metrics: dict[str, Any] = {
        name: (
            metric["namespace"],
            metric["name"],
            {key: words.get(word.strip("{}"), word) for key, word in metric.get("dimensions", {}).items()},
            metric["statistic"],
            row["period"],
        )
        for name, metric in measured(row).items()
    }
    return metrics | ({"value": row["expression"]} if "expression" in row else {})


def metrics_planned(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """What a planned alarm looks at, by id."""
    if not alarm["metric_query"]:
        statistic = alarm["statistic"] or alarm["extended_statistic"]
        dimensions = alarm.get("dimensions") or {}
        return {"value": (alarm["namespace"], alarm["metric_name"], dimensions, statistic, alarm["period"])}
    found: dict[str, Any] = {}
    for query in alarm["metric_query"]:
        if not query["metric"]:
            assert query["return_data"]
            found[query["id"]] = query["expression"]
            continue
        assert not query["return_data"]
        (metric,) = query["metric"]
        dimensions = metric.get("dimensions") or {}
        found[query["id"]] = (
            *(metric["namespace"], metric["metric_name"], dimensions, metric["stat"], metric["period"]),
        )
    return found


def alarms(plan: Planned) -> dict[str, Mapping[str, Any]]:
    return {alarm["alarm_name"]: alarm for alarm in plan.of(".aws_cloudwatch_metric_alarm.").values()}


@LOCATED
def test_the_alarms_are_those_of_the_table(planned: Callable[[str], Planned], environment: str) -> None:
    """One that is missing is not noticed until it would have been needed."""
    found = alarms(planned(environment))
    wanted = dict(expected(environment))
    ours = {name: alarm for name, alarm in found.items() if name.startswith("searchsync-")}
    assert ours.keys() == wanted.keys()
    for name, alarm in ours.items():
        values = {key: alarm[key] for key in wanted[name] if key in alarm}
        values["alarm_actions"], values["ok_actions"] = alarm["alarm_actions"] or [], alarm["ok_actions"] or []
        assert {**values, "metrics": metrics_planned(alarm)} == wanted[name], name


def test_an_alarm_names_its_runbook_and_how_fast_to_answer(planned: Callable[[str], Planned]) -> None:
    for name, alarm in alarms(planned("production")).items():
        assert re.search(r"Runbook: docs/\S+\.md", alarm["alarm_description"]), name
        assert bool(alarm["alarm_actions"]) == alarm["alarm_description"].startswith("P"), name


def test_percentiles_of_few_datapoints_are_ignored(planned: Callable[[str], Planned]) -> None:
    for name, alarm in alarms(planned("production")).items():
        low = "ignore" if alarm["extended_statistic"] else None
        assert alarm.get("evaluate_low_sample_count_percentiles") == low, name


@LOCATED
def test_budgets_are_told_when_both_windows_are_in_alarm(planned: Callable[[str], Planned], environment: str) -> None:
    found = {
        alarm["alarm_name"]: (alarm["alarm_rule"], alarm["alarm_actions"], alarm["ok_actions"])
        for alarm in planned(environment).of(".aws_cloudwatch_composite_alarm.").values()
    }
    wanted = {
        f"searchsync-{name}": (
            " AND ".join(f'ALARM("searchsync-{part}")' for part in row["parts"]),
            *2 * ([f"arn:aws:sns:{REGION}:{ACCOUNT}:searchsync-{row['severity'].lower()}"],),
        )
        for name, row in TABLE["together"].items()
        if all(environment in WATCHED[part]["environments"] for part in row["parts"])
    }
    assert found == wanted
    assert bool(found) == (environment != "dev")


def test_services_that_are_watched_are_those_that_run(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    running = {service["name"] for service in plan.of(".aws_ecs_service.").values()}
    assert {*subjects("service", "production")} == running
    (cluster,) = plan.of("aws_ecs_cluster.").values()
    assert {"name": "containerInsights", "value": "enabled"} in cluster["setting"], (
        "RunningTaskCount is one of its metrics"
    )


def test_what_alarms_watch_has_the_names_that_it_is_made_with(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    made = {
        "database": {one["identifier"] for one in plan.of(".aws_db_instance.").values()},
        "function": {one["function_name"] for one in plan.of("module.stream.aws_lambda_function.").values()},
        "queues": {one["name"] for one in plan.of(".aws_sqs_queue.").values()},
        "nodes": {
            f"{group['replication_group_id']}-{number:03}"
            for group in plan.of(".aws_elasticache_replication_group.").values()
            for number in range(1, group["num_cache_clusters"] + 1)
        },
    }
    entities = subjects("table", "production").values()
    assert {words["database"] for words in subjects("database", "production").values()} == made["database"]
    assert {words["function"] for words in entities} == made["function"]
    assert {words[queue] for words in entities for queue in ("dead_letter_queue", "parked_queue")} <= made["queues"]
    assert {*subjects("broker_node", "production"), *subjects("cache_node", "production")} == made["nodes"]
    (domain,) = plan.of(".aws_opensearch_domain.").values()
    assert domain["domain_name"] == WORDS["domain"]


@LOCATED
def test_each_severity_has_a_topic_that_alarms_alone_may_use(
    planned: Callable[[str], Planned], environment: str
) -> None:
    plan = planned(environment)
    topics = {topic["name"] for topic in plan.of("module.observe.aws_sns_topic.").values()}
    assert topics == {f"searchsync-{severity.lower()}" for severity in TABLE["severities"]}


def test_channels_are_those_of_the_table(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    mail = {
        address.partition('["')[2].split()[0] for address in plan.of("module.observe.aws_sns_topic_subscription.mail")
    }
    assert mail == {severity for severity, row in TABLE["severities"].items() if "mail" in row["channels"]}
    slack = plan.one("module.observe.aws_chatbot_slack_channel_configuration.this[0]")
    assert slack["guardrail_policy_arns"] == ["arn:aws:iam::aws:policy/AWSDenyAll"]
    assert slack["iam_role_arn"] == f"arn:aws:iam::{ACCOUNT}:role/searchsync-chatbot"


def test_the_address_of_the_pager_is_in_no_plan(planned: Callable[[str], Planned]) -> None:
    """State and plan would keep it as plain text: CloudFormation looks it up by the secret's name."""
    plan = planned("production")
    template = json.loads(plan.one("module.observe.aws_cloudformation_stack.pagerduty[0]")["template_body"])
    paged = {severity for severity, row in TABLE["severities"].items() if "pagerduty" in row["channels"]}
    assert template["Parameters"].keys() == paged
    for severity in paged:
        assert template["Resources"][f"Subscription{severity}"]["Properties"] == {
            "TopicArn": {"Ref": severity},
            "Protocol": "https",
            "Endpoint": "{{resolve:secretsmanager:searchsync/pagerduty}}",
        }
    assert not [one for one in plan.of(".aws_sns_topic_subscription.").values() if one["protocol"] != "email"]


@LOCATED
def test_logs_are_kept_as_long_as_the_table_says(planned: Callable[[str], Planned], environment: str) -> None:
    groups = planned(environment).of(".aws_cloudwatch_log_group.")
    assert all(address.startswith("module.observe.") for address in groups), "log groups are made in one place"
    assert {group["retention_in_days"] for group in groups.values()} == {ENVIRONMENTS["log_days"][environment]}
    assert ENVIRONMENTS["log_days"]["production"] == 30
    names = {group["name"] for group in groups.values()}
    assert {"/searchsync/search-api", "/searchsync/airflow", "/searchsync/edge", "aws-waf-logs-searchsync"} <= names
    assert {f"/searchsync/stream-{entity.name}" for entity in served()} <= names


@LOCATED
def test_logs_go_to_groups_that_are_made(planned: Callable[[str], Planned], environment: str) -> None:
    """A container whose group is missing does not start; a function makes one, which keeps its logs for ever."""
    plan = planned(environment)
    made = {group["name"] for group in plan.of(".aws_cloudwatch_log_group.").values()}
    containers = (
        container
        for one in plan.of(".aws_ecs_task_definition.").values()
        for container in json.loads(one["container_definitions"])
    )
    used = {one["logConfiguration"]["options"]["awslogs-group"] for one in containers}
    functions = plan.of(".aws_lambda_function.")
    used |= {one["logging_config"][0]["log_group"] for one in functions.values()}
    used |= {arn.rpartition(":")[2] for one in plan.of(".aws_flow_log.").values() for arn in [one["log_destination"]]}
    (stage,) = plan.of(".aws_apigatewayv2_stage.").values()
    used.add(stage["access_log_settings"][0]["destination_arn"].rpartition(":")[2])
    assert sorted(used - made) == []
    assert len(used) == len(functions) + 4, "each has one of its own"
    for address, one in plan.of("module.stream.aws_lambda_function.").items():
        assert one["logging_config"][0]["log_format"] == "Text", f"{address}: in JSON, metrics would be lines of text"


def test_metrics_of_logs_are_those_of_the_table(planned: Callable[[str], Planned]) -> None:
    found = {}
    for one in planned("production").of(".aws_cloudwatch_log_metric_filter.").values():
        (made,) = one["metric_transformation"]
        assert (made["namespace"], made["value"], made["default_value"]) == ("SearchSync/SearchApi", "1", "0")
        found[made["name"]] = (one["log_group_name"], one["pattern"])
    assert found == {
        name: (f"/searchsync/{metric['log']}", metric["lines"]) for name, metric in TABLE["log_metrics"].items()
    }


@LOCATED
def test_each_alarm_is_a_chart_of_its_board(planned: Callable[[str], Planned], environment: str) -> None:
    plan = planned(environment)
    for board in ("health", "performance", "infrastructure"):
        charts = [widget["properties"] for widget in _widgets(plan, board) if widget["type"] == "metric"]
        marked = [chart for chart in charts if "annotations" in chart]
        limits = [chart for chart in marked if chart["annotations"]["horizontal"][0]["label"] == "alarm"]
        rows = [
            row
            for row in WATCHED.values()
            if row["board"] == board and environment in row["environments"]
            for _ in subjects(row.get("each"), environment)
        ]
        assert len(limits) == len(rows), board
        assert len(_widgets(plan, board)) <= 500, "CloudWatch takes no more"
        for chart in charts:
            assert chart["region"] == REGION
            assert all(isinstance(part, str | dict) for metric in chart["metrics"] for part in metric)


def test_the_month_is_held_against_what_is_promised(planned: Callable[[str], Planned]) -> None:
    chart = _widgets(planned("production"), "performance")[0]["properties"]
    marks = {mark["label"]: mark["value"] for mark in chart["annotations"]["horizontal"]}
    assert marks == TABLE["objective"]


def test_each_metric_of_ours_is_a_chart(planned: Callable[[str], Planned]) -> None:
    """A metric that nobody can see is paid for and helps nobody."""
    plan = planned("production")
    boards = {"function": "performance", "search-api": "performance", "task": "health", "worker": "infrastructure"}
    ours = {name: metric for name, metric in metrics.table().items() if metric.by in boards}
    assert {metric.by for metric in metrics.table().values()} == {*boards, "scrape"}, "the last is not in CloudWatch"
    for name, metric in ours.items():
        charts = {
            widget["properties"]["title"]: widget["properties"]["metrics"]
            for widget in _widgets(plan, boards[metric.by])
            if widget["type"] == "metric"
        }
        (line,) = charts[f"{name}: {metric.means}"]
        namespace = "SearchSync/SearchApi" if metric.by == "search-api" else "SearchSync"
        statistic = "Sum" if metric.unit == "Count" and metric.by in ("function", "search-api") else "Maximum"
        found = "{" + ",".join((namespace, *metric.dimensions)) + f'}} MetricName="{name}"'
        if metric.dimensions:
            assert line == [{"id": "all", "expression": f"SEARCH('{found}', '{statistic}', 300)"}]
        else:
            assert line == [namespace, name, {"stat": statistic}]


def test_the_first_thing_on_the_health_board_is_what_is_wrong(planned: Callable[[str], Planned]) -> None:
    """By severity, the most urgent first."""
    lists = [widget["properties"] for widget in _widgets(planned("production"), "health")[:4]]
    rows = {name: values["alarm_actions"][0] for name, values in expected("production") if values["alarm_actions"]}
    rows |= {f"searchsync-{name}": row["severity"].lower() for name, row in TABLE["together"].items()}
    for severity, row, found in zip(TABLE["severities"], TABLE["severities"].values(), lists, strict=True):
        assert found["title"] == f"What is wrong now: {severity}, answer {row['answer']}"
        told = {arn.rpartition(":")[2] for arn in found["alarms"]}
        assert told == {name for name, topic in rows.items() if topic.endswith(severity.lower())}
        assert len(told) <= 100, "CloudWatch takes no more in a list"


def test_tenants_are_seen_in_logs_and_are_no_dimension(planned: Callable[[str], Planned]) -> None:
    """A thousand tenants would be thousands of metrics, each of them paid for."""
    plan = planned("production")
    widgets = _widgets(plan, "tenants")
    assert {widget["type"] for widget in widgets} == {"log"}
    for widget in widgets:
        query = widget["properties"]["query"]
        assert query.startswith("SOURCE '/searchsync/search-api' | filter message = \"request\"")
        assert "by tenant_id" in query
        assert query.endswith("| limit 20")
    dimensions = {
        name.lower()
        for alarm in alarms(plan).values()
        for metric in metrics_planned(alarm).values()
        if isinstance(metric, tuple)
        for name in metric[2]
    }
    assert not [name for name in dimensions if "tenant" in name]


def _widgets(plan: Planned, board: str) -> list[dict[str, Any]]:
    body = plan.one(f'module.observe.aws_cloudwatch_dashboard.this["{board}"]')["dashboard_body"]
    widgets: list[dict[str, Any]] = json.loads(body)["widgets"]
    return widgets


def test_thresholds_of_disks_follow_from_the_sizes_that_are_made(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    (domain,) = plan.of(".aws_opensearch_domain.").values()
    gigabytes = domain["ebs_options"][0]["volume_size"]
    assert alarms(plan)["searchsync-cluster-disk"]["threshold"] == gigabytes * 1024 / 4
    for one in plan.of(".aws_db_instance.").values():
        found = alarms(plan)[f"searchsync-database-disk-{one['identifier'].removeprefix('searchsync-')}"]
        assert found["threshold"] == pytest.approx(one["allocated_storage"] * 1024**3 / 10)


def test_freshness_of_an_entity_goes_before_that_of_all() -> None:
    """An entity's file may have numbers of its own; alarms and checks must not disagree about them."""
    observe = (ROOT / "infra" / "observe.tf").read_text()
    assert 'merge(yamldecode(file("${local.include}/policies/freshness.yaml")), entity.freshness)' in observe
    numbers = yaml.safe_load((ROOT / "include" / "policies" / "freshness.yaml").read_text())
    used = {row["threshold"]["freshness"] for row in WATCHED.values() if "freshness" in str(row["threshold"])}
    assert used == {"hours", "stream_lag", "dead_letters", "oldest_message", "parked"}
    assert used - numbers.keys() == {"hours"}, "each entity's file has it"
