"""New tasks of the search API get searches by and by. Whatever stops it, the next deployment comes to the same end."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.deployment import search_api, services
from local.deployment.services import CANARY, SEARCH_API
from local.deployment.shares import AlarmFired, JudgedBad, Shares, Undecided
from local.errors import LocalError
from searchsync.canary.policy import policy
from tests.unit.local.deployment.conftest import IMAGES, Says, alarm, define

ALARM = "searchsync-api-errors-5m"
NEW_ALONE = {"main": ("2", 3), "beside": ("2", 0), "percent": 0, "scales in": True}
OLD_ALONE = {"main": ("1", 3), "beside": ("2", 0), "percent": 0, "scales in": True}


class Killed(BaseException):
    """The process is no more: it can do nothing against it."""


class World:
    """The search API with its two services, of which the new task definition runs nowhere yet."""

    def __init__(self, aws: dict[str, Any]) -> None:
        self.aws, self.said = aws, list[str]()
        self.old = services.newest(aws["ecs"], SEARCH_API)
        self.new = define(aws, SEARCH_API, IMAGES["new"])
        alarm(aws, ALARM, function="other")

    def deploy(self, *verdicts: str) -> Says:
        judge = Says(*verdicts) if verdicts else None
        shares = Shares(self.aws["cloudwatch"], 0.0, self.said.append, judge)  # type: ignore[arg-type]
        search_api.to_newest(self.aws, shares, self.old)
        assert judge is not None or not verdicts
        return judge or Says()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, name in (("main", SEARCH_API), ("beside", CANARY)):
            service = services._one(self.aws["ecs"], name)
            found[key] = (service["taskDefinition"].rpartition(":")[2], service["desiredCount"])
        (target,) = self.aws["application-autoscaling"].describe_scalable_targets(ServiceNamespace="ecs")[
            "ScalableTargets"
        ]
        assert (target["MinCapacity"], target["MaxCapacity"]) == (3, 30)
        scales_in = not target.get("SuspendedState", {}).get("DynamicScalingInSuspended", False)
        return found | {"percent": self.percent(), "scales in": scales_in}

    def percent(self) -> int:
        """What the service beside gets of the searches."""
        rule = search_api._rule(self.aws["elbv2"])
        assert rule is not None
        (found,) = self.aws["elbv2"].describe_rules(RuleArns=[rule.arn])["Rules"]
        weights = {
            group["TargetGroupArn"]: group["Weight"] for group in found["Actions"][0]["ForwardConfig"]["TargetGroups"]
        }
        assert sum(weights.values()) == 100
        return int(weights[rule.groups[CANARY]])


@pytest.fixture
def world(cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(services, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(services.await_tasks, "__defaults__", (5.0,))
    return World(cluster)


def weighed(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Note at each change of the weights: the percentage, and how many tasks of each service are healthy then."""
    seen: list[tuple[int, int, int]] = []
    put = search_api.Rule.put

    def noted(self: search_api.Rule, percent: int) -> None:
        put(self, percent)
        seen.append((percent, self.healthy(SEARCH_API), self.healthy(CANARY)))

    monkeypatch.setattr(search_api.Rule, "put", noted)
    return seen


def test_a_tenth_then_half_then_the_main_service(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = weighed(world, monkeypatch)
    judge = world.deploy("pass", "pass", "pass")
    assert world.state() == NEW_ALONE
    assert seen == [(0, 3, 0), (10, 3, 1), (50, 3, 2), (0, 3, 2)], "tasks are there before their searches, and after"
    assert world.aws["ecs"].seen == [(CANARY, "2", 1), (CANARY, "2", 2), (SEARCH_API, "2", 3), (CANARY, "2", 0)]
    assert [one.share for one in judge.asked] == [0.1, 0.5, 1.0]
    assert {(one.versions.before, one.versions.newest) for one in judge.asked} == {
        ("searchsync-search-api:1", "searchsync-search-api:2")
    }
    world.aws["ecs"].seen.clear()
    world.old = world.new
    assert world.deploy("none is asked for").asked == []
    assert (world.state(), world.aws["ecs"].seen) == (NEW_ALONE, []), "the second time changes nothing"


def test_the_judge_is_told_which_target_groups_are_compared(world: World) -> None:
    """At last there is no service beside: the main one is compared with itself of before."""
    asked = [one.versions for one in world.deploy("pass", "pass", "pass").asked]
    subject = policy().subject(asked[0].subject)
    needed = {name for signal in subject.signals.values() if signal for name in signal.names()}
    compared = []
    for versions in asked:
        names = versions.names or {}
        assert all(side.keys() == needed for side in names.values())
        assert {side["load_balancer"].split("/")[1] for side in names.values()} == {SEARCH_API}
        compared.append(tuple(names[side]["target_group"].split("/")[1] for side in ("baseline", "canary")))
    assert compared == [(SEARCH_API, CANARY), (SEARCH_API, CANARY), (SEARCH_API, SEARCH_API)]


def test_while_it_has_a_share_the_main_service_keeps_its_tasks(world: World) -> None:
    """Scaling would take them, because they have less to do; then nobody could take the searches back."""
    with pytest.raises(Undecided):
        world.deploy("inconclusive")
    assert world.state() == {"main": ("1", 3), "beside": ("2", 1), "percent": 10, "scales in": False}


@pytest.mark.parametrize("passes", [0, 1, 2])
def test_a_version_that_is_worse_gets_nothing_any_more(world: World, passes: int) -> None:
    with pytest.raises(JudgedBad, match=r"of the searches the newest version is worse .*search-api \(because\)"):
        world.deploy(*["pass"] * passes, "fail")
    assert world.state() == OLD_ALONE


@pytest.mark.parametrize("weight", [10, 50, 0])
def test_an_alarm_takes_the_searches_back(world: World, monkeypatch: pytest.MonkeyPatch, weight: int) -> None:
    put = search_api.Rule.put

    def alarming(self: search_api.Rule, percent: int) -> None:
        put(self, percent)
        if percent == weight and world.aws["ecs"].seen:
            alarm(world.aws, ALARM, function="other", state="ALARM")

    monkeypatch.setattr(search_api.Rule, "put", alarming)
    share = {10: "10%", 50: "50%", 0: "100%"}[weight]
    with pytest.raises(AlarmFired, match=rf"searchsync-search-api:2 got {share} of the searches when this fired"):
        world.deploy()
    assert world.state() == OLD_ALONE


@pytest.mark.parametrize(
    ("passes", "left"),
    [
        (0, {"main": ("1", 3), "beside": ("2", 1), "percent": 10, "scales in": False}),
        (1, {"main": ("1", 3), "beside": ("2", 2), "percent": 50, "scales in": False}),
        (2, NEW_ALONE),
    ],
)
def test_what_cannot_be_said_stops_where_it_is_and_is_judged_anew(world: World, passes: int, left: Any) -> None:
    with pytest.raises(Undecided, match="It keeps that share, and gets no more"):
        world.deploy(*["pass"] * passes, "inconclusive")
    assert world.state() == left
    assert [one.share for one in world.deploy("pass", "pass", "pass").asked] == [0.1, 0.5, 1.0]
    assert world.state() == NEW_ALONE


def test_tasks_that_do_not_become_healthy_get_no_search(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = weighed(world, monkeypatch)
    world.aws["ecs"].bad.add(world.new)
    with pytest.raises(LocalError, match=f"the deployment of the service {CANARY} failed"):
        world.deploy()
    assert world.state() == OLD_ALONE
    assert {percent for percent, *_ in seen} == {0}
    world.aws["ecs"].bad.clear()  # what they lacked is there now: the same definition starts
    world.deploy()
    assert world.state() == NEW_ALONE


def test_tasks_that_are_not_healthy_in_time_get_no_search(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_api.Rule, "healthy", lambda _, name: 0 if name == CANARY else 3)
    monkeypatch.setattr(services.await_tasks, "__defaults__", (0.0,))
    with pytest.raises(LocalError, match=f"{CANARY} has too few healthy tasks"):
        world.deploy()
    assert world.state() == OLD_ALONE


def test_a_main_service_that_ecs_brings_back_is_no_success(world: World) -> None:
    """The circuit breaker has put the old tasks back: it looks healthy, and is old."""

    def circuit_breaker(name: str, change: dict[str, Any]) -> None:
        if name == SEARCH_API and change.get("taskDefinition") == world.new:
            change["taskDefinition"] = world.old

    world.aws["ecs"].before = circuit_breaker
    with pytest.raises(LocalError, match=f"ECS brought {SEARCH_API} back"):
        world.deploy()
    assert world.state() == OLD_ALONE


def calls(world: World, monkeypatch: pytest.MonkeyPatch, at: int, happens: Callable[[], None]) -> list[str]:
    """Let something happen once, before the change number `at` of AWS. Return the changes, as they are made."""
    made: list[str] = []
    left = [happens]

    def note(name: str) -> None:
        if len(made) == at and left:
            left.pop()()
        made.append(name)

    put, scale = search_api.Rule.put, search_api._let_scale_in

    def weights(self: search_api.Rule, percent: int) -> None:
        note(f"weight {percent}")
        put(self, percent)

    def scaling(aws: Any, allowed: bool) -> None:
        note(f"scale in {allowed}")
        scale(aws, allowed)

    monkeypatch.setattr(search_api.Rule, "put", weights)
    monkeypatch.setattr(search_api, "_let_scale_in", scaling)
    world.aws["ecs"].before = lambda name, _: note(name)
    return made


CHANGES = [
    *("weight 0", "scale in True"),  # nothing was left by an earlier deployment
    *("scale in False", CANARY, "weight 10"),
    *("scale in False", CANARY, "weight 50"),
    *(SEARCH_API, "weight 0", CANARY, "scale in True"),
]


def test_these_are_all_changes_of_a_deployment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = calls(world, monkeypatch, -1, lambda: None)
    world.deploy()
    assert made == CHANGES


@pytest.mark.parametrize("at", range(len(CHANGES)))
def test_a_deployment_that_was_killed_comes_to_the_same_end(
    world: World, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with monkeypatch.context() as patched:

        def kill() -> None:
            patched.setattr(search_api.Tasks, "take_back", lambda _: None)
            raise Killed

        made = calls(world, patched, at, kill)
        with pytest.raises(Killed):
            world.deploy()
        assert made == CHANGES[:at]
    world.aws["ecs"].before = lambda *_: None
    world.deploy("pass", "pass", "pass")
    assert world.state() == NEW_ALONE


@pytest.mark.parametrize("at", [2, 4, 7, 9, 11])
def test_an_interruption_takes_the_searches_back(world: World, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        calls(world, patched, at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            world.deploy()
    state = world.state()
    assert state == {**OLD_ALONE, "beside": (state["beside"][0], 0)}


def test_the_version_of_before_runs_long_enough_to_be_compared_with(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last share is compared with the minutes before: beside those of a bad version, each looks good."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    shares = Shares(world.aws["cloudwatch"], 600.0, world.said.append, Says("fail"))  # type: ignore[arg-type]
    monkeypatch.setattr(Shares, "_watch", lambda *_: None)
    with pytest.raises(JudgedBad):
        search_api.to_newest(world.aws, shares, world.old)
    assert slept == [600.0]
    slept.clear()
    monkeypatch.setattr(services, "running_since", lambda *_: datetime.now(UTC) - timedelta(seconds=1_300))
    shares = Shares(world.aws["cloudwatch"], 600.0, world.said.append, Says("fail"))  # type: ignore[arg-type]
    with pytest.raises(JudgedBad):
        search_api.to_newest(world.aws, shares, world.old)
    assert slept == []


def test_without_the_rule_nothing_is_deployed_and_a_rollback_goes_on(world: World) -> None:
    """A release of before the canary has neither the second target group nor the rule."""
    rule = search_api._rule(world.aws["elbv2"])
    assert rule is not None
    world.aws["elbv2"].delete_rule(RuleArn=rule.arn)
    with pytest.raises(LocalError, match="has no rule with the target group"):
        world.deploy()
    search_api.leave(world.aws)
    world.aws["elbv2"].delete_target_group(TargetGroupArn=rule.groups[CANARY])
    search_api.leave(world.aws)
    assert world.aws["ecs"].seen == []


def test_the_service_beside_belongs_to_no_release(world: World) -> None:
    """Else a rollback would start it with a definition that somebody else recorded."""
    assert CANARY not in services.definitions(world.aws["ecs"])
