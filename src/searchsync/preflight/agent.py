"""The agent of the search API: that its model can be called and stays to be there, and that its guardrail is ready."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from searchsync.preflight.checks import Check, Finding, NotApplicable
from searchsync.preflight.target import Target

CHOOSE = "Choose a model that is ACTIVE in this region (agent_model of infra/environments.yaml), and deploy"
PROMPT_ATTACK = "PROMPT_ATTACK"


def checks(target: Target) -> Iterator[Check]:
    """Yield the checks of the model, the inference profile and the guardrail."""
    model = str(target.values["agent_model"])
    area, foundation = _parts(model)
    yield Check(
        "agent's model", foundation, "questions would get no answer from its last day on", CHOOSE,
        partial(_model, target, foundation, on_demand=not area),
    )  # fmt: skip
    yield Check(
        "agent's inference profile", model, "the model cannot be called from this region", CHOOSE,
        partial(_profile, target, model, foundation if area else ""),
    )  # fmt: skip
    yield Check(
        "agent's guardrail",
        str(target.values["agent_guardrail"]) or "none",
        "each question would fail, or attacks in it would not be noticed",
        "Make the guardrail and its version (docs/agent.md), and name it in agent_guardrail",
        partial(_guardrail, target),
    )


def _parts(model: str) -> tuple[str, str]:
    """Return the area of an inference profile, empty for a model of one region, and the model's own id."""
    found = re.fullmatch(r"(?:([a-z-]+)\.)?([a-z0-9-]+\.[a-z0-9-]+(?::\d+)?)", model)
    return (found[1] or "", found[2]) if found else ("", model)


def _bedrock(target: Target) -> Any:
    if not target.values["agent_guardrail"]:
        raise NotApplicable("there is no agent: agent_guardrail of infra/environments.yaml is empty")
    return target.aws("bedrock")


def _model(target: Target, foundation: str, *, on_demand: bool) -> Finding:
    found = _bedrock(target).get_foundation_model(modelIdentifier=foundation)["modelDetails"]
    lifecycle = found.get("modelLifecycle", {})
    state, end = lifecycle.get("status", "unknown"), lifecycle.get("endOfLifeTime")
    problems = [] if state == "ACTIVE" else [f"it is {state}"]
    if end:
        problems.append(f"it ends on {end:%Y-%m-%d}")
    if not found.get("responseStreamingSupported"):
        problems.append("it cannot stream")
    if on_demand and "ON_DEMAND" not in found.get("inferenceTypesSupported", ()):
        problems.append("it can be called by an inference profile alone: write the area before its id")
    return Finding(state, problems)


def _profile(target: Target, model: str, foundation: str) -> Finding:
    client = _bedrock(target)
    if not foundation:
        raise NotApplicable("the model is called in this region alone")
    found = client.get_inference_profile(inferenceProfileIdentifier=model)
    names = {one["modelArn"].rpartition("/")[2] for one in found["models"]}
    regions = sorted({one["modelArn"].split(":")[3] for one in found["models"]} - {""})
    problems = [] if found["status"] == "ACTIVE" else [f"it is {found['status']}"]
    if names != {foundation}:
        problems.append(f"it leads to {', '.join(sorted(names))}")
    return Finding(f"{found['status']}; answers come from {', '.join(regions) or 'any region'}", problems)


def _guardrail(target: Target) -> Finding:
    client = _bedrock(target)
    key, _, version = str(target.values["agent_guardrail"]).partition(":")
    found = client.get_guardrail(guardrailIdentifier=key, guardrailVersion=version)
    filters = found.get("contentPolicy", {}).get("filters", ())
    strengths = [one["inputStrength"] for one in filters if one["type"] == PROMPT_ATTACK]
    problems = [] if found["status"] == "READY" else [f"it is {found['status']}"]
    if strengths != ["HIGH"]:
        problems.append("it does not look for attacks in questions with its full strength")
    return Finding(f"{found['name']}, version {found['version']}, {found['status']}", problems)
