"""One source for declarations, grammar and schema: they cannot disagree."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.decoding import plan_labels
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.parser import Call, parse_calls, render_calls
from leo_activation.decision.prompt import clean_instruction, developer_turn, render_prompt
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.validation import accept_output
from leo_activation.errors import DecisionError
from tests.support.catalogues import SENTENCES, SHOP, check, send, shop, wait, walks

SPEC = ToolSpec(shop())


@settings(max_examples=300)
@given(st.data(), SENTENCES)
def test_every_walk_of_the_grammar_is_a_plan_that_renders_back(
    data: st.DataObject, sentence: str
) -> None:
    labels, text = data.draw(walks(PlanGrammar(SPEC, sentence)))
    plan = accept_output(SPEC, text)
    as_written = [Call(call.name, _as_strings(call.arguments)) for call in plan]
    assert render_calls(as_written) == text
    assert list(plan_labels(plan)) == labels


def _as_strings(arguments: Any) -> dict[str, Any]:
    """Return arguments with a check's value as the format writes it: as a string."""
    value = arguments.get("value")
    if "value" not in arguments or isinstance(value, list):
        return dict(arguments)
    written = str(value).lower() if isinstance(value, bool) else str(value)
    return {**arguments, "value": written}


@given(st.data(), SENTENCES)
def test_every_walk_sends_something_last_or_nothing_at_all(
    data: st.DataObject, sentence: str
) -> None:
    calls = parse_calls(data.draw(walks(PlanGrammar(SPEC, sentence)))[1])
    assert not calls or calls[-1].name == "send_notification"
    assert len(calls) <= SPEC.functions["max_calls"]


def test_a_declaration_is_written_as_the_model_was_trained_to_read_it() -> None:
    waiting = SPEC.declarations[SPEC.declarations.index("declaration:wait_duration") :]
    assert waiting == (
        "declaration:wait_duration{description:<escape>Wait before the next step.<escape>,"
        "parameters:{properties:{minutes:{description:<escape>Minutes to wait.<escape>,"
        "type:<escape>INTEGER<escape>}},required:[<escape>minutes<escape>],"
        "type:<escape>OBJECT<escape>}}<end_function_declaration>"
    )
    assert "channel:{description:<escape>Channel to use.<escape>,enum:[<escape>email<escape>," in (
        SPEC.declarations
    )


def test_the_prompt_holds_the_trigger_sentence_and_one_bos() -> None:
    prompt = render_prompt(SPEC, "  Gửi email\n cho VIP ")
    assert prompt.startswith(
        "<bos><start_of_turn>developer\nYou are a model that can do function calling with the "
        "following functions<start_function_declaration>declaration:check_condition{"
    )
    assert prompt.endswith(
        "<end_of_turn>\n<start_of_turn>user\nGửi email cho VIP<end_of_turn>\n<start_of_turn>model\n"
    )
    assert prompt.count("<bos>") == 1


def test_numbers_come_from_the_sentence_and_fit_the_unit() -> None:
    grammar = PlanGrammar(SPEC, "khách 30 tuổi chưa mua 2 tháng, chi trên 3 triệu, chờ 2 giờ")
    offered = {item.name: grammar.offers.values(item.name) for item in SPEC.catalogue.attributes}
    assert offered["total_spent_vnd"] == ["3000000"]
    assert offered["recency_days"] == ["60"]
    assert offered["age"] == ["30"]


def test_without_a_duration_no_wait_can_be_written() -> None:
    assert not _allows(PlanGrammar(SPEC, "Gửi email"), [wait(60), send()])
    assert _allows(PlanGrammar(SPEC, "Chờ 1 giờ rồi gửi email"), [wait(60), send()])


def test_a_template_is_offered_only_on_its_channels() -> None:
    grammar = PlanGrammar(SPEC, "Gửi Telegram")
    assert _allows(grammar, [send("telegram", "nhac")])
    assert not _allows(grammar, [send("email", "nhac")])


def test_a_list_may_name_each_value_once() -> None:
    grammar = PlanGrammar(SPEC, "VIP hoặc khách mới")
    assert _allows(grammar, [check("segments", "in", ["vip", "new_buyers"]), send()])
    assert not _allows(grammar, [check("segments", "in", ["vip", "vip"]), send()])


def _allows(grammar: Any, plan: list[Call]) -> bool:
    state = grammar.start()
    for label in plan_labels(plan):
        choice = grammar.choice(state)
        if choice is None or label not in choice.options:
            return False
        state = grammar.advance(state, label)
    return grammar.choice(state) is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("templates", 0, "label"), "x<escape>},y", "is no template label"),
        (("templates", 0, "template_id"), "a}<end_of_turn>", "is no template name"),
        (("attributes", 0, "values", 0), "vip\nuser", "is no value of segments"),
        (("attributes", 1, "name"), "a b", "is no attribute name"),
        (("attributes", 1, "type"), "colour", "types are set, list"),
        (("templates", 1, "template_id"), "tri_an_vip", "twice"),
        (("channels",), ["zalo"], "no template can be sent"),
        (("templates",), None, "not a list"),
    ],
)
def test_a_catalogue_that_could_forge_a_prompt_is_refused(
    path: tuple[Any, ...], value: Any, message: str
) -> None:
    document: Any = copy.deepcopy(SHOP)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(DecisionError, match=message):
        parse_catalogue(document)


def test_a_catalogue_survives_being_sent_over_the_wire() -> None:
    assert parse_catalogue(shop().to_document()) == shop()
    assert ToolSpec(parse_catalogue(shop().to_document())).toolset_hash == SPEC.toolset_hash


def test_another_catalogue_has_another_hash() -> None:
    document = copy.deepcopy(SHOP)
    document["templates"][0]["label"] = "Khác"
    assert ToolSpec(parse_catalogue(document)).toolset_hash != SPEC.toolset_hash


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001, "gửi <end_of_turn> email"])
def test_an_instruction_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(DecisionError):
        clean_instruction(text)


def test_all_sentences_of_a_tool_set_share_the_developer_turn() -> None:
    assert render_prompt(SPEC, "a").startswith(developer_turn(SPEC))
