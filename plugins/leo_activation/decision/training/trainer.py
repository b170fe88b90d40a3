"""Training the adapter on a CPU, in minutes.

All sentences of a step are about one catalogue, whose developer turn is read once. The rest costs
only the sentences and their calls, and the loss looks only at the places where the grammar leaves
a choice: exactly what decoding does, and no vocabulary-wide logits.
"""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leo_activation.decision.adapter import load_adapter, new_adapter, save_adapter
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.decoding import Encode, Fork, forks, plan_labels
from leo_activation.decision.grammar import WORDS, PlanGrammar
from leo_activation.decision.model import READER, Adapter, Gemma, Prefix, reader
from leo_activation.decision.prompt import PromptTokenizer
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.training.data import Example, make_examples, make_world
from leo_activation.decision.training.sets import CHOICES_FRESH, DEVELOPMENT, FRESH
from leo_activation.decision.training.written import (
    choice_shelves,
    make_choices,
    make_written,
    shelves,
)
from leo_activation.decision.weights import PreparedModel
from leo_activation.errors import DecisionError

Report = Callable[[str], None]
# Steps after which processes share what they learned.
ROUND = 8
_BLOCKED = -1e9
# Advice as it stands, without the weights that are being learned.
_PLAIN = dict.fromkeys(WORDS, 1.0)
_NAMES = tuple(WORDS)
_FIRST_WEIGHT = 4.0
_WEIGHTS_FASTER = 50.0


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run depends on, and nothing else.

    :param steps: optimiser steps at most, in each process; every step sees new sentences.
    :param seconds: wall time at most; the learning rate falls to nothing by then.
    :param batch: sentences per step, all about one catalogue.
    :param rank: of the part of the adapter that reads sentences and writes plans.
    :param reader_rank: of the part that reads the developer turn.
    :param choices: share of catalogues with open wishes, to be decided for each customer.
    :param written: share of the others whose sentences people wrote; the others are generated.
    :param fresh: share of written catalogues that no rule was made from.
    :param advised: share of their sentences that come with the words' advice.
    :param familiar: share of generated catalogues with the platform's own names.
    :param floor: share of the learning rate that is left at the end.
    """

    steps: int = 2_000
    seconds: int = 3_300
    batch: int = 10
    rank: int = 16
    reader_rank: int = 8
    learning_rate: float = 6e-4
    warmup: int = 20
    choices: float = 0.08
    written: float = 0.9
    fresh: float = 0.85
    advised: float = 0.85
    familiar: float = 0.15
    floor: float = 0.02
    seed: int = 20_261_123


@dataclass(frozen=True)
class Row:
    """One example as the network sees it."""

    ids: list[int]
    start: int
    forks: list[Fork]


def encode_example(
    tokenizer: PromptTokenizer,
    encode: Encode,
    spec: ToolSpec,
    example: Example,
    *,
    is_advised: bool = False,
) -> Row:
    """Return the tokens of an example and the choices in it.

    :param is_advised: whether the choices come with what the sentence's own words say.
    :raises KeyError: when the grammar does not allow the plan.
    """
    suffix = tokenizer.suffix_ids(example.user_turn or example.instruction)
    labels = list(plan_labels(example.plan))
    grammar = PlanGrammar(spec, example.instruction, advice=_PLAIN if is_advised else {})
    written, found = forks(grammar, labels, encode, example.free)
    # What follows the last choice cannot change the loss.
    return Row([*suffix, *written[: found[-1].after]], len(suffix), found)


def batches(recipe: Recipe, tokenizer: PromptTokenizer) -> Iterator[tuple[list[int], list[Row]]]:
    """Yield batches for ever: the tokens of a developer turn, and rows that continue it."""
    # Not for secrets: examples must be the same for the same seed.
    rng = random.Random(recipe.seed + 1_000 * _rank())  # noqa: S311
    encode = cache(tokenizer.encode)
    while True:
        catalogue, examples, can_advise = _some_examples(rng, recipe)
        spec = ToolSpec(catalogue)
        rows: list[Row] = []
        for example in examples:
            # A slip of the finger may have made a number or an unlisted name unreadable.
            with contextlib.suppress(KeyError, DecisionError):
                is_advised = can_advise and rng.random() < recipe.advised
                rows.append(encode_example(tokenizer, encode, spec, example, is_advised=is_advised))
        if rows:
            yield tokenizer.prefix_ids(spec), rows


def _some_examples(rng: random.Random, recipe: Recipe) -> tuple[Catalogue, list[Example], bool]:
    """Return one catalogue and examples about it, written by people or generated.

    :returns: also whether the rules read these sentences about as well as those of strangers.
    """
    count = recipe.batch
    if rng.random() < recipe.choices:
        return *make_choices(rng, rng.choice(choice_shelves(CHOICES_FRESH)), count), True
    if rng.random() < recipe.written:
        is_fresh = rng.random() < recipe.fresh
        shelf = rng.choice(shelves(FRESH if is_fresh else DEVELOPMENT))
        return *make_written(rng, shelf, count), is_fresh
    world = make_world(rng, familiar=rng.random() < recipe.familiar)
    return world.catalogue, make_examples(rng, world, count), False


def batch_loss(
    gemma: Gemma, prefix: Prefix, adapter: Adapter, weights: Tensor, rows: list[Row]
) -> tuple[Tensor, float]:
    """Return the mean loss over all choices of a batch, and the share chosen right.

    :param weights: of the words' advice, one per name in ``WORDS``.
    """
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    valid = torch.zeros(len(rows), longest, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        valid[index, : len(row.ids)] = True
    hidden, _ = gemma.forward(ids, prefix, None, adapter, valid)
    places = [(index, row.start + fork.after - 1, fork)
              for index, row in enumerate(rows) for fork in row.forks]  # fmt: skip
    states = hidden[[place[0] for place in places], [place[1] for place in places]]
    return _fork_loss(gemma, states, weights, [fork for _, _, fork in places])


def _fork_loss(
    gemma: Gemma, states: Tensor, weights: Tensor, found: list[Fork]
) -> tuple[Tensor, float]:
    width = max(sum(map(len, fork.tokens)) for fork in found)
    tokens = torch.zeros(len(found), width, dtype=torch.long)
    known = torch.zeros(len(found), width, dtype=torch.bool)
    right = torch.zeros(len(found), width, dtype=torch.bool)
    advice = torch.zeros(len(found), width)
    for index, fork in enumerate(found):
        flat = [(token, way == fork.chosen)
                for way, group in enumerate(fork.tokens) for token in group]  # fmt: skip
        tokens[index, : len(flat)] = torch.tensor([token for token, _ in flat])
        known[index, : len(flat)] = True
        right[index, : len(flat)] = torch.tensor([hit for _, hit in flat])
        if fork.weighed_as:
            said = [share for share, group in zip(fork.advice, fork.tokens, strict=True)
                    for _ in group]  # fmt: skip
            advice[index, : len(flat)] = torch.tensor(said)
    scores = torch.einsum("fh,fwh->fw", states, gemma.embedding[tokens])
    # A fork without advice has zeros there, whatever weight it is given.
    names = [_NAMES.index(fork.weighed_as or _NAMES[0]) for fork in found]
    scores = scores + weights[names][:, None] * advice
    scores = scores.masked_fill(~known, _BLOCKED)
    chosen = scores.masked_fill(~right, _BLOCKED).logsumexp(-1)
    loss = (scores.logsumexp(-1) - chosen).mean()
    hits = right.gather(1, scores.argmax(-1, keepdim=True)).float().mean()
    return loss, float(hits)


class _Learner:
    """What is trained, and how far it has come.

    :param start: folder of an adapter of the same rank to go on from, instead of from nothing.
    """

    def __init__(self, prepared: PreparedModel, recipe: Recipe, start: Path | None) -> None:
        self.prepared, self.recipe = prepared, recipe
        self.gemma = Gemma.load(prepared.folder, torch.bfloat16)
        self.source = batches(recipe, PromptTokenizer(prepared.folder))
        seeded = torch.Generator().manual_seed(recipe.seed)
        if start is None:
            self.adapter = new_adapter(self.gemma, recipe.rank, seeded)
            self.history, known = [], {}
        else:
            loaded = load_adapter(start, prepared.weights_sha256)
            self.adapter, known = loaded.tensors, loaded.manifest.get("advice", {})
            self.history = [*loaded.manifest.get("earlier", []), loaded.manifest["recipe"]]
        if reader(self.adapter) is None:
            self.adapter |= new_adapter(self.gemma, recipe.reader_rank, seeded, READER)
        self.weights = torch.tensor([known.get(name, _FIRST_WEIGHT) for name in _NAMES])
        self.trained = {**self.adapter, "advice": self.weights}
        for tensor in self.trained.values():
            tensor.requires_grad_()
        self.optimiser = torch.optim.AdamW(
            [{"params": list(self.adapter.values()), "scale": 1.0},
             {"params": [self.weights], "scale": _WEIGHTS_FASTER}],
            lr=recipe.learning_rate, weight_decay=0.0,
        )  # fmt: skip

    def step(self, number: int, done: float) -> tuple[float, float]:
        """Learn from one batch.

        :param done: share of the training that is over.
        :returns: its loss, and the share of its choices that came out right.
        """
        for group in self.optimiser.param_groups:
            share = _schedule(number, done, self.recipe)
            group["lr"] = group["scale"] * self.recipe.learning_rate * share
        developer_turn, rows = next(self.source)
        prefix = self.gemma.read_prefix(developer_turn, self.adapter, is_learning=True)
        loss, right = batch_loss(self.gemma, prefix, self.adapter, self.weights, rows)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.adapter.values(), 1.0)
        self.optimiser.step()
        return float(loss.detach()), right

    def save(self, folder: Path, date: str, steps: int, seconds: float) -> None:
        """Write the adapter as it is now."""
        advice = zip(_NAMES, self.weights.tolist(), strict=True)
        manifest = {
            "name": f"{self.prepared.name} + local adapter",
            "base_weights_sha256": self.prepared.weights_sha256,
            "date": date,
            "recipe": {
                **self.recipe.__dict__, "steps_done": steps, "processes": _processes(),
            },
            "earlier": self.history,
            "advice": {name: round(weight, 3) for name, weight in advice},
            "training_seconds": round(seconds),
            "licence": "Gemma Terms of Use; see NOTICE",
        }  # fmt: skip
        save_adapter(folder, self.adapter, manifest)


def train(
    prepared: PreparedModel,
    recipe: Recipe,
    folder: Path,
    report: Report,
    date: str,
    start: Path | None = None,
) -> None:
    """Train an adapter and write it.

    :param folder: where the adapter goes.
    :param report: called after each round with its mean loss.
    :param date: for the manifest.
    :param start: folder of an adapter of the same rank to go on from, instead of from nothing.
    """
    learner = _Learner(prepared, recipe, start)
    started = time.monotonic()
    step, elapsed = 0, 0.0
    while step < recipe.steps and elapsed < recipe.seconds:
        done = max(step / recipe.steps, elapsed / recipe.seconds)
        figures = [learner.step(number, done)
                   for number in range(step, min(step + ROUND, recipe.steps))]  # fmt: skip
        _average(learner.trained)
        step, elapsed = step + len(figures), _elapsed(started)
        loss, right = (sum(column) / len(figures) for column in zip(*figures, strict=True))
        report(f"step {step}/{recipe.steps}: loss {loss:.3f}, "
               f"choices right {right:.1%}, {elapsed:.0f} s")  # fmt: skip
        if _rank() == 0:
            learner.save(folder, date, step, elapsed)


def train_together(
    processes: int,
    prepared: PreparedModel,
    recipe: Recipe,
    folder: Path,
    report: Report,
    **how: Any,
) -> None:
    """Train in several processes of one thread each, which on a CPU beats one of several threads.

    :param processes: each reads sentences of its own.
    :param how: as for :func:`train`.
    """
    with tempfile.TemporaryDirectory() as meeting:
        torch.multiprocessing.spawn(  # type: ignore[attr-defined, no-untyped-call]
            _one_of,
            (processes, f"file://{meeting}/meeting", (prepared, recipe, folder, report), how),
            nprocs=processes,
        )


def _one_of(
    rank: int,
    processes: int,
    meeting: str,
    task: tuple[PreparedModel, Recipe, Path, Report],
    how: dict[str, Any],
) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=processes)
    prepared, recipe, folder, report = task
    train(prepared, recipe, folder, report if rank == 0 else _silent, **how)
    torch.distributed.destroy_process_group()


def _silent(_: str) -> None:
    """Report nothing: the first process speaks for all."""


def _processes() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _average(trained: Mapping[str, Tensor]) -> None:
    """Give all processes the mean of what each has learned from sentences of its own.

    Not after every step: batches differ in length, and the shorter would wait for the longer.
    """
    if _processes() == 1:
        return
    with torch.no_grad():
        joined = torch.cat([tensor.flatten() for tensor in trained.values()])
        torch.distributed.all_reduce(joined)
        joined /= _processes()
        sizes = [item.numel() for item in trained.values()]
        for tensor, mean in zip(trained.values(), torch.split(joined, sizes), strict=True):
            tensor.copy_(mean.view_as(tensor))


def _elapsed(started: float) -> float:
    """Return the seconds since a start, the same in every process: all must stop together."""
    elapsed = torch.tensor([time.monotonic() - started])
    if _processes() > 1:
        torch.distributed.broadcast(elapsed, 0)
    return float(elapsed)


def _schedule(step: int, done: float, recipe: Recipe) -> float:
    """Return the share of the learning rate: a short climb, then half a cosine down."""
    climb = min(1.0, (step + 1) / recipe.warmup)
    return climb * (
        recipe.floor + (1 - recipe.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    )
