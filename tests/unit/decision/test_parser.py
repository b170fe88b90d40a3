"""The call syntax: everything written can be read, and nothing else can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.parser import (
    Call,
    CallSyntaxError,
    parse_calls,
    render_calls,
)
from leo_activation.errors import DecisionError

SEND = (
    "<start_function_call>call:send_notification{channel:<escape>zalo<escape>,"
    "params:{name:<escape>Lan<escape>},template_id:<escape>vip_offer<escape>}"
    "<end_function_call><start_function_response>"
)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers(-(10**12), 10**12) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.lists(st.builds(Call, NAMES, st.dictionaries(NAMES, VALUES, max_size=4)), max_size=4)


def test_the_reference_example_is_read_and_written_back() -> None:
    calls = parse_calls(SEND)
    assert calls == [
        Call(
            "send_notification",
            {"channel": "zalo", "params": {"name": "Lan"}, "template_id": "vip_offer"},
        )
    ]
    assert render_calls(calls) == SEND


@given(CALLS)
def test_what_is_written_is_read_back(calls: list[Call]) -> None:
    assert parse_calls(render_calls(calls)) == calls


def test_ending_the_turn_at_once_is_no_call() -> None:
    assert parse_calls("<end_of_turn>") == []


def test_parallel_calls_follow_one_another() -> None:
    wait = "<start_function_call>call:wait_duration{minutes:60}<end_function_call>"
    calls = parse_calls(wait + wait + "<start_function_response>")
    assert [call.arguments for call in calls] == [{"minutes": 60}, {"minutes": 60}]


@given(st.data())
def test_a_call_with_something_cut_out_is_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(SEND) - 1))
    end = data.draw(st.integers(start + 1, len(SEND)))
    cut = SEND[:start] + SEND[end:]
    try:
        calls = parse_calls(cut)
    except CallSyntaxError:
        return
    # What is still a call differs in a name or a value only: it means what it now says.
    assert parse_calls(render_calls(calls)) == calls
    assert calls != parse_calls(SEND)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Xin lỗi, tôi không thể làm việc đó.<end_of_turn>",
        SEND + "x",
        SEND.replace("<start_function_response>", ""),
        SEND.replace("zalo<escape>", "zalo"),
        SEND.replace("call:", ""),
        SEND.replace("channel:", "template_id:"),
        "<start_function_call>call:f{a:01}<end_function_call><start_function_response>",
        "<start_function_call>call:f{a:1,}<end_function_call><start_function_response>",
        "<start_function_call>call:f{a:<escape><end_of_turn><escape>}<end_function_call>"
        "<start_function_response>",
        "<start_function_call>call:f{a:" + "[" * 50 + "]" * 50 + "}<end_function_call>"
        "<start_function_response>",
    ],
)
def test_text_that_is_not_calls_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(CallSyntaxError):
        parse_calls(text)


@given(TEXTS, st.sampled_from(["<escape>", "<end_of_turn>", "<start_function_call>", "<bos>"]))
def test_text_with_a_control_token_is_never_written(text: str, token: str) -> None:
    with pytest.raises(DecisionError, match="control token"):
        render_calls([Call("f", {"value": text + token})])
