"""Where data is kept: equal to the entities, encrypted, not public, and restorable."""

import json
from collections.abc import Callable

import pytest

from local.stream_function import served
from local.tables import IMAGES
from tests.infra.plans import ACCOUNT, Planned, Values

Plans = Callable[[str], Planned]
ENVIRONMENTS = ("dev", "production")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_tables_are_those_of_the_entities(planned: Plans, environment: str) -> None:
    """A table that differs from its entity's file is refused by the code, or read wrongly."""
    tables = {values["name"]: values for values in planned(environment).of(".aws_dynamodb_table.").values()}
    assert tables.keys() == {entity.table for entity in served()}
    for entity in served():
        table = tables[entity.table]
        assert [table["hash_key"], *filter(None, [table["range_key"]])] == list(entity.key)
        types = {attribute["name"]: attribute["type"] for attribute in table["attribute"]}
        assert types == dict(zip(entity.key, entity.key_types, strict=True))
        expires = [(ttl["attribute_name"], ttl["enabled"]) for ttl in table["ttl"]]
        assert expires == ([(entity.expires, True)] if entity.expires else [])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_tables_have_streams_of_both_images_and_can_be_restored(planned: Plans, environment: str) -> None:
    days = {"dev": 1, "production": 35}[environment]
    for table in planned(environment).of(".aws_dynamodb_table.").values():
        assert table["billing_mode"] == "PAY_PER_REQUEST"
        assert (table["stream_enabled"], table["stream_view_type"]) == (True, IMAGES)
        assert table["point_in_time_recovery"] == [{"enabled": True, "recovery_period_in_days": days}]
        assert table["server_side_encryption"][0]["enabled"]
        assert table["deletion_protection_enabled"] is (environment == "production")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_databases_are_private_encrypted_and_restorable(planned: Plans, environment: str) -> None:
    plan = planned(environment)
    instances = plan.of(".aws_db_instance.")
    assert {instance["db_name"] for instance in instances.values()} == {"app", "airflow"}
    for instance in instances.values():
        assert not instance["publicly_accessible"]
        assert instance["storage_encrypted"]
        assert instance["storage_type"] == "gp3"
        assert instance["iam_database_authentication_enabled"]
        assert instance["manage_master_user_password"]
        assert "password" not in instance or instance["password"] is None
        assert instance["backup_retention_period"] == {"dev": 1, "production": 35}[environment]
        assert instance["multi_az"] is (environment == "production")
        assert instance["deletion_protection"] is (environment == "production")
        assert instance["skip_final_snapshot"] is (environment == "dev")
        assert instance["max_allocated_storage"] > instance["allocated_storage"], "the alarm says that it has not grown"
        assert instance["enabled_cloudwatch_logs_exports"] == ["postgresql"]
    parameters = plan.one("module.data.aws_db_parameter_group.this")["parameter"]
    chosen = {parameter["name"]: parameter["value"] for parameter in parameters}
    assert chosen["rds.force_ssl"] == "1"
    assert (chosen["timezone"], chosen["jit"]) == ("UTC", "0")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_queue_loses_nothing_and_the_cache_may(planned: Plans, environment: str) -> None:
    plan = planned(environment)
    groups = plan.of(".aws_elasticache_parameter_group.")
    policies = {group["name"]: [parameter["value"] for parameter in group["parameter"]] for group in groups.values()}
    assert policies == {"searchsync-broker-valkey8": ["noeviction"], "searchsync-cache-valkey8": ["allkeys-lru"]}
    caches = plan.of(".aws_elasticache_replication_group.")
    assert len(caches) == 2
    for cache in caches.values():
        assert cache["engine"] == "valkey"
        assert cache["at_rest_encryption_enabled"] == "true"
        assert cache["transit_encryption_enabled"]
        assert cache["transit_encryption_mode"] == "required"
        assert cache["automatic_failover_enabled"] is cache["multi_az_enabled"] is (environment == "production")
        assert cache["auth_token"] is None, "it would be in the state"


def of_bucket(plan: Planned, kind: str) -> dict[str, Values]:
    """The settings of one kind of all buckets, by the bucket's module."""
    return {address.rpartition(".aws_s3_bucket")[0]: values for address, values in plan.of(f".{kind}.").items()}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_all_buckets_are_private_encrypted_and_versioned(planned: Plans, environment: str) -> None:
    plan = planned(environment)
    buckets = of_bucket(plan, "aws_s3_bucket")
    names = {f"searchsync-{purpose}-{ACCOUNT}" for purpose in ("snapshots", "records", "exports", "logs")}
    if environment == "production":
        names |= {f"searchsync-{purpose}-{ACCOUNT}-replica" for purpose in ("snapshots", "records")}
    ours = {module: bucket for module, bucket in buckets.items() if module.startswith("module.data.")}
    assert {bucket["bucket"] for bucket in ours.values()} == names
    access, versioning = (
        of_bucket(plan, "aws_s3_bucket_public_access_block"),
        of_bucket(plan, "aws_s3_bucket_versioning"),
    )
    encryption = of_bucket(plan, "aws_s3_bucket_server_side_encryption_configuration")
    ownership, policies = of_bucket(plan, "aws_s3_bucket_ownership_controls"), of_bucket(plan, "aws_s3_bucket_policy")
    for module, bucket in buckets.items():
        blocked = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        assert all(access[module][what] for what in blocked), module
        assert versioning[module]["versioning_configuration"][0]["status"] == "Enabled", module
        assert ownership[module]["rule"][0]["object_ownership"] == "BucketOwnerEnforced", module
        algorithm = encryption[module]["rule"][0]["apply_server_side_encryption_by_default"][0]["sse_algorithm"]
        assert algorithm == ("AES256" if "-logs-" in bucket["bucket"] else "aws:kms"), module
        refused, *allowed = json.loads(policies[module]["policy"])["Statement"]
        assert refused["Effect"] == "Deny"
        assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert (refused["Principal"], refused["Action"]) == ("*", "s3:*")
        arn = f"arn:aws:s3:::{bucket['bucket']}"
        assert refused["Resource"] == [arn, f"{arn}/*"], module
        assert all("Service" in statement["Principal"] for statement in allowed), module
        assert bucket["force_destroy"] is (environment == "dev"), module


def test_objects_do_not_stay_for_ever(planned: Plans) -> None:
    """Snapshots are the exception: their files belong together, so whoever made a snapshot deletes it."""
    found = {}
    for module, values in of_bucket(planned("dev"), "aws_s3_bucket_lifecycle_configuration").items():
        (rule,) = values["rule"]
        assert rule["status"] == "Enabled"
        assert rule["abort_incomplete_multipart_upload"][0]["days_after_initiation"] == 7
        found[module.partition('["')[2].rstrip('"]')] = (
            [(move["storage_class"], move["days"]) for move in rule["transition"]],
            [end["days"] for end in rule["expiration"]],
            rule["noncurrent_version_expiration"][0]["noncurrent_days"],
        )
    assert found == {
        "snapshots": ([], [], 30),
        "records": ([], [30], 7),
        "exports": ([], [7], 1),
        "logs": ([("GLACIER", 90)], [400], 30),
    }


def test_production_copies_what_cannot_be_made_again(planned: Plans) -> None:
    plan = planned("production")
    rules = plan.of(".aws_s3_bucket_replication_configuration.")
    assert {address.partition('["')[2].rstrip('"]') for address in rules} == {"records", "snapshots"}
    for values in rules.values():
        (rule,) = values["rule"]
        (copy,) = rule["destination"]
        assert rule["status"] == "Enabled"
        assert rule["delete_marker_replication"] == [{"status": "Enabled"}]
        assert copy["replication_time"][0]["time"][0]["minutes"] == 15
        assert copy["bucket"].endswith("-replica")
    assert plan.one('module.data.module.replica_key[0].aws_kms_key.this["objects"]')["enable_key_rotation"]
    assert not planned("dev").of(".replica[")
    assert not planned("dev").of(".replica_key[")


def test_no_secret_is_in_the_plan(planned: Plans) -> None:
    """The state would keep it. Places for secrets are made; people and services fill them in."""
    plan = planned("production")
    assert {one["recovery_window_in_days"] for one in plan.of(".aws_secretsmanager_secret.").values()} == {30}
    assert not plan.of("secret_version")
    for address, values in plan.of("aws_ssm_parameter.").items():
        assert values["type"] == "String", address


def test_dev_is_small(planned: Plans) -> None:
    plan = planned("dev")
    assert {values["instance_class"] for values in plan.of(".aws_db_instance.").values()} == {"db.t4g.micro"}
    caches = plan.of(".aws_elasticache_replication_group.").values()
    assert {(cache["node_type"], cache["num_cache_clusters"]) for cache in caches} == {("cache.t4g.micro", 1)}
