"""The lines of `leo decide`: what is read, and what a broken line is told."""

from __future__ import annotations

import io
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.backends.base import BackendUnavailableError, Question
from leo_activation.decision.decide_command import Tally, decide_stream
from leo_activation.decision.decide_lines import LineError, LineReader, RawLine, read_lines
from leo_activation.decision.desk import Desk
from leo_activation.decision.limits import MAX_LINE_BYTES, MAX_TEMPLATES
from leo_activation.decision.parser import render_calls
from tests.support.backends import ScriptedBackend
from tests.support.catalogues import check, send

VIP = check("segments", "contains", "vip")
TEMPLATES = [
    {"template_id": "tri_an", "channel": "email", "description": "Thư tri ân"},
    {"template_id": "tri_an_zalo", "channel": "zalo", "description": "Tri ân"},
]
ATTRIBUTES = ["segments", {"name": "total_spent_vnd", "type": "number"}]
GOOD: dict[str, Any] = {
    "id": "1", "instruction": "Gửi email nếu là khách VIP", "templates": TEMPLATES,
    "attributes": ATTRIBUTES,
}  # fmt: skip


def line(**changes: Any) -> bytes:
    """Return a good line with some fields changed; a field changed to ... is left out."""
    document = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return json.dumps(document, ensure_ascii=False).encode()


def backend() -> ScriptedBackend:
    return ScriptedBackend(lambda _: render_calls([VIP, send()]))


def decide(*lines: bytes, desk: Desk | None = None) -> list[dict[str, Any]]:
    return decide_all(b"\n".join(lines), desk)[0]


def decide_all(content: bytes, desk: Desk | None = None) -> tuple[list[dict[str, Any]], Tally]:
    target = io.BytesIO()
    tally = decide_stream(
        io.BytesIO(content), target, desk or Desk(backend()), lambda _: None, clock=lambda: 0.0
    )
    return [orjson.loads(item) for item in target.getvalue().splitlines()], tally


def test_a_line_is_answered_with_its_plan_and_what_runs_for_the_profile() -> None:
    facts = {"segments": ["vip"]}
    vip, other, nobody = decide(
        line(profile=facts), line(id=2, profile={"segments": []}), line(profile=None)
    )
    plan = [VIP.to_document(), send().to_document()]
    assert vip == {
        "id": "1", "plan": plan, "run": [send().to_document()], "valid": True, "reason": None,
        "latency_ms": 7, "model": "scripted",
    }  # fmt: skip
    assert (other["id"], other["run"], other["reason"]) == (2, [], "condition_false")
    assert nobody["run"] is None
    assert set(send().to_document()["arguments"]) == {"channel", "template_id"}


BROKEN: list[tuple[str, bytes, Any, str]] = [
    ("no JSON", b'{"id": "7", "instruction": ', "7", "is no JSON"),
    ("half a line", line()[:-10], "1", "is no JSON"),
    ("a list", b"[1, 2]", None, "is [1, 2], not a JSON object"),
    ("a text", b'"hello"', None, "not a JSON object"),
    ("not a number", b'{"id": 7, "instruction": NaN}', 7, "is no JSON"),
    ("no UTF-8", b'{"id": "7", "instruction": "G\xe1\xbb"}', "7", "byte 0xe1 at position 30"),
    ("UTF-16", '{"id": "7"}'.encode("utf-16"), None, "is not UTF-8"),
    ("half a character", b'{"id": 7, "instruction": "\\ud800"}', 7, "is no JSON"),
    ("nested deeply", b'{"id": 7, "profile": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", 7,
     "is no JSON"),
    ("no id", line(id=...), None, "has no 'id': add it"),
    ("id of a wrong type", line(id=["1"]), None, "the id is ['1'], not a text or a whole number"),
    ("id true", line(id=True), None, "the id is True"),
    ("no instruction", line(instruction=...), "1", "there is no 'instruction': add it, a text"),
    ("instruction of a wrong type", line(instruction=5), "1", "the instruction is 5, not a text"),
    ("empty instruction", line(instruction=""), "1", "the instruction is empty: write what"),
    ("blank instruction", line(instruction=" \t\n"), "1", "the instruction is empty"),
    ("huge instruction", line(instruction="a " * 100_000), "1", "shorten it to"),
    ("control token", line(instruction="a<end_of_turn>b"), "1", "control token '<end_of_turn>'"),
    ("unknown mode", line(mode="dream"), "1", "the mode is 'dream': use plan or choose"),
    ("mode of a wrong type", line(mode=["plan"]), "1", "the mode is ['plan']"),
    ("choose without a profile", line(mode="choose"), "1", "there is no profile: add one"),
    ("profile of a wrong type", line(profile=[]), "1", "the profile is [], not an object"),
    ("no templates", line(templates=...), "1", "there is no 'templates'"),
    ("templates of a wrong type", line(templates={}), "1", "the templates is {}, not a list"),
    ("empty templates", line(templates=[]), "1", "add a template"),
    ("a template that is none", line(templates=["tri_an"]), "1", "a template is 'tri_an', not"),
    ("a template without a channel", line(templates=[{"template_id": "a"}]), "1", "no 'channel'"),
    ("template twice", line(templates=[TEMPLATES[0], TEMPLATES[0]]), "1", "'tri_an' twice"),
    ("unknown channel", line(templates=[{"template_id": "a", "channel": "pigeon"}]), "1",
     "the unknown channel 'pigeon': use email"),
    ("a template's name", line(templates=[{"template_id": "a b{", "channel": "email"}]), "1",
     "'a b{' is no template name"),
    ("description of a wrong type",
     line(templates=[{"template_id": "a", "channel": "email", "description": 7}]), "1",
     "the description of 'a' is 7, not a text"),
    ("control token in a description",
     line(templates=[{"template_id": "a", "channel": "email", "description": "<escape>"}]), "1",
     "control token '<escape>'"),
    ("10,000 templates", line(templates=[
        {"template_id": f"t{n}", "channel": "email", "description": ""} for n in range(10_000)]),
     "1", "there are 10,000 templates, at most"),
    ("no attributes", line(attributes=...), "1", "there is no 'attributes'"),
    ("attributes of a wrong type", line(attributes="age"), "1", "the attributes is 'age'"),
    ("an attribute that is none", line(attributes=[5]), "1", "an attribute is 5"),
    ("attribute twice", line(attributes=["age", "age"]), "1", "'age' twice"),
    ("type of an attribute", line(attributes=[{"name": "a", "type": "colour"}]), "1", "'colour'"),
    ("type of a type", line(attributes=[{"name": "a", "type": []}]), "1", "the type is [], not"),
    ("values of a wrong type", line(attributes=[{"name": "a", "values": "b"}]), "1", "the values"),
    ("a value that is none", line(attributes=[{"name": "a", "values": [None]}]), "1", "value of a"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line_id", "told"), [item[1:] for item in BROKEN],
                         ids=[item[0] for item in BROKEN])  # fmt: skip
def test_a_broken_line_is_told_what_is_wrong_and_the_next_is_answered(
    content: bytes, line_id: Any, told: str
) -> None:
    wrong, right = decide(content, line(id="next"))
    assert (wrong["id"], wrong["plan"], wrong["run"], wrong["valid"]) == (line_id, [], None, False)
    assert told in wrong["reason"]
    assert len(wrong["reason"]) < 600
    assert (right["id"], right["valid"], len(right["plan"])) == ("next", True, 2)
    assert set(wrong) == set(right)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + line(),
        line() + b"\r",
        b"\n  \n\t\n" + line() + b"\n\n",
        line(extra={"anything": 1}, expected=[]),
        line(templates=[{"template_id": "tri_an", "channel": "email"}]),
        line(templates=[{**TEMPLATES[0], "description": "Chào [TÊN],\nđơn {mã} <b>đậm</b>"}]),
        line(templates=[{**TEMPLATES[0], "description": "dài " * 500}]),
        line(attributes=[{"name": "segments", "type": "LIST", "values": None}]),
        line(attributes=["segments", {"name": "level", "values": [1, 2.5]}]),
    ],
)
def test_what_only_looks_odd_is_answered(content: bytes) -> None:
    (answer,) = decide(content)
    assert (answer["valid"], answer["reason"]) == (True, None)


def test_blank_lines_get_no_line_and_no_number_is_lost() -> None:
    answers = decide(line(), b"", b"   ", b"{")
    assert len(answers) == 2
    assert answers[1]["reason"].startswith("line 4 is no JSON")
    assert decide_all(b"")[0] == []


def test_a_line_of_fifty_megabytes_is_never_held_whole() -> None:
    class Endless(io.RawIOBase):
        """A first line of 50 MB, then a good one, made while it is read."""

        def __init__(self) -> None:
            self.parts = iter([b'{"id": "big", "instruction": "', *[b"a" * 2**20] * 50, b'"}\n',
                               line(id="next") + b"\n"])  # fmt: skip
            self.largest = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            part = next(self.parts, b"")
            buffer[: len(part)] = part
            return len(part)

    lines = list(read_lines(io.BufferedReader(Endless(), 2**21)))
    assert [len(item.content) > MAX_LINE_BYTES for item in lines] == [True, False]
    assert len(lines[0].content) == MAX_LINE_BYTES + 1
    with pytest.raises(LineError, match=r"line 1 is longer than 1,048,576 bytes") as told:
        LineReader().read(lines[0])
    assert told.value.line_id == "big"
    assert LineReader().read(lines[1]).line_id == "next"


def test_a_last_line_without_its_end_is_answered_at_the_limit() -> None:
    exact = line(instruction="")
    assert list(read_lines(io.BytesIO(exact), limit=len(exact)))[0].is_cut is False
    assert list(read_lines(io.BytesIO(exact + b"\n"), limit=len(exact)))[0].is_cut is False
    assert list(read_lines(io.BytesIO(exact + b" "), limit=len(exact)))[0].is_cut is True


def test_lines_keep_their_order_and_equal_ones_are_computed_once() -> None:
    asked = backend()
    other = [*TEMPLATES, {"template_id": "x", "channel": "sms", "description": "khác"}]
    lines = [
        line(id=number, templates=other if number % 3 == 0 else TEMPLATES,
             instruction=f"Gửi {number % 5}")
        for number in range(700)
    ]  # fmt: skip
    answers, tally = decide_all(b"\n".join(lines), Desk(asked))
    assert [answer["id"] for answer in answers] == list(range(700))
    assert sum(len(batch) for batch in asked.batches) == 10
    assert all(len({q.spec.toolset_hash for q in batch}) == 1 for batch in asked.batches)
    assert (tally.lines, tally.memo) == (700, 690)


def test_choose_mode_shows_the_model_what_matters_of_the_profile() -> None:
    asked = backend()
    facts = {"segments": ["vip"], "total_spent_vnd": 5, "phone": "0900000000"}
    (answer,) = decide(
        line(mode="choose", instruction="Chọn tin hợp với khách", profile=facts), desk=Desk(asked)
    )
    (question,) = asked.batches[0]
    assert question.instruction == "Chọn tin hợp với khách"
    assert question.user_turn.startswith("Chọn tin hợp với khách\nProfile: ")
    assert "0900000000" not in question.user_turn
    assert answer["run"] == [send().to_document()]


def test_a_rejected_output_is_an_invalid_line_with_the_reason() -> None:
    (answer,) = decide(line(profile={}), desk=Desk(ScriptedBackend(lambda _: "I am sorry")))
    assert (answer["plan"], answer["run"], answer["valid"]) == ([], [], False)
    assert "not a list of calls" in answer["reason"]


def test_lines_that_the_backend_did_not_answer_are_counted_and_told() -> None:
    def write(question: Question) -> str:
        if question.instruction == "down":
            raise BackendUnavailableError("the server is away")
        return render_calls([send()])

    desk = Desk(ScriptedBackend(write, batch_size=1))
    answers, tally = decide_all(b"\n".join([line(id=1), line(id=2, instruction="down")]), desk)
    assert [answer["valid"] for answer in answers] == [True, False]
    assert answers[1]["reason"] == "the server is away"
    assert tally.without_decision == 1


def test_progress_is_told_every_two_seconds_at_most() -> None:
    moments = iter(range(0, 10_000))
    said: list[str] = []
    content = b"\n".join(line(id=number) for number in range(256 * 6))
    decide_stream(
        io.BytesIO(content), io.BytesIO(), Desk(backend()), said.append,
        clock=lambda: float(next(moments)),
    )  # fmt: skip
    assert 2 <= len(said) <= 6
    assert said[0].startswith("so far: 512 lines in 4.0 s")


@given(st.binary(max_size=200))
def test_no_bytes_can_stop_the_reader(content: bytes) -> None:
    for item in read_lines(io.BytesIO(content)):
        with pytest.raises(LineError):
            LineReader().read(RawLine(item.number, item.content, item.is_cut))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(["id", "instruction", "mode", "templates", "attributes", "profile"]), JSON)
def test_no_value_in_any_field_can_stop_the_work(name: str, value: Any) -> None:
    document = orjson.dumps({**GOOD, name: value})
    first, second = decide(document, line(id="next"))
    assert (set(first), second["valid"]) == (set(second), True)


def test_the_limit_on_templates_lets_as_many_pass_as_it_says() -> None:
    many = [{"template_id": f"t{n}", "channel": "sms"} for n in range(MAX_TEMPLATES)]
    (answer,) = decide(line(templates=[*TEMPLATES, *many[2:]]))
    assert answer["valid"]
