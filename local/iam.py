"""The emulator with IAM, for tests: whoever has a role's keys may do what the policy of the role allows, and no more.

`python -m local.iam FILE --port 5000` serves as `local.aws` does. Whoever has other keys, as a test that prepares
something, may do all. Each call with a role's keys is added to FILE as a line of JSON: role, action, resource, and
whether it was allowed. Moto itself looks at the resource in four services only, and has names of its own for batches.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from moto.core.authorization import ActionAuthenticatorMixin
from moto.dynamodb.models import dynamodb_backends
from werkzeug.exceptions import HTTPException

from local import aws
from local.moto_functions import current, replace

NAMES: Final = {"monitoring": "cloudwatch"}
"""Services that sign with another name than the one in policies."""


LISTED: Final = {"cloudwatch:DescribeAlarms": "arn:aws:cloudwatch:{region}:{account}:alarm:*"}
"""Calls that list, for which AWS asks for a right to all of a kind. Moto says that they are about nothing."""


def enforce(record: Path) -> None:
    """Hold each call with a role's keys against the policy of the role."""
    current(ActionAuthenticatorMixin, "_authenticate_and_authorize_action", "self", "iam_request_cls", "resource")

    def authorize(self: Any, iam_request_cls: Any, resource: str = "*") -> None:
        if "X-Amz-Security-Token" not in self.headers or self.headers.get("X-Amz-Target") in self.PUBLIC_OPERATIONS:
            return
        asked = iam_request_cls(
            account_id=self.current_account,
            method=self.method,
            path=self.uri[self.uri.index("/", len("https://")) :],
            data=self.data,
            body=self.raw_body,
            headers=self.headers,
            action=self._get_action(),
        )
        asked.check_signature()
        service = NAMES.get(asked._service, asked._service)
        asked._action = (
            f"{service}:{self._get_action().removesuffix('Batch') if service == 'sqs' else self._get_action()}"
        )
        listed = LISTED.get(asked._action, resource).format(region=self.region, account=self.current_account)
        for arn in _resources(self, listed):
            call = {"role": asked._access_key.arn.split("/")[-2], "action": asked._action, "resource": arn}
            try:
                asked.check_action_permitted(arn)
                _check_leading_key(self, asked)
            except HTTPException:
                _note(record, {**call, "allowed": False})
                raise
            _note(record, {**call, "allowed": True})

    replace(ActionAuthenticatorMixin, "_authenticate_and_authorize_action", authorize)


def _resources(handler: Any, told: str) -> Iterator[str]:
    """Yield the ARNs of what a request is about."""
    body = handler.body or {}
    if isinstance(body, str):
        body = json.loads(body) if body.startswith("{") else {}
    tables = [*body.get("RequestItems", ()), *([body["TableName"]] if "TableName" in body else [])]
    if tables:
        here = f"arn:aws:dynamodb:{handler.region}:{handler.current_account}:table"
        yield from (table if table.startswith("arn:") else f"{here}/{table}" for table in tables)
    elif "ShardIterator" in body:
        yield body["ShardIterator"].partition("|")[0]
    else:
        yield next((body[name] for name in ("StreamArn", "ExportArn", "TableArn") if name in body), told)


def _check_leading_key(handler: Any, asked: Any) -> None:
    """Hold a write of one item against ``dynamodb:LeadingKeys``: moto looks at no condition.

    Policies name the key exactly, in a statement for writes alone.
    """
    body = handler.body if isinstance(handler.body, dict) else {}
    item = body.get("Item") or body.get("Key")
    if item is None or "TableName" not in body:
        return
    table = dynamodb_backends[handler.current_account][handler.region].get_table(body["TableName"])
    (leading,) = item[table.hash_key_attr].values()
    documents = [json.loads(document) for document in asked._access_key.collect_policies()]
    limits = [
        statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
        for document in documents
        for statement in document["Statement"]
        if asked._action in statement["Action"] and table.table_arn in statement["Resource"]
    ]
    if all(leading not in keys for keys in limits):
        asked._raise_access_denied()


def _note(record: Path, call: dict[str, Any]) -> None:
    with record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(call) + "\n")


if __name__ == "__main__":
    enforce(Path(sys.argv[1]))
    aws.main(sys.argv[2:])
