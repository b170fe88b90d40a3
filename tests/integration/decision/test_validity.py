"""Every output is a plan that may run: ten thousand random catalogues and instructions.

The schema that is held against the output is written here, from the line itself, so that it shares
no code with the one that the platform checks with.
"""

from __future__ import annotations

import io
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import orjson
import pytest

from leo_activation.decision.backends.local import LocalBackend
from leo_activation.decision.decide_command import decide_stream
from leo_activation.decision.desk import Desk
from leo_activation.decision.engine import Engine
from tests.support.backends import ScriptedBackend, random_turn
from tests.support.fuzz import fuzzed_lines

MANY = 10_000
REAL = 60
SHARDS = 2
OPERATORS = {"eq", "ne", "gt", "gte", "lt", "lte", "contains", "not_contains", "in", "exists"}
ORDERED = {"gt", "gte", "lt", "lte"}
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def broken_rules(line: dict[str, Any], plan: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with a plan for the catalogue of its line."""
    if len(plan) > 8:
        yield f"{len(plan)} calls"
    if plan and plan[-1]["name"] != "send_notification":
        yield "nothing is sent at the end"
    rules = {
        "send_notification": broken_send, "wait_duration": broken_wait,
        "check_condition": broken_check,
    }  # fmt: skip
    for call in plan:
        if set(call) != {"name", "arguments"} or call["name"] not in rules:
            yield f"call {call}"
        else:
            yield from rules[call["name"]](line, call["arguments"])


def broken_send(line: dict[str, Any], arguments: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the arguments of a message."""
    channels = {item["template_id"]: item["channel"] for item in line["templates"]}
    if set(arguments) != {"channel", "template_id"}:
        yield f"arguments {set(arguments)}"
    elif channels.get(arguments["template_id"]) != arguments["channel"]:
        yield f"template and channel {arguments}"


def broken_wait(line: dict[str, Any], arguments: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the arguments of a wait."""
    minutes = arguments.get("minutes")
    if set(arguments) != {"minutes"} or type(minutes) is not int or not 1 <= minutes <= 129_600:
        yield f"wait {arguments}"


def broken_check(line: dict[str, Any], arguments: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the arguments of a check."""
    if set(arguments) != {"attribute", "operator", "value"}:
        yield f"arguments {set(arguments)}"
        return
    name, operator, value = (arguments[key] for key in ("attribute", "operator", "value"))
    listed = {item["name"]: item for item in line["attributes"] if isinstance(item, dict)}
    # Segments may go unlisted: marketers speak of them anyway.
    names = {*listed, "segments", *(item for item in line["attributes"] if isinstance(item, str))}
    if name not in names or operator not in OPERATORS:
        yield f"check {arguments}"
    if operator == "exists":
        if not isinstance(value, bool):
            yield f"exists {value!r}"
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_day = isinstance(value, str) and DAY.fullmatch(value)
    if operator in ORDERED and not is_number and not is_day:
        yield f"order of {value!r}"
    if operator == "in" and not (isinstance(value, list) and value):
        yield f"in {value!r}"
    allowed = {value["name"] if isinstance(value, dict) else value
               for value in listed.get(name, {}).get("values") or []}  # fmt: skip
    texts = [text for text in (value if isinstance(value, list) else [value])
             if isinstance(text, str)]  # fmt: skip
    if allowed and not set(texts) <= allowed and not is_day:
        yield f"{name} has no {value!r}"


def decide(desk: Desk, lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send lines through the command's own path."""
    source = io.BytesIO(b"\n".join(orjson.dumps(line) for line in lines))
    target = io.BytesIO()
    decide_stream(source, target, desk, lambda _: None)
    return [orjson.loads(answer) for answer in target.getvalue().splitlines()]


def check_all(lines: list[dict[str, Any]], answers: list[dict[str, Any]]) -> Counter[str]:
    """Hold every answer against its line; return how many there are of each kind."""
    assert [answer["id"] for answer in answers] == [line["id"] for line in lines]
    kinds: Counter[str] = Counter()
    for line, answer in zip(lines, answers, strict=True):
        refused = answer["reason"] if not answer["valid"] else None
        if refused is not None:
            # What cannot be put into a prompt is refused before the model, and says why.
            assert refused.startswith(f"line {line['id'] + 1}: "), (line, answer)
            kinds["refused before the model"] += 1
            continue
        problems = list(broken_rules(line, answer["plan"]))
        assert not problems, (problems, line, answer)
        kinds["plan" if answer["plan"] else "no call"] += 1
    return kinds


def fuzz(seed: int) -> Counter[str]:
    """Check one shard of the lines with random logits."""
    rng = random.Random(seed)  # noqa: S311
    desk = Desk(ScriptedBackend(lambda question: random_turn(question, rng)))
    lines = fuzzed_lines(rng, MANY // SHARDS)
    return check_all(lines, decide(desk, lines))


@pytest.mark.invariant(7)
@pytest.mark.timeout(900)
def test_ten_thousand_fuzzed_lines_give_nothing_but_valid_plans(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProcessPoolExecutor(SHARDS, mp_context=get_context("spawn")) as pool:
        kinds = sum(pool.map(fuzz, range(SHARDS)), Counter[str]())
    assert sum(kinds.values()) == MANY
    assert kinds["plan"] > MANY / 4
    with capsys.disabled():
        print(f"\n{MANY:,} fuzzed lines, random logits, all valid: {dict(kinds)}")


@pytest.mark.invariant(7)
@pytest.mark.timeout(900)
def test_fuzzed_lines_through_the_real_model_give_nothing_but_valid_plans(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(4)  # noqa: S311
    lines = fuzzed_lines(rng, REAL, each=10)
    kinds = check_all(lines, decide(Desk(LocalBackend(engine)), lines))
    assert sum(kinds.values()) == REAL
    with capsys.disabled():
        print(f"\n{REAL:,} fuzzed lines, the real model, all valid: {dict(kinds)}")
