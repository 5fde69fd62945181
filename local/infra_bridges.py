"""What the emulator lacks for Terraform: each bridge replaces functions of moto, as those in `local.aws` do.

They are for the emulator that the infrastructure is applied to, not for the one that a stack works with.
"""

import hashlib
import json
from typing import Any

from moto.apigatewayv2.models import DomainName
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.rds.models import RDSBackend
from moto.sqs.models import Queue

from local.moto_functions import current, replace

_OF_A_QUEUE = "RedriveAllowPolicy"


def queues_say_whose_dead_letters_they_take() -> None:
    """Moto takes `RedriveAllowPolicy` and never returns it: the provider waits for it until its patience is over."""
    attributes = current(Queue, "attributes", "self")

    def with_policy(self: Queue) -> dict[str, Any]:
        policy = getattr(self, "redrive_allow_policy", None)
        return {**attributes(self), **({_OF_A_QUEUE: policy} if policy else {})}

    replace(Queue, "attributes", property(with_policy))


def queues_keep_their_policy() -> None:
    """Moto forgets the policy of a queue when another attribute is set: nobody else could send to it any more."""
    change = current(Queue, "_set_attributes", "self", "attributes", "now")

    def set_attributes(self: Queue, attributes: dict[str, Any], now: float | None = None) -> None:
        before = self.policy if "_policy_json" in vars(self) else None  # a queue that is made has none yet
        change(self, attributes, now)
        if "Policy" not in attributes:
            self.policy = before

    replace(Queue, "_set_attributes", set_attributes)


def event_source_mappings_deliver_nothing() -> None:
    """Moto runs the function itself on each write, in Docker, and empties the stream: our own runner delivers it."""
    current(LambdaBackend, "send_dynamodb_items", "self", "function_arn", "items", "source")
    replace(LambdaBackend, "send_dynamodb_items", lambda *_: "")


def what_is_scaled_has_tags() -> None:
    """Moto answers no question about the tags of a scalable target, and the provider asks for them at once."""
    register = current(ApplicationAutoScalingResponse, "register_scalable_target", "self")
    tags: dict[str, dict[str, str]] = {}

    def register_scalable_target(self: ApplicationAutoScalingResponse) -> str:
        answer: str = register(self)
        if given := json.loads(self.body).get("Tags"):
            tags[json.loads(answer)["ScalableTargetARN"]] = given
        return answer

    def list_tags_for_resource(self: ApplicationAutoScalingResponse) -> str:
        return json.dumps({"Tags": tags.get(json.loads(self.body)["ResourceARN"], {})})

    replace(ApplicationAutoScalingResponse, "register_scalable_target", register_scalable_target)
    replace(ApplicationAutoScalingResponse, "list_tags_for_resource", list_tags_for_resource)


def each_database_has_an_id_of_its_own() -> None:
    """Moto gives all of them one `DbiResourceId`: by it the provider finds two, and waits for one of them for ever."""
    create = current(RDSBackend, "create_db_instance", "self", "db_kwargs")

    def create_db_instance(self: RDSBackend, db_kwargs: dict[str, Any]) -> Any:
        made = create(self, db_kwargs)
        made.dbi_resource_id = f"db-{hashlib.sha256(made.db_instance_identifier.encode()).hexdigest()[:26].upper()}"
        return made

    replace(RDSBackend, "create_db_instance", create_db_instance)


def names_of_an_api_become_available() -> None:
    """Moto never says that a name of an API is available, nor which address it has: the provider gives it up."""
    shown = current(DomainName, "to_json", "self")

    def to_json(self: DomainName) -> dict[str, Any]:
        has = {
            "domainNameStatus": "AVAILABLE",
            "apiGatewayDomainName": f"d-emulated.{self.domain_name}",
            "hostedZoneId": "Z1",
        }
        found = {name: value for name, value in shown(self).items() if value != {}}
        return {**found, "domainNameConfigurations": [{**has, **one} for one in found["domainNameConfigurations"]]}

    replace(DomainName, "to_json", to_json)


def event_source_mappings_are_told_as_they_were_asked_for() -> None:
    """Moto puts a version's ARN in the place of an alias', and knows no batching window where AWS has 0."""
    create = current(LambdaBackend, "create_event_source_mapping", "self", "spec")

    def create_event_source_mapping(self: LambdaBackend, spec: dict[str, Any]) -> Any:
        asked, made = spec.get("FunctionName", ""), create(self, spec)
        made.max_batch_window = made.max_batch_window or 0
        if asked.startswith("arn:"):
            made.function_arn = asked
        return made

    replace(LambdaBackend, "create_event_source_mapping", create_event_source_mapping)


def functions_log_where_they_were_told_to() -> None:
    """Moto forgets `LoggingConfig`: each plan would publish another version of the function."""
    init = current(LambdaFunction, "__init__", "self", "account_id", "spec", "region", "version")
    shown = current(LambdaFunction, "get_configuration", "self", "on_create")

    def made(self: LambdaFunction, account_id: str, spec: dict[str, Any], region: str, version: int = 1) -> None:
        init(self, account_id, spec, region, version)
        self.logging_config = spec.get("LoggingConfig")  # type: ignore[attr-defined]

    def get_configuration(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:
        logging = vars(self).get("logging_config")
        return {**shown(self, on_create), **({"LoggingConfig": logging} if logging else {})}

    replace(LambdaFunction, "__init__", made)
    replace(LambdaFunction, "get_configuration", get_configuration)


BRIDGES = (
    queues_say_whose_dead_letters_they_take,
    queues_keep_their_policy,
    event_source_mappings_deliver_nothing,
    what_is_scaled_has_tags,
    each_database_has_an_id_of_its_own,
    names_of_an_api_become_available,
    event_source_mappings_are_told_as_they_were_asked_for,
    functions_log_where_they_were_told_to,
)
