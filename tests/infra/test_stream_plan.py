"""The functions on streams, their queues and event source mappings: as settings.json says, for every entity.

The local stack runs by the same file. A value that Terraform has otherwise would show only on AWS.
"""

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from local import stream_function
from local.stream_function import SETTINGS, served
from searchsync.catalog import Entity
from searchsync.cluster.client import connect_from_environment
from searchsync.stream import dead_letters
from searchsync.stream.dead_letters import GivenUp
from searchsync.stream.queue import DEAD_LETTER_QUEUE
from tests.infra.plans import ACCOUNT, REGION, Planned

ENVIRONMENTS = ("dev", "production")
ENTITIES = pytest.mark.parametrize("entity", served(), ids=lambda entity: entity.name)

AS_TERRAFORM_SAYS = {
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "maximum_batching_window_in_seconds",
    "StartingPosition": "starting_position",
    "MaximumRetryAttempts": "maximum_retry_attempts",
    "BisectBatchOnFunctionError": "bisect_batch_on_function_error",
    "FunctionResponseTypes": "function_response_types",
    "MaximumRecordAgeInSeconds": "maximum_record_age_in_seconds",
    "ParallelizationFactor": "parallelization_factor",
}


def of(plan: Planned, kind: str, entity: Entity) -> Any:
    return plan.one(f'module.stream.{kind}["{entity.name}"]')


@ENTITIES
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_mapping_has_all_settings(planned: Callable[[str], Planned], environment: str, entity: Entity) -> None:
    """With other retries or ages, records are given up that the local stack keeps."""
    mapping = of(planned(environment), "aws_lambda_event_source_mapping.stream", entity)
    wanted = SETTINGS["event_source_mapping"]
    assert wanted.keys() == AS_TERRAFORM_SAYS.keys(), "a new setting that Terraform does not know"
    assert {name: mapping[AS_TERRAFORM_SAYS[name]] for name in wanted} == wanted
    assert wanted["MaximumRetryAttempts"] == -1, "an outage must not use up the attempts (decision 3)"


@ENTITIES
def test_records_that_are_given_up_are_kept(planned: Callable[[str], Planned], entity: Entity) -> None:
    """A queue would get a pointer, which is worth nothing after two hours."""
    mapping = of(planned("production"), "aws_lambda_event_source_mapping.stream", entity)
    (destination,) = mapping["destination_config"]
    assert destination["on_failure"] == [{"destination_arn": f"arn:aws:s3:::searchsync-records-{ACCOUNT}"}]


@ENTITIES
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_stream_is_on_from_the_start(planned: Callable[[str], Planned], environment: str, entity: Entity) -> None:
    """Nobody has to think of it: until the first reindex the function returns its batches, and nothing is lost."""
    assert of(planned(environment), "aws_lambda_event_source_mapping.stream", entity)["enabled"] is True


@ENTITIES
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_records_that_were_given_up_are_replayed(
    planned: Callable[[str], Planned], environment: str, entity: Entity
) -> None:
    """A bucket tells nobody what it has got: without the message, no replay would look into it."""
    plan = planned(environment)
    rule, target = (of(plan, f"aws_cloudwatch_event_{kind}.given_up", entity) for kind in ("rule", "target"))
    assert target["rule"] == rule["name"]
    (transformer,) = target["input_transformer"]
    message = transformer["input_template"].replace("<bucket>", "b").replace("<key>", "aws/lambda/x/y")
    assert dead_letters.read(message) == GivenUp("b", "aws/lambda/x/y")
    assert plan.one("module.stream.aws_s3_bucket_notification.records")["eventbridge"] is True
    (statement,) = json.loads(of(plan, "aws_sqs_queue_policy.dead_letters", entity)["policy"])["Statement"]
    assert statement["Resource"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:{entity.name}-dlq"
    source = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule['name']}"
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": source}


@ENTITIES
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_both_queues_have_all_settings(planned: Callable[[str], Planned], environment: str, entity: Entity) -> None:
    """A message that fits into one has to fit into the other."""
    wanted = {
        "max_message_size": SETTINGS["queues"]["maximum_message_size_bytes"],
        "message_retention_seconds": SETTINGS["queues"]["message_retention_seconds"],
        "visibility_timeout_seconds": SETTINGS["queues"]["visibility_timeout_seconds"],
        "fifo_queue": False,
    }
    assert len(SETTINGS["queues"]) == len(wanted) - 1, "a new setting that Terraform does not know"
    names = []
    for kind in ("dead_letters", "parked"):
        queue = of(planned(environment), f"aws_sqs_queue.{kind}", entity)
        assert {name: queue[name] for name in wanted} == wanted
        names.append(queue["name"])
    assert set(names) == set(stream_function.queue_names(entity).values())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_the_replay_moves_messages(planned: Callable[[str], Planned], environment: str) -> None:
    """SQS would count each receive, also that of a dry run, and move a message that was never replayed."""
    queues = planned(environment).of("module.stream.aws_sqs_queue.")
    assert len(queues) == 2 * len(served())
    assert not [address for address, queue in queues.items() if queue.get("redrive_policy")]
    assert not planned(environment).of("aws_sqs_queue_redrive")


@ENTITIES
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_function_is_the_packaged_one(planned: Callable[[str], Planned], environment: str, entity: Entity) -> None:
    function = of(planned(environment), "aws_lambda_function.stream", entity)
    settings = SETTINGS["function"]
    assert settings.keys() == {"runtime", "handler", "timeout_seconds", "memory_mb"}, "a new setting"
    assert function["runtime"] == settings["runtime"]
    assert function["handler"] == settings["handler"]
    assert function["timeout"] == settings["timeout_seconds"]
    assert function["memory_size"] == settings["memory_mb"]
    assert function["architectures"] == ["arm64"]
    assert function["publish"] is True
    assert function["reserved_concurrent_executions"] >= SETTINGS["event_source_mapping"]["ParallelizationFactor"]
    assert len(function["vpc_config"]) == 1
    assert function["function_name"] == f"{entity.name}-stream"
    assert function["role"] == f"arn:aws:iam::{ACCOUNT}:role/searchsync-stream-{entity.name}"
    visible = SETTINGS["queues"]["visibility_timeout_seconds"]
    assert settings["timeout_seconds"] <= visible, "a message must not be seen again while it is worked on"


@ENTITIES
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_function_is_told_what_it_reads(
    planned: Callable[[str], Planned], environment: str, entity: Entity
) -> None:
    """A variable that is missing ends it at its first batch; one that it does not read is a mistake of ours."""
    (told,) = of(planned(environment), "aws_lambda_function.stream", entity)["environment"]
    assert told["variables"] == {
        "SEARCHSYNC_ENTITY": entity.name,
        "SEARCHSYNC_OPENSEARCH_AWS_SERVICE": "es",
        "SEARCHSYNC_OPENSEARCH_URL": "https://vpc-searchsync.eu-west-1.es.amazonaws.com",
        entity.variable(DEAD_LETTER_QUEUE): f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{entity.name}-dlq",
    }


@ENTITIES
def test_the_variables_are_those_of_the_code(planned: Callable[[str], Planned], entity: Entity) -> None:
    """Read from the code, so that a new variable of the handler is missed here."""
    (told,) = of(planned("production"), "aws_lambda_function.stream", entity)["environment"]
    code = stream_function.HANDLER.read_text(encoding="utf-8") + inspect.getsource(connect_from_environment)
    read = set(re.findall(r"SEARCHSYNC_[A-Z_]*[A-Z]", code)) | {entity.variable(DEAD_LETTER_QUEUE)}
    not_on_aws = {f"SEARCHSYNC_OPENSEARCH_{name}" for name in ("USER", "PASSWORD", "CA_CERTS")}
    assert read - not_on_aws == set(told["variables"])
