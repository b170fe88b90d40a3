"""The draft's advice, as a plan is written that follows it, adds to it or leaves something out."""

from __future__ import annotations

import pytest

from leo_activation.decision.grammar import DOUBT, SLOTS, TO_CALL, WORDS, Choice, PlanGrammar, State
from leo_activation.decision.toolset import ToolSpec
from tests.support.catalogues import shop

SPEC = ToolSpec(shop())
BONUS = {TO_CALL: 0.7}
SENTENCE = "Khách chi trên 3 triệu thì gửi Telegram, chờ 2 giờ rồi gửi email"


def after(grammar: PlanGrammar, *labels: str) -> Choice:
    """Return the choice that comes when some labels were chosen."""
    state: State = grammar.start()
    for label in labels:
        state = grammar.advance(state, label)
    choice = grammar.choice(state)
    assert choice is not None
    return choice


def advised(choice: Choice) -> str | None:
    """Return what the words of the sentence say."""
    return max(choice.advice, key=lambda label: choice.advice[label], default=None)


SPENT = ("call", "check", "total_spent_vnd", "gt", "3000000")
VIP = ("call", "check", "segments", "contains", "vip")


@pytest.mark.parametrize(
    ("written", "next_one"),
    [
        ((), "call"),
        (("call",), "check"),
        (("call", "check"), "total_spent_vnd"),
        ((*SPENT, "call"), "send"),
        ((*SPENT, "call", "send"), "telegram"),
    ],
)
def test_the_words_advise_each_choice_of_their_own_plan(
    written: tuple[str, ...], next_one: str
) -> None:
    assert advised(after(PlanGrammar(SPEC, SENTENCE), *written)) == next_one


@pytest.mark.parametrize(
    ("written", "next_one"),
    [
        pytest.param((*SPENT, *VIP, "call"), "send", id="after what it knows"),
        pytest.param((*VIP, "call"), "check", id="before what it knows"),
        pytest.param((*VIP, *SPENT, "call", "send"), "telegram", id="and goes on from there"),
    ],
)
def test_an_additional_check_leaves_the_rest_of_the_advice_as_it_was(
    written: tuple[str, ...], next_one: str
) -> None:
    assert advised(after(PlanGrammar(SPEC, SENTENCE), *written)) == next_one


def test_a_message_sent_sooner_than_drafted_passes_over_the_check() -> None:
    grammar = PlanGrammar(SPEC, SENTENCE)
    template = grammar.offers.templates("telegram")[0]
    assert advised(after(grammar, "call", "send")) == "telegram"
    sooner = (*VIP, "call", "send", "telegram", template)
    assert advised(after(grammar, *sooner)) == "call"
    assert advised(after(grammar, *sooner, "call")) == "wait 120"


def test_each_slot_has_a_weight_of_its_own_and_another_where_the_draft_is_doubtful() -> None:
    weights = {name: float(number) for number, name in enumerate(WORDS, 1)}
    sure = PlanGrammar(SPEC, SENTENCE, advice=weights)
    assert after(sure, "call", "check").weighed_as == "attribute"
    assert after(sure, "call").advice == {"check": weights["function"]}
    doubtful = PlanGrammar(SPEC, "Gửi email cho khách nuôi mèo", advice=weights)
    assert after(doubtful).weighed_as == f"start{DOUBT}"
    assert advised(after(doubtful)) == "none"
    assert set(WORDS) == {f"{slot}{end}" for slot in SLOTS for end in ("", DOUBT)}


def test_the_words_insist_on_the_check_that_keeps_a_branch_from_the_one_before() -> None:
    grammar = PlanGrammar(SPEC, "Gửi email tri ân nếu là khách VIP, còn lại gửi Telegram sau 2 giờ")
    first = (*VIP, "call", "send", "email", "tri_an")
    insisted = after(grammar, *first, "call").advice
    assert insisted == {"check": 2.5 * after(grammar, "call").advice["check"]}


def test_without_advice_the_words_say_nothing() -> None:
    grammar = PlanGrammar(SPEC, SENTENCE, advice={})
    assert after(grammar).advice == {}
    assert after(grammar, *SPENT, "call").advice == {}


def test_a_bonus_for_acting_counts_at_the_first_choice_only() -> None:
    plain, eager = PlanGrammar(SPEC, SENTENCE), PlanGrammar(SPEC, SENTENCE, advice=WORDS | BONUS)
    assert after(eager).advice["call"] == after(plain).advice["call"] + 0.7
    assert after(eager).advice["none"] == after(plain).advice["none"]
    assert after(eager, "call").advice == after(plain, "call").advice
