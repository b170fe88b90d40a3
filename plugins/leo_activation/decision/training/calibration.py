"""How far the words are to be trusted on sentences of strangers.

While it learns, an adapter sees the same authors again and again and comes to trust itself. One
scale for all learned weights, and one bonus for doing anything at all, are therefore chosen on the
sets that nothing was learned from (``HELD_OUT``), and written into the manifest.

Run: ``python -m leo_activation.decision.training.calibration --adapter FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from leo_activation.decision.adapter import MANIFEST, calibrated, load_adapter, write_manifest
from leo_activation.decision.engine import Engine
from leo_activation.decision.training.evaluation import is_right, model_compiler
from leo_activation.decision.training.sets import HELD_OUT, Case, read_cases
from leo_activation.decision.weights import PreparedModel, default_folder, open_prepared
from leo_activation.paths import ADAPTER_FOLDER

SCALES = (1.0, 1.3, 1.6, 2.0)
BONUSES = (0.0, 0.7, 1.4)


def measure(
    prepared: PreparedModel, folder: Path, cases: Sequence[Case], scale: float, call: float
) -> int:
    """Return how many plans are right with some calibration.

    :param folder: of the adapter.
    """
    adapter = load_adapter(folder, prepared.weights_sha256)
    learned: Mapping[str, float] = adapter.manifest["advice"]
    engine = Engine(prepared, adapter, advice=calibrated(learned, {"scale": scale, "call": call}))
    return sum(map(is_right, cases, model_compiler(engine)(cases)))


def main() -> None:
    """Try all pairs and keep the best; the first of equals, which trusts the adapter more."""
    parser = argparse.ArgumentParser(description="Choose how far the words are to be trusted.")
    parser.add_argument("--adapter", type=Path, default=ADAPTER_FOLDER)
    parser.add_argument("--every", type=int, default=4, help="use every nth sentence")
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    parser.add_argument("--bonuses", type=float, nargs="+", default=BONUSES)
    options = parser.parse_args()
    prepared = open_prepared(default_folder())
    cases = [case for name in HELD_OUT for case in read_cases(name)[:: options.every]]
    best, chosen = -1, {"scale": 1.0, "call": 0.0}
    for scale in options.scales:
        for call in options.bonuses:
            right = measure(prepared, options.adapter, cases, scale, call)
            print(f"scale {scale} call {call}: {right}/{len(cases)}", file=sys.stderr, flush=True)
            if right > best:
                best, chosen = right, {"scale": scale, "call": call}
    manifest = json.loads((options.adapter / MANIFEST).read_text(encoding="utf-8"))
    manifest["calibration"] = chosen | {"right": best, "of": len(cases)}
    write_manifest(options.adapter, manifest)


if __name__ == "__main__":
    main()
