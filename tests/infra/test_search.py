"""The OpenSearch domain: closed to all but roles, and ready for a lost zone in production."""

import json
from collections.abc import Callable

import pytest

from searchsync.catalog import CATALOG, Entity
from tests.infra.plans import ACCOUNT, REGION, Planned, Values

Plans = Callable[[str], Planned]
ENVIRONMENTS = ("dev", "staging", "production")


def domain(plan: Planned) -> Values:
    return plan.one("module.search.aws_opensearch_domain.this")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_all_is_encrypted(planned: Plans, environment: str) -> None:
    values = domain(planned(environment))
    assert values["encrypt_at_rest"][0]["enabled"]
    assert values["node_to_node_encryption"] == [{"enabled": True}]
    (endpoint,) = values["domain_endpoint_options"]
    assert endpoint["enforce_https"]
    assert endpoint["tls_security_policy"] == "Policy-Min-TLS-1-2-PFS-2023-10"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_roles_of_the_account_get_in_and_their_rights_are_fine_grained(planned: Plans, environment: str) -> None:
    values = domain(planned(environment))
    (security,) = values["advanced_security_options"]
    assert security["enabled"]
    assert not security["anonymous_auth_enabled"]
    assert not security["internal_user_database_enabled"]
    (master,) = security["master_user_options"]
    assert master["master_user_arn"] == f"arn:aws:iam::{ACCOUNT}:role/searchsync-opensearch-admin"
    assert master.get("master_user_password") is None
    (statement,) = json.loads(values["access_policies"])["Statement"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert statement["Resource"] == f"arn:aws:es:{REGION}:{ACCOUNT}:domain/searchsync/*"
    assert len(values["vpc_options"]) == 1


def test_production_outlives_a_zone(planned: Plans) -> None:
    (cluster,) = domain(planned("production"))["cluster_config"]
    assert cluster["multi_az_with_standby_enabled"]
    assert cluster["zone_awareness_config"] == [{"availability_zone_count": 3}]
    assert cluster["instance_count"] % 3 == 0
    assert cluster["dedicated_master_enabled"]
    assert cluster["dedicated_master_count"] == 3


def test_dev_is_one_small_node(planned: Plans) -> None:
    (cluster,) = domain(planned("dev"))["cluster_config"]
    assert (cluster["instance_type"], cluster["instance_count"]) == ("t3.small.search", 1)
    assert not cluster["dedicated_master_enabled"]
    assert not cluster["zone_awareness_enabled"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_kept_up_to_date_outside_of_working_hours(planned: Plans, environment: str) -> None:
    values = domain(planned(environment))
    assert values["ebs_options"][0]["volume_type"] == "gp3"
    assert values["off_peak_window_options"][0]["enabled"]
    assert values["software_update_options"] == [{"auto_software_update_enabled": True}]
    (tuning,) = values["auto_tune_options"]
    assert tuning["desired_state"] == ("DISABLED" if environment == "dev" else "ENABLED")
    assert tuning["use_off_peak_window"] is (environment != "dev")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_slow_is_logged(planned: Plans, environment: str) -> None:
    """OpenSearch refuses logs that a policy does not let it write."""
    plan = planned(environment)
    options = domain(plan)["log_publishing_options"]
    groups = {option["log_type"]: option["cloudwatch_log_group_arn"] for option in options}
    assert groups.keys() == {"ES_APPLICATION_LOGS", "AUDIT_LOGS", "SEARCH_SLOW_LOGS", "INDEX_SLOW_LOGS"}
    policy = plan.one("module.search.aws_cloudwatch_log_resource_policy.this")["policy_document"]
    (statement,) = json.loads(policy)["Statement"]
    assert set(statement["Resource"]) == {f"{arn}:*" for arn in groups.values()}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


@pytest.mark.parametrize("entity", CATALOG.values(), ids=lambda entity: entity.name)
def test_indexes_say_what_slow_means(entity: Entity) -> None:
    """Without these settings the logs stay empty. What is in a document is not logged."""
    settings = entity.index_body["settings"]
    assert settings["search.slowlog.threshold.query.warn"] == "1s"
    assert settings["indexing.slowlog.threshold.index.warn"] == "1s"
    assert settings["indexing.slowlog.source"] == "0"
