"""Loading the local model as the environment wants it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from leo_activation.decision.adapter import load_adapter
from leo_activation.decision.engine import Engine
from leo_activation.decision.precision import DEFAULT, allowed_precision
from leo_activation.decision.weights import PreparedModel
from leo_activation.errors import ConfigurationError


def load_engine(prepared: PreparedModel, adapter_folder: Path | None) -> Engine:
    """Load the model, with one thread unless ``LEO_MODEL_THREADS`` says more.

    It computes in float32, or in what ``LEO_MODEL_PRECISION`` names.

    Measured on two cores: a second thread gains little when they are idle, and costs up to ten
    times when they are busy, since every short step then waits for the slower of the two.

    :param adapter_folder: none runs without an adapter.
    :raises ConfigurationError: when the adapter does not fit the weights or the functions, or a
        setting is unusable.
    """
    threads = os.environ.get("LEO_MODEL_THREADS", "1")
    if not threads.isdigit() or not int(threads):
        raise ConfigurationError(
            f"LEO_MODEL_THREADS is {threads!r}: set it to a number of threads, such as 1"
        )
    torch.set_num_threads(int(threads))
    adapter = load_adapter(adapter_folder, prepared.weights_sha256) if adapter_folder else None
    named = os.environ.get("LEO_MODEL_PRECISION") or DEFAULT
    return Engine(prepared, adapter, precision=allowed_precision(named, prepared, adapter))
