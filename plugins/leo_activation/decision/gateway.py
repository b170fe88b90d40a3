"""The gateway: one process that holds the model, so that short-lived tasks need not load it.

A request either gets its decisions or a clear refusal at once. Only so many may wait for the
model; the rest are told to come back, instead of all of them becoming slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from leo_activation.decision.backends.base import Backend, BackendUnavailableError
from leo_activation.decision.desk import Desk
from leo_activation.decision.gateway_metrics import CONTENT_TYPE, GatewayMetrics
from leo_activation.decision.gateway_problems import GatewayProblem, invalid_request
from leo_activation.decision.gateway_queue import Job, QueueFullError, WorkQueue
from leo_activation.decision.gateway_requests import DecisionRequest, decision_steps
from leo_activation.decision.limits import MAX_BODY_BYTES
from leo_activation.errors import DecisionError

LOG = logging.getLogger(__name__)
MAX_WAITING = 32
BODY_SECONDS = 30.0
# A place is free again after one decision, most of the time.
RETRY_AFTER_SECONDS = 1


def create_app(
    backend: Backend,
    *,
    max_waiting: int = MAX_WAITING,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Return the HTTP application around a backend that is ready.

    :param max_waiting: requests under way or waiting; one more is refused.
    :param clock: monotonic seconds.
    """
    gateway = _Gateway(backend, max_waiting, clock)
    app = FastAPI(
        title="LEO decision gateway", docs_url=None, redoc_url=None, lifespan=gateway.lifespan
    )
    app.add_api_route("/health", gateway.health)
    app.add_api_route("/ready", gateway.ready)
    app.add_api_route("/version", gateway.version)
    app.add_api_route("/v1/model", gateway.version)
    app.add_api_route("/metrics", gateway.show_metrics)
    app.add_api_route(
        "/v1/decisions", gateway.decide, methods=["POST"],
        openapi_extra={"requestBody": {"content": {"application/json": {
            "schema": DecisionRequest.model_json_schema()}}}},
    )  # fmt: skip
    return app


class _Gateway:
    """The endpoints, and what they share."""

    def __init__(self, backend: Backend, max_waiting: int, clock: Callable[[], float]) -> None:
        self.desk = Desk(backend)
        self.queue = WorkQueue(max_waiting)
        self.metrics = GatewayMetrics(lambda: self.queue.inside)
        self.clock = clock
        self.is_draining = False

    @contextlib.asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Serve; at the end finish what is inside, which the server has waited for."""
        yield
        self.is_draining = True
        await asyncio.to_thread(self.queue.close)

    async def health(self) -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    async def ready(self) -> JSONResponse:
        """Say that the model is loaded and how many requests are inside."""
        status = "draining" if self.is_draining else "ready"
        content = {"status": status, "model": self.desk.model, "waiting": self.queue.inside}
        return JSONResponse(content, 503 if self.is_draining else 200)

    async def version(self) -> dict[str, Any]:
        """Return everything that a decision depends on besides its input."""
        return {"model": self.desk.model, **self.desk.versions}

    async def show_metrics(self) -> Response:
        """Return the counters as Prometheus reads them."""
        return Response(self.metrics.page(), media_type=CONTENT_TYPE)

    async def decide(self, request: Request) -> Response:
        """Answer a request, or say why not."""
        started, mode = self.clock(), "unknown"
        try:
            asked = _parse(await _read_body(request))
            mode = asked.mode
            answer = await self._result(request, self._submit(asked))
            response: Response = JSONResponse(answer)
        except GatewayProblem as problem:
            self.metrics.rejects.labels(problem.reason).inc()
            response = problem.response()
        self.metrics.requests.labels(mode, str(response.status_code)).inc()
        self.metrics.latency.labels(mode).observe(self.clock() - started)
        return response

    def _submit(self, asked: DecisionRequest) -> Job:
        try:
            return self.queue.submit(decision_steps(self.desk, asked, self.metrics))
        except QueueFullError:
            raise GatewayProblem(
                429, "full", "as many requests as allowed are waiting already",
                self.queue.limit, "send the same request again after Retry-After seconds",
                RETRY_AFTER_SECONDS,
            ) from None  # fmt: skip

    async def _result(self, request: Request, job: Job) -> dict[str, Any]:
        """Wait for the answer, but not longer than somebody waits for it."""
        answer = asyncio.wrap_future(job.future)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise GatewayProblem(499, "gone", "the client went away before its answer")
            return answer.result()
        except GatewayProblem:
            raise
        except BackendUnavailableError as error:
            raise GatewayProblem(
                503, "unavailable", str(error), retry_after=RETRY_AFTER_SECONDS
            ) from error
        except DecisionError as error:
            raise GatewayProblem(422, "invalid", str(error)) from error
        except Exception as error:
            LOG.exception("a request failed")
            raise GatewayProblem(
                500, "failed", f"the gateway failed on this request ({type(error).__name__})",
                action="report it with the gateway's log",
            ) from error  # fmt: skip
        finally:
            gone.cancel()
            answer.cancel()
            job.future.cancel()


async def _disconnected(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read_body(request: Request) -> bytes:
    """Return the body, unless it is too long or too slow.

    :raises GatewayProblem: when it is.
    """
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > MAX_BODY_BYTES:
        raise _too_large(int(told))
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large(len(body))
    except TimeoutError:
        raise GatewayProblem(
            408,
            "slow",
            f"the body did not arrive within {BODY_SECONDS:g} s",
            action="send it again",
        ) from None
    return bytes(body)


def _too_large(size: int) -> GatewayProblem:
    return GatewayProblem(
        413, "too_large", "the body is too large", f"{size:,} bytes",
        f"send at most {MAX_BODY_BYTES:,} bytes, with fewer profiles in one request",
    )  # fmt: skip


def _parse(body: bytes) -> DecisionRequest:
    try:
        return DecisionRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from error
