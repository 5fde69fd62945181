#!/usr/bin/env bash
# moto 5.2.5 (with boto3 and botocore 1.44.5): tokens of a Cognito user pool whose client sets their lifetime, with
# mock_aws.
#
# AWS documents (Cognito user pools API reference, "UserPoolClientType") that IdTokenValidity and AccessTokenValidity,
# with TokenValidityUnits, say how long a client's tokens are good. moto keeps the three and shows them in
# DescribeUserPoolClient, but its tokens are good for an hour, whatever they say; and so does ExpiresIn.
# So a test that waits for a token to expire waits for an hour, and one of a longer session sees it end early.
#
# Seen:
#   moto 5.2.5
#   the client says: id token 300 s, access token 300 s
#   ExpiresIn: 3600
#   id token: 3600 s
#   access token: 3600 s
set -euo pipefail
script=$(realpath "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check 'moto[cognitoidp]==5.2.5' boto3==1.44.5 botocore==1.44.5

venv/bin/python - >seen <<'PY'
import base64
import json

import boto3
import moto


def lifetime(token):
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims["exp"] - claims["iat"]


print("moto", moto.__version__)
with moto.mock_aws():
    cognito = boto3.Session("none", "none", region_name="eu-west-1").client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="pool")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="client",
        ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        IdTokenValidity=5,
        AccessTokenValidity=5,
        TokenValidityUnits={"IdToken": "minutes", "AccessToken": "minutes"},
    )["UserPoolClient"]["ClientId"]
    says = cognito.describe_user_pool_client(UserPoolId=pool, ClientId=client)["UserPoolClient"]
    assert says["TokenValidityUnits"] == {"IdToken": "minutes", "AccessToken": "minutes"}
    print(
        f"the client says: id token {60 * says['IdTokenValidity']} s, access token {60 * says['AccessTokenValidity']} s"
    )
    cognito.admin_create_user(UserPoolId=pool, Username="user", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool, Username="user", Password="Some-passw0rd", Permanent=True)
    found = cognito.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=client,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "user", "PASSWORD": "Some-passw0rd"},
    )["AuthenticationResult"]
    print("ExpiresIn:", found["ExpiresIn"])
    print("id token:", lifetime(found["IdToken"]), "s")
    print("access token:", lifetime(found["AccessToken"]), "s")
PY
diff <(sed -n 's/^#   //p' "$script") seen && cat seen
