"""An adapter is loaded only for what it was made for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from leo_activation.decision.adapter import load_adapter, save_adapter, write_manifest
from leo_activation.decision.grammar import CERTAINTY, TO_CALL, WORDS
from leo_activation.errors import ConfigurationError

WEIGHTS = "a" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = {"0.qkv.down": torch.ones(2, 4), "0.qkv.up": torch.zeros(4, 2)}
    save_adapter(tmp_path, tensors, {"base_weights_sha256": WEIGHTS})
    return tmp_path


def test_what_was_saved_is_loaded_with_its_notice(folder: Path) -> None:
    adapter = load_adapter(folder, WEIGHTS)
    assert adapter.tensors["0.qkv.down"].sum() == 8
    assert len(adapter.version) == 12
    assert "Gemma Terms of Use" in (folder / "NOTICE").read_text(encoding="utf-8")


def test_an_adapter_says_how_far_the_words_are_to_be_trusted_beside_it(folder: Path) -> None:
    assert load_adapter(folder, WEIGHTS).advice == {**WORDS, TO_CALL: 0.0, CERTAINTY: 0.0}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    learned = {"value": 2.0, "start": 1.0}
    calibration = {"advice": {"start": 5.0}, "call": 0.7, "certainty": 0.4, "right": 3, "of": 4}
    write_manifest(folder, {**manifest, "advice": learned, "calibration": calibration})
    advice = load_adapter(folder, WEIGHTS).advice
    assert (advice["value"], advice["start"]) == (2.0, 5.0)
    assert (advice[TO_CALL], advice[CERTAINTY]) == (0.7, 0.4)


@pytest.mark.parametrize("key", ["base_weights_sha256", "schema_hash", "prompt_version"])
def test_an_adapter_for_something_else_is_refused(folder: Path, key: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(folder, {**manifest, key: "another"})
    with pytest.raises(ConfigurationError, match=f"was made for {key} 'another'"):
        load_adapter(folder, WEIGHTS)


def test_a_damaged_adapter_is_refused(folder: Path) -> None:
    with (folder / "adapter.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ConfigurationError, match="adapter_sha256"):
        load_adapter(folder, WEIGHTS)


def test_a_missing_adapter_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="leo model train"):
        load_adapter(tmp_path, WEIGHTS)
