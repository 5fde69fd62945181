"""The emulator with IAM: the roles of the file, and what they are for, as Terraform would make it."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from local import members
from searchsync.access.roles import Place, Role, rendered
from searchsync.catalog import Entity

REPO = Path(__file__).parents[3]
ACCOUNT, REGION = "123456789012", "eu-west-1"
PLACE = Place(ACCOUNT, REGION, "eu-central-1", "owner/name", "dev")
EXPORTS, RECORDS = (f"searchsync-{purpose}-{ACCOUNT}" for purpose in ("exports", "records"))


@dataclass(frozen=True)
class Emulator:
    """A running emulator.

    :ivar record: the file that has a line for each call with a role's keys
    """

    url: str
    record: Path

    @cached_property
    def owner(self) -> boto3.Session:
        """Whoever may do everything."""
        return boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name=REGION)

    def client(self, service: str, session: boto3.Session | None = None) -> Any:
        return (session or self.owner).client(service, endpoint_url=self.url)

    def keys(self, role: str) -> dict[str, str]:
        """The keys of a role, as variables of the environment."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        made = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
            "AWS_SESSION_TOKEN": made["SessionToken"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
        }

    def session(self, role: str) -> boto3.Session:
        keys = self.keys(role)
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return boto3.Session(*(keys[name] for name in names), region_name=REGION)

    def queue(self, name: str) -> str:
        """The URL of a queue."""
        return f"{self.url}/{ACCOUNT}/{name}"

    def calls(self) -> list[Mapping[str, Any]]:
        """The calls with a role's keys so far."""
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text(encoding="utf-8").splitlines()]


@contextmanager
def running(record: Path, entities: Iterable[Entity]) -> Iterator[Emulator]:
    """An emulator with the roles of some entities, the table of members, its queues, and and buckets."""
    command = [sys.executable, "-m", "local.iam", str(record), "--port", "0"]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            emulator = Emulator(process.stdout.readline().split()[-1], record)
            for role in rendered(PLACE, entities).values():
                _make(emulator.client("iam"), role)
            members.create(emulator.url)
            emulator.client("dynamodb").update_continuous_backups(
                TableName="members", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
            for bucket in (EXPORTS, RECORDS, f"searchsync-snapshots-{ACCOUNT}"):
                emulator.client("s3").create_bucket(
                    Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
                )
            yield emulator
        finally:
            process.terminate()


def _make(iam: Any, role: Role) -> None:
    iam.create_role(RoleName=role.name, AssumeRolePolicyDocument=json.dumps(role.trust))
    iam.put_role_policy(RoleName=role.name, PolicyName=role.name, PolicyDocument=json.dumps(role.policy))
