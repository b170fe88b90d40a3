"""How far the words, and the model itself, are to be trusted on sentences of strangers.

While it learns, an adapter sees the same authors again and again and comes to trust itself. The
weights of the words' advice are therefore fitted once more, on the sets that nothing was learned
from (``HELD_OUT``), and so is how sure of a plan the model must be to carry it out. Both go into
the manifest.

Run: ``python -m leo_activation.decision.training.calibration --adapter FOLDER``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from leo_activation.decision.adapter import (
    MANIFEST,
    LoadedAdapter,
    load_adapter,
    write_manifest,
)
from leo_activation.decision.decoding import Fork, group_scores
from leo_activation.decision.engine import Decision, Engine, Request
from leo_activation.decision.grammar import CERTAINTY, TO_CALL
from leo_activation.decision.model import Prefix
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.training.data import Example
from leo_activation.decision.training.evaluation import is_refused, is_right
from leo_activation.decision.training.plans import ANY, joined
from leo_activation.decision.training.sets import HELD_OUT, Case, read_cases
from leo_activation.decision.training.trainer import Row, encode_example
from leo_activation.decision.weights import PreparedModel, default_folder, open_prepared
from leo_activation.errors import DecisionError
from leo_activation.paths import ADAPTER_FOLDER

# What reached people who should get nothing cannot be taken back; a silence is seen and mended.
LEAST_RECALL = 0.95
# Begin every plan, so that it can be seen how sure the model is of the rest.
_ALWAYS = 1_000.0
_PRIOR = 0.02
_LEAST_WEIGHT = 0.1
_BLOCKED = -1e9


@dataclass(frozen=True)
class Scored:
    """A fork with what the model says of each way on.

    :param scores: of the ways, before any advice.
    """

    fork: Fork
    scores: Tensor


@dataclass(frozen=True)
class Read:
    """A sentence with the choices on the way to its right plan.

    :param forks: the first is whether to send at all; the others are left out where the grammar
        cannot write the plan.
    """

    case: Case
    forks: list[Scored]

    def begins(self, advice: Mapping[str, float]) -> float:
        """Return the log-odds that speak for a plan at all."""
        first = self.forks[0]
        weight = advice.get(first.fork.weighed_as, 0.0)
        call, none = first.scores + weight * torch.tensor(first.fork.advice or (0.0, 0.0))
        return float(call - none)


def read_all(engine: Engine, cases: Sequence[Case]) -> Iterator[Read]:
    """Yield sentences with what the model says on the way to the right plans."""
    ordered = sorted(cases, key=lambda case: case.catalogue_name)
    for _, group in groupby(ordered, key=lambda case: case.catalogue_name):
        about = list(group)
        spec = ToolSpec(about[0].catalogue)
        prefix = engine.prefix(spec)
        for case in about:
            yield Read(case, _scored(engine, spec, prefix, _row(engine, spec, case)))


def _row(engine: Engine, spec: ToolSpec, case: Case) -> Row:
    """Return the tokens of a sentence and its plan, or of no plan where that cannot be written."""
    is_open = any(call.arguments.get("template_id") == ANY for call in case.plan)
    for plan in () if is_open else (joined(case.plan),):
        with contextlib.suppress(KeyError, DecisionError):
            return _encoded(engine, spec, Example(case.instruction, tuple(plan)))
    return _encoded(engine, spec, Example(case.instruction, ()))


def _encoded(engine: Engine, spec: ToolSpec, example: Example) -> Row:
    encode = engine.tokenizer.encode
    return encode_example(engine.tokenizer, encode, spec, example, is_advised=True)


@torch.inference_mode()
def _scored(engine: Engine, spec: ToolSpec, prefix: Prefix, row: Row) -> list[Scored]:
    tensors = engine.adapter.tensors if engine.adapter else None
    hidden, _ = engine.gemma.forward(torch.tensor([row.ids]), prefix, None, tensors)
    return [
        Scored(fork, group_scores(engine.gemma, hidden[0, row.start + fork.after - 1], fork.tokens))
        for fork in row.forks
    ]


def fit_advice(found: Sequence[Read], learned: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of the words' advice under which the right choices are likeliest.

    :param learned: by the adapter; a name that few choices have stays near its weight.
    """
    advised = [
        item for read in found for item in read.forks
        if item.fork.weighed_as and (len(read.forks) > 1 or not read.case.plan)
    ]  # fmt: skip
    names = sorted({item.fork.weighed_as for item in advised})
    which = torch.tensor([names.index(item.fork.weighed_as) for item in advised])
    chosen = torch.tensor([item.fork.chosen for item in advised])
    scores = _padded([item.scores for item in advised], _BLOCKED)
    said = _padded([torch.tensor(item.fork.advice) for item in advised], 0.0)
    # A weight that was learned away may still be of use to strangers.
    start = torch.tensor([[max(learned[name], _LEAST_WEIGHT), 1.0] for name in names]).log()
    fitted = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([fitted], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        weight, trust = fitted.exp()[which].unbind(1)
        total = scores * trust[:, None] + said * weight[:, None]
        picked = torch.log_softmax(total, dim=-1).gather(1, chosen[:, None])
        value = -picked.mean() + _PRIOR * (fitted - start).pow(2).mean()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    weights, trusts = fitted.detach().exp().unbind(1)
    # Only the proportion matters to what is chosen, and the model's own scores stay as they are.
    ratio = (weights / trusts).tolist()
    return {**learned, **{name: round(one, 3) for name, one in zip(names, ratio, strict=True)}}


def _padded(rows: Sequence[Tensor], fill: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=fill)


@dataclass(frozen=True)
class Outcome:
    """What became of a sentence whose plan was begun in any case.

    :param begins: the log-odds that speak for a plan at all, without any bonus.
    :param certainty: the log-likelihood of the plan, once begun.
    :param is_right: whether that plan is right.
    :param is_wanted: whether anything was asked for.
    """

    begins: float
    certainty: float
    is_right: bool
    is_wanted: bool


def outcomes(engine: Engine, found: Sequence[Read], advice: Mapping[str, float]) -> list[Outcome]:
    """Return what becomes of sentences when every plan is begun.

    :param engine: whose advice has a bonus of ``_ALWAYS``.
    """
    asked = [Request(read.case.instruction, read.case.catalogue) for read in found]
    return [
        _outcome(read, decision, advice)
        for read, decision in zip(found, engine.decide_many(asked), strict=True)
    ]


def _outcome(read: Read, decision: Decision, advice: Mapping[str, float]) -> Outcome:
    rest = sum(math.log(max(choice.probability, 1e-9)) for choice in decision.choices[1:])
    right = decision.plan is not None and is_right(read.case, decision.plan)
    return Outcome(read.begins(advice), rest, right, bool(read.case.plan))


def fit_silence(found: Sequence[Outcome]) -> dict[str, float]:
    """Return the bonus for a plan and the weight of its certainty that get most plans right.

    No pair is taken under which fewer than :data:`LEAST_RECALL` of the sentences that ask for
    nothing stay without a plan.
    """
    unwanted = [item for item in found if not item.is_wanted]
    best: tuple[int, dict[str, float]] = (-1, {})
    for certainty in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0):
        scores = sorted(item.begins + certainty * item.certainty for item in unwanted)
        # The highest bonus with which enough of them stay silent.
        most = -scores[math.ceil(LEAST_RECALL * len(scores)) - 1] - 1e-3 if scores else 0.0
        for call in (most, most - 0.5, most - 1.0, most - 1.5, most - 2.0):
            right = sum(
                item.is_right if item.begins + certainty * item.certainty + call >= 0
                else not item.is_wanted
                for item in found
            )  # fmt: skip
            if right > best[0]:
                best = right, {TO_CALL: round(call, 3), CERTAINTY: certainty}
    return best[1] | {"right": best[0], "of": len(found)}


def calibrate(
    prepared: PreparedModel, adapter: LoadedAdapter, cases: Sequence[Case]
) -> dict[str, object]:
    """Return the calibration of an adapter.

    :param cases: that nothing was learned from.
    """
    learned = adapter.manifest["advice"]
    # The format that it was trained in, and twice as fast: weights need no more digits.
    found = list(read_all(Engine(prepared, adapter, precision=torch.bfloat16), cases))
    advice = fit_advice(found, learned)
    print(f"advice: {advice}", file=sys.stderr, flush=True)
    forced = Engine(
        prepared, adapter, advice={**advice, TO_CALL: _ALWAYS}, precision=torch.bfloat16
    )
    return {"advice": advice, **fit_silence(outcomes(forced, found, advice))}


def main() -> None:
    """Calibrate an adapter and write what was found into its manifest."""
    parser = argparse.ArgumentParser(description="Choose how far words and model are trusted.")
    parser.add_argument("--adapter", type=Path, default=ADAPTER_FOLDER)
    parser.add_argument("--every", type=int, default=1, help="use every nth sentence")
    options = parser.parse_args()
    prepared = open_prepared(default_folder())
    cases = [case for name in HELD_OUT for case in read_cases(name)[:: options.every]
             if not is_refused(case)]  # fmt: skip
    adapter = load_adapter(options.adapter, prepared.weights_sha256)
    manifest = json.loads((options.adapter / MANIFEST).read_text(encoding="utf-8"))
    manifest["calibration"] = calibrate(prepared, adapter, cases)
    print(manifest["calibration"], file=sys.stderr)
    write_manifest(options.adapter, manifest)


if __name__ == "__main__":
    main()
