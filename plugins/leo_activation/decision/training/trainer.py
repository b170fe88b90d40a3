"""Training the adapter on a CPU, in minutes.

The developer turn is read once per catalogue by the base model and kept. A step then costs only
the sentence and its calls, and the loss looks only at the places where the grammar leaves a
choice: exactly what decoding does, and no vocabulary-wide logits.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from leo_activation.decision.adapter import new_adapter, save_adapter
from leo_activation.decision.decoding import Encode, Fork, forks, plan_labels
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.model import Adapter, Gemma, Prefix
from leo_activation.decision.prompt import PromptTokenizer
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.training.data import Example, make_example, make_world
from leo_activation.decision.weights import PreparedModel

Report = Callable[[str], None]
_BLOCKED = -1e9


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run depends on, and nothing else.

    :param steps: optimiser steps; every step sees new sentences.
    :param batch: sentences per step.
    :param batches_per_world: steps that share one random catalogue.
    :param familiar: share of catalogues with the platform's own names.
    """

    steps: int = 450
    batch: int = 8
    batches_per_world: int = 3
    rank: int = 8
    learning_rate: float = 7e-4
    warmup: int = 20
    familiar: float = 0.45
    seed: int = 20_261_123


@dataclass(frozen=True)
class Row:
    """One example as the network sees it."""

    ids: list[int]
    start: int
    forks: list[Fork]


def encode_example(
    tokenizer: PromptTokenizer, encode: Encode, spec: ToolSpec, example: Example
) -> Row:
    """Return the tokens of an example and the choices in it."""
    suffix = tokenizer.suffix_ids(example.instruction)
    labels = list(plan_labels(example.plan))
    written, found = forks(PlanGrammar(spec, example.instruction), labels, encode)
    # What follows the last choice cannot change the loss.
    return Row([*suffix, *written[: found[-1].after]], len(suffix), found)


def batches(
    recipe: Recipe, gemma: Gemma, tokenizer: PromptTokenizer
) -> Iterator[tuple[Prefix, list[Row]]]:
    """Yield batches for ever, each from one catalogue, rows of similar length together."""
    # Not for secrets: examples must be the same for the same seed.
    rng = random.Random(recipe.seed)  # noqa: S311
    encode = cache(tokenizer.encode)
    while True:
        world = make_world(rng, familiar=rng.random() < recipe.familiar)
        spec = ToolSpec(world.catalogue)
        rows: list[Row] = []
        while len(rows) < recipe.batch * recipe.batches_per_world:
            # A sentence whose own words point elsewhere teaches nothing: decoding could not
            # write its plan either.
            with contextlib.suppress(KeyError):
                rows.append(encode_example(tokenizer, encode, spec, make_example(rng, world)))
        rows.sort(key=lambda row: len(row.ids))
        prefix = gemma.read_prefix(tokenizer.prefix_ids(spec))
        prefix = Prefix([(k.clone(), v.clone()) for k, v in prefix.layers], prefix.length)
        cut = [rows[at : at + recipe.batch] for at in range(0, len(rows), recipe.batch)]
        rng.shuffle(cut)
        for rows in cut:
            yield prefix, rows


def batch_loss(
    gemma: Gemma, prefix: Prefix, adapter: Adapter, rows: list[Row]
) -> tuple[Tensor, float]:
    """Return the mean loss over all choices of a batch, and the share chosen right."""
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
    return _fork_loss(gemma, states, [fork for _, _, fork in places])


def _fork_loss(gemma: Gemma, states: Tensor, found: list[Fork]) -> tuple[Tensor, float]:
    width = max(sum(map(len, fork.tokens)) for fork in found)
    tokens = torch.zeros(len(found), width, dtype=torch.long)
    known = torch.zeros(len(found), width, dtype=torch.bool)
    right = torch.zeros(len(found), width, dtype=torch.bool)
    for index, fork in enumerate(found):
        flat = [(token, way == fork.chosen)
                for way, group in enumerate(fork.tokens) for token in group]  # fmt: skip
        tokens[index, : len(flat)] = torch.tensor([token for token, _ in flat])
        known[index, : len(flat)] = True
        right[index, : len(flat)] = torch.tensor([hit for _, hit in flat])
    scores = torch.einsum("fh,fwh->fw", states, gemma.embedding[tokens])
    scores = scores.masked_fill(~known, _BLOCKED)
    chosen = scores.masked_fill(~right, _BLOCKED).logsumexp(-1)
    loss = (scores.logsumexp(-1) - chosen).mean()
    hits = right.gather(1, scores.argmax(-1, keepdim=True)).float().mean()
    return loss, float(hits)


def train(prepared: PreparedModel, recipe: Recipe, folder: Path, report: Report, date: str) -> None:
    """Train an adapter and write it.

    :param folder: where the adapter goes.
    :param report: called every tenth step with the running loss.
    :param date: for the manifest.
    """
    gemma = Gemma.load(prepared.folder, torch.bfloat16)
    tokenizer = PromptTokenizer(prepared.folder)
    adapter = new_adapter(gemma, recipe.rank, torch.Generator().manual_seed(recipe.seed))
    for tensor in adapter.values():
        tensor.requires_grad_()
    optimiser = torch.optim.AdamW(adapter.values(), lr=recipe.learning_rate, weight_decay=0.0)
    started = time.monotonic()
    source = batches(recipe, gemma, tokenizer)
    losses: list[float] = []
    shares: list[float] = []
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        prefix, rows = next(source)
        loss, share = batch_loss(gemma, prefix, adapter, rows)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(adapter.values(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        shares.append(share)
        if step % 10 == 9:
            recent, right = sum(losses[-10:]) / 10, sum(shares[-10:]) / 10
            elapsed = time.monotonic() - started
            report(f"step {step + 1}/{recipe.steps}: loss {recent:.3f}, "
                   f"choices right {right:.1%}, {elapsed:.0f} s")  # fmt: skip
        if step % 100 == 99 or step == recipe.steps - 1:
            manifest = {
                "name": f"{prepared.name} + local adapter",
                "base_weights_sha256": prepared.weights_sha256,
                "date": date,
                "recipe": {**recipe.__dict__, "steps_done": step + 1},
                "training_seconds": round(time.monotonic() - started),
                "licence": "Gemma Terms of Use; see NOTICE",
            }
            save_adapter(folder, adapter, manifest)


def _schedule(step: int, recipe: Recipe) -> float:
    """Return the share of the learning rate: a short climb, then half a cosine down."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
