"""The history says what a rollback goes back to."""

from dataclasses import replace
from typing import Any

import pytest

from local.deployment import release
from local.deployment.release import Release
from local.errors import LocalError

A, B, C = (Release(name * 40, "airflow", "api", {"f": "1"}, {"s": "arn"}, complete=True) for name in "abc")


def recorded(aws: dict[str, Any], *releases: Release) -> Any:
    for one in releases:
        release.record(aws["ssm"], one)
    return aws["ssm"]


def test_before_the_first_deployment_there_is_nothing(aws: dict[str, Any]) -> None:
    assert release.history(aws["ssm"]) == []
    assert release.deployed(aws["ssm"]) is None
    with pytest.raises(LocalError, match=r"nothing to go back to\. Nothing was changed"):
        release.previous(aws["ssm"])


def test_what_was_recorded_is_read_back_newest_first(aws: dict[str, Any]) -> None:
    assert release.history(recorded(aws, A, B, C)) == [C, B, A]


def begun(one: Release) -> Release:
    return Release(*one.content)


@pytest.mark.parametrize(
    ("releases", "deployed", "previous"),
    [
        ([begun(A), A, begun(B), B], B, A),
        ([A, B, begun(C)], B, B),  # a deployment failed: the one before it is the good one
        ([A, begun(C)], A, A),
        ([A, B, begun(B), B], B, A),  # the same once more
        ([A, B, A], A, B),  # after a rollback, the next one goes forward
        ([A, begun(B), A], A, None),  # but not to what never ran
    ],
)
def test_where_a_rollback_goes(
    aws: dict[str, Any], releases: list[Release], deployed: Release, previous: Release | None
) -> None:
    ssm = recorded(aws, *releases)
    assert release.deployed(ssm) == deployed
    if previous is None:
        with pytest.raises(LocalError, match="nothing to go back to"):
            release.previous(ssm)
    else:
        assert release.previous(ssm) == previous


def test_the_same_commit_with_other_images_is_another_release(aws: dict[str, Any]) -> None:
    assert release.previous(recorded(aws, A, replace(A, airflow_image="mended"))) == A
