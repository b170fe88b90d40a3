"""Sentences that people wrote, with the plans they mean: what is trained on, and what is not.

``evaluation.v8`` was written by somebody who knew neither the training data nor the rules, about
catalogues that occur nowhere else, and is read once, at the end. The sets named ``DEVELOPMENT``
were looked at while the rules were written, and the adapter learns from them, so their figures
flatter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.choose import FactReader
from leo_activation.decision.choose_prompt import choose_prompt
from leo_activation.decision.parser import Call
from leo_activation.paths import PROMPTS_FOLDER

BLIND = "evaluation.v8"
# One author each, most with a dozen catalogues, but for the last two, which were blind once.
FRESH = (
    *(f"development.w{number}" for number in range(1, 27) if number not in (11, 22)),
    "evaluation.v6",
    "evaluation.v7",
)
DEVELOPMENT = (
    "development.v1",
    "development.v2",
    "development.v3",
    "development.v4",
    "evaluation.v1",
    "evaluation.v2",
    "evaluation.v3",
    "evaluation.v5",
)
# Neither trained on nor read for rules: what is tuned is tuned on these.
HELD_OUT = ("evaluation.v4", "development.w11", "development.w22")
SETS = (BLIND, *DEVELOPMENT, *FRESH, *HELD_OUT)
# Open wishes, each with customers and what they should get.
CHOICES_BLIND = "choices.v3"
CHOICES_FRESH = ("choices.v1", "choices.v2", "choices.v4", "choices.v5")


@dataclass(frozen=True)
class Case:
    """A sentence, its catalogue and the plans it may become.

    :param also: plans that are as right as ``plan``.
    :param kind: plain, composed, tricky or none, where the set says so.
    """

    case_id: str
    language: str
    catalogue_name: str
    catalogue: Catalogue
    instruction: str
    plan: list[Call]
    also: tuple[list[Call], ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class ChoiceCase:
    """An open wish, a customer, and what that customer should get.

    :param reachable: channels that may be used, in the catalogue's order.
    :param facts: of the customer, as they are frozen.
    :param also: actions that are as right as ``plan``.
    """

    case_id: str
    language: str
    catalogue_name: str
    catalogue: Catalogue
    instruction: str
    reachable: tuple[str, ...]
    facts: Mapping[str, Any]
    plan: list[Call]
    also: tuple[list[Call], ...] = ()

    @property
    def user_turn(self) -> str:
        """Return what the model reads."""
        reader = FactReader(self.catalogue, self.instruction, providers={})
        return choose_prompt(
            self.instruction, self.catalogue, reader.look(self.reachable, self.facts)
        )


def read_catalogues(name: str) -> dict[str, dict[str, Any]]:
    """Return the catalogues that a set is about, as documents.

    :param name: of the set, such as ``evaluation.v1``.
    """
    kind, _, version = name.partition(".")
    path = PROMPTS_FOLDER / f"{kind}_catalogues.{version}.json"
    documents: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return documents


def read_cases(name: str = "evaluation.v1") -> list[Case]:
    """Return a set of hand-written sentences.

    :param name: of the file, without its ending.
    """
    known = {key: parse_catalogue(document) for key, document in read_catalogues(name).items()}
    lines = (PROMPTS_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_case(json.loads(line), known) for line in lines if line.strip()]


def read_choices(name: str) -> list[ChoiceCase]:
    """Return a set of open wishes with customers.

    :param name: of the file, without its ending.
    """
    known = {key: parse_catalogue(document) for key, document in read_catalogues(name).items()}
    lines = (PROMPTS_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [
        ChoiceCase(
            row["id"], row["language"], row["catalogue"], known[row["catalogue"]],
            row["instruction"], tuple(row["reachable"]), row["facts"], to_plan(row["plan"]),
            tuple(to_plan(plan) for plan in row.get("also", [])),
        )
        for row in rows
    ]  # fmt: skip


def _case(row: Mapping[str, Any], known: Mapping[str, Catalogue]) -> Case:
    return Case(
        row["id"], row["language"], row["catalogue"], known[row["catalogue"]], row["instruction"],
        to_plan(row["plan"]), tuple(to_plan(plan) for plan in row.get("also", [])),
        row.get("kind", ""),
    )  # fmt: skip


def to_plan(document: Sequence[Mapping[str, Any]]) -> list[Call]:
    """Return a plan as calls."""
    return [Call(call["name"], call["arguments"]) for call in document]
