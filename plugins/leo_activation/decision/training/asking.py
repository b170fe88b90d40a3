"""Fit how much each sign counts for, or against, carrying out the draft of a sentence.

A logistic regression over the sentences that the rules were written with. What it learns is whether
the draft is right: where something is asked for and the draft is wrong, silence is the smaller
mistake, and such a sentence counts half. The sets that are held out are only counted.

Run: ``python -m leo_activation.decision.training.asking``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leo_activation.decision.asking import facts, terms
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.lexicon import ASKING_FILE
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.training.evaluation import advised_plan, is_refused, is_right
from leo_activation.decision.training.sets import DEVELOPMENT, FRESH, HELD_OUT, read_cases
from leo_activation.paths import PROMPTS_FOLDER

# A word counts that so many sentences have.
_OFTEN = 25
# How much a wrong draft of a sentence that asks for something speaks for silence.
_WRONG = 0.5
_STEPS, _RATE = 400, 0.02
# What keeps the weights of words and of facts small.
_TERM_DECAY, _FACT_DECAY = 1e-3, 1e-4
_DIGITS = 3


@dataclass(frozen=True)
class Sign:
    """One sentence as it is weighed.

    :param is_right: whether the draft is a plan that the sentence may become.
    :param asks: whether the sentence asks for anything.
    """

    facts: Mapping[str, float]
    terms: frozenset[str]
    is_right: bool
    asks: bool


def read_signs(names: Sequence[str]) -> Iterator[Sign]:
    """Yield the sentences of some sets."""
    specs: dict[Catalogue, ToolSpec] = {}
    for name in names:
        for case in read_cases(name):
            if is_refused(case):
                continue
            spec = specs.setdefault(case.catalogue, ToolSpec(case.catalogue))
            grammar = PlanGrammar(spec, case.instruction)
            plan = advised_plan(grammar, begins=True)
            yield Sign(facts(grammar.offers.draft), frozenset(terms(case.instruction)),
                       is_right(case, plan), bool(case.plan))  # fmt: skip


def fit(signs: Sequence[Sign]) -> dict[str, dict[str, float]]:
    """Return the weights of facts and of terms under which the right answers are likeliest."""
    names = list(signs[0].facts)
    often = Counter(term for sign in signs for term in sign.terms)
    known = {term: index for index, term in enumerate(
        sorted(term for term, count in often.items() if count >= _OFTEN))}  # fmt: skip
    told = torch.tensor([list(sign.facts.values()) for sign in signs])
    # Facts of different size learn alike only when they vary alike.
    spread = told.std(dim=0) + 1e-3
    said = _matrix(signs, known)
    wanted = torch.tensor([float(sign.is_right) for sign in signs])
    counts = torch.tensor([1.0 if sign.is_right or not sign.asks else _WRONG for sign in signs])
    of_facts = torch.zeros(len(names), requires_grad=True)
    of_terms = torch.zeros(len(known), requires_grad=True)
    optimiser = torch.optim.Adam([of_facts, of_terms], lr=_RATE)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        scores = (told / spread) @ of_facts + torch.mv(said, of_terms)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(scores, wanted, weight=counts)
        decay = _TERM_DECAY * of_terms.square().sum() + _FACT_DECAY * of_facts.square().sum()
        (losses + decay).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return {
        "facts": _rounded(zip(names, (of_facts / spread).tolist(), strict=True)),
        "terms": _rounded(zip(known, of_terms.tolist(), strict=True)),
    }


def _matrix(signs: Sequence[Sign], known: Mapping[str, int]) -> Tensor:
    """Return which sentence has which terms, as a sparse matrix of ones."""
    places = [(row, known[term]) for row, sign in enumerate(signs)
              for term in sign.terms if term in known]  # fmt: skip
    return torch.sparse_coo_tensor(
        torch.tensor(places).T, torch.ones(len(places)), (len(signs), len(known)),
        check_invariants=True,
    ).coalesce()  # fmt: skip


def _rounded(pairs: Iterator[tuple[str, float]]) -> dict[str, float]:
    return {name: found for name, value in pairs if (found := round(value, _DIGITS))}


def report(signs: Sequence[Sign], weights: Mapping[str, Mapping[str, float]]) -> str:
    """Return how many sentences are answered wrongly, and how."""
    right, sent, silent = 0, 0, 0
    for sign in signs:
        score = sum(weights["facts"].get(name, 0.0) * value for name, value in sign.facts.items())
        score += sum(weights["terms"].get(term, 0.0) for term in sign.terms)
        right += sign.is_right if score >= 0 else not sign.asks
        sent += score >= 0 and not sign.is_right
        silent += score < 0 and sign.is_right
    return (
        f"{right} of {len(signs)} right; {sent} wrong drafts carried out, {silent} right ones not"
    )


def main() -> None:
    """Fit the weights, write them and report."""
    torch.manual_seed(0)
    learned = list(read_signs((*DEVELOPMENT, *FRESH)))
    weights = fit(learned)
    text = json.dumps(weights, ensure_ascii=False, indent=1, sort_keys=True)
    (PROMPTS_FOLDER / ASKING_FILE).write_text(f"{text}\n", encoding="utf-8")
    sys.stdout.write(f"learned from: {report(learned, weights)}\n")
    for name in HELD_OUT:
        sys.stdout.write(f"{name}: {report(list(read_signs([name])), weights)}\n")


if __name__ == "__main__":
    main()
