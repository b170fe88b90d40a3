"""Using a model that somebody else made: the real FunctionGemma, from a folder or from the hub.

Nothing is written into the folder. Beside our own model a small one is kept that points to its
files, with the configuration in the form that the loader reads, and with the hash of the weights,
so that they are read completely once and not at every start.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leo_activation.decision.prompt import PromptTokenizer
from leo_activation.decision.self_test import check_template, check_tokenizer
from leo_activation.decision.weights import (
    MANIFEST,
    PreparedModel,
    default_folder,
    file_sha256,
    open_prepared,
    prepare,
    tensors_sha256,
)
from leo_activation.errors import ConfigurationError
from leo_activation.paths import state_folder

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ("config.json", "tokenizer.json", "model.safetensors")
_WANTED = [*_FILES, "tokenizer_config.json", "chat_template.jinja", "LICENSE*", "NOTICE*", "*.md"]
# What the network is built for; another size of Gemma has other numbers.
_KIND = {"model_type": "gemma3_text", "num_key_value_heads": 1}

Report = Callable[[str], None]


def open_model(environ: Mapping[str, str], *, fetch: bool, report: Report) -> PreparedModel:
    """Return the model that ``LEO_MODEL`` names, else the one of ``leo model prepare``.

    :param fetch: make the model, or load it from the hub, when it is not there.
    :raises ConfigurationError: when there is none, or it is not one that can be used.
    """
    named = environ.get("LEO_MODEL", "")
    if not named:
        return prepare(report) if fetch else open_prepared(default_folder())
    folder = Path(named).expanduser()
    if (folder / MANIFEST).is_file():
        return open_prepared(folder)
    if not folder.is_dir():
        folder = _from_hub(named, fetch=fetch, report=report)
        return adopt(folder, named.rpartition("/")[2], report)
    return adopt(folder, folder.resolve().name, report)


def check_model(prepared: PreparedModel, tokenizer: PromptTokenizer) -> None:
    """Run the self-test of a model.

    :param tokenizer: the model's, loaded.
    :raises ConfigurationError: saying what differs.
    """
    check_tokenizer(tokenizer, prepared.source or prepared.folder)
    # Our own model has no template: its prompts are by definition what we render.
    if prepared.source is not None:
        check_template(prepared.source)


def adopt(source: Path, name: str, report: Report) -> PreparedModel:
    """Return a model folder in the form that the engine loads, checked.

    :param name: how it is called in traces.
    :raises ConfigurationError: when it is incomplete, of another kind, or fails the self-test.
    """
    source = source.resolve()
    missing = [file for file in _FILES if not (source / file).is_file()]
    if missing:
        raise ConfigurationError(
            f"LEO_MODEL names {source}, which has no {', '.join(missing)}: give it the folder of a "
            "complete model, with its weights in one safetensors file"
        )
    stamp = {file: [(source / file).stat().st_size, (source / file).stat().st_mtime_ns]
             for file in _FILES}  # fmt: skip
    key = hashlib.sha256(str(source).encode()).hexdigest()[:12]
    target = state_folder() / "models" / f"{name}-{key}"
    if _stamp(target) != stamp:
        report(f"checking the model in {source}")
        check_template(source)
        _link(source, target, name, stamp)
    return open_prepared(target)


def _link(source: Path, target: Path, name: str, stamp: Mapping[str, Any]) -> None:
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for file in ("tokenizer.json", "model.safetensors"):
            (partial / file).symlink_to(source / file)
        config = network_config(json.loads((source / "config.json").read_text(encoding="utf-8")))
        (partial / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        manifest = {
            "name": name,
            "source": {"folder": str(source), "stamp": stamp},
            "weights_sha256": tensors_sha256(source / "model.safetensors"),
            "weights_bytes": (source / "model.safetensors").stat().st_size,
            "tokenizer_sha256": file_sha256(source / "tokenizer.json"),
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _stamp(target: Path) -> Any:
    """Return what the files looked like when a model was taken over; none when it was not."""
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        return manifest["source"]["stamp"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def network_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a published configuration as the loader reads it.

    The base of each rotation stood in two entries of its own before transformers 5.

    :raises ConfigurationError: when it describes another network.
    """
    for entry, wanted in _KIND.items():
        if config.get(entry) != wanted:
            raise ConfigurationError(
                f"the model's {entry} is {config.get(entry)!r}, not {wanted!r}: only Gemma 3 270M "
                "and what is made from it can be loaded here; serve another model with vLLM and "
                "set LEO_DECISION_BACKEND to 'completions'"
            )
    if "rope_parameters" in config:
        return config
    return {
        **config,
        "rope_parameters": {
            "full_attention": {"rope_theta": config["rope_theta"]},
            "sliding_attention": {"rope_theta": config["rope_local_base_freq"]},
        },
    }


def _from_hub(named: str, *, fetch: bool, report: Report) -> Path:
    """Return the folder of a hub id, from the cache or from the network."""
    if not _HUB_ID.fullmatch(named):
        raise ConfigurationError(
            f"LEO_MODEL is {named!r}, which is neither a folder nor the id of a model on the hub: "
            "set it to a path, or to an id such as google/functiongemma-270m-it"
        )
    from huggingface_hub import snapshot_download

    try:
        if fetch:
            report(f"looking for {named} in the hub's cache, else on the hub")
        found = snapshot_download(named, allow_patterns=_WANTED, local_files_only=not fetch)
    # The hub's client raises errors of several libraries; each of them ends here.
    except Exception as error:
        raise ConfigurationError(
            f"LEO_MODEL names {named!r}, which could not be had from the hub "
            f"({type(error).__name__}: {str(error)[:200]}): accept its licence there and log in "
            "with `hf auth login`, or set LEO_MODEL to a folder that holds it"
        ) from error
    return Path(found)
