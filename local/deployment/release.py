"""What was deployed, and what before it: one parameter in Parameter Store, whose versions are the history."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from local.errors import LocalError

PARAMETER: Final = "/searchsync/release"


@dataclass(frozen=True, slots=True)
class Release:
    """One deployment.

    :param functions: the version of each function that gets all events, by the function's name.
    :param task_definitions: the ARN of each service's task definition, by the service's name.
    :param complete: False from the moment in which Terraform begins until all of it runs and was tried.
    """

    commit: str
    airflow_image: str
    search_api_image: str
    functions: dict[str, str] = field(default_factory=dict)
    task_definitions: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def content(self) -> tuple[str, str, str]:
        """What was deployed."""
        return self.commit, self.airflow_image, self.search_api_image


def record(ssm: Any, release: Release) -> None:
    """Add a release to the history."""
    ssm.put_parameter(Name=PARAMETER, Type="String", Value=json.dumps(asdict(release)), Overwrite=True)


def history(ssm: Any) -> list[Release]:
    """Return all releases that are known, the newest first; none before the first deployment."""
    pages = ssm.get_paginator("get_parameter_history").paginate(Name=PARAMETER)
    try:
        versions = [version for page in pages for version in page["Parameters"]]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return []
        raise
    versions.sort(key=lambda version: -version["Version"])
    return [Release(**json.loads(version["Value"])) for version in versions]


def deployed(ssm: Any) -> Release | None:
    """Return the newest release that was completed; None before the first one."""
    return next((release for release in history(ssm) if release.complete), None)


def previous(ssm: Any) -> Release:
    """Return what a rollback goes back to: the newest release that was completed, and is not the newest of all.

    :raises LocalError: when there is none
    """
    releases = history(ssm)
    for older in releases[1:]:
        if older.complete and (older.content != releases[0].content or not releases[0].complete):
            return older
    raise LocalError(
        f"{PARAMETER} in Parameter Store knows no completed release before the newest one, so there is nothing to go "
        "back to. Nothing was changed. Deploy a commit that mends what is wrong"
    )
