"""The gateway: one process that holds the model, so that short-lived tasks need not load it.

A request either gets its decision or a clear refusal at once. Only so many may wait for the
model; the rest are told to come back, instead of all of them becoming slow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.engine import Engine
from leo_activation.errors import DecisionError

MAX_WAITING = 32


class DecisionRequest(BaseModel):
    """A sentence and what its plan may name.

    :param mode: ``plan`` compiles the sentence once; code evaluates it for every profile.
    """

    model_config = ConfigDict(extra="forbid")

    instruction: str = Field(min_length=1, max_length=4_000)
    mode: Literal["plan"] = "plan"
    catalogue: dict[str, Any]


class Queue:
    """How many requests may be under way or wait.

    :param limit: one more is refused.
    """

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self.limit = limit
        self.inside = 0
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while the block runs.

        :raises HTTPException: 503 when there is none.
        """
        with self._lock:
            if self.inside >= self.limit:
                raise HTTPException(
                    503,
                    f"{self.limit} decisions are waiting already; try again in a second",
                    headers={"Retry-After": "1"},
                )
            self.inside += 1
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1


def create_app(engine: Engine, *, max_waiting: int = MAX_WAITING) -> FastAPI:
    """Return the HTTP application around a loaded engine."""
    app = FastAPI(title="LEO decision gateway", docs_url=None, redoc_url=None)
    queue = Queue(max_waiting)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    @app.get("/ready")
    def ready() -> dict[str, Any]:
        """Say that the model is loaded and how many requests are inside."""
        return {"status": "ready", "model": engine.model, "waiting": queue.inside}

    @app.get("/version")
    def version() -> dict[str, Any]:
        """Return model, adapter and schema versions."""
        return engine.version()

    @app.post("/v1/decisions")
    def decide(request: DecisionRequest) -> dict[str, Any]:
        """Compile a sentence into a plan."""
        with queue.place():
            try:
                catalogue = parse_catalogue(request.catalogue)
                return engine.decide(request.instruction, catalogue).to_document()
            except DecisionError as error:
                raise HTTPException(422, str(error)) from error

    return app
