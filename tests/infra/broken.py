"""What somebody breaks in an environment, and puts right again; and the lines of the preflight that it turns red."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.infra.applied import FUNCTION, Applied, policy_of


@contextmanager
def batch_size(applied: Applied) -> Iterator[None]:
    client, found = applied.aws("lambda"), applied.mapping()
    client.update_event_source_mapping(UUID=found["UUID"], BatchSize=10)
    yield
    client.update_event_source_mapping(UUID=found["UUID"], BatchSize=found["BatchSize"])


@contextmanager
def delivery_off(applied: Applied) -> Iterator[None]:
    client, found = applied.aws("lambda"), applied.mapping()
    client.update_event_source_mapping(UUID=found["UUID"], Enabled=False)
    yield
    client.update_event_source_mapping(UUID=found["UUID"], Enabled=True)


@contextmanager
def records_not_kept(applied: Applied) -> Iterator[None]:
    client, found = applied.aws("lambda"), applied.mapping()
    pointer = {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:members-dlq"}}
    client.update_event_source_mapping(UUID=found["UUID"], DestinationConfig=pointer)
    yield
    client.update_event_source_mapping(UUID=found["UUID"], DestinationConfig=found["DestinationConfig"])


@contextmanager
def silent_alarm(applied: Applied) -> Iterator[None]:
    client = applied.aws("cloudwatch")
    names = applied.check()["alarm", "members-dlq"].seen.split(", ")
    client.disable_alarm_actions(AlarmNames=names)
    yield
    client.enable_alarm_actions(AlarmNames=names)


@contextmanager
def patient_alarm(applied: Applied) -> Iterator[None]:
    client, name = applied.aws("cloudwatch"), "searchsync-stream-behind-members"
    (found,) = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    kept = client.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    request = {key: value for key, value in found.items() if key in kept and value not in ([], None)}
    client.put_metric_alarm(**request | {"Threshold": 10 * found["Threshold"]})
    yield
    client.put_metric_alarm(**request)


@contextmanager
def redrive(applied: Applied) -> Iterator[None]:
    client, queue = applied.aws("sqs"), applied.queue("members-dlq")
    policy = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:members-parked", "maxReceiveCount": 5}
    client.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy)})
    yield
    client.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": ""})


@contextmanager
def wider_policy(applied: Applied) -> Iterator[None]:
    client, role = applied.aws("iam"), "searchsync-stream-members"
    found = policy_of(applied, role)
    wider = {**found, "Statement": [*found["Statement"], {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    client.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(wider))
    yield
    client.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(found))


@contextmanager
def another_policy(applied: Applied) -> Iterator[None]:
    client, role = applied.aws("iam"), "searchsync-stream-members"
    client.put_role_policy(RoleName=role, PolicyName="other", PolicyDocument=json.dumps(policy_of(applied, role)))
    yield
    client.delete_role_policy(RoleName=role, PolicyName="other")


@contextmanager
def no_recovery(applied: Applied) -> Iterator[None]:
    client = applied.aws("dynamodb")
    found = client.describe_continuous_backups(TableName="members")["ContinuousBackupsDescription"]
    days = found["PointInTimeRecoveryDescription"]["RecoveryPeriodInDays"]
    off: dict[str, Any] = {"PointInTimeRecoveryEnabled": False}
    client.update_continuous_backups(TableName="members", PointInTimeRecoverySpecification=off)
    yield
    on = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": days}
    client.update_continuous_backups(TableName="members", PointInTimeRecoverySpecification=on)


@contextmanager
def no_expiry(applied: Applied) -> Iterator[None]:
    client = applied.aws("dynamodb")
    for on in (False, True):
        client.update_time_to_live(
            TableName="members", TimeToLiveSpecification={"Enabled": on, "AttributeName": "expires_at"}
        )
        if not on:
            yield


@contextmanager
def shared_concurrency(applied: Applied) -> Iterator[None]:
    client = applied.aws("lambda")
    found = client.get_function_concurrency(FunctionName=FUNCTION)["ReservedConcurrentExecutions"]
    client.delete_function_concurrency(FunctionName=FUNCTION)
    yield
    client.put_function_concurrency(FunctionName=FUNCTION, ReservedConcurrentExecutions=found)


@contextmanager
def open_domain(applied: Applied) -> Iterator[None]:
    client = applied.aws("opensearch")
    found = client.describe_domain(DomainName="searchsync")["DomainStatus"]["DomainEndpointOptions"]
    client.update_domain_config(DomainName="searchsync", DomainEndpointOptions={**found, "EnforceHTTPS": False})
    yield
    client.update_domain_config(DomainName="searchsync", DomainEndpointOptions=found)


@contextmanager
def tenant_for_everyone(applied: Applied) -> Iterator[None]:
    client = applied.aws("cognito-idp")
    pool = applied.check()["user pool", "searchsync"].seen
    (number,) = [
        one["ClientId"]
        for one in client.list_user_pool_clients(UserPoolId=pool, MaxResults=60)["UserPoolClients"]
        if one["ClientName"] == "searchsync-people"
    ]
    for writes in (["email", "custom:tenant_id"], ["email"]):
        client.update_user_pool_client(UserPoolId=pool, ClientId=number, WriteAttributes=writes)
        if len(writes) > 1:
            yield


@contextmanager
def no_role(applied: Applied) -> Iterator[None]:
    client, pool = applied.aws("cognito-idp"), applied.check()["user pool", "searchsync"].seen
    client.delete_group(UserPoolId=pool, GroupName="service")
    yield
    client.create_group(UserPoolId=pool, GroupName="service")


@contextmanager
def endpoint_that_nothing_uses(applied: Applied) -> Iterator[None]:
    client, number = applied.aws("ec2"), applied.check()["VPC endpoint", "dynamodb"].seen
    (found,) = client.describe_vpc_endpoints(VpcEndpointIds=[number])["VpcEndpoints"]
    tables = found["RouteTableIds"]
    client.modify_vpc_endpoint(VpcEndpointId=number, RemoveRouteTableIds=tables)
    yield
    client.modify_vpc_endpoint(VpcEndpointId=number, AddRouteTableIds=tables)


@contextmanager
def sign_up_for_everyone(applied: Applied) -> Iterator[None]:
    """An update of a user pool takes all settings: what it does not name becomes the default."""
    client, pool = applied.aws("cognito-idp"), applied.check()["user pool", "searchsync"].seen
    found = client.describe_user_pool(UserPoolId=pool)["UserPool"]
    taken = client.meta.service_model.operation_model("UpdateUserPool").input_shape.members
    kept = {name: value for name, value in found.items() if name in taken}
    open_to_all = {**kept["AdminCreateUserConfig"], "AllowAdminCreateUserOnly": False}
    client.update_user_pool(UserPoolId=pool, **{**kept, "AdminCreateUserConfig": open_to_all})
    yield
    client.update_user_pool(UserPoolId=pool, **kept)


BROKEN: list[tuple[Callable[[Applied], AbstractContextManager[None]], set[tuple[str, str]]]] = [
    (batch_size, {("event source mapping", FUNCTION)}),
    (delivery_off, {("delivery", FUNCTION)}),
    (records_not_kept, {("on-failure destination", FUNCTION)}),
    (silent_alarm, {("alarm", "members-dlq"), ("alarms", "searchsync")}),
    (patient_alarm, {("alarms", "searchsync")}),
    (redrive, {("queue", "members-dlq")}),
    (wider_policy, {("role's documents", "searchsync-stream-members")}),
    (another_policy, {("role's documents", "searchsync-stream-members")}),
    (no_recovery, {("point-in-time recovery", "members")}),
    (no_expiry, {("time to live", "members")}),
    (shared_concurrency, {("function", FUNCTION)}),
    (open_domain, {("OpenSearch domain", "searchsync")}),
    (tenant_for_everyone, {("user pool's clients", "searchsync")}),
    (no_role, {("user pool's groups", "searchsync")}),
    (endpoint_that_nothing_uses, {("VPC endpoint", "dynamodb")}),
    (sign_up_for_everyone, {("user pool", "searchsync")}),
]
