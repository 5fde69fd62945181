"""The function that Cognito asks before it issues tokens: the trigger PreTokenGeneration, version V2_0.

An ID token has the user's tenant, because it has the user's attributes. An access token has none of them, and the
search API refuses one without a tenant. So the tenant is added, as it stands in the attributes: nobody can change it
there after the user was made. What the application sends along (``clientMetadata``) is the caller's word, and not read.
"""

from typing import Any

TENANT = "custom:tenant_id"


def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
    """Return the event with the claim that the access token gets; of a user without tenant, such as an admin, none.

    :raises ValueError: when it is an event of another version: what is answered would not reach the access token
    """
    if event["version"] != "2":
        raise ValueError(f"the trigger is of version {event['version']}; set it to V2_0 in the user pool")
    tenant = event["request"]["userAttributes"].get(TENANT)
    if tenant:
        claims = {"claimsToAddOrOverride": {TENANT: tenant}}
        event["response"]["claimsAndScopeOverrideDetails"] = {"accessTokenGeneration": claims}
    return event
