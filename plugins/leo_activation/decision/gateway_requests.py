"""What may be asked of the gateway, and how a request becomes an answer.

The wire format is described in docs/decision-engine.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from leo_activation.decision.backends.base import Question
from leo_activation.decision.choose_prompt import choose_prompt
from leo_activation.decision.desk import Answer, Desk
from leo_activation.decision.engine import Decision
from leo_activation.decision.gateway_metrics import GatewayMetrics
from leo_activation.decision.interpreter import run_plan
from leo_activation.decision.limits import MAX_PROFILES, read_catalogue
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError


class ProfileFacts(BaseModel):
    """A customer to decide for.

    :param id: the caller's name for the customer; comes back with the decision.
    :param facts: that the plan is evaluated on, or that the model sees.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1, max_length=200)
    facts: dict[str, Any]


class DecisionRequest(BaseModel):
    """A sentence, what its plan may name, and the customers to decide for.

    :param mode: ``plan`` compiles the sentence once and code evaluates the plan for each profile;
        ``choose`` lets the model decide for each profile.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    instruction: str = Field(min_length=1, max_length=4_000)
    mode: Literal["plan", "choose"] = "plan"
    catalogue: dict[str, Any]
    profiles: list[ProfileFacts] = Field(default=[], max_length=MAX_PROFILES)

    @field_validator("profiles")
    @classmethod
    def _names_each_once(cls, profiles: list[ProfileFacts]) -> list[ProfileFacts]:
        for name, times in Counter(profile.id for profile in profiles).items():
            if times > 1:
                raise ValueError(f"the profile {name!r} is given {times} times")
        return profiles


def decision_steps(
    desk: Desk, request: DecisionRequest, metrics: GatewayMetrics
) -> Generator[int, None, dict[str, Any]]:
    """Answer a request batch by batch, yielding after each.

    :raises DecisionError: when the sentence or the catalogue cannot be used.
    """
    spec = read_catalogue(request.catalogue)
    whole = Question(spec, request.instruction, request.instruction)
    # Refuses a sentence that cannot be put into a prompt at all.
    _ = whole.prompt
    if request.mode == "plan":
        return (yield from _plan(desk, request, whole, metrics))
    return (yield from _choose(desk, request, spec, metrics))


def _plan(
    desk: Desk, request: DecisionRequest, question: Question, metrics: GatewayMetrics
) -> Generator[int, None, dict[str, Any]]:
    answers: list[Answer] = []
    for computed in desk.work([question], answers):
        metrics.distinct.inc(computed)
        yield computed
    (answer,) = answers
    _count(metrics, "plan", answers)
    decision = answer.decision
    decisions = [
        {
            "id": profile.id,
            "calls": [call.to_document() for call in outcome.calls],
            "verdict": decision.verdict,
            "reason": decision.reason if decision.verdict == "rejected" else outcome.reason,
            **_shared(decision),
            "memo": answer.memo,
        }
        for profile in request.profiles
        for outcome in [run_plan(decision.plan or [], profile.facts)]
    ]
    return _document(desk, question.spec, _plan_document(answer), decisions)


def _choose(
    desk: Desk, request: DecisionRequest, spec: ToolSpec, metrics: GatewayMetrics
) -> Generator[int, None, dict[str, Any]]:
    questions: dict[str, Question] = {}
    refused: dict[str, str] = {}
    for profile in request.profiles:
        turn = choose_prompt(request.instruction, spec.catalogue, profile.facts)
        question = Question(spec, request.instruction, turn)
        try:
            _ = question.prompt
            questions[profile.id] = question
        except DecisionError as error:
            refused[profile.id] = str(error)
    answers: list[Answer] = []
    for computed in desk.work(list(questions.values()), answers):
        metrics.distinct.inc(computed)
        yield computed
    _count(metrics, "choose", answers)
    metrics.decisions.labels("choose", "rejected").inc(len(refused))
    by_id = dict(zip(questions, answers, strict=True))
    decisions = [
        _choice(profile.id, by_id[profile.id])
        if profile.id in by_id
        else _refusal(profile.id, refused[profile.id])
        for profile in request.profiles
    ]
    return _document(desk, spec, None, decisions)


def _choice(profile_id: str, answer: Answer) -> dict[str, Any]:
    decision = answer.decision
    return {
        "id": profile_id,
        "calls": [call.to_document() for call in decision.plan or []],
        "verdict": decision.verdict,
        "reason": decision.reason,
        **_shared(decision),
        "memo": answer.memo,
    }


def _refusal(profile_id: str, reason: str) -> dict[str, Any]:
    return {
        "id": profile_id, "calls": [], "verdict": "rejected", "reason": reason, "raw_output": "",
        "prompt_hash": "", "latency_ms": 0, "memo": False,
    }  # fmt: skip


def _shared(decision: Decision) -> dict[str, Any]:
    return {
        "raw_output": decision.raw_output,
        "prompt_hash": decision.prompt_hash,
        "latency_ms": decision.latency_ms,
    }


def _plan_document(answer: Answer) -> dict[str, Any]:
    """Return the plan with everything needed to explain or repeat it."""
    document = answer.decision.to_document()
    for name in ("model", "toolset_hash", "cached"):
        document.pop(name, None)
    document["calls"] = document.pop("plan")
    return {**document, "memo": answer.memo}


def _document(
    desk: Desk,
    spec: ToolSpec,
    plan: Mapping[str, Any] | None,
    decisions: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "model": desk.model,
        "versions": short_versions(desk.versions),
        "toolset_hash": spec.toolset_hash,
        "plan": plan,
        "decisions": decisions,
    }


def short_versions(versions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions without what an adapter's manifest tells beside its hash."""
    adapter = versions.get("adapter")
    if not isinstance(adapter, Mapping):
        return dict(versions)
    return {**versions, "adapter": adapter.get("adapter_sha256")}


def _count(metrics: GatewayMetrics, mode: str, answers: list[Answer]) -> None:
    for answer in answers:
        metrics.decisions.labels(mode, answer.decision.verdict).inc()
        metrics.memo_hits.inc(answer.memo)
