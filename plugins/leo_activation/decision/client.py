"""Asking the gateway: bounded patience, and an answer that is checked before it is believed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.parser import Call
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.validation import PlanRejectedError, check_plan
from leo_activation.errors import DecisionError

MAX_ATTEMPTS = 3
# Long enough for a gateway that was killed to be started again.
PAUSES = (3.0, 12.0)
TIMEOUT_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 30.0
# The request itself is at fault; anything else may be better next time.
REFUSED = frozenset({400, 413, 422})


class GatewayRefusedError(DecisionError):
    """The gateway understood the request and refused it: asking again would not help."""


class GatewayUnavailableError(DecisionError):
    """The gateway gave no usable answer in any attempt.

    :param errors: one line per attempt.
    """

    def __init__(self, url: str, errors: list[str]) -> None:
        """Put the attempts into the message."""
        self.errors = errors
        super().__init__(
            f"the decision gateway at {url} gave no answer in {len(errors)} attempts: "
            f"{'; '.join(errors)}"
        )


@dataclass(frozen=True)
class GatewayAnswer:
    """A decision as the gateway gave it, after the same checks as on its side.

    :param document: the plan's record, for the trace: raw output, model, versions, hashes, choices.
    :param attempts: how many requests it took.
    :param errors: what went wrong before.
    """

    verdict: str
    reason: str | None
    plan: list[Call] | None
    document: Mapping[str, Any]
    attempts: int = 1
    errors: list[str] = field(default_factory=list)


class DecisionGateway(Protocol):
    """What the orchestrator needs of a gateway."""

    def decide(self, instruction: str, catalogue: Catalogue) -> GatewayAnswer:
        """Compile a sentence into a plan."""
        ...


class GatewayClient:
    """A gateway over HTTP.

    :param url: its base address.
    :param attempts: how often it is asked; once where somebody waits for the answer.
    :param sleep: how to wait between attempts.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        attempts: int = MAX_ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep the settings; nothing is connected yet."""
        self.url = url.rstrip("/")
        self.timeout, self.attempts, self.sleep = timeout, attempts, sleep

    def decide(self, instruction: str, catalogue: Catalogue) -> GatewayAnswer:
        """Ask for a plan, so often at most.

        :raises GatewayRefusedError: when the request itself is at fault.
        :raises GatewayUnavailableError: after the last attempt.
        """
        spec = ToolSpec(catalogue)
        body = {"instruction": instruction, "mode": "plan", "catalogue": catalogue.to_document()}
        errors: list[str] = []
        with httpx.Client(timeout=self.timeout) as client:
            for attempt in range(1, self.attempts + 1):
                pause = PAUSES[min(attempt, len(PAUSES)) - 1]
                try:
                    response = client.post(f"{self.url}/v1/decisions", json=body)
                    pause = max(pause, asked_to_wait(response))
                    document = _document(response)
                    verdict, reason, plan = _believe(spec, document)
                    return GatewayAnswer(verdict, reason, plan, document, attempt, errors)
                except GatewayRefusedError:
                    raise
                except (httpx.HTTPError, ValueError, DecisionError) as error:
                    errors.append(f"{type(error).__name__}: {error}"[:300])
                if attempt < self.attempts:
                    self.sleep(pause)
        raise GatewayUnavailableError(self.url, errors)


def asked_to_wait(response: httpx.Response) -> float:
    """Return for how many seconds the gateway asks to be left alone, within reason."""
    told = response.headers.get("retry-after", "")
    return min(float(told), _LONGEST_WAIT_SECONDS) if told.isdigit() else 0.0


def _document(response: httpx.Response) -> dict[str, Any]:
    """Return the plan's record.

    :raises ValueError: when the answer is of another shape.
    """
    if response.status_code in REFUSED:
        raise GatewayRefusedError(f"the gateway refused the request: {response.text[:300]}")
    if response.status_code != 200:
        raise ValueError(f"HTTP {response.status_code} {response.text[:100]!r}")
    answer = response.json()
    if not isinstance(answer, dict):
        raise ValueError(f"the answer is {type(answer).__name__}, not an object")
    plan = answer.get("plan")
    if not isinstance(plan, dict):
        raise ValueError(f"the answer holds no plan: {str(answer)[:100]!r}")
    shared = {name: answer.get(name) for name in ("model", "versions", "toolset_hash")}
    return {**plan, **shared, "plan": plan.get("calls"), "cached": plan.get("memo")}


def _believe(
    spec: ToolSpec, document: Mapping[str, Any]
) -> tuple[str, str | None, list[Call] | None]:
    """Return verdict, reason and plan, refusing an answer that is not what it should be.

    :raises ValueError: when fields are missing or contradict each other.
    """
    verdict, reason, plan = (document.get(key) for key in ("verdict", "reason", "plan"))
    if document.get("toolset_hash") != spec.toolset_hash:
        raise ValueError("the answer is for another tool set")
    fields = {"raw_output": str, "model": str, "prompt_hash": str, "latency_ms": int}
    for name, kind in fields.items():
        if not isinstance(document.get(name), kind):
            raise ValueError(f"the answer's {name} is {document.get(name)!r}")
    if verdict == "rejected":
        return verdict, str(reason), None
    if verdict not in ("accepted", "no_call") or not isinstance(plan, list):
        raise ValueError(f"the answer's verdict is {verdict!r} with plan {plan!r}"[:200])
    try:
        calls = [Call(call["name"], call["arguments"]) for call in plan]
        check_plan(spec, calls)
    except (KeyError, TypeError, AttributeError, PlanRejectedError) as error:
        raise ValueError(f"the answer's plan cannot run: {error}") from error
    if bool(calls) != (verdict == "accepted"):
        raise ValueError(f"the verdict is {verdict!r} with {len(calls)} calls")
    return verdict, None if reason is None else str(reason), calls
