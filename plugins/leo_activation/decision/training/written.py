"""Training examples from the development sets: people's sentences, each time a little different.

A catalogue is shown with its entries in another order, some of them missing and others under a
code, so that the network reads it instead of remembering it. Where an entry is missing that a
sentence needs, the right answer becomes "no call".
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.parser import Call
from leo_activation.decision.training.data import TEMPLATE_CODES, Example, roughen_written
from leo_activation.decision.training.evaluation import advice_compiler, is_right
from leo_activation.decision.training.plans import ANY, joined
from leo_activation.decision.training.sets import (
    Case,
    ChoiceCase,
    read_cases,
    read_catalogues,
    read_choices,
)
from leo_activation.errors import DecisionError

Told = TypeVar("Told", Case, ChoiceCase)
# How much more often a sentence is practised that its own words do not explain.
_MISREAD = 3.0


@dataclass(frozen=True)
class Shelf(Generic[Told]):
    """One catalogue and all that was written about it."""

    document: dict[str, Any]
    cases: Sequence[Told]

    @cached_property
    def misread(self) -> frozenset[str]:
        """Return the ids of the sentences of which the words' advice alone makes a wrong plan."""
        cases = [case for case in self.cases if isinstance(case, Case)]
        plans = advice_compiler(cases)
        return frozenset(case.case_id for case, plan in zip(cases, plans, strict=True)
                         if not is_right(case, plan))  # fmt: skip


@cache
def shelves(names: tuple[str, ...]) -> tuple[Shelf[Case], ...]:
    """Return the catalogues of some sets.

    :param names: of the sets.
    """
    return _shelved(names, read_cases)


@cache
def choice_shelves(names: tuple[str, ...]) -> tuple[Shelf[ChoiceCase], ...]:
    """Return the catalogues of some sets of open wishes.

    :param names: of the sets.
    """
    return _shelved(names, read_choices)


def _shelved(
    names: Sequence[str], read: Callable[[str], Sequence[Told]]
) -> tuple[Shelf[Told], ...]:
    found = []
    for name in names:
        cases = read(name)
        for key, document in read_catalogues(name).items():
            about = [case for case in cases if case.catalogue_name == key]
            if about:
                found.append(Shelf(document, about))
    return tuple(found)


def make_written(
    rng: random.Random, shelf: Shelf[Case], count: int
) -> tuple[Catalogue, list[Example]]:
    """Return a catalogue, changed a little, and examples about it.

    :param count: of examples at most.
    """
    document, renamed = _disguise(rng, shelf.document)
    document, lost = _without_some(rng, document, shelf.cases)
    try:
        catalogue = parse_catalogue(document)
    except DecisionError:
        # Too much was left out: nothing can be sent any more.
        catalogue, renamed, lost = parse_catalogue(shelf.document), {}, frozenset()
    chosen = _some(rng, shelf, count)
    return catalogue, [_example(rng, case, catalogue, renamed, lost) for case in chosen]


def _some(rng: random.Random, shelf: Shelf[Case], count: int) -> list[Case]:
    """Return different cases at random, the harder ones more often."""
    return sorted(
        shelf.cases, reverse=True,
        key=lambda case: rng.random() ** (1 / (_MISREAD if case.case_id in shelf.misread else 1)),
    )[:count]  # fmt: skip


def _example(
    rng: random.Random,
    case: Case,
    catalogue: Catalogue,
    renamed: dict[str, str],
    lost: frozenset[str],
) -> Example:
    sentence = roughen_written(rng, case.instruction, case.language)
    meant = rng.choice([case.plan, case.plan, *case.also])
    # One way to write "a or b", and the shorter one: there is less to learn.
    plan = [_renamed(call, renamed) for call in joined(meant)]
    if any(name in lost for call in plan for name in named(call)):
        return Example(sentence, ())
    free = tuple(index for index, call in enumerate(plan)
                 if call.arguments.get("template_id") == ANY)  # fmt: skip
    return Example(sentence, tuple(_filled(rng, call, catalogue) for call in plan), free)


def _filled(rng: random.Random, call: Call, catalogue: Catalogue) -> Call:
    """Return a call with some template where the sentence leaves it open."""
    if call.arguments.get("template_id") != ANY:
        return call
    template = rng.choice(catalogue.templates_for(call.arguments["channel"]))
    return Call(call.name, {**call.arguments, "template_id": template.template_id})


def make_choices(
    rng: random.Random, shelf: Shelf[ChoiceCase], count: int
) -> tuple[Catalogue, list[Example]]:
    """Return a catalogue with other names for its messages, and customers to choose for.

    :param count: of examples at most.
    """
    document, renamed = _disguise(rng, shelf.document, keep=("channels", "attributes"))
    catalogue = parse_catalogue(document)
    chosen = rng.sample(shelf.cases, min(count, len(shelf.cases)))
    return catalogue, [_choice(rng, case, renamed) for case in chosen]


def _choice(rng: random.Random, case: ChoiceCase, renamed: dict[str, str]) -> Example:
    sentence = roughen_written(rng, case.instruction, case.language)
    profile = case.user_turn.removeprefix(case.instruction)
    plan = rng.choice([case.plan, *case.also])
    return Example(
        sentence, tuple(_renamed(call, renamed) for call in plan), user_turn=f"{sentence}{profile}"
    )


def named(call: Call) -> Iterable[str]:
    """Return the entries of a catalogue that a call needs, values as ``attribute=value``."""
    arguments = call.arguments
    if call.name == "check_condition":
        value = arguments["value"]
        yield arguments["attribute"]
        for item in value if isinstance(value, list) else [value]:
            yield f"{arguments['attribute']}={item}"
    elif call.name == "send_notification":
        yield arguments["template_id"]


def _renamed(call: Call, renamed: dict[str, str]) -> Call:
    if call.name != "send_notification":
        return call
    name = call.arguments["template_id"]
    return Call(call.name, {**call.arguments, "template_id": renamed.get(name, name)})


def _disguise(
    rng: random.Random, document: dict[str, Any], keep: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a catalogue in another order; labelled templates may get codes for names.

    :param keep: lists whose order has a meaning.
    """
    document = copy.deepcopy(document)
    for key in [name for name in ("channels", "templates", "attributes") if name not in keep]:
        if rng.random() < 0.6:
            rng.shuffle(document.get(key, []))
    for attribute in () if "attributes" in keep else document["attributes"]:
        if isinstance(attribute, dict) and attribute.get("values") and rng.random() < 0.6:
            rng.shuffle(attribute["values"])
    renamed: dict[str, str] = {}
    if rng.random() < 0.15:
        code, number = rng.choice(TEMPLATE_CODES), rng.randint(1, 800)
        for template in document["templates"]:
            if template.get("label") or template.get("description"):
                number += rng.randint(1, 9)
                renamed[template["template_id"]] = f"{code}{number:03d}"
                template["template_id"] = renamed[template["template_id"]]
    return document, renamed


def _without_some(
    rng: random.Random, document: dict[str, Any], cases: Sequence[Case]
) -> tuple[dict[str, Any], frozenset[str]]:
    """Return a catalogue without some of its attributes and values, and what was left out."""
    lost: set[str] = set()
    if rng.random() < 0.7:
        return document, frozenset()
    used = {name for case in cases for call in case.plan for name in named(call)}
    kept = []
    for attribute in document["attributes"]:
        name = attribute if isinstance(attribute, str) else attribute["name"]
        # Most of what is left out should be what nobody misses: silence must stay the exception.
        if rng.random() < (0.06 if name in used else 0.3):
            lost.add(name)
            continue
        kept.append(attribute)
        if isinstance(attribute, dict) and len(attribute.get("values") or []) > 2:
            gone = [value for value in attribute["values"] if rng.random() < 0.04]
            if len(gone) < len(attribute["values"]) - 1:
                attribute["values"] = [v for v in attribute["values"] if v not in gone]
                lost |= {f"{name}={_value_name(value)}" for value in gone}
    return {**document, "attributes": kept}, frozenset(lost)


def _value_name(value: Any) -> str:
    return value if isinstance(value, str) else str(value["name"])
