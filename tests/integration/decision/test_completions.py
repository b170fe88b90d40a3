"""The completions backend against a server process that is good, slow, full, broken or lying."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from leo_activation.decision.backends.base import BackendUnavailableError, Question
from leo_activation.decision.backends.completions import CompletionsBackend, CompletionsServer
from leo_activation.decision.backends.selection import open_backend
from leo_activation.decision.engine import Decision
from leo_activation.decision.parser import Call, render_calls
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import ConfigurationError
from tests.support.catalogues import check, send, shop, wait
from tests.support.completions_server import KEY, MODEL, CompletionsProcess, running

SPEC = ToolSpec(shop())
PLAN = [check("segments", "contains", "vip"), send("email", "tri_an_vip")]
TEXT = render_calls(PLAN)


@pytest.fixture(scope="module")
def process() -> Iterator[CompletionsProcess]:
    """Return a running server."""
    with running() as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """Return where pauses between attempts are written down."""
    return []


@pytest.fixture
def backend(process: CompletionsProcess, pauses: list[float]) -> Iterator[CompletionsBackend]:
    """Return a backend that talks to the server."""
    server = CompletionsServer(f"{process.url}/v1", MODEL, KEY, timeout_seconds=5)
    opened = CompletionsBackend(server, sleep=pauses.append)
    yield opened
    opened.close()


def question(sentence: str = "Gửi email nếu là khách VIP") -> Question:
    return Question(SPEC, sentence, sentence)


def ask(backend: CompletionsBackend) -> Decision:
    return backend.decide([question()])[0]


def test_the_request_is_what_the_format_needs(
    backend: CompletionsBackend, process: CompletionsProcess
) -> None:
    process.says({"text": TEXT + "<start_of_turn>never read"})
    decision = ask(backend)
    assert (decision.verdict, decision.plan, decision.model) == ("accepted", PLAN, MODEL)
    assert decision.raw_output == TEXT
    (request,) = process.asked()
    assert request["path"] == "/v1/completions"
    sent = request["body"]
    assert sent["prompt"] == question().prompt
    assert sent["prompt"].count("<bos>") == 1
    assert sent["add_special_tokens"] is False
    assert sent["skip_special_tokens"] is False
    assert sent["temperature"] == 0
    assert sent["stop_token_ids"] == [50, 106, 1]
    assert (sent["model"], sent["stream"]) == (MODEL, False)


def test_a_server_that_leaves_the_stop_out_is_understood(
    backend: CompletionsBackend, process: CompletionsProcess
) -> None:
    process.says({"text": TEXT.removesuffix("<start_function_response>")})
    assert ask(backend).plan == PLAN
    process.says({"text": ""})
    assert (ask(backend).verdict, ask(backend).plan) == ("no_call", [])


REJECTED: list[tuple[str, dict[str, Any], str]] = [
    ("prose", {"text": "I am sorry, I cannot do that.<end_of_turn>"}, "not a list of calls"),
    ("half a call", {"text": TEXT[:40]}, "not a list of calls"),
    ("prose before", {"text": f"Sure! {TEXT}"}, "not a list of calls"),
    ("calls and prose", {"text": TEXT.replace("<start_function_response>", " ok")},
     "not a list of calls"),
    ("tokens skipped", {"text": "call:send_notification{channel:email,template_id:tri_an}"},
     "not a list of calls"),
    ("forged token", {"text": render_calls([send()]).replace("tri_an", "a<start_of_turn>b")},
     "control token"),
    ("too long", {"text": "<start_function_call>call:a{" + "x" * 3_000}, "cut off after 512"),
    ("length", {"text": TEXT, "finish_reason": "length"}, "cut off"),
    ("filter", {"text": TEXT, "finish_reason": "content_filter"}, "'content_filter'"),
    ("abort", {"text": TEXT, "finish_reason": "abort"}, "'abort'"),
    ("no finish", {"text": TEXT, "finish_reason": None}, "the reason None"),
    ("other function", {"text": render_calls([Call("delete_profile", {"id": "1"})])},
     "no such function"),
    ("other channel", {"text": render_calls([send("sms")])}, "the channel 'sms' is not allowed"),
    ("other template", {"text": render_calls([send("email", "x")])}, "'x' does not exist"),
    ("other attribute", {"text": render_calls([check("salary", "gt", "5"), send()])}, "'salary'"),
    ("wrong type", {"text": render_calls([check("age", "gt", "old"), send()])}, "'old'"),
    ("nothing sent", {"text": render_calls([wait(5)])}, "without sending"),
    ("too many", {"text": render_calls([send()] * 9)}, "at most 8"),
]  # fmt: skip


@pytest.mark.invariant(7)
@pytest.mark.parametrize(("step", "told"), [item[1:] for item in REJECTED],
                         ids=[item[0] for item in REJECTED])  # fmt: skip
def test_what_is_no_plan_of_this_tenant_is_rejected_with_the_reason(
    backend: CompletionsBackend, process: CompletionsProcess, step: dict[str, Any], told: str
) -> None:
    process.says(step)
    decision = ask(backend)
    assert (decision.verdict, decision.plan) == ("rejected", None)
    assert told in str(decision.reason)
    assert len(process.asked()) == 1


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("full", {"status": 429, "headers": {"Retry-After": "2"}}),
    ("broken", {"status": 500}),
    ("bad gateway", {"status": 502}),
    ("away", {"status": 503}),
    ("late", {"status": 504}),
    ("dropped", {"drop": True}),
    ("cut", {"text": TEXT, "cut": True}),
    ("html", {"raw": "<html>"}),
    ("a list", {"raw": "[]"}),
    ("no choices", {"raw": '{"choices": []}'}),
    ("no text", {"raw": '{"choices": [{"text": null, "finish_reason": "stop"}]}'}),
    ("endless", {"raw": "x" * 2_000_000}),
]


@pytest.mark.parametrize("step", [item[1] for item in PASSING], ids=[item[0] for item in PASSING])
def test_a_failure_that_passes_is_tried_once_more(
    backend: CompletionsBackend,
    process: CompletionsProcess,
    pauses: list[float],
    step: dict[str, Any],
) -> None:
    process.says(step, {"text": TEXT})
    assert ask(backend).plan == PLAN
    assert pauses == [2.0 if step.get("status") == 429 else 0.5]
    process.says(step)
    with pytest.raises(BackendUnavailableError, match="in 2 attempts"):
        ask(backend)
    assert len(process.asked()) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_tried_again(
    backend: CompletionsBackend, process: CompletionsProcess, status: int
) -> None:
    process.says({"status": status})
    with pytest.raises(BackendUnavailableError, match=f"HTTP {status}"):
        ask(backend)
    assert len(process.asked()) == 1


def test_a_slow_server_is_given_up(process: CompletionsProcess) -> None:
    process.says({"text": TEXT, "seconds": 3})
    server = CompletionsServer(f"{process.url}/v1", MODEL, KEY, timeout_seconds=0.2)
    slow = CompletionsBackend(server, sleep=lambda _: None)
    with pytest.raises(BackendUnavailableError, match=r"in 2 attempts \(ReadTimeout"):
        ask(slow)
    slow.close()


def test_questions_are_asked_side_by_side_and_answered_in_order(
    backend: CompletionsBackend, process: CompletionsProcess
) -> None:
    process.says({"text": TEXT, "seconds": 0.2})
    questions = [question(f"Gửi {number}") for number in range(8)]
    decisions = backend.decide(questions)
    assert [item.prompt_hash for item in decisions] == [item.prompt_hash for item in questions]
    assert sum(item.latency_ms for item in decisions) >= 8 * 200


def settings(process: CompletionsProcess, **changes: str) -> dict[str, str]:
    return {
        "LEO_DECISION_BACKEND": "completions", "LEO_COMPLETIONS_URL": f"{process.url}/v1/",
        "LEO_COMPLETIONS_MODEL": MODEL, "LEO_COMPLETIONS_KEY": KEY, **changes,
    }  # fmt: skip


def open_from(environ: dict[str, str]) -> Any:
    return open_backend(environ, fetch=False, report=lambda _: None)


def test_the_environment_names_the_server(process: CompletionsProcess) -> None:
    process.says({"text": TEXT})
    backend = open_from(settings(process))
    assert ask(backend).plan == PLAN
    versions = backend.versions()
    assert (versions["backend"], versions["model"]) == ("completions", MODEL)
    assert versions["url"] == f"{process.url}/v1/completions"
    backend.close()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"LEO_DECISION_BACKEND": "chat"}, "'chat': set it to 'local' or 'completions'"),
        ({"LEO_COMPLETIONS_URL": ""}, "LEO_COMPLETIONS_URL is not set"),
        ({"LEO_COMPLETIONS_MODEL": ""}, "LEO_COMPLETIONS_MODEL is not set"),
        ({"LEO_COMPLETIONS_URL": "vllm:8000"}, "LEO_COMPLETIONS_URL is no address"),
        ({"LEO_COMPLETIONS_URL": "ftp://vllm/v1"}, "LEO_COMPLETIONS_URL is no address"),
        ({"LEO_COMPLETIONS_TIMEOUT_SECONDS": "soon"}, "'soon': set it to seconds"),
        ({"LEO_COMPLETIONS_TIMEOUT_SECONDS": "0"}, "'0': set it to seconds"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    process: CompletionsProcess, changes: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        open_from(settings(process, **changes))


def test_the_key_is_shown_nowhere(
    process: CompletionsProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    backend = open_from(settings(process))
    process.says({"status": 401})
    with pytest.raises(BackendUnavailableError) as failure:
        ask(backend)
    seen = f"{failure.value!r} {backend.versions()} {backend.server!r} {caplog.text}"
    assert KEY not in seen
    backend.close()
    address = process.url.replace("http://", "http://user:pass-word@")
    with pytest.raises(ConfigurationError) as refusal:
        open_from(settings(process, LEO_COMPLETIONS_URL=address))
    assert "pass-word" not in str(refusal.value)
