"""Greedy decoding under a grammar: the model is asked only where there is a choice.

Of the tokens of a call about three quarters follow from the grammar. Those are never predicted,
only read, so a decision costs a few short passes and every output is a plan that the grammar
allows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leo_activation.decision.grammar import Choice, PlanGrammar
from leo_activation.decision.model import Adapter, Gemma, Prefix, Rows
from leo_activation.decision.parser import END_TURN, START_RESPONSE, Call
from leo_activation.decision.quantities import fold

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Fork:
    """A point at which the grammar allows more than one token.

    :param after: tokens written before it.
    :param tokens: for each way on, the ids that mean it; the first is what is written.
    :param chosen: index into ``tokens``.
    """

    after: int
    tokens: list[list[int]]
    chosen: int


@dataclass(frozen=True)
class ChoiceRecord:
    """What was chosen at one place of the grammar, and how sure the model was."""

    slot: str
    chosen: str
    probability: float


@dataclass(frozen=True)
class Decoded:
    """One finished turn of the model.

    :param ids: all tokens written, forced or chosen.
    :param choices: one per place where there was more than one option.
    :param passes: how often the network ran.
    """

    ids: list[int]
    choices: list[ChoiceRecord]
    passes: int


def encoded_options(choice: Choice, encode: Encode) -> dict[str, list[int]]:
    """Return the token ids of each option."""
    return {label: encode(text) for label, text in choice.options.items()}


def ways_on(options: Mapping[str, Sequence[int]], depth: int) -> dict[int, list[str]]:
    """Return the next tokens of the options, each with the options that it keeps open."""
    ways: dict[int, list[str]] = {}
    for label, ids in options.items():
        ways.setdefault(ids[depth], []).append(label)
    return ways


def meanings(token: int, end: Mapping[int, list[int]]) -> list[int]:
    """Return the ids that mean a token: the two ways to end a turn are one choice.

    A base checkpoint never learned the tokens of function calls, while it knows the end of a
    turn well; the real FunctionGemma ends with the other. Both count, and the format's own is
    written.
    """
    return end.get(token, [token])


def end_tokens(encode: Encode) -> dict[int, list[int]]:
    """Return the tokens that both mean that there is no further call."""
    response, turn = encode(START_RESPONSE)[0], encode(END_TURN)[0]
    return {response: [response, turn]}


def choose(
    gemma: Gemma,
    prefix: Prefix,
    suffix: Sequence[int],
    grammar: PlanGrammar,
    encode: Encode,
    adapter: Adapter | None,
) -> Decoded:
    """Write the most likely plan that the grammar allows.

    :param prefix: the developer turn of the grammar's tool set.
    :param suffix: ids of the user's turn and the opening of the model's.
    :param encode: trusted text to ids.
    """
    writer = _Writer(gemma, prefix, list(suffix), adapter, end_tokens(encode))
    state = grammar.start()
    records: list[ChoiceRecord] = []
    while (choice := grammar.choice(state)) is not None:
        options = encoded_options(choice, encode)
        label, probability = writer.pick(options)
        if len(options) > 1:
            records.append(ChoiceRecord(choice.slot, label, probability))
        state = grammar.advance(state, label)
    return Decoded(writer.written, records, writer.passes)


class _Writer:
    """The turn so far, and what the network has not read of it yet."""

    def __init__(
        self,
        gemma: Gemma,
        prefix: Prefix,
        suffix: list[int],
        adapter: Adapter | None,
        end: dict[int, list[int]],
    ) -> None:
        self.gemma, self.prefix, self.adapter, self.end = gemma, prefix, adapter, end
        self.pending = suffix
        self.written: list[int] = []
        self.rows: Rows | None = None
        self.passes = 0

    def pick(self, options: Mapping[str, Sequence[int]]) -> tuple[str, float]:
        depth, probability = 0, 1.0
        left = dict(options)
        while True:
            ways = ways_on(left, depth)
            token = next(iter(ways))
            if len(ways) > 1:
                token, share = self._ask(list(ways))
                probability *= share
            self.pending.append(token)
            self.written.append(token)
            left = {label: left[label] for label in ways[token]}
            depth += 1
            label = next(iter(left))
            if len(left) == 1 and depth == len(left[label]):
                return label, probability

    def _ask(self, tokens: list[int]) -> tuple[int, float]:
        with torch.inference_mode():
            ids = torch.tensor([self.pending])
            hidden, self.rows = self.gemma.forward(ids, self.prefix, self.rows, self.adapter)
            self.pending, self.passes = [], self.passes + 1
            groups = [meanings(token, self.end) for token in tokens]
            likely = torch.softmax(group_scores(self.gemma, hidden[0, -1], groups), dim=-1)
        best = int(likely.argmax())
        return tokens[best], float(likely[best])


def group_scores(gemma: Gemma, hidden: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Return one score per group of ids: the log of the summed likelihoods of its members."""
    flat = [token for group in groups for token in group]
    scores = gemma.scores(hidden, flat).float()
    if len(flat) == len(groups):
        return scores
    parts = torch.split(scores, [len(group) for group in groups])
    return torch.stack([part.logsumexp(dim=-1) for part in parts])


def forks(
    grammar: PlanGrammar, labels: Sequence[str], encode: Encode, free: Collection[int] = ()
) -> tuple[list[int], list[Fork]]:
    """Return the tokens of a known plan and the choices on the way, for training.

    :param labels: one per choice of the grammar, as :func:`plan_labels` gives them.
    :param free: indices of the calls whose template is nobody's choice, so none to learn.
    :raises KeyError: when the grammar does not allow the plan.
    """
    end = end_tokens(encode)
    written: list[int] = []
    found: list[Fork] = []
    state = grammar.start()
    for label in labels:
        choice = grammar.choice(state)
        label = written_as(choice, label)
        is_open = state.slot == "template" and state.calls in free
        left: dict[str, list[int]] = encoded_options(choice, encode)
        for depth, token in enumerate(left[label]):
            ways = ways_on(left, depth)
            if len(ways) > 1 and not is_open:
                groups = [meanings(way, end) for way in ways]
                found.append(Fork(len(written), groups, list(ways).index(token)))
            written.append(token)
            left = {name: left[name] for name in ways[token]}
        state = grammar.advance(state, label)
    return written, found


def written_as(choice: Choice | None, label: str) -> str:
    """Return the option that a label means: an open value is spelt as the sentence spells it.

    :raises KeyError: when there is none.
    """
    options = choice.options if choice else {}
    if label in options:
        return label
    for option in options:
        if choice and choice.slot in ("value", "items") and fold(option) == fold(label):
            return option
    raise KeyError(f"{label!r} is not allowed at {choice.slot if choice else 'the end'}")


def plan_labels(calls: Sequence[Call]) -> Iterator[str]:
    """Yield the choices of the grammar that write a plan."""
    for index, call in enumerate(calls):
        yield "call"
        yield from _call_labels(call.name, call.arguments)
        if index == len(calls) - 1:
            yield "stop"
    if not calls:
        yield "none"


def _call_labels(name: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    if name == "wait_duration":
        yield f"wait {arguments['minutes']}"
    elif name == "send_notification":
        yield from ("send", arguments["channel"], arguments["template_id"])
    else:
        yield from ("check", arguments["attribute"], arguments["operator"])
        yield from _value_labels(arguments["operator"], arguments["value"])


def _value_labels(operator: str, value: Any) -> Iterator[str]:
    if operator == "in":
        for index, item in enumerate(value):
            yield str(item)
            yield "and" if index < len(value) - 1 else "done"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    else:
        yield str(value)
