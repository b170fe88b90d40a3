"""A gateway for callers who wait for the answer: no plan is an error, and nothing is stored.

A campaign run stores what came of its sentence even when nothing did, because its members need an
outcome. Who asks for one customer or sets up a rule can be told at once instead.
"""

from __future__ import annotations

from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.client import (
    DecisionGateway,
    GatewayAnswer,
    GatewayUnavailableError,
)
from leo_activation.errors import DecisionError

_ADVICE = "viết lại thành một câu nói rõ gửi gì, qua kênh nào, cho ai"
_REFUSALS = {
    "no_call": "chỉ dẫn không yêu cầu gửi tin nào cho khách",
    "rejected": "AI không hiểu được chỉ dẫn thành các bước hợp lệ",
}


class SentenceRefusedError(DecisionError):
    """The sentence gives no plan; the message says so in Vietnamese, and what to do."""


class GatewayAwayError(DecisionError):
    """The gateway gave no answer, so nothing was stored: try again later."""


class StrictGateway:
    """Asks another gateway, and takes nothing but a plan that has something to do.

    :param inner: the gateway that is asked.
    """

    def __init__(self, inner: DecisionGateway) -> None:
        """Keep the gateway."""
        self.inner = inner

    def decide(self, instruction: str, catalogue: Catalogue) -> GatewayAnswer:
        """Compile a sentence into a plan with at least one call.

        :raises SentenceRefusedError: the sentence asks for nothing, or the model's reading of it
            broke a rule.
        :raises GatewayAwayError: there is no answer.
        """
        try:
            answer = self.inner.decide(instruction, catalogue)
        except GatewayUnavailableError as error:
            # Of a class of its own: the orchestrator would store the other as the run's plan.
            raise GatewayAwayError(f"Cổng AI chưa trả lời: {error}") from error
        if answer.verdict != "accepted":
            told = f" ({answer.reason})" if answer.reason else ""
            why = _REFUSALS.get(answer.verdict, answer.verdict)
            raise SentenceRefusedError(f"Không dùng được “{instruction}”: {why}{told}; {_ADVICE}")
        return answer
