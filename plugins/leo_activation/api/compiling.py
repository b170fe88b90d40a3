"""Sentences that are compiled while a caller waits: what goes wrong is an answer at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from leo_activation.api.problems import Problem
from leo_activation.api.services import ApiServices
from leo_activation.decision.choose import HttpChoices
from leo_activation.decision.client import DecisionGateway, GatewayClient
from leo_activation.decision.strict_gateway import GatewayAwayError, SentenceRefusedError
from leo_activation.errors import ConfigurationError, DecisionError

_RETRY_SECONDS = 5
# Twice the slowest compilation that was measured with a full queue before it.
COMPILE_SECONDS = 10.0


def gateways(url: str | None) -> dict[str, Any]:
    """Return the fields of the services that lead to the decision gateway.

    It is asked once: a person waits, and may ask again.

    :param url: its base address; None where there is none.
    """
    if not url:
        return {"gateway": None, "choices": None}
    return {
        "gateway": GatewayClient(url, timeout=COMPILE_SECONDS, attempts=1),
        "choices": lambda seconds: HttpChoices(url, timeout=seconds),
    }


def require_gateway(services: ApiServices) -> DecisionGateway:
    """Return the gateway that compiles sentences.

    :raises Problem: 503 where none is configured.
    """
    if services.gateway is None:
        raise Problem(
            503, "gateway-not-configured", "this server knows no decision gateway",
            action="set LEO_GATEWAY_URL where it starts", retry_after=60,
        )  # fmt: skip
    return services.gateway


@contextlib.contextmanager
def compiling(instruction: str) -> Iterator[None]:
    """Turn what can happen to a sentence into answers; nothing was stored then.

    :param instruction: the sentence.
    :raises Problem: 422 for a sentence that gives no plan, with the reason in Vietnamese; 503 while
        the gateway is away.
    """
    try:
        yield
    except GatewayAwayError as error:
        raise Problem(
            503, "gateway-unavailable", str(error),
            action="send the same request again; nothing was stored", retry_after=_RETRY_SECONDS,
        ) from error  # fmt: skip
    except SentenceRefusedError as error:
        raise Problem(422, "sentence-refused", str(error), instruction) from error
    except (DecisionError, ConfigurationError) as error:
        raise Problem(422, "instruction-unusable", str(error), instruction) from error
