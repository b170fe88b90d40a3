"""A gateway whose model takes its time: ``python -m tests.support.slow_gateway PORT SECONDS``.

Every profile is a batch of its own, so that a request with many takes many steps.
"""

from __future__ import annotations

import sys

import uvicorn

from leo_activation.decision.gateway import create_app
from tests.support.backends import ScriptedBackend, writing
from tests.support.catalogues import send

if __name__ == "__main__":
    backend = ScriptedBackend(writing(send()), batch_size=1, seconds=float(sys.argv[2]))
    uvicorn.run(
        create_app(backend, max_waiting=2), port=int(sys.argv[1]), log_level="warning",
        timeout_graceful_shutdown=30,
    )  # fmt: skip
