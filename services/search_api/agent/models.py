"""Which models of Bedrock can be asked, and what each family takes (docs/decisions/011-agent.md).

The agent needs instructions apart from the conversation (``system``), tools, and a way to demand a tool.
"""

import re
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Family:
    """What the models of one family take in Converse.

    :ivar beginnings: of the ids of its models
    :ivar system: whether they take instructions apart from the conversation
    :ivar tools: whether they take tools
    :ivar choice: whether they can be made to use a tool
    :ivar thinks: whether they think before they answer unless told not to. A model that thinks cannot be made to use a
        tool
    """

    name: str
    beginnings: tuple[str, ...]
    system: bool
    tools: bool
    choice: bool
    thinks: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """What a request says beside what all models take."""
        return {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}} if self.thinks else {}


FAMILIES: Final = (
    Family("Claude 2 and Instant", ("anthropic.claude-v2", "anthropic.claude-instant"), True, False, False),
    Family("Claude 3", ("anthropic.claude-3-",), True, True, True),
    Family(
        "Claude 4",
        tuple(f"anthropic.claude-{name}" for name in ("haiku-4-", "sonnet-4-", "opus-4-1", "opus-4-5", "opus-4-6")),
        *(True, True, True),
    ),
    Family("Claude Haiku 5.5", ("anthropic.claude-haiku-5-5",), True, True, True, thinks=True),
    Family("Titan Text", ("amazon.titan-text-",), False, False, False),
)
"""The families that are known. A model of another one may take something else, and is refused."""

AREAS: Final = {
    "apac": ("ap-",),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "eu": ("eu-",),
    "global": ("",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "us": ("us-east-", "us-west-"),
    "us-gov": ("us-gov-",),
}
"""Areas of inference profiles, and the beginnings of the regions from which each can be called."""

_ID: Final = re.compile(r"(?:(?P<area>[a-z-]+)\.)?(?P<model>(?:anthropic|amazon)\.[a-z0-9-]+(?::[0-9]+)?)")


@dataclass(frozen=True)
class Model:
    """A model as the settings name it.

    :ivar id: what Bedrock is told: the id of a model, or of an inference profile (an area, a dot, the model's id)
    :ivar area: of the inference profile; empty for a model of one region
    :ivar foundation: the model's own id
    """

    id: str
    area: str
    foundation: str
    family: Family

    @classmethod
    def of(cls, text: str) -> "Model":
        """Return the model with an id.

        :raises ValueError: when it is no id, or no model that the agent can use; the message ends a sentence that
            begins with the setting
        """
        found = _ID.fullmatch(text)
        if found is None or (found["area"] or "global") not in AREAS:
            raise ValueError(
                "must be the id of a model or of an inference profile, such as "
                "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
            )
        foundation = found["model"]
        family = next((one for one in FAMILIES if foundation.startswith(one.beginnings)), None)
        if family is None:
            raise ValueError(
                f"names a model of no family that is known here: {', '.join(one.name for one in FAMILIES)}"
            )
        if not (family.system and family.tools and family.choice):
            raise ValueError(f"names a model that cannot use tools ({family.name}), and the agent is made of tools")
        return cls(text, found["area"] or "", foundation, family)

    def why_not_from(self, region: str) -> str:
        """Return why it cannot be called from a region; empty when it can, as far as the names say."""
        if not self.area or region.startswith(AREAS[self.area]):
            return ""
        return f"the inference profile {self.id} cannot be called from {region}"


@dataclass(frozen=True)
class Guardrail:
    """A guardrail, in one of its versions."""

    id: str
    version: str

    @classmethod
    def of(cls, text: str) -> "Guardrail":
        """Return the guardrail of ``ID:VERSION``.

        :raises ValueError: when it is no such text; the message ends a sentence that begins with the setting
        """
        found = re.fullmatch(r"([a-z0-9]{1,64}):([1-9][0-9]{0,7})", text)
        if found is None:
            raise ValueError("must be ID:VERSION of a guardrail, such as ab1cd2ef3gh4:1; a draft has no version")
        return cls(found[1], found[2])
