"""Each question is computed once, for as long as nothing changes that its answer depends on."""

from __future__ import annotations

import pytest

from leo_activation.decision.backends.base import (
    BackendUnavailableError,
    Question,
    versions_hash,
)
from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.desk import Desk
from leo_activation.decision.toolset import ToolSpec
from tests.support.backends import ScriptedBackend, writing
from tests.support.catalogues import SHOP, send, shop

SPEC = ToolSpec(shop())
OTHER = ToolSpec(parse_catalogue({**SHOP, "attributes": []}))


def question(sentence: str, spec: ToolSpec = SPEC, turn: str | None = None) -> Question:
    return Question(spec, sentence, turn or sentence)


def test_equal_questions_are_computed_once_and_answered_each() -> None:
    backend = ScriptedBackend(writing(send()))
    answers = Desk(backend).answer([question("a"), question("b"), question("a")])
    assert [answer.memo for answer in answers] == [False, False, True]
    assert [q.instruction for q in backend.batches[0]] == ["a", "b"]
    assert [answer.decision.latency_ms for answer in answers] == [7, 7, 0]


def test_a_question_asked_again_comes_from_memory() -> None:
    backend = ScriptedBackend(writing(send()))
    desk = Desk(backend)
    first, again = desk.answer([question("a")]), desk.answer([question("a")])
    assert len(backend.batches) == 1
    assert again[0].memo
    assert again[0].decision.plan == first[0].decision.plan


def test_the_key_holds_everything_that_an_answer_depends_on() -> None:
    desk = Desk(ScriptedBackend(writing(), adapter="1"))
    newer = Desk(ScriptedBackend(writing(), adapter="2"))
    keys = {
        desk.key(question("a")),
        desk.key(question("b")),
        desk.key(question("a", OTHER)),
        desk.key(question("a", turn="a\nProfile: age=3")),
        desk.key(question("b", turn="a")),
        newer.key(question("a")),
    }
    assert len(keys) == 6
    assert desk.key(question("a")) == desk.key(question("a"))
    assert versions_hash({"a": 1, "b": 2}) == versions_hash({"b": 2, "a": 1})


def test_a_rejected_answer_is_not_remembered() -> None:
    backend = ScriptedBackend(lambda _: "garbage")
    desk = Desk(backend)
    assert desk.answer([question("a")])[0].decision.verdict == "rejected"
    assert desk.answer([question("a")])[0].memo is False
    assert len(backend.batches) == 2


def test_the_least_recently_used_answer_is_forgotten_first() -> None:
    backend = ScriptedBackend(writing(send()))
    desk = Desk(backend, memo_size=2)
    for sentence in ("a", "b", "a", "c"):
        desk.answer([question(sentence)])
    assert desk.known(question("a"))
    assert desk.known(question("b")) is None


def test_batches_hold_one_tool_set_and_no_more_than_the_backend_likes() -> None:
    backend = ScriptedBackend(writing(), batch_size=2)
    asked = [question(str(number), OTHER if number % 2 else SPEC) for number in range(7)]
    answers = Desk(backend).answer(asked)
    assert [[q.instruction for q in batch] for batch in backend.batches] == [
        ["0", "2"], ["4", "6"], ["1", "3"], ["5"],
    ]  # fmt: skip
    hashes = [answer.decision.prompt_hash for answer in answers]
    assert hashes == [q.prompt_hash for q in asked]


def test_a_question_that_breaks_the_engine_fails_alone() -> None:
    def write(asked: Question) -> str:
        if asked.instruction == "b":
            raise IndexError("list index out of range")
        return writing(send())(asked)

    answers = Desk(ScriptedBackend(write)).answer([question(text) for text in "abc"])
    assert [answer.decision.verdict for answer in answers] == ["accepted", "rejected", "accepted"]
    assert "IndexError: list index out of range" in str(answers[1].decision.reason)


def test_what_was_answered_before_the_backend_failed_is_kept() -> None:
    def write(asked: Question) -> str:
        if asked.instruction == "b":
            raise BackendUnavailableError("down")
        return writing(send())(asked)

    desk = Desk(ScriptedBackend(write, batch_size=1))
    with pytest.raises(BackendUnavailableError, match="down"):
        desk.answer([question(text) for text in "abc"])
    assert [desk.known(question(text)) is not None for text in "abc"] == [True, False, False]
