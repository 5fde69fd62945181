"""Who says whether a new version is as good as the one before: the DAG `canary` of the environment's own Airflow.

It is asked over Airflow's REST API, and shifts nothing. Whatever keeps it from a verdict is no pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local import runs
from local.airflow_api import AirflowApi
from local.errors import LocalError

DAG: Final = "canary"
PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
LATE_SECONDS: Final = 120.0
"""Seconds after which CloudWatch has the figures of a minute; later ones are not asked for."""

_PATIENCE_SECONDS = 600.0
_USER, _SECRET = "admin", "searchsync/airflow-login"


@dataclass(frozen=True, slots=True)
class Versions:
    """A version of before and a new one.

    :param name: of what is deployed; `subject`: what it is to include/policies/canary.yaml.
    :param entity: whose function it is; empty for what is of no entity.
    :param names: of `baseline` and `canary`: what the dimensions of their metrics are filled in with, beside that.
    """

    name: str
    subject: str
    before: str
    newest: str
    entity: str = ""
    names: Mapping[str, Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """Two versions that share the traffic.

    :param share: of the new version, from 0 to 1.
    :param since: when it got that share; `began`: when it got the first one.
    """

    versions: Versions
    share: float
    since: datetime
    began: datetime


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks for verdicts.

    :param airflow: returns a client of Airflow, logged in.
    :param deployment: what is deployed: a commit.
    """

    airflow: Callable[[], AirflowApi]
    deployment: str

    def verdict(self, shared: Shared, now: datetime | None = None) -> tuple[str, str]:
        """Return the verdict on a new version, and why."""
        try:
            api = self.airflow()
            api.unpause(DAG)  # it has no schedule; a paused one would wait for ever
            run = api.trigger(DAG, self._question(shared, now or datetime.now(UTC)))
            outcome = runs.follow(api, DAG, run, lambda _: None, patience=_PATIENCE_SECONDS)
        except (LocalError, BotoCoreError, ClientError) as error:
            return INCONCLUSIVE, f"nobody could be asked: {error}"
        if not outcome.succeeded or not isinstance(outcome.result, dict):
            return INCONCLUSIVE, f"the run {outcome.run_id} of {DAG} has no verdict: {outcome.link}"
        found, why = outcome.result.get("verdict"), str(outcome.result.get("why"))
        return (found, why) if found in (PASS, FAIL) else (INCONCLUSIVE, why)

    def _question(self, shared: Shared, now: datetime) -> dict[str, Any]:
        versions = shared.versions
        return {
            "subject": versions.subject,
            "entity": versions.entity,
            "stage": round(shared.share * 100),
            "deployment": self.deployment,
            "baseline": versions.before,
            "canary": versions.newest,
            "names": versions.names,
            "since": shared.since.isoformat(),
            "until": (now - timedelta(seconds=LATE_SECONDS)).isoformat(),
            "before": shared.began.isoformat(),
        }


def airflow(domain_name: str, manager: Any) -> AirflowApi:
    """Return a client of an environment's Airflow, whose address is that of infra/modules/edge.

    :param manager: the client of Secrets Manager, which has the login.
    """
    password = manager.get_secret_value(SecretId=_SECRET)["SecretString"]
    return AirflowApi(f"https://airflow.{domain_name}", _USER, password)
