"""Words and model are trusted as far as sentences of strangers bear out."""

from __future__ import annotations

import random

import torch

from leo_activation.decision.decoding import Fork
from leo_activation.decision.grammar import CERTAINTY, TO_CALL
from leo_activation.decision.training.calibration import (
    LEAST_RECALL,
    Outcome,
    Read,
    Scored,
    fit_advice,
    fit_silence,
)
from leo_activation.decision.training.sets import Case
from tests.support.catalogues import send, shop

CASE = Case("1", "vi", "shop", shop(), "Gửi email", [send()])


def start(evidence: float, chosen: int = 0) -> Scored:
    """Return the choice between a plan and none, of which the model says nothing."""
    fork = Fork(0, [[1], [2]], chosen, (evidence / 2, -evidence / 2), "start")
    return Scored(fork, torch.zeros(2))


def reads(name: str, says_right: float, rng: random.Random) -> list[Read]:
    """Return choices of which the words know the right one as often as told, the model never."""
    found = []
    for _ in range(300):
        said = (1.0, 0.0) if rng.random() < says_right else (0.0, 1.0)
        fork = Fork(3, [[1], [2]], 0, said, name)
        found.append(Read(CASE, [start(1.0), Scored(fork, torch.zeros(2))]))
    return found


def test_the_weight_of_advice_is_how_often_it_is_right() -> None:
    rng = random.Random(4)  # noqa: S311
    learned = {"start": 1.0, "value": 1.0, "template": 1.0, "more": 1.7}
    found = [*reads("value", 0.95, rng), *reads("template", 0.6, rng)]
    fitted = fit_advice(found, learned)
    assert fitted["value"] > 1.5 * fitted["template"] > 0
    assert fitted["more"] == 1.7


def test_a_weight_that_was_learned_away_is_found_again() -> None:
    found = reads("value", 0.95, random.Random(5))  # noqa: S311
    assert fit_advice(found, {"start": 1.0, "value": -0.3})["value"] > 1


def test_a_plan_that_the_grammar_cannot_write_teaches_nothing_about_silence() -> None:
    learned = {"start": 1.0}
    unwritable = [Read(CASE, [start(1.0, chosen=1)])] * 50
    read = [Read(CASE, [start(1.0), start(1.0)])] * 50
    assert fit_advice([*read, *unwritable], learned) == fit_advice(read, learned)


def test_the_odds_of_a_plan_are_those_of_model_and_words() -> None:
    first = Scored(Fork(0, [[1], [2]], 0, (0.5, -0.5), "start"), torch.tensor([1.0, 3.0]))
    assert Read(CASE, [first]).begins({"start": 4.0}) == 2.0


def test_unsure_plans_are_given_up_where_that_keeps_the_unasked_silent() -> None:
    wanted = [Outcome(2.0, -0.1, is_right=True, is_wanted=True)] * 80
    # As likely at the beginning, and only the plan itself gives them away.
    unwanted = [Outcome(2.0, -4.0, is_right=False, is_wanted=False)] * 20
    found = fit_silence([*wanted, *unwanted])
    assert found["right"] == 100
    assert found[CERTAINTY] > 0
    assert 2.0 - 0.1 * found[CERTAINTY] + found[TO_CALL] >= 0
    assert 2.0 - 4.0 * found[CERTAINTY] + found[TO_CALL] < 0


def test_enough_of_those_who_ask_for_nothing_get_nothing_whatever_it_costs() -> None:
    wanted = [Outcome(1.0, 0.0, is_right=True, is_wanted=True)] * 90
    unwanted = [Outcome(1.5, 0.0, is_right=False, is_wanted=False)] * 10
    found = fit_silence([*wanted, *unwanted])
    assert found["right"] == 10
    assert LEAST_RECALL > 0.9
