"""Greedy decoding under a grammar: the model is asked only where there is a choice.

Of the tokens of a call about three quarters follow from the grammar. Those are never predicted,
only read, so a decision costs a few short passes and every output is a plan that the grammar
allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leo_activation.decision.grammar import CERTAINTY, Choice, PlanGrammar
from leo_activation.decision.model import Adapter, Gemma, Prefix, Rows
from leo_activation.decision.parser import END_TURN, START_RESPONSE, Call
from leo_activation.decision.quantities import fold

Encode = Callable[[str], list[int]]
# Of a probability, so that it has a logarithm.
_LEAST = 1e-9
_UNGUESSED = frozenset({"function", "attribute", "items"})


@dataclass(frozen=True)
class Fork:
    """A point at which the grammar allows more than one token.

    :param after: tokens written before it.
    :param tokens: for each way on, the ids that mean it; the first is what is written.
    :param chosen: index into ``tokens``.
    :param advice: what the sentence's own words say of each way, without its weight.
    :param weighed_as: the name of that weight; empty where the words say nothing.
    """

    after: int
    tokens: list[list[int]]
    chosen: int
    advice: tuple[float, ...] = ()
    weighed_as: str = ""


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


def best_advice(choice: Choice, names: Sequence[str]) -> float:
    """Return what the sentence's own words add to the best of some options."""
    return max(choice.advice.get(name, 0.0) for name in names)


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
    return choose_many(gemma, prefix, [suffix], [grammar], encode, adapter)[0]


@torch.inference_mode()
def choose_many(
    gemma: Gemma,
    prefix: Prefix,
    suffixes: Sequence[Sequence[int]],
    grammars: Sequence[PlanGrammar],
    encode: Encode,
    adapter: Adapter | None,
) -> list[Decoded]:
    """Write a plan for each of several sentences about one catalogue, all at once.

    The network reads the rest of the plan as the draft has it, in one pass, and is asked at every
    choice on the way. What it chooses otherwise ends the guess there, and the next pass goes on
    from its choice: the result is that of asking one choice at a time.
    """
    end = end_tokens(encode)
    writers = [
        _Writer(list(suffix), grammar, encode, end)
        for suffix, grammar in zip(suffixes, grammars, strict=True)
    ]
    rows: Rows | None = None
    active = [writer for writer in writers if writer.guess()]
    while active:
        hidden, rows = _read(gemma, prefix, rows, adapter, active)
        for index, writer in enumerate(active):
            kept = writer.settle(gemma, hidden[index])
            # What was guessed wrong is in the memory of the row; nobody looks at it again.
            start = rows.valid.shape[1] - hidden.shape[1]
            rows.valid[index, start + kept :] = False
        going = [index for index, writer in enumerate(active) if writer.guess()]
        rows = _keep(rows, going)
        active = [active[index] for index in going]
    return [writer.finish() for writer in writers]


def _keep(rows: Rows, kept: list[int]) -> Rows:
    """Return some of the rows."""
    if len(kept) == rows.valid.shape[0]:
        return rows
    return Rows([(keys[kept], values[kept]) for keys, values in rows.layers], rows.valid[kept])


def _read(
    gemma: Gemma,
    prefix: Prefix,
    rows: Rows | None,
    adapter: Adapter | None,
    writers: Sequence[_Writer],
) -> tuple[Tensor, Rows]:
    """Read what each writer has written or guessed since the last pass."""
    pending = [writer.take() for writer in writers]
    longest = max(map(len, pending))
    ids = torch.zeros(len(pending), longest, dtype=torch.long)
    valid = torch.zeros(len(pending), longest, dtype=torch.bool)
    for index, row in enumerate(pending):
        ids[index, : len(row)] = torch.tensor(row)
        valid[index, : len(row)] = True
    return gemma.forward(ids, prefix, rows, adapter, valid)


class _Cursor:
    """A place in the grammar: which option is being written, and how far."""

    def __init__(self, grammar: PlanGrammar, encode: Encode) -> None:
        self.grammar, self.encode = grammar, encode
        self.state = grammar.start()
        self.choice: Choice | None = None
        self.left: dict[str, list[int]] = {}
        self.depth, self.size = 0, 0
        self.finished: str | None = None

    def copy(self) -> _Cursor:
        """Return a cursor at the same place."""
        other = object.__new__(_Cursor)
        other.__dict__.update(self.__dict__)
        return other

    def ways(self) -> dict[int, list[str]]:
        """Return the tokens that may come next; none when the plan is complete."""
        if not self.left:
            self.choice = self.grammar.choice(self.state)
            if self.choice is None:
                return {}
            self.left = encoded_options(self.choice, self.encode)
            self.depth, self.size = 0, len(self.left)
        return ways_on(self.left, self.depth)

    def write(self, token: int) -> None:
        """Go on by one token; :attr:`finished` names the option that it completes."""
        self.left = {name: ids for name, ids in self.left.items() if ids[self.depth] == token}
        self.depth += 1
        self.finished = None
        label = next(iter(self.left))
        if len(self.left) == 1 and self.depth == len(self.left[label]):
            self.finished = label
            self.state, self.left = self.grammar.advance(self.state, label), {}

    def has_hint(self) -> bool:
        """Tell whether guessing the coming choice is worth its tokens."""
        choice = self.choice
        if choice is None or not self.grammar.weights:
            return False
        return bool(choice.advice) or choice.slot not in _UNGUESSED

    def likeliest(self, ways: Mapping[int, list[str]]) -> int:
        """Return the token to guess; without a word for any, a plan ends."""
        return max(ways, key=lambda way: (self.advice(ways[way]), "stop" in ways[way]))

    def advice(self, names: Sequence[str]) -> float:
        """Return what the sentence's own words add to the best of some options."""
        return best_advice(self.choice, names) if self.choice else 0.0


class _Writer:
    """One plan on its way: what is written, what of it was read, and the guess of the rest."""

    def __init__(
        self, suffix: list[int], grammar: PlanGrammar, encode: Encode, end: dict[int, list[int]]
    ) -> None:
        self.cursor, self.end = _Cursor(grammar, encode), end
        self.unread = suffix
        self.guessed: list[int] = []
        self.written: list[int] = []
        self.records: list[ChoiceRecord] = []
        self.probability, self.passes = 1.0, 0
        # The log-odds that spoke for a plan at all.
        self.begins = math.inf
        # Whether the guess ends at a choice about which the words say nothing.
        self.is_open = False

    def guess(self) -> bool:
        """Guess the rest of the plan; tell whether there is anything to decide."""
        cursor = self.cursor.copy()
        self.guessed, self.is_open = [], False
        asks = False
        while ways := cursor.ways():
            if len(ways) > 1:
                asks, self.is_open = True, not cursor.has_hint()
                if self.is_open:
                    break
            token = cursor.likeliest(ways)
            self.guessed.append(token)
            cursor.write(token)
        if not asks:
            self._write_all()
        return asks

    def _write_all(self) -> None:
        for token in self.guessed:
            self._write(token)
        self.guessed = []

    def take(self) -> list[int]:
        """Return what the network reads in this pass; the end of a turn needs no reading."""
        self.passes += 1
        return [*self.unread, *(self.guessed if self.is_open else self.guessed[:-1])]

    def settle(self, gemma: Gemma, hidden: Tensor) -> int:
        """Write what the network agrees to, and its own choice where it does not.

        :param hidden: its states after each token of :meth:`take`.
        :returns: how many of those tokens are part of the plan.
        """
        known = len(self.unread)
        for index, token in enumerate(self.guessed):
            ways = self.cursor.ways()
            chosen = (
                self._decide(gemma, hidden[known + index - 1], ways) if len(ways) > 1 else token
            )
            self._write(chosen)
            if chosen != token:
                self.unread = [chosen]
                return known + index
        if not self.is_open:
            return known + len(self.guessed) - 1
        self.unread = [
            self._decide(gemma, hidden[known + len(self.guessed) - 1], self.cursor.ways())
        ]
        self._write(self.unread[0])
        return known + len(self.guessed)

    def _decide(self, gemma: Gemma, hidden: Tensor, ways: Mapping[int, list[str]]) -> int:
        """Return the likeliest next token, given the network's state and the advice."""
        scores = group_scores(gemma, hidden, [meanings(token, self.end) for token in ways])
        advice = [self.cursor.advice(names) for names in ways.values()]
        total = scores + torch.tensor(advice)
        likely = torch.softmax(total, dim=-1)
        best = int(likely.argmax())
        if self.cursor.state.slot == "start":
            call, none = total.tolist()
            self.begins = call - none
        self.probability *= float(likely[best])
        return list(ways)[best]

    def finish(self) -> Decoded:
        """Return the plan, or none where it is not sure enough to be carried out.

        Nobody gets anything while it is not known who was to be left out: that may be anybody.
        """
        if self.cursor.grammar.spares_strangers:
            return Decoded(self.cursor.encode(END_TURN), [ChoiceRecord("start", "none", 1.0)],
                           self.passes)  # fmt: skip
        weight = self.cursor.grammar.weights.get(CERTAINTY, 0.0)
        rest = sum(math.log(max(record.probability, _LEAST)) for record in self.records[1:])
        odds = self.begins + weight * rest
        if odds < 0 <= self.begins:
            none = ChoiceRecord("start", "none", 1 / (1 + math.exp(odds)))
            return Decoded(self.cursor.encode(END_TURN), [none], self.passes)
        return Decoded(self.written, self.records, self.passes)

    def _write(self, token: int) -> None:
        self.cursor.ways()
        choice, size = self.cursor.choice, self.cursor.size
        self.cursor.write(token)
        self.written.append(token)
        if self.cursor.finished is None:
            return
        if choice is not None and size > 1:
            self.records.append(ChoiceRecord(choice.slot, self.cursor.finished, self.probability))
        self.probability = 1.0


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
        if choice is None:
            raise KeyError(f"{label!r} comes after the end")
        label = written_as(choice, label)
        is_open = state.slot == "template" and state.calls in free
        left: dict[str, list[int]] = encoded_options(choice, encode)
        for depth, token in enumerate(left[label]):
            ways = ways_on(left, depth)
            if len(ways) > 1 and not is_open:
                groups = [meanings(way, end) for way in ways]
                said = tuple(best_advice(choice, names) for names in ways.values())
                name = choice.weighed_as if any(said) else ""
                found.append(Fork(len(written), groups, list(ways).index(token), said, name))
            written.append(token)
            left = {name: left[name] for name in ways[token]}
        state = grammar.advance(state, label)
    return written, found


def written_as(choice: Choice, label: str) -> str:
    """Return the option that a label means: an open value is spelt as the sentence spells it.

    :raises KeyError: when there is none.
    """
    if label in choice.options:
        return label
    for option in choice.options:
        if choice.slot in ("value", "items") and fold(option) == fold(label):
            return option
    raise KeyError(f"{label!r} is not allowed at {choice.slot}")


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
