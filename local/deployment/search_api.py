"""The tasks of the search API: new ones get their share of the searches in a service of their own, beside the main one.

The load balancer shares the searches between the target groups of both services by the weights of a rule. The main
service gets the new task definition when half of the searches went well; afterwards the service beside it has no task.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from local.deployment import services
from local.deployment.judge import Versions
from local.deployment.services import CANARY, SEARCH_API
from local.deployment.shares import Say, Shares
from local.errors import LocalError

SUBJECT: Final = "search-api-ecs"
"""Of include/policies/canary.yaml."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of the load balancer with both target groups.

    :param arn: of the rule; `load_balancer`: the balancer's name in metrics.
    :param groups: the ARN of each service's target group, by the service's name.
    """

    balancers: Any
    arn: str
    load_balancer: str
    groups: Mapping[str, str]

    def put(self, percent: int) -> None:
        """Give the service beside so many percent of the searches, and the main one the others."""
        weights = {SEARCH_API: 100 - percent, CANARY: percent}
        groups = [{"TargetGroupArn": self.groups[name], "Weight": weight} for name, weight in weights.items()]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        self.balancers.modify_rule(RuleArn=self.arn, Actions=[action])

    def healthy(self, service: str) -> int:
        """Return how many tasks of a service the load balancer has found healthy."""
        found = self.balancers.describe_target_health(TargetGroupArn=self.groups[service])
        return sum(one["TargetHealth"]["State"] == "healthy" for one in found["TargetHealthDescriptions"])

    def names(self, service: str) -> dict[str, str]:
        """Return what the dimensions of a service's metrics are filled in with."""
        return {"load_balancer": self.load_balancer, "target_group": self.groups[service].rpartition(":")[2]}


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks of a new definition, beside those of the one before (`shares.Newer`).

    :param aws: clients, by service.
    :param before: ARN of the task definition of before; `newest`: of the new one.
    """

    aws: Mapping[str, Any]
    rule: Rule
    before: str
    newest: str
    say: Say

    @property
    def what(self) -> str:
        """Say which definition it is."""
        return revision(self.newest)

    @property
    def traffic(self) -> str:
        """Say of what they get a share."""
        return "searches"

    def give(self, share: float) -> None:
        """Give the new tasks a share of the searches, when so many of them are healthy as the share needs.

        :raises LocalError: when they do not become healthy; the weights are as they were
        """
        ecs = self.aws["ecs"]
        if share < 1.0:
            _let_scale_in(self.aws, False)  # else nobody could take the searches back that it does not get now
            tasks = math.ceil(share * services.desired(ecs, SEARCH_API))
            services.put(ecs, CANARY, self.newest, tasks)
            services.await_tasks(ecs, CANARY, self.newest, self.rule.healthy, self.say)
            self.rule.put(round(100 * share))
        else:
            services.put(ecs, SEARCH_API, self.newest)
            services.await_tasks(ecs, SEARCH_API, self.newest, self.rule.healthy, self.say)
            leave(self.aws)

    def take_back(self) -> None:
        """Give the definition of before all searches."""
        leave(self.aws)
        services.put(self.aws["ecs"], SEARCH_API, self.before)

    def versions(self, share: float) -> list[Versions]:
        """Return what is compared with what: at last the main service with itself of before."""
        group = CANARY if share < 1.0 else SEARCH_API
        names = {"baseline": self.rule.names(SEARCH_API), "canary": self.rule.names(group)}
        return [Versions(SEARCH_API, SUBJECT, revision(self.before), revision(self.newest), names=names)]


def to_newest(aws: Mapping[str, Any], shares: Shares, before: str) -> None:
    """Bring all searches to tasks of the newest definition, from whatever an earlier deployment has left.

    :param before: ARN of the task definition that was completed last
    :raises LocalError: when tasks do not become healthy, and as `Shares.give_all`
    """
    ecs, rule = aws["ecs"], _rule(aws["elbv2"])
    if rule is None:
        raise LocalError(f"the load balancer of {SEARCH_API} has no rule with the target group {CANARY}: see infra/")
    newest = services.newest(ecs, SEARCH_API)
    tasks = Tasks(aws, rule, before, newest, shares.say)
    tasks.take_back()
    services.await_tasks(ecs, SEARCH_API, before, rule.healthy, shares.say)
    if newest != before:
        if shares.judge is not None:
            _await_minutes_of(ecs, shares)
        shares.give_all(tasks)


def leave(aws: Mapping[str, Any]) -> None:
    """Give the main service all searches, and the one beside no task. It changes nothing the second time."""
    if (rule := _rule(aws["elbv2"])) is None:
        return  # an older release has no service beside
    rule.put(0)
    services.put(aws["ecs"], CANARY, None, 0)
    _let_scale_in(aws, True)


def revision(definition: str) -> str:
    """Return family and number of a task definition."""
    return definition.rpartition("/")[2]


def _await_minutes_of(ecs: Any, shares: Shares) -> None:
    """Let the version of before run for as long as a share is watched: the last one is compared with that.

    What it replaced may have run some minutes longer than the moment that ECS names, so twice the time is enough.
    """
    age = datetime.now(UTC) - services.running_since(ecs, SEARCH_API)
    if age.total_seconds() < 2 * shares.bake_seconds:
        shares.say(f"{SEARCH_API} runs what it did before for {shares.bake_seconds:.0f} s more, to be compared with")
        time.sleep(shares.bake_seconds)


def _let_scale_in(aws: Mapping[str, Any], allowed: bool) -> None:
    aws["application-autoscaling"].register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId=f"service/{services.CLUSTER}/{SEARCH_API}",
        ScalableDimension="ecs:service:DesiredCount",
        SuspendedState={"DynamicScalingInSuspended": not allowed},
    )


def _rule(balancers: Any) -> Rule | None:
    """Return the rule; None when there is none, or no second target group."""
    try:
        found = balancers.describe_target_groups(Names=[SEARCH_API, CANARY])["TargetGroups"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "TargetGroupNotFound":
            return None
        raise
    groups = {one["TargetGroupName"]: one["TargetGroupArn"] for one in found}
    for balancer in {arn for one in found for arn in one["LoadBalancerArns"]}:
        for listener in balancers.describe_listeners(LoadBalancerArn=balancer)["Listeners"]:
            for rule in balancers.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]:
                if groups[CANARY] in _forwarded_to(rule):
                    return Rule(balancers, rule["RuleArn"], balancer.partition("loadbalancer/")[2], groups)
    return None


def _forwarded_to(rule: Mapping[str, Any]) -> set[str]:
    configurations = [action.get("ForwardConfig", {}) for action in rule["Actions"]]
    return {group["TargetGroupArn"] for one in configurations for group in one.get("TargetGroups", [])}
