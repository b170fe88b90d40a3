"""The client against a gateway that is broken on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leo_activation.decision.client import (
    GatewayClient,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from leo_activation.decision.parser import render_calls
from leo_activation.decision.toolset import ToolSpec
from tests.integration.decision.conftest import WireGateway
from tests.support.catalogues import check, send, shop

PLAN = [check("segments", "contains", "vip"), send("email", "tri_an_vip")]
GOOD: dict[str, Any] = {
    "verdict": "accepted",
    "reason": None,
    "calls": [call.to_document() for call in PLAN],
    "raw_output": render_calls(PLAN),
    "prompt_hash": "0" * 64,
    "latency_ms": 5,
    "memo": False,
}
WHOLE: dict[str, Any] = {
    "model": "test",
    "versions": {"schema_hash": "1"},
    "toolset_hash": ToolSpec(shop()).toolset_hash,
    "decisions": [],
}


def changed(**values: Any) -> tuple[int, str]:
    """Return an answer with other values in its plan, or beside it."""
    beside = {key: values.pop(key) for key in list(values) if key in WHOLE}
    return 200, json.dumps({**WHOLE, **beside, "plan": {**GOOD, **values}})


def client(wire: WireGateway) -> GatewayClient:
    return GatewayClient(wire.url, timeout=5, sleep=lambda _: None)


def test_a_good_answer_is_believed_at_once(wire: WireGateway) -> None:
    wire.answers = [changed()]
    answer = client(wire).decide("Gửi", shop())
    assert (answer.plan, answer.attempts, answer.errors) == (PLAN, 1, [])
    assert wire.requests[0]["catalogue"] == shop().to_document()
    record = answer.document
    assert (record["model"], record["versions"], record["cached"]) == (
        "test",
        WHOLE["versions"],
        False,
    )
    assert record["plan"] == GOOD["calls"]


@pytest.mark.invariant(7)
@pytest.mark.parametrize(
    "broken",
    [
        (503, '{"detail": "full"}'),
        (500, "Internal Server Error"),
        (200, "<html>"),
        (200, "[]"),
        (200, "{}"),
        None,
        changed(calls=[{"name": "delete_profile", "arguments": {}}]),
        changed(calls=[{"name": "send_notification", "arguments": {"channel": "zalo"}}]),
        changed(calls=[{"arguments": {}}]),
        changed(calls=["send"]),
        changed(calls=None),
        changed(calls=[]),
        (200, json.dumps({**WHOLE, "plan": None})),
        changed(model=7),
        changed(verdict="no_call"),
        changed(verdict="maybe"),
        changed(toolset_hash="1" * 64),
        changed(latency_ms="fast"),
        changed(raw_output=None),
    ],
)
def test_a_failure_or_garbage_is_tried_again(
    wire: WireGateway, broken: tuple[int, str] | None
) -> None:
    wire.answers = [broken, broken, changed()]
    answer = client(wire).decide("Gửi", shop())
    assert (answer.plan, answer.attempts, len(answer.errors)) == (PLAN, 3, 2)


@pytest.mark.invariant(8)
def test_after_three_attempts_the_error_names_them_all(wire: WireGateway) -> None:
    wire.answers = [(503, "full"), None, (200, "garbage")]
    with pytest.raises(GatewayUnavailableError) as failure:
        client(wire).decide("Gửi", shop())
    assert len(failure.value.errors) == len(wire.requests) == 3
    assert "HTTP 503" in str(failure.value)


def test_a_gateway_that_says_when_to_come_back_is_left_alone_until_then(wire: WireGateway) -> None:
    wire.headers = {"Retry-After": "7"}
    wire.answers = [(429, '{"detail": "full"}'), changed()]
    pauses: list[float] = []
    answer = GatewayClient(wire.url, timeout=5, sleep=pauses.append).decide("Gửi", shop())
    assert (answer.attempts, pauses) == (2, [7.0])


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_not_repeated(wire: WireGateway, status: int) -> None:
    wire.answers = [(status, '{"detail": "the instruction is empty"}')]
    with pytest.raises(GatewayRefusedError, match="the instruction is empty"):
        client(wire).decide("Gửi", shop())
    assert len(wire.requests) == 1


def test_a_rejected_output_is_an_answer(wire: WireGateway) -> None:
    wire.answers = [changed(verdict="rejected", reason="call 1: …", calls=None)]
    answer = client(wire).decide("Gửi", shop())
    assert (answer.verdict, answer.plan) == ("rejected", None)


def test_a_gateway_that_never_answers_is_given_up(wire: WireGateway) -> None:
    unreachable = GatewayClient("http://127.0.0.1:9", timeout=1, sleep=lambda _: None)
    with pytest.raises(GatewayUnavailableError, match="gave no answer in 3 attempts"):
        unreachable.decide("Gửi", shop())
