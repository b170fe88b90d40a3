"""A faster number format, used only where it was measured to decide the same.

bfloat16 halves what is read from memory in every pass, and some processors multiply it twice as
fast. It also rounds, so a choice that was nearly even may fall the other way. Whether it does is
measured on this machine, with this model and adapter, before it may be used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from leo_activation.decision.adapter import LoadedAdapter
from leo_activation.decision.engine import Decision, Engine, Request
from leo_activation.decision.weights import PreparedModel
from leo_activation.errors import ConfigurationError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEFAULT = "float32"
# Share of the sentences that must become the same plan.
LEAST_AGREEMENT = 0.98
LEAST_SENTENCES = 100
_FILE = "agreement.json"


@dataclass(frozen=True)
class Agreement:
    """How often the fast format decided as the exact one did, and how much faster.

    :param identity: of the model, adapter, library and processor that were measured.
    :param same: sentences that became the same plan.
    :param of: sentences measured.
    :param exact_ms: for one sentence, in float32.
    :param fast_ms: for one sentence, in bfloat16.
    """

    identity: str
    same: int
    of: int
    exact_ms: float
    fast_ms: float

    @property
    def is_enough(self) -> bool:
        """Tell whether so much was the same that the fast format may be used."""
        return self.of >= LEAST_SENTENCES and self.same >= LEAST_AGREEMENT * self.of


def identity(prepared: PreparedModel, adapter: LoadedAdapter | None) -> str:
    """Return what an agreement holds for; with another processor it may not."""
    version = adapter.version if adapter else "no adapter"
    processor = torch.backends.cpu.get_cpu_capability()
    return f"{prepared.weights_sha256[:12]}, {version}, torch {torch.__version__}, {processor}"


def measure_agreement(
    prepared: PreparedModel, adapter: LoadedAdapter | None, requests: Sequence[Request]
) -> Agreement:
    """Decide the same sentences in both formats, one at a time as the gateway would.

    :param requests: at least :data:`LEAST_SENTENCES`, each another.
    """
    exact, exact_ms = _decided(Engine(prepared, adapter), requests)
    fast, fast_ms = _decided(Engine(prepared, adapter, precision=torch.bfloat16), requests)
    same = sum(one.raw_output == other.raw_output for one, other in zip(exact, fast, strict=True))
    return Agreement(identity(prepared, adapter), same, len(requests), exact_ms, fast_ms)


def _decided(engine: Engine, requests: Sequence[Request]) -> tuple[list[Decision], float]:
    started = time.perf_counter()
    decided = [engine.decide_many([request])[0] for request in requests]
    return decided, round((time.perf_counter() - started) * 1000 / max(1, len(requests)), 1)


def keep_agreement(folder: Path, agreement: Agreement) -> None:
    """Remember what was measured beside the prepared weights."""
    (folder / _FILE).write_text(json.dumps(asdict(agreement), indent=2) + "\n", encoding="utf-8")


def allowed_precision(
    name: str, prepared: PreparedModel, adapter: LoadedAdapter | None
) -> torch.dtype:
    """Return the number format to compute in.

    :param name: a key of :data:`PRECISIONS`.
    :raises ConfigurationError: when there is no such format, or when nobody has measured that it
        decides as float32 does.
    """
    if name not in PRECISIONS:
        raise ConfigurationError(
            f"LEO_MODEL_PRECISION is {name!r}: set it to {' or '.join(PRECISIONS)}"
        )
    if name == DEFAULT:
        return torch.float32
    wanted = identity(prepared, adapter)
    try:
        found = Agreement(**json.loads((prepared.folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        found = Agreement("nothing", 0, 0, 0.0, 0.0)
    if found.identity != wanted or not found.is_enough:
        raise ConfigurationError(
            f"LEO_MODEL_PRECISION is {name!r}, but {name} is not known to decide as float32 does "
            f"here (measured for {found.identity}: {found.same} of {found.of} plans the same; "
            f"this is {wanted}, and {LEAST_AGREEMENT:.0%} are needed): run `leo model compare`, "
            "or set it to float32"
        )
    return PRECISIONS[name]
