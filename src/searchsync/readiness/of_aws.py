"""Looks at AWS that the preflight does not make: what has to be so in production, whatever an environment may have."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from searchsync import alarms
from searchsync.alarms import PREFIX
from searchsync.preflight.checks import Finding, NotAsItShould, differences
from searchsync.preflight.target import Target

ZONES: Final = 3
DATABASES: Final = (f"{PREFIX}-source", f"{PREFIX}-airflow")
CACHES: Final = (f"{PREFIX}-broker", f"{PREFIX}-cache")
BALANCERS: Final = (f"{PREFIX}-search-api", f"{PREFIX}-airflow")
SCALED: Final = (f"service/{PREFIX}/{PREFIX}-search-api", f"service/{PREFIX}/{PREFIX}-airflow-worker")
BOARDS: Final = ("health", "performance", "infrastructure", "tenants")
TLS: Final = ("ELBSecurityPolicy-TLS13-1-2-", "ELBSecurityPolicy-TLS13-1-3-")
"""Beginnings of the names of rules that take TLS 1.2 and newer alone."""
LIVELY: Final = ("AirflowHeartbeatAge", "Breaching", "Freshness")
"""Metrics that a system which is well writes every five minutes."""
LIVELY_HOURS: Final = 1


def _search_zones(target: Target) -> Finding:
    found = target.aws("opensearch").describe_domain(DomainName=PREFIX)["DomainStatus"]["ClusterConfig"]
    zones = found["ZoneAwarenessConfig"]["AvailabilityZoneCount"] if found.get("ZoneAwarenessEnabled") else 1
    return Finding(f"{zones} zones", [f"{PREFIX}: {zones} zones instead of {ZONES}"] if zones < ZONES else [])


def _databases(target: Target) -> Finding:
    pages = target.aws("rds").get_paginator("describe_db_instances").paginate()
    found = {one["DBInstanceIdentifier"]: one for page in pages for one in page["DBInstances"]}
    wanted = {
        "MultiAZ": True,
        "StorageEncrypted": True,
        "PubliclyAccessible": False,
        "BackupRetentionPeriod": target.values["database_backup_days"],
    }
    return _compared(DATABASES, found, wanted)


def _caches(target: Target) -> Finding:
    pages = target.aws("elasticache").get_paginator("describe_replication_groups").paginate()
    found = {one["ReplicationGroupId"]: one for page in pages for one in page["ReplicationGroups"]}
    wanted = {
        "MultiAZ": "enabled",
        "AutomaticFailover": "enabled",
        "AtRestEncryptionEnabled": True,
        "TransitEncryptionEnabled": True,
    }
    return _compared(CACHES, found, wanted)


def _compared(names: tuple[str, ...], found: Mapping[str, dict[str, Any]], wanted: dict[str, Any]) -> Finding:
    problems = [f"there is no {name}" for name in names if name not in found]
    for name in names:
        problems += [f"{name}: {text}" for text in differences(wanted, found[name])] if name in found else []
    return Finding(", ".join(names), problems)


def _balancers(target: Target) -> Finding:
    client = target.aws("elbv2")
    found = client.describe_load_balancers(Names=[*BALANCERS])["LoadBalancers"]
    groups = {one["TargetGroupName"]: one for one in client.describe_target_groups(Names=[*BALANCERS])["TargetGroups"]}
    problems = [f"there is no {name}" for name in sorted({*BALANCERS} - {one["LoadBalancerName"] for one in found})]
    for one in found:
        name, group = one["LoadBalancerName"], groups.get(one["LoadBalancerName"], {})
        listeners = client.describe_listeners(LoadBalancerArn=one["LoadBalancerArn"])["Listeners"]
        zones = len(one["AvailabilityZones"])
        if zones < ZONES:
            problems.append(f"{name}: {zones} zones instead of {ZONES}")
        if not (group.get("HealthCheckEnabled") and group.get("HealthCheckPath")):
            problems.append(f"{name}: its tasks are not looked at")
        problems += [f"{name}: {text}" for text in _plain(listeners)]
    return Finding(", ".join(BALANCERS), problems)


def _plain(listeners: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with listeners: one has to be TLS, and all others may only redirect to it."""
    if not any(one["Protocol"] == "HTTPS" for one in listeners):
        yield "nothing listens for TLS"
    for one in listeners:
        if one["Protocol"] == "HTTPS" and not one.get("SslPolicy", "").startswith(TLS):
            yield f"{one.get('SslPolicy')} takes older TLS than 1.2"
        elif one["Protocol"] != "HTTPS" and {action["Type"] for action in one["DefaultActions"]} != {"redirect"}:
            yield f"port {one['Port']} answers in plain text"


def _scaling(target: Target) -> Finding:
    client = target.aws("application-autoscaling")
    pages = client.get_paginator("describe_scaling_policies").paginate(ServiceNamespace="ecs")
    policies = {one["ResourceId"] for page in pages for one in page["ScalingPolicies"]}
    pages = client.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="ecs")
    targets = {one["ResourceId"]: one for page in pages for one in page["ScalableTargets"]}
    problems = [f"{name} has no policy" for name in SCALED if name not in policies]
    for name in SCALED:
        limits = targets.get(name, {"MinCapacity": 0, "MaxCapacity": 0})
        if limits["MaxCapacity"] <= limits["MinCapacity"]:
            problems.append(f"{name} stays between {limits['MinCapacity']} and {limits['MaxCapacity']} tasks")
    return Finding(", ".join(SCALED), problems)


def _firewall(target: Target) -> Finding:
    (balancer,) = target.aws("elbv2").describe_load_balancers(Names=[BALANCERS[0]])["LoadBalancers"]
    found = target.aws("wafv2").get_web_acl_for_resource(ResourceArn=balancer["LoadBalancerArn"]).get("WebACL")
    if not found:
        raise NotAsItShould(f"nothing stands before {BALANCERS[0]}")
    groups = {rule["Statement"].get("ManagedRuleGroupStatement", {}).get("Name") for rule in found["Rules"]}
    limiting = [rule for rule in found["Rules"] if "RateBasedStatement" in rule["Statement"]]
    problems = [f"{name} is not among its rules" for name in sorted(MANAGED - groups)]
    problems += [] if any("Block" in rule["Action"] for rule in limiting) else ["no rule limits an address"]
    problems += [f"{rule['Name']} only counts" for rule in found["Rules"] if "Count" in rule.get("OverrideAction", {})]
    return Finding(f"{found['Name']}, {len(found['Rules'])} rules", problems)


MANAGED: Final = {
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
    "AWSManagedRulesSQLiRuleSet",
}


def _security_groups(target: Target) -> Finding:
    client = target.aws("ec2")
    networks = client.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": [PREFIX]}])["Vpcs"]
    if len(networks) != 1:
        raise NotAsItShould(f"{len(networks)} VPCs are named {PREFIX}, instead of one")
    filters = [{"Name": "vpc-id", "Values": [networks[0]["VpcId"]]}]
    pages = client.get_paginator("describe_security_groups").paginate(Filters=filters)
    groups = [one for page in pages for one in page["SecurityGroups"]]
    if not any(one["GroupName"].startswith(f"{PREFIX}-") for one in groups):
        raise NotAsItShould(f"{networks[0]['VpcId']} has none of ours")
    problems = [
        f"{one['GroupName']} lets in {place}, ports {rule.get('FromPort', 'all')} to {rule.get('ToPort', 'all')}"
        for one in groups
        for rule in one["IpPermissions"]
        for place in [
            *(part["CidrIp"] for part in rule.get("IpRanges", [])),
            *(part["CidrIpv6"] for part in rule.get("Ipv6Ranges", [])),
        ]
        if place.endswith("/0")
    ]
    return Finding(f"{len(groups)} groups", problems)


def _metrics(target: Target) -> Finding:
    client, problems = target.aws("cloudwatch"), []
    for name in LIVELY:
        pages = client.get_paginator("list_metrics").paginate(Namespace="SearchSync", MetricName=name)
        metrics = [one for page in pages for one in page["Metrics"]]
        if not any(have_figures(target, metrics[:500], LIVELY_HOURS)):
            problems.append(f"{name} has not come for {LIVELY_HOURS} h")
    return Finding(", ".join(LIVELY), problems)


def have_figures(target: Target, metrics: Sequence[Mapping[str, Any]], hours: int) -> list[bool]:
    """Return of each metric (namespace, name, dimensions) whether CloudWatch has a figure of the last hours."""
    if not metrics:
        return []
    queries = [
        {"Id": f"m{number}", "MetricStat": {"Metric": one, "Period": 300, "Stat": "SampleCount"}}
        for number, one in enumerate(metrics)
    ]
    now = datetime.now(UTC)
    answer = target.aws("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(hours=hours), EndTime=now
    )
    there = {one["Id"] for one in answer["MetricDataResults"] if one["Values"]}
    return [query["Id"] in there for query in queries]


def _log_groups(target: Target) -> Finding:
    pages = target.aws("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/{PREFIX}/")
    found = {one["logGroupName"]: one.get("retentionInDays") for page in pages for one in page["logGroups"]}
    days = target.values["log_days"]
    wanted = {f"/{PREFIX}/{name}" for name in ("airflow", "search-api", *_streams(target))}
    problems = [f"there is no {name}" for name in sorted(wanted - found.keys())]
    problems += [
        f"{name} is kept for {kept or 'ever'} days, not {days}" for name, kept in found.items() if kept != days
    ]
    return Finding(f"{len(found)} groups, {days} days", problems)


def _streams(target: Target) -> list[str]:
    return [f"stream-{entity.name}" for entity in target.of("dynamodb")]


def _dashboards(target: Target) -> Finding:
    """Each alarm of the environment has to be a chart of its board, and no chart may be of an alarm that is none."""
    client, problems, charts = target.aws("cloudwatch"), [], 0
    rows = {name: row for name, row in _rows(target).items() if target.environment in row.environments}
    shown: dict[str, set[str]] = {}
    for board in BOARDS:
        body = json.loads(client.get_dashboard(DashboardName=f"{PREFIX}-{board}")["DashboardBody"])
        titles = [widget["properties"].get("title", "") for widget in body["widgets"]]
        charts += len(titles)
        problems += [] if titles else [f"{board} is empty"]
        limited = [
            widget["properties"]["title"]
            for widget in body["widgets"]
            if widget["properties"].get("annotations", {}).get("horizontal", [{}])[0].get("label") == "alarm"
        ]
        for title in limited:
            alarm, _, signal = title.partition(": ")
            of = alarms.row_of(f"{PREFIX}-{alarm}")
            shown.setdefault(of, set()).add(signal)
            problems += [] if of in rows else [f"{board} shows {alarm}, which is no alarm here"]
    for name, row in rows.items():
        if row.signal not in shown.get(name, set()):
            problems.append(f"no dashboard shows {name} as the file has it")
    return Finding(f"{charts} charts", problems)


def _rows(target: Target) -> dict[str, alarms.Alarm]:
    sizes = {"search_gigabytes": 1.0, "database_gigabytes": 1.0}  # the names of the rows alone matter
    found = dict(alarms.watched(sizes=sizes))
    for entity in target.entities.values():
        found |= alarms.watched(entity, sizes)
    return found


CHECKS: Final[Mapping[str, Callable[[Target], Finding]]] = {
    "search zones": _search_zones,
    "databases": _databases,
    "caches": _caches,
    "balancers": _balancers,
    "scaling": _scaling,
    "firewall": _firewall,
    "security groups": _security_groups,
    "metrics": _metrics,
    "log groups": _log_groups,
    "dashboards": _dashboards,
}
