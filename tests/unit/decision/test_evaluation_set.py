"""The hand-written evaluation set: every expectation is a plan that its catalogue allows.

The set is opened for measuring only: nothing may be trained or tuned on it, and this test looks at
its form, never at what a model makes of it. ``*`` stands for any template of the channel; ``also``
holds the other plans that are as right as ``plan``.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from typing import Any

import pytest

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.parser import CONTROL, Call, plan_from_document
from leo_activation.decision.prompt import MAX_INSTRUCTION_CHARACTERS
from leo_activation.decision.toolset import ToolSpec, attributes_document, functions_document
from leo_activation.decision.validation import check_plan
from leo_activation.paths import PROMPTS_FOLDER

ANY_TEMPLATE = "*"


def _lines(version: str) -> list[dict[str, Any]]:
    path = PROMPTS_FOLDER / f"evaluation.{version}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


LINES = _lines("v2")
CATALOGUES: dict[str, Any] = json.loads(
    (PROMPTS_FOLDER / "evaluation_catalogues.v2.json").read_text(encoding="utf-8")
)
SPECS = {name: ToolSpec(parse_catalogue(document)) for name, document in CATALOGUES.items()}


def _plans(line: dict[str, Any]) -> list[list[Call]]:
    return [plan_from_document(plan) for plan in (line["plan"], *line.get("also", []))]


def _with_template(spec: ToolSpec, call: Call) -> Call:
    """Return a call with some template of its channel where any will do."""
    if call.arguments.get("template_id") != ANY_TEMPLATE:
        return call
    channel = call.arguments["channel"]
    template = spec.catalogue.templates_for(channel)[0]
    return Call(call.name, {**call.arguments, "template_id": template.template_id})


def _plain(sentence: str) -> str:
    """Return a sentence without case, accents and punctuation, to find near copies."""
    letters = unicodedata.normalize("NFD", sentence.casefold().replace("đ", "d"))
    return " ".join("".join(c if c.isalnum() else " " for c in letters if c.isascii()).split())


@pytest.mark.parametrize("line", LINES, ids=[line["id"] for line in LINES])
def test_every_expected_plan_is_one_that_the_catalogue_allows(line: dict[str, Any]) -> None:
    assert set(line) <= {"id", "catalogue", "language", "instruction", "plan", "also"}
    assert 0 < len(line["instruction"]) <= MAX_INSTRUCTION_CHARACTERS
    spec = SPECS[line["catalogue"]]
    for plan in _plans(line):
        check_plan(spec, [_with_template(spec, call) for call in plan])


def test_the_plans_that_are_equally_right_differ() -> None:
    for line in LINES:
        plans = [json.dumps(plan) for plan in (line["plan"], *line.get("also", []))]
        assert len(set(plans)) == len(plans), line["id"]


def test_nobody_is_sent_anything_by_a_sentence_with_control_tokens() -> None:
    forged = [line for line in LINES if CONTROL.search(line["instruction"])]
    assert forged
    assert [line["id"] for line in forged if line["plan"]] == []


def test_there_are_at_least_150_different_sentences() -> None:
    assert len({_plain(line["instruction"]) for line in LINES}) == len(LINES) >= 150
    assert len({line["id"] for line in LINES}) == len(LINES)


def test_no_sentence_stands_in_the_first_set() -> None:
    known = {_plain(line["instruction"]) for line in _lines("v1")}
    assert [line["id"] for line in LINES if _plain(line["instruction"]) in known] == []


def test_the_languages_are_mixed_as_people_write() -> None:
    count = Counter(line["language"] for line in LINES)
    share = {language: count[language] / len(LINES) for language in count}
    expected = {"vi": 0.55, "vi-ascii": 0.15, "en": 0.20, "mixed": 0.10}
    assert share == pytest.approx(expected, abs=0.03)


def test_sentences_without_diacritics_have_none() -> None:
    lines = [line for line in LINES if line["language"] in {"vi-ascii", "en"}]
    assert [line["id"] for line in lines if not line["instruction"].isascii()] == []


def test_every_catalogue_is_used_and_most_are_unlike_the_platforms_own() -> None:
    own = {attribute["name"] for attribute in attributes_document()["attributes"]}
    unlike = [
        name
        for name, spec in SPECS.items()
        if not {attribute.name for attribute in spec.catalogue.attributes} & (own - {"segments"})
    ]
    assert {line["catalogue"] for line in LINES} == set(CATALOGUES)
    assert len(unlike) >= 7


def test_every_function_operator_and_channel_is_expected_somewhere() -> None:
    calls = [call for line in LINES for call in plan_from_document(line["plan"])]
    document = functions_document()
    assert {call.name for call in calls} == {item["name"] for item in document["functions"]}
    operators = Counter(call.arguments.get("operator") for call in calls)
    assert min(operators[operator] for operator in document["operators"]) >= 5
    channels = Counter(call.arguments.get("channel") for call in calls)
    assert min(channels[channel] for channel in ("zalo", "email", "push", "telegram")) >= 20


def test_enough_sentences_ask_for_nothing_that_can_be_sent() -> None:
    assert sum(not line["plan"] for line in LINES) >= 35
    assert all("also" not in line for line in LINES if not line["plan"])
