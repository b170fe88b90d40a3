"""The same request twice is one request: ``Idempotency-Key`` on every POST that has an effect.

The answer to a key is kept and given again. It is written after the effect, so a process that dies
in between leaves an effect without an answer: the repetition does the work again, and every effect
here depends on the key alone (ids are hashes of it), so it finds what is there. Only answers of
success are kept; a refusal is judged anew each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

import orjson
import psycopg
from fastapi import Header, Request
from fastapi.responses import Response
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from leo_activation.api.authentication import Caller
from leo_activation.api.problems import Problem
from leo_activation.api.services import ApiServices
from leo_activation.database import Connection, tenant_transaction
from leo_activation.queries import load_queries

SQL = load_queries("api")
REPLAY_HEADER = "Idempotent-Replay"
# Visible ASCII, as a header can carry it without quoting.
_KEY_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
# Longer than a sentence takes to be compiled; then the second of two equal requests gives up.
PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.05


def wanted_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Your name for this wish: the same key with the same body gets the same "
            "answer again, and nothing is done twice.",
            json_schema_extra={"type": "string", "pattern": "^[!-~]{1,255}$"},
        ),
    ] = None,
) -> str | None:
    """Return the request's idempotency key.

    :raises Problem: 422 when it cannot be one.
    """
    if idempotency_key is not None and not _KEY_FORM.fullmatch(idempotency_key):
        raise Problem(
            422, "invalid-idempotency-key", "Idempotency-Key cannot be used", idempotency_key,
            "send 1 to 255 visible ASCII characters, for example a new UUID for each new wish",
        )  # fmt: skip
    return idempotency_key


@dataclass(frozen=True)
class Answer:
    """What a request is answered.

    :param status: of success.
    :param body: of the answer.
    """

    status: int
    body: BaseModel

    def document(self) -> dict[str, Any]:
        """Return the body as it is written."""
        return self.body.model_dump(mode="json", by_alias=True)


Work = Callable[[Connection, str], Answer]


class Once:
    """Answers the requests of one process; ``request.app.state.once`` keeps it.

    :param services: whose connections are used.
    """

    def __init__(self, services: ApiServices) -> None:
        """Start with nobody at work."""
        self.services = services
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def answer(
        self, request: Request, caller: Caller, key: str | None, wish: Any, work: Work
    ) -> Response:
        """Do what a request wishes, or give the answer again that its key got before.

        :param key: the client's; without one the request is its own only repetition.
        :param wish: everything the answer depends on, as JSON: path parameters and body.
        :param work: does it in a thread; gets a connection, and the key or a fresh one, from
            which it must derive the identity of all its effects.
        :raises Problem: 422 for a key that was used for another wish, 409 while an equal request
            is still at work after some seconds.
        """
        asked = _Asked(caller, _endpoint(request), key or str(uuid4()), _sha256(wish))
        if key is None:
            status, document = await self.services.run(_work_alone, asked, work)
            return _response(status, document)
        async with self._turn(asked.lock_name):
            status, document, is_replay = await self.services.run(_work_once, asked, work)
        return _response(status, document, {REPLAY_HEADER: "true"} if is_replay else None)

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """Let equal requests of this process wait here, where they hold no connection."""
        lock, waiting = self._turns.get(name, (asyncio.Lock(), 0))
        self._turns[name] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(name)
            if waiting > 1:
                self._turns[name] = (lock, waiting - 1)


@dataclass(frozen=True)
class _Asked:
    caller: Caller
    endpoint: str
    key: str
    request_sha256: bytes

    @property
    def lock_name(self) -> str:
        return f"api:{self.caller.tenant_id}:{self.endpoint}:{self.key}"

    def columns(self) -> dict[str, Any]:
        return {
            "tenant_id": self.caller.tenant_id, "endpoint": self.endpoint,
            "idempotency_key": self.key, "request_sha256": self.request_sha256,
            "api_key_id": self.caller.api_key_id,
        }  # fmt: skip


def _work_alone(connection: Connection, asked: _Asked, work: Work) -> tuple[int, Mapping[str, Any]]:
    answer = work(connection, asked.key)
    return answer.status, answer.document()


def _work_once(
    connection: Connection, asked: _Asked, work: Work
) -> tuple[int, Mapping[str, Any], bool]:
    """Return status, body, and whether both were kept from before."""
    with _request_lock(connection, asked.lock_name):
        with tenant_transaction(connection, asked.caller.tenant_id) as cursor:
            kept = cursor.execute(SQL.find_request, asked.columns()).fetchone()
        if kept is not None:
            if bytes(kept["request_sha256"]) != asked.request_sha256:
                raise Problem(
                    422, "idempotency-key-reused", "Idempotency-Key was used for another request",
                    asked.key, "send a new key for a new request, the same one to repeat one",
                )  # fmt: skip
            return kept["status_code"], kept["response"], True
        answer = work(connection, asked.key)
        values = {"status_code": answer.status, "response": Jsonb(answer.document())}
        with tenant_transaction(connection, asked.caller.tenant_id) as cursor:
            row = cursor.execute(SQL.add_request, {**asked.columns(), **values}).fetchone()
    # As it was kept, so that the answer and its repetitions are equal to the byte.
    return answer.status, answer.document() if row is None else row["response"], False


@contextlib.contextmanager
def _request_lock(connection: Connection, name: str) -> Iterator[None]:
    """Hold the turn among equal requests of all processes, over several transactions."""
    wanted = {"name": name}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _is_mine(connection, wanted):
        if time.monotonic() > deadline:
            raise Problem(
                409, "request-in-progress", "an equal request is still at work",
                action="send it again with the same Idempotency-Key", retry_after=2,
            )  # fmt: skip
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        # With a broken connection the lock is gone already.
        with contextlib.suppress(psycopg.OperationalError):
            connection.execute(SQL.unlock_request, wanted)


def _is_mine(connection: Connection, wanted: Mapping[str, Any]) -> bool:
    row = connection.execute(SQL.try_lock_request, wanted).fetchone()
    return row is not None and bool(row["is_mine"])


def _endpoint(request: Request) -> str:
    """Return the endpoint's name; the same whether the application is mounted or not."""
    return f"{request.method} {request.scope['route'].path}"


def _sha256(wish: Any) -> bytes:
    told = orjson.dumps(wish, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(told).digest()


def _response(
    status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(document), status, headers=headers, media_type="application/json")
