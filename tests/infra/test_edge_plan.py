"""The way in to the search API: who comes around the firewall or the authorizer sees what is not theirs."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from starlette.routing import Route

from local.paths import ROOT
from search_api.auth.roles import RIGHTS
from search_api.auth.tokens import TENANT_CLAIM
from search_api.edge import DEADLINE_SECONDS, LONGER_SECONDS, SECURITY_HEADERS
from search_api.routes import page
from tests.infra.plans import ACCOUNT, Planned

GATEWAY = "module.edge.aws_apigatewayv2"
EACH = pytest.mark.parametrize("environment", ["dev", "production"])
PUBLIC = {"GET /", "GET /page/{file}", "GET /health", "GET /openapi.json", "GET /problems"}
HEADER = "x-client-address"


def routes(plan: Planned) -> dict[str, Mapping[str, Any]]:
    return {route["route_key"]: route for route in plan.of(f"{GATEWAY}_route.").values()}


@EACH
def test_only_what_shows_no_document_needs_no_token(planned: Callable[[str], Planned], environment: str) -> None:
    found = routes(planned(environment))
    assert {key for key, route in found.items() if route["authorization_type"] == "NONE"} == PUBLIC
    assert {key: route["authorization_type"] for key, route in found.items() if key not in PUBLIC} == {
        "$default": "JWT"
    }


def test_all_files_of_the_page_are_public() -> None:
    """A page without its script shows nothing, and who gets a problem without a token has to find what it means."""
    paths = {route.path for route in page.routes() if isinstance(route, Route)}
    assert {f"GET {path if path.count('/') == 1 else '/page/{file}'}" for path in paths} == PUBLIC - {
        "GET /health",
        "GET /openapi.json",
    }
    assert all(path.count("/") <= 2 for path in paths), "{file} is one part of a path"


def test_tokens_are_asked_for_where_the_service_looks_for_them(planned: Callable[[str], Planned]) -> None:
    authorizer = planned("production").one(f"{GATEWAY}_authorizer.user_pool")
    assert authorizer["authorizer_type"] == "JWT"
    assert authorizer["identity_sources"] == ["$request.header.Authorization"]


@EACH
def test_there_is_one_way_in_and_it_is_encrypted(planned: Callable[[str], Planned], environment: str) -> None:
    plan = planned(environment)
    assert plan.one(f"{GATEWAY}_api.this")["disable_execute_api_endpoint"] is True
    (name,) = plan.one(f"{GATEWAY}_domain_name.this")["domain_name_configuration"]
    assert (name["security_policy"], name["endpoint_type"]) == ("TLS_1_2", "REGIONAL")
    integration = plan.one(f"{GATEWAY}_integration.this")
    assert integration["connection_type"] == "VPC_LINK"
    assert integration["tls_config"] == [{"server_name_to_verify": "search.example.org"}]


def test_the_gateway_waits_longer_than_the_service_takes(planned: Callable[[str], Planned]) -> None:
    """Else a caller would get an answer of the gateway, without the problem and its next step."""
    integration = planned("production").one(f"{GATEWAY}_integration.this")
    longest = max(DEADLINE_SECONDS, *LONGER_SECONDS.values())
    assert longest < integration["timeout_milliseconds"] / 1_000 <= 30, "AWS allows no more than 30 s"


def test_security_headers_are_those_of_the_service(planned: Callable[[str], Planned]) -> None:
    """Nothing on the way changes a response."""
    plan = planned("production")
    assert not plan.one(f"{GATEWAY}_integration.this").get("response_parameters")
    assert not plan.one(f"{GATEWAY}_api.this").get("cors_configuration")
    assert {name for name, _ in SECURITY_HEADERS} >= {b"strict-transport-security", b"content-security-policy"}


@EACH
def test_load_balancers_are_inside_and_speak_tls_alone(planned: Callable[[str], Planned], environment: str) -> None:
    plan = planned(environment)
    balancers = plan.of("module.edge.module.").items()
    for address, balancer in [(key, value) for key, value in balancers if ".aws_lb.this" in key]:
        assert balancer["internal"] is True, address
        assert balancer["drop_invalid_header_fields"] is True
        assert balancer["access_logs"][0]["enabled"] is True
        assert balancer["enable_deletion_protection"] is (environment == "production")
    listeners = [value for key, value in balancers if ".aws_lb_listener." in key]
    assert len(listeners) == 4
    for listener in listeners:
        (action,) = listener["default_action"]
        if listener["protocol"] == "HTTPS":
            assert listener["ssl_policy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
            assert action["type"] == "forward"
        else:
            assert (action["type"], action["redirect"][0]["protocol"]) == ("redirect", "HTTPS")
            assert action["redirect"][0]["status_code"] == "HTTP_301"


def test_no_balancer_is_elsewhere(planned: Callable[[str], Planned]) -> None:
    assert all(address.startswith("module.edge.") for address in planned("production").of(".aws_lb."))


def test_a_task_gets_searches_when_it_can_answer_them(planned: Callable[[str], Planned]) -> None:
    """With /health a deployment that cannot answer would replace one that can (docs/search-api.md, Probes)."""
    group = planned("production").one("module.edge.module.search_api_balancer.aws_lb_target_group.this")
    (check,) = group["health_check"]
    assert (check["path"], check["interval"], check["matcher"]) == ("/ready", 30, "200")
    assert (group["target_type"], group["port"]) == ("ip", 8080)
    assert group["deregistration_delay"] == "15"


def test_the_target_group_of_a_canary_is_the_same(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    main = plan.one("module.edge.module.search_api_balancer.aws_lb_target_group.this")
    canary = plan.one("module.edge.aws_lb_target_group.canary")
    assert {**canary, "name": main["name"]} == main


@EACH
def test_all_searches_go_by_one_rule_and_none_to_a_canary_at_first(
    planned: Callable[[str], Planned], environment: str
) -> None:
    """The listener's own action is what is left when there is no rule: then the main service has all searches."""
    plan = planned(environment)
    rule = plan.one("module.edge.aws_lb_listener_rule.canary")
    (condition,) = rule["condition"]
    assert condition["path_pattern"][0]["values"] == ["*"]
    (action,) = rule["action"]
    (forward,) = action["forward"]
    assert sorted(group["weight"] for group in forward["target_group"]) == [0, 100]
    assert not forward.get("stickiness"), "a caller would stay with one version"


def test_the_health_check_from_outside_asks_every_30_seconds(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    check = plan.one("module.edge.aws_route53_health_check.search_api")
    assert (check["type"], check["fqdn"], check["port"]) == ("HTTPS", "search.example.org", 443)
    assert (check["resource_path"], check["request_interval"]) == ("/health", 30)
    record = plan.one("module.edge.aws_route53_record.search_api")
    assert (record["name"], record["type"]) == ("search.example.org", "A")
    assert len(record["alias"]) == 1


def test_certificates_are_proven_by_dns(planned: Callable[[str], Planned]) -> None:
    found = planned("production").of("module.edge.aws_acm_certificate.").values()
    assert {one["domain_name"] for one in found} == {"search.example.org", "airflow.search.example.org"}
    assert {one["validation_method"] for one in found} == {"DNS"}


# The firewall


def rules(plan: Planned) -> dict[str, Mapping[str, Any]]:
    return {rule["name"]: rule for rule in plan.one("module.edge.aws_wafv2_web_acl.this")["rule"]}


@EACH
def test_the_firewall_knows_callers_by_what_only_the_gateway_can_write(
    planned: Callable[[str], Planned], environment: str
) -> None:
    """The load balancer sees the VPC link alone: by its address, all callers together would be one."""
    plan = planned(environment)
    assert plan.one(f"{GATEWAY}_integration.this")["request_parameters"] == {
        f"overwrite:header.{HEADER}": "$context.identity.sourceIp"
    }
    (rate,) = rules(plan)["requests-of-an-address"]["statement"][0]["rate_based_statement"]
    assert (rate["limit"], rate["evaluation_window_sec"]) == (2000, 300)
    assert rate["aggregate_key_type"] == "FORWARDED_IP"
    assert rate["forwarded_ip_config"] == [{"fallback_behavior": "MATCH", "header_name": HEADER}]


@EACH
def test_the_firewall_blocks(planned: Callable[[str], Planned], environment: str) -> None:
    """A rule that only counts looks the same on a dashboard, until somebody comes."""
    plan = planned(environment)
    for name, rule in rules(plan).items():
        if name.startswith("AWSManaged"):
            (action,) = rule["override_action"]
            assert (len(action["none"]), action["count"]) == (1, []), name
        else:
            (action,) = rule["action"]
            assert (len(action["block"]), action["count"], action["allow"]) == (1, [], []), name
    (limit,) = rules(plan)["requests-of-an-address"]["action"][0]["block"]
    assert limit["custom_response"][0]["response_code"] == 429


def test_countries_are_blocked_by_the_same_header(planned: Callable[[str], Planned]) -> None:
    (geo,) = rules(planned("production"))["countries"]["statement"][0]["geo_match_statement"]
    assert geo["country_codes"] == ["KP"]
    assert geo["forwarded_ip_config"] == [{"fallback_behavior": "MATCH", "header_name": HEADER}]
    assert "countries" not in rules(planned("dev"))


def test_rules_of_amazon_refuse_nothing_that_the_service_allows(planned: Callable[[str], Planned]) -> None:
    groups = {
        name: rule["statement"][0]["managed_rule_group_statement"][0]
        for name, rule in rules(planned("production")).items()
        if name.startswith("AWSManaged")
    }
    assert groups.keys() == {
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
        "AWSManagedRulesSQLiRuleSet",
    }
    counted = {
        override["name"]
        for group in groups.values()
        for override in group["rule_action_override"]
        if override["action_to_use"][0]["count"]
    }
    assert counted == {"SizeRestrictions_BODY", "SizeRestrictions_QUERYSTRING"}


def test_logs_hold_no_token_and_nothing_that_was_typed(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    redacted = plan.one("module.edge.aws_wafv2_web_acl_logging_configuration.this")["redacted_fields"]
    assert [one["single_header"][0]["name"] for one in redacted if one["single_header"]] == ["authorization"]
    assert [one for one in redacted if one["query_string"]]
    (settings,) = plan.one(f"{GATEWAY}_stage.default")["access_log_settings"]
    logged = {*json.loads(settings["format"]).values()}
    assert {"$context.requestId", "$context.status", "$context.identity.sourceIp"} <= logged
    assert not [one for one in logged if "header" in one.lower() or "query" in one.lower() or one == "$context.path"]


# Users


def test_groups_are_the_roles_of_the_service(planned: Callable[[str], Planned]) -> None:
    groups = {group["name"] for group in planned("production").of("module.edge.aws_cognito_user_group.").values()}
    assert groups == {role.value for role in RIGHTS}


@EACH
def test_nobody_can_choose_or_change_a_tenant(planned: Callable[[str], Planned], environment: str) -> None:
    plan = planned(environment)
    pool = plan.one("module.edge.aws_cognito_user_pool.this")
    (tenant,) = pool["schema"]
    assert f"custom:{tenant['name']}" == TENANT_CLAIM
    assert tenant["mutable"] is False
    assert tenant["string_attribute_constraints"] == [{"max_length": "64", "min_length": "1"}]
    assert pool["admin_create_user_config"][0]["allow_admin_create_user_only"] is True
    for client in plan.of("module.edge.aws_cognito_user_pool_client.").values():
        assert client["write_attributes"] == ["email"], "null would be all attributes"
        assert TENANT_CLAIM in client["read_attributes"], "else ID tokens have no tenant"


def test_clients_log_in_as_people_and_programs_do(planned: Callable[[str], Planned]) -> None:
    found = {
        client["name"]: {*client["explicit_auth_flows"]}
        for client in planned("production").of("module.edge.aws_cognito_user_pool_client.").values()
    }
    assert found == {
        "searchsync-people": {"ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"},
        "searchsync-programs": {"ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"},
    }
    assert "USER_PASSWORD_AUTH" in (ROOT / "plugins" / "search_ops" / "warming.py").read_text()


def test_tokens_are_good_for_an_hour(planned: Callable[[str], Planned]) -> None:
    """So long goes on who was disabled: docs/search-api.md says so."""
    for client in planned("production").of("module.edge.aws_cognito_user_pool_client.").values():
        (units,) = client["token_validity_units"]
        assert (units["id_token"], units["access_token"]) == ("minutes", "minutes")
        assert (client["id_token_validity"], client["access_token_validity"]) == (60, 60)
        assert client["enable_token_revocation"] is True
        assert client["prevent_user_existence_errors"] == "ENABLED"
        assert (units["refresh_token"], client["refresh_token_validity"]) == ("hours", 12)
        assert client["generate_secret"] is False, "the page and Airflow have none to send"


def test_access_tokens_get_their_tenant(planned: Callable[[str], Planned]) -> None:
    plan = planned("production")
    pool = plan.one("module.edge.aws_cognito_user_pool.this")
    assert pool["user_pool_tier"] == "ESSENTIALS", "in LITE no access token can be changed"
    assert pool["lambda_config"][0]["pre_token_generation_config"][0]["lambda_version"] == "V2_0"
    function = plan.one("module.edge.aws_lambda_function.token_customisation")
    module, _, name = function["handler"].partition(".")
    assert f"def {name}(" in (ROOT / "lambdas" / "token_customisation" / f"{module}.py").read_text()
    assert function["role"] == f"arn:aws:iam::{ACCOUNT}:role/searchsync-token-customisation"
    assert function["timeout"] == 5, "Cognito waits no longer"
    permission = plan.one("module.edge.aws_lambda_permission.user_pool")
    assert permission["principal"] == "cognito-idp.amazonaws.com"


@EACH
def test_users_outlive_a_mistake(planned: Callable[[str], Planned], environment: str) -> None:
    pool = planned(environment).one("module.edge.aws_cognito_user_pool.this")
    assert pool["deletion_protection"] == ("ACTIVE" if environment == "production" else "INACTIVE")


def test_all_callers_together_are_throttled(planned: Callable[[str], Planned]) -> None:
    (settings,) = planned("production").one(f"{GATEWAY}_stage.default")["default_route_settings"]
    assert (settings["throttling_rate_limit"], settings["throttling_burst_limit"]) == (2000, 4000)
