"""The project's own adapter: a few megabytes that turn the base model into a plan compiler.

An adapter fits one set of base weights and one version of the functions. Its manifest names both,
and loading refuses anything else: a mismatch would not fail, it would decide worse.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from leo_activation.decision.grammar import CERTAINTY, TO_CALL, WORDS
from leo_activation.decision.model import PROJECTIONS, Adapter, Gemma
from leo_activation.decision.prompt import PROMPT_VERSION
from leo_activation.decision.toolset import schema_hash
from leo_activation.errors import ConfigurationError

TENSORS = "adapter.safetensors"
MANIFEST = "manifest.json"
NOTICE = """\
Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms

This adapter is a Model Derivative of Gemma 3 270M, made by this project: low-rank corrections,
trained on sentences written for it and on generated ones (see manifest.json). The use
restrictions of the terms, including the Gemma Prohibited Use Policy at
ai.google.dev/gemma/prohibited_use_policy, apply to it and to whoever receives it.
"""


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter whose manifest was checked.

    :param tensors: low-rank corrections by name, in float32.
    :param version: the first digits of the file's SHA-256, for traces.
    :param manifest: what it was made from and how well it does.
    :param advice: how much the sentence's own words count against it, by slot.
    """

    tensors: Adapter
    version: str
    manifest: dict[str, Any]
    advice: Mapping[str, float]


def new_adapter(gemma: Gemma, rank: int, generator: torch.Generator, part: str = "") -> Adapter:
    """Return an adapter, or a part of one, that changes nothing yet.

    :param rank: of every correction.
    :param generator: source of the random half of the weights.
    :param part: how the names begin, such as :data:`~leo_activation.decision.model.READER`.
    """
    adapter: Adapter = {}
    for index, layer in enumerate(gemma.layers):
        for name in PROJECTIONS:
            rows, columns = layer.projections[name].shape
            down = torch.randn(rank, columns, generator=generator) * 2 / columns**0.5
            adapter[f"{part}{index}.{name}.down"] = down
            adapter[f"{part}{index}.{name}.up"] = torch.zeros(rows, rank)
    return adapter


def save_adapter(folder: Path, adapter: Adapter, manifest: dict[str, Any]) -> None:
    """Write an adapter, its manifest and the licence notice.

    :param manifest: at least ``base_weights_sha256``; hashes and versions are added here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    halved = {name: tensor.detach().to(torch.bfloat16).contiguous()
              for name, tensor in adapter.items()}  # fmt: skip
    save_file(halved, folder / TENSORS)
    complete = {
        **manifest,
        "schema_hash": schema_hash(),
        "prompt_version": PROMPT_VERSION,
        "adapter_sha256": _sha256(folder / TENSORS),
    }
    write_manifest(folder, complete)
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Replace the manifest of an adapter."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def load_adapter(folder: Path, weights_sha256: str) -> LoadedAdapter:
    """Load an adapter for given base weights.

    :param weights_sha256: of the prepared model.
    :raises ConfigurationError: when it is missing, damaged, or was made for something else.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = {
            "base_weights_sha256": weights_sha256,
            "schema_hash": schema_hash(),
            "prompt_version": PROMPT_VERSION,
            "adapter_sha256": _sha256(folder / TENSORS),
        }
    except (OSError, ValueError) as problem:
        raise ConfigurationError(
            f"{folder} holds no adapter ({problem}): run `leo model train`"
        ) from problem
    for key, value in found.items():
        if manifest.get(key) != value:
            raise ConfigurationError(
                f"the adapter in {folder} was made for {key} {manifest.get(key)!r}, here it is "
                f"{value!r}: train it again with `leo model train`"
            )
    tensors = {name: tensor.float() for name, tensor in load_file(folder / TENSORS).items()}
    advice = calibrated({**WORDS, **manifest.get("advice", {})}, manifest.get("calibration", {}))
    return LoadedAdapter(tensors, found["adapter_sha256"][:12], manifest, advice)


def calibrated(learned: Mapping[str, float], calibration: Mapping[str, Any]) -> dict[str, float]:
    """Return the weights of the words' advice as they are used.

    :param calibration: ``advice``, weights that fit sentences which the training did not see
        better than the learned ones; ``call``, a bonus for doing anything at all; and
        ``certainty``, how much it counts how sure the model is of the whole plan.
    """
    return {
        **learned,
        **calibration.get("advice", {}),
        TO_CALL: calibration.get(TO_CALL, 0.0),
        CERTAINTY: calibration.get(CERTAINTY, 0.0),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
