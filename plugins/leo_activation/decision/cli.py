"""``leo model``: prepare the weights, train the adapter, evaluate it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from leo_activation.decision.adapter import load_adapter
from leo_activation.decision.adoption import check_model, open_model
from leo_activation.decision.prompt import PromptTokenizer
from leo_activation.decision.weights import PreparedModel, verify
from leo_activation.paths import ADAPTER_FOLDER

# Sets of sentences on which number formats are compared: everyday ones, and ones that paraphrase.
COMPARED = ("evaluation.v1", "evaluation.v5")
app = typer.Typer(no_args_is_help=True, add_completion=False, help="The decision model.")


@app.command()
def prepare() -> None:
    """Fetch, check and convert the weights; done once, about two minutes.

    Weights that are there already are read and compared with their SHA-256. With LEO_MODEL set,
    that model is looked for and checked instead.
    """
    prepared = open_model(os.environ, fetch=True, report=typer.echo)
    verify(prepared)
    check_model(prepared, PromptTokenizer(prepared.folder))
    typer.echo(f"{prepared.name}: weights {prepared.weights_sha256[:12]} checked")


def _model() -> PreparedModel:
    return open_model(os.environ, fetch=False, report=typer.echo)


@app.command()
def train(
    output: Annotated[Path, typer.Option(help="Where to write the adapter.")] = ADAPTER_FOLDER,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps at most.")] = 2_000,
    seconds: Annotated[int, typer.Option(min=1, help="Wall time at most.")] = 3_300,
    processes: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 2,
    rank: Annotated[int, typer.Option(min=1, help="Of every correction.")] = 16,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 6e-4,
    floor: Annotated[float, typer.Option(help="Share of the rate that is left at the end.")] = 0.02,
    written: Annotated[float, typer.Option(help="Share of sentences that people wrote.")] = 0.9,
    start: Annotated[Path | None, typer.Option(help="Adapter to go on from.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the data.")] = 20_261_123,
) -> None:
    """Train the adapter on written and generated sentences; seven to nine seconds a step."""
    from leo_activation.decision.training.trainer import Recipe, train_together

    date = datetime.now(UTC).date().isoformat()
    recipe = Recipe(
        steps=steps, seconds=seconds, rank=rank, learning_rate=rate, floor=floor, written=written,
        seed=seed,
    )  # fmt: skip
    train_together(processes, _model(), recipe, output, typer.echo, date=date, start=start)


@app.command()
def compare(
    adapter: Annotated[Path, typer.Option(help="Folder of the adapter.")] = ADAPTER_FOLDER,
) -> None:
    """Measure whether bfloat16 decides as float32 does here; a minute or two.

    Where it does, LEO_MODEL_PRECISION=bfloat16 may be set.
    """
    from leo_activation.decision.engine import Request
    from leo_activation.decision.precision import keep_agreement, measure_agreement
    from leo_activation.decision.training.evaluation import is_refused
    from leo_activation.decision.training.sets import read_cases

    prepared = _model()
    cases = [case for name in COMPARED for case in read_cases(name) if not is_refused(case)]
    found = measure_agreement(
        prepared,
        load_adapter(adapter, prepared.weights_sha256),
        [Request(case.instruction, case.catalogue) for case in cases],
    )
    keep_agreement(prepared.folder, found)
    typer.echo(
        f"the same plan for {found.same} of {found.of} sentences; one takes {found.exact_ms} ms "
        f"in float32 and {found.fast_ms} ms in bfloat16"
    )
    typer.echo(
        "LEO_MODEL_PRECISION=bfloat16 may be set"
        if found.is_enough
        else "too many plans differ: LEO_MODEL_PRECISION=bfloat16 stays refused"
    )


@app.command()
def evaluate(
    adapter: Annotated[Path, typer.Option(help="Folder of the adapter.")] = ADAPTER_FOLDER,
    record: Annotated[bool, typer.Option(help="Write the figures into the manifest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure exact plans on the hand-written sentences, beside two baselines."""
    from leo_activation.decision.training.evaluation import evaluate_all, record_metrics, table

    report = evaluate_all(_model(), adapter)
    typer.echo(json.dumps(report, ensure_ascii=False, indent=2) if as_json else table(report))
    if record:
        record_metrics(adapter, report)
