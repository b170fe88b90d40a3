"""Sentences that are compiled while a caller waits: what goes wrong is an answer at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from leo_activation.api.problems import Problem
from leo_activation.api.services import ApiServices
from leo_activation.decision.client import DecisionGateway
from leo_activation.decision.strict_gateway import GatewayAwayError, SentenceRefusedError
from leo_activation.errors import ConfigurationError, DecisionError

_RETRY_SECONDS = 5


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
            action="gửi lại yêu cầu với cùng Idempotency-Key", retry_after=_RETRY_SECONDS,
        ) from error  # fmt: skip
    except SentenceRefusedError as error:
        raise Problem(422, "sentence-refused", str(error), instruction) from error
    except (DecisionError, ConfigurationError) as error:
        raise Problem(422, "instruction-unusable", str(error), instruction) from error
