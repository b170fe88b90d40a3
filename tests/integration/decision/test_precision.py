"""A faster number format is used only where it was measured to decide the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from leo_activation.decision.adapter import LoadedAdapter, load_adapter
from leo_activation.decision.engine import Engine, Request
from leo_activation.decision.loading import load_engine
from leo_activation.decision.precision import (
    LEAST_SENTENCES,
    Agreement,
    allowed_precision,
    identity,
    keep_agreement,
    measure_agreement,
)
from leo_activation.decision.weights import PreparedModel
from leo_activation.errors import ConfigurationError
from leo_activation.paths import ADAPTER_FOLDER
from tests.support.catalogues import shop


@pytest.fixture(scope="module")
def adapter(prepared: PreparedModel) -> LoadedAdapter:
    return load_adapter(ADAPTER_FOLDER, prepared.weights_sha256)


@pytest.fixture
def elsewhere(prepared: PreparedModel, tmp_path: Path) -> PreparedModel:
    """Return the model as if it lay in a folder where nothing was measured yet."""
    return replace(prepared, folder=tmp_path)


def measured(elsewhere: PreparedModel, adapter: LoadedAdapter, same: int, of: int) -> None:
    agreement = Agreement(identity(elsewhere, adapter), same, of, 400.0, 200.0)
    keep_agreement(elsewhere.folder, agreement)


def test_exact_numbers_need_no_measurement(
    elsewhere: PreparedModel, adapter: LoadedAdapter
) -> None:
    assert allowed_precision("float32", elsewhere, adapter) is torch.float32


def test_fast_numbers_are_refused_until_they_were_measured(
    elsewhere: PreparedModel, adapter: LoadedAdapter
) -> None:
    with pytest.raises(ConfigurationError, match=r"measured for nothing.*`leo model compare`"):
        allowed_precision("bfloat16", elsewhere, adapter)
    measured(elsewhere, adapter, LEAST_SENTENCES, LEAST_SENTENCES)
    assert allowed_precision("bfloat16", elsewhere, adapter) is torch.bfloat16


@pytest.mark.parametrize(("same", "of"), [(97, 100), (99, 99), (0, 0)])
def test_too_little_agreement_refuses_them(
    elsewhere: PreparedModel, adapter: LoadedAdapter, same: int, of: int
) -> None:
    measured(elsewhere, adapter, same, of)
    with pytest.raises(ConfigurationError, match=rf"{same} of {of} plans the same.*98%"):
        allowed_precision("bfloat16", elsewhere, adapter)


def test_what_was_measured_for_another_adapter_does_not_count(
    elsewhere: PreparedModel, adapter: LoadedAdapter
) -> None:
    measured(elsewhere, adapter, 200, 200)
    with pytest.raises(ConfigurationError, match="no adapter"):
        allowed_precision("bfloat16", elsewhere, None)


def test_a_damaged_measurement_does_not_count(
    elsewhere: PreparedModel, adapter: LoadedAdapter
) -> None:
    (elsewhere.folder / "agreement.json").write_text('{"same": 3}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="measured for nothing"):
        allowed_precision("bfloat16", elsewhere, adapter)


def test_an_unknown_format_says_which_there_are(
    prepared: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEO_MODEL_PRECISION", "int4")
    with pytest.raises(ConfigurationError, match="'int4': set it to float32 or bfloat16"):
        load_engine(prepared, ADAPTER_FOLDER)


def test_both_formats_decide_and_are_told_apart(
    prepared: PreparedModel, adapter: LoadedAdapter
) -> None:
    sentences = ("Gửi Zalo nếu là khách VIP", "Gửi email cho khách mới", "Hôm nay trời đẹp quá")
    found = measure_agreement(prepared, adapter, [Request(text, shop()) for text in sentences])
    assert (found.same, found.of) == (3, 3)
    assert not found.is_enough
    fast = Engine(prepared, adapter, precision=torch.bfloat16)
    assert fast.version()["precision"] == "bfloat16"
