"""The trigger of the user pool: a token with another tenant shows the documents of others."""

import copy
from typing import Any

import pytest

from lambdas.token_customisation.handler import handler
from search_api.auth import tokens
from tests import user_pool


def event(attributes: dict[str, str], **changes: Any) -> dict[str, Any]:
    """An event of the shape that AWS documents for version 2 (Pre token generation Lambda trigger)."""
    return {
        "version": "2",
        "triggerSource": "TokenGeneration_Authentication",
        "region": "eu-west-1",
        "userPoolId": "eu-west-1_TEST",
        "userName": "testuser",
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "client-of-the-tests"},
        "request": {
            "userAttributes": {"sub": "0b0e6a46-subject", "cognito:user_status": "CONFIRMED", **attributes},
            "groupConfiguration": {
                "groupsToOverride": ["tenant_user"],
                "iamRolesToOverride": [],
                "preferredRole": None,
            },
            "scopes": ["aws.cognito.signin.user.admin"],
        },
        "response": {"claimsAndScopeOverrideDetails": None},
        **changes,
    }


def test_an_access_token_gets_the_tenant_of_the_user() -> None:
    answered = handler(event({"custom:tenant_id": "acme"}), None)
    claims = {"claimsToAddOrOverride": {"custom:tenant_id": "acme"}}
    assert answered["response"] == {"claimsAndScopeOverrideDetails": {"accessTokenGeneration": claims}}


def test_nothing_else_is_changed() -> None:
    """Groups, scopes and the ID token are as Cognito makes them: a role that appears from nowhere would be ours."""
    given = event({"custom:tenant_id": "acme"})
    answered = handler(copy.deepcopy(given), None)
    assert {**answered, "response": None} == {**given, "response": None}
    assert answered["response"]["claimsAndScopeOverrideDetails"].keys() == {"accessTokenGeneration"}


@pytest.mark.parametrize("attributes", [{}, {"custom:tenant_id": ""}])
def test_who_has_no_tenant_gets_none(attributes: dict[str, str]) -> None:
    given = event(attributes)
    assert handler(copy.deepcopy(given), None) == given


def test_what_the_application_sends_is_not_believed() -> None:
    given = event({"custom:tenant_id": "acme"})
    given["request"]["clientMetadata"] = {"custom:tenant_id": "globex", "tenant_id": "globex"}
    added = handler(given, None)["response"]["claimsAndScopeOverrideDetails"]["accessTokenGeneration"]
    assert added == {"claimsToAddOrOverride": {"custom:tenant_id": "acme"}}
    given["request"]["userAttributes"].pop("custom:tenant_id")
    given["response"] = {"claimsAndScopeOverrideDetails": None}
    assert handler(given, None)["response"] == {"claimsAndScopeOverrideDetails": None}


def test_an_event_of_another_version_is_refused() -> None:
    """A pool that sends version 1 drops what is added to access tokens, without a word: nobody could search."""
    with pytest.raises(ValueError, match="version 1; set it to V2_0"):
        handler(event({"custom:tenant_id": "acme"}, version="1"), None)


def test_the_search_api_takes_the_token_that_comes_of_it() -> None:
    """Without the function its tenant is missing, and it is refused."""
    plain = user_pool.claims("access", tenant=None)
    answered = handler(event({"custom:tenant_id": "a"}), None)
    details = answered["response"]["claimsAndScopeOverrideDetails"]["accessTokenGeneration"]
    assert tokens._caller(plain | details["claimsToAddOrOverride"]).tenant == "a"
    with pytest.raises(tokens.Unauthorized):
        tokens._caller(plain)
