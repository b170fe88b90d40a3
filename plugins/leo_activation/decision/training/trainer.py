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

    :param steps: optimiser steps at most; every step sees new sentences.
    :param seconds: wall time at most; the learning rate falls to nothing by then.
    :param batch: sentences per step.
    :param batches_per_world: steps that share one random catalogue.
    :param familiar: share of catalogues with the platform's own names.
    """

    steps: int = 900
    seconds: int = 3_300
    batch: int = 5
    batches_per_world: int = 4
    rank: int = 8
    learning_rate: float = 7e-4
    warmup: int = 20
    familiar: float = 0.15
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
    """Return the tokens of an example and the choices in it.

    :raises KeyError: when the grammar does not allow the plan.
    """
    suffix = tokenizer.suffix_ids(example.instruction)
    labels = list(plan_labels(example.plan))
    grammar = PlanGrammar(spec, example.instruction)
    written, found = forks(grammar, labels, encode, example.free)
    # What follows the last choice cannot change the loss.
    return Row([*suffix, *written[: found[-1].after]], len(suffix), found)


def batches(
    recipe: Recipe, gemma: Gemma, tokenizer: PromptTokenizer
) -> Iterator[tuple[Prefix, list[Row]]]:
    """Yield batches for ever, each from one catalogue, rows of similar length together."""
    # Not for secrets: examples must be the same for the same seed.
    rng = random.Random(recipe.seed + 1_000 * _rank())  # noqa: S311
    encode = cache(tokenizer.encode)
    while True:
        world = make_world(rng, familiar=rng.random() < recipe.familiar)
        spec = ToolSpec(world.catalogue)
        rows: list[Row] = []
        while len(rows) < recipe.batch * recipe.batches_per_world:
            # A slip of the finger may have made a number or an unlisted name unreadable.
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
    step, elapsed = 0, 0.0
    while step < recipe.steps and elapsed < recipe.seconds:
        done = max(step / recipe.steps, elapsed / recipe.seconds)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, done, recipe)
        prefix, rows = next(source)
        loss, share = batch_loss(gemma, prefix, adapter, rows)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _average_gradients(adapter)
        torch.nn.utils.clip_grad_norm_(adapter.values(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        shares.append(share)
        step, elapsed = step + 1, _elapsed(started)
        if step % 10 == 0:
            recent, right = sum(losses[-10:]) / 10, sum(shares[-10:]) / 10
            report(f"step {step}/{recipe.steps}: loss {recent:.3f}, "
                   f"choices right {right:.1%}, {elapsed:.0f} s")  # fmt: skip
        last = step == recipe.steps or elapsed >= recipe.seconds
        if (step % 50 == 0 or last) and _rank() == 0:
            manifest = {
                "name": f"{prepared.name} + local adapter",
                "base_weights_sha256": prepared.weights_sha256,
                "date": date,
                "recipe": {**recipe.__dict__, "steps_done": step, "processes": _processes()},
                "training_seconds": round(elapsed),
                "licence": "Gemma Terms of Use; see NOTICE",
            }
            save_adapter(folder, adapter, manifest)


def _processes() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _average_gradients(adapter: Adapter) -> None:
    """Let several processes, each with sentences of its own, take one step together."""
    if _processes() == 1:
        return
    joined = torch.cat([tensor.grad.flatten() for tensor in adapter.values()
                        if tensor.grad is not None])  # fmt: skip
    torch.distributed.all_reduce(joined)
    joined /= _processes()
    at = 0
    for tensor in adapter.values():
        if tensor.grad is not None:
            tensor.grad.copy_(joined[at : at + tensor.numel()].view_as(tensor))
            at += tensor.numel()


def _elapsed(started: float) -> float:
    """Return the seconds since a start, the same in every process: all must stop together."""
    elapsed = torch.tensor([time.monotonic() - started])
    if _processes() > 1:
        torch.distributed.broadcast(elapsed, 0)
    return float(elapsed)


def _schedule(step: int, done: float, recipe: Recipe) -> float:
    """Return the share of the learning rate: a short climb, then half a cosine down."""
    climb = min(1.0, (step + 1) / recipe.warmup)
    return climb * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
