"""The CDP as a source: a few idempotent reads over python-arango.

Every read can be repeated from where it stood, so a cursor that expired, a server that was busy or
a connection that broke costs one page, and never the run. Nothing is ever written, and no index is
created: the CDP is somebody else's. An index on ``["updatedAt", "_key"]`` makes the delta as fast
as it can be; the CDP's own one on ``updatedAt`` is enough to be correct.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import orjson
from arango.client import ArangoClient
from arango.cursor import Cursor
from arango.database import StandardDatabase
from arango.exceptions import ArangoError, ArangoServerError
from arango.http import DefaultHTTPClient
from requests import RequestException

from leo_activation.errors import SourceError
from leo_activation.ingest.mapping import FORBIDDEN

Document = dict[str, Any]
T = TypeVar("T")

BATCH = 1_000
MANIFEST_BATCH = 10_000
# Seconds a cursor may lie idle; a page is written to PostgreSQL while it waits.
CURSOR_TTL_S = 120

# The attributes of an event; explicit, as everything that is read.
EVENT_ATTRIBUTES = (
    "metricName", "refProfileId", "createdAt", "transactionId", "transactionValue",
    "transactionCurrency", "transactionStatus", "refCampaignId", "orderedItems",
)  # fmt: skip

_TRANSIENT_HTTP = frozenset((408, 429, 500, 502, 503, 504))
_CURSOR_NOT_FOUND = 1600
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
# An even number of backslashes before it: an odd one would make it text about an escape.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order (``updatedAt``, ``_key``) of all profiles.

    :param updated_at: in the CDP's format, 24 characters, UTC.
    :param key: empty for "before every profile of that moment".
    """

    updated_at: str
    key: str = ""


class Source(Protocol):
    """What the ingest needs of a CDP."""

    def newest(self) -> str | None:
        """Return the latest ``updatedAt``, or None when no profile has one."""

    def changed(self, after: Position, attributes: Sequence[str], limit: int) -> list[Document]:
        """Return the next page of profiles behind a position, in its order."""

    def manifest(self) -> Iterator[list[tuple[str, str]]]:
        """Yield (key, revision) of every profile, in batches."""

    def segments(self) -> list[str]:
        """Return the ids of the segments that are in use."""

    def members(self, segment: str) -> Iterator[list[tuple[str, str]]]:
        """Yield (key, revision) of the active members of a segment, in batches."""

    def profiles(self, keys: Sequence[str], attributes: Sequence[str]) -> list[Document]:
        """Return the profiles of these keys that exist."""

    def events(self, keys: Sequence[str], metrics: Sequence[str]) -> Iterator[list[Document]]:
        """Yield the events of these profiles, in batches; a batch may be repeated."""


class ArangoSource:
    """A LEO CDP installation: one ArangoDB database.

    :param url: of the server, such as ``http://127.0.0.1:8529``.
    :param auth_method: ``basic`` or ``jwt``.
    :param timeout_s: seconds without an answer after which a request has failed.
    :param attempts: how often one read is tried in all.
    :param sleep: waits between tries; takes seconds.
    """

    def __init__(
        self,
        *,
        url: str,
        database: str,
        username: str,
        password: str,
        auth_method: str = "basic",
        timeout_s: float = 60,
        attempts: int = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare the connection; a basic one sends nothing yet.

        :raises SourceError: when a jwt login fails.
        """
        self._name = f"{database} at {url}"
        self._attempts = attempts
        self._sleep = sleep
        self._clients: list[ArangoClient] = []
        self._local = threading.local()

        def connect() -> StandardDatabase:
            # Its own retries would multiply with ours and take 18 s to see that a port is closed.
            http = DefaultHTTPClient(request_timeout=timeout_s, retry_attempts=0)
            client = ArangoClient(
                url, http_client=http, serializer=_serialise, deserializer=deserialise
            )
            self._clients.append(client)
            return client.db(
                database, username=username, password=password, auth_method=auth_method
            )

        self._connect = connect
        self._patiently(self._database)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _database(self) -> StandardDatabase:
        """Return this thread's own client: the library promises nothing about sharing one."""
        if not hasattr(self._local, "database"):
            self._local.database = self._connect()
        database: StandardDatabase = self._local.database
        return database

    def newest(self) -> str | None:
        """Return the latest ``updatedAt``, or None when no profile has one."""
        found = self._all(
            "FOR p IN cdp_profile FILTER p.updatedAt > '' SORT p.updatedAt DESC LIMIT 1 "
            "RETURN p.updatedAt",
            {},
        )
        return next((moment for moment in found if isinstance(moment, str)), None)

    def changed(self, after: Position, attributes: Sequence[str], limit: int) -> list[Document]:
        """Return the next page of profiles behind a position, in its order.

        Two queries instead of one with OR, because each of them is one range of an index: the rest
        of the moment that the last page ended in, then everything later.
        """
        projection = _projection("p", attributes)
        page = self._all(
            "FOR p IN cdp_profile FILTER p.updatedAt == @moment AND p._key > @key "
            f"SORT p.updatedAt, p._key LIMIT @limit RETURN {projection}",
            {"moment": after.updated_at, "key": after.key, "limit": limit},
        )
        if len(page) < limit:
            page += self._all(
                "FOR p IN cdp_profile FILTER p.updatedAt > @moment "
                f"SORT p.updatedAt, p._key LIMIT @limit RETURN {projection}",
                {"moment": after.updated_at, "limit": limit - len(page)},
            )
        return page

    def manifest(self) -> Iterator[list[tuple[str, str]]]:
        """Yield (key, revision) of every profile, in batches; a batch may be repeated."""
        yield from self._batches("FOR p IN cdp_profile RETURN [p._key, p._rev]", {})

    def segments(self) -> list[str]:
        """Return the ids of the segments that are not deleted."""
        return self._all("FOR s IN cdp_segment FILTER s.status >= 0 RETURN s._key", {})

    def members(self, segment: str) -> Iterator[list[tuple[str, str]]]:
        """Yield (key, revision) of the active members of a segment, in batches."""
        yield from self._batches(
            "FOR p IN cdp_profile FILTER @segment IN p.inSegments[*].id AND p.status > 0 "
            "RETURN [p._key, p._rev]",
            {"segment": segment},
        )

    def profiles(self, keys: Sequence[str], attributes: Sequence[str]) -> list[Document]:
        """Return the profiles of these keys that exist."""
        return self._all(
            f"FOR p IN cdp_profile FILTER p._key IN @keys RETURN {_projection('p', attributes)}",
            {"keys": list(keys)},
        )

    def events(self, keys: Sequence[str], metrics: Sequence[str]) -> Iterator[list[Document]]:
        """Yield the events of these profiles, in batches; a batch may be repeated."""
        yield from self._batches(
            "FOR e IN cdp_trackingevent "
            "FILTER e.refProfileId IN @keys AND e.metricName IN @metrics "
            f"RETURN {_projection('e', EVENT_ATTRIBUTES)}",
            {"keys": list(keys), "metrics": list(metrics)},
            size=BATCH,
        )

    def _all(self, query: str, binds: Document) -> list[Any]:
        """Run a query whose whole result fits a page or two."""

        def read() -> list[Any]:
            with self._open(query, binds, BATCH) as cursor:
                return list(cursor)

        return self._patiently(read)

    def _batches(
        self, query: str, binds: Document, *, size: int = MANIFEST_BATCH
    ) -> Iterator[list[Any]]:
        """Stream a long result; after a failure it starts again, so consumers ignore repeats."""
        failures = 0
        while True:
            try:
                yield from self._stream(query, binds, size)
            except (ArangoError, ConnectionError, RequestException) as error:
                failures += 1
                self._wait_or_raise(error, failures)
            else:
                return

    def _stream(self, query: str, binds: Document, size: int) -> Iterator[list[Any]]:
        with self._open(query, binds, size) as cursor:
            while True:
                batch = list(cursor.batch() or ())
                (cursor.batch() or batch).clear()
                if batch:
                    yield batch
                if not cursor.has_more():
                    return
                cursor.fetch()

    def _open(self, query: str, binds: Document, size: int) -> Cursor:
        cursor = self._database().aql.execute(
            query, bind_vars=binds, batch_size=size, ttl=cast("Any", CURSOR_TTL_S)
        )
        return cast("Cursor", cursor)

    def _patiently(self, read: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                return read()
            except (ArangoError, ConnectionError, RequestException) as error:
                failures += 1
                self._wait_or_raise(error, failures)

    def _wait_or_raise(self, error: Exception, failures: int) -> None:
        """Wait before the next try: 0.2 s, then twice as long each time.

        :raises SourceError: when the failure is no passing one, or it was the last try.
        """
        if not _is_transient(error):
            raise SourceError(
                f"the CDP {self._name} refused a read: {error}. Check the connection's database, "
                "user and password, and that the user may read cdp_profile, cdp_segment and "
                "cdp_trackingevent"
            ) from error
        if failures >= self._attempts:
            raise SourceError(
                f"the CDP {self._name} could not be read in {failures} tries, the last one: "
                f"{error}. Nothing is lost: run the sync again when the server answers"
            ) from error
        self._sleep(0.2 * 2 ** (failures - 1))


def _is_transient(error: Exception) -> bool:
    if not isinstance(error, ArangoServerError):
        return isinstance(error, ConnectionError | RequestException)
    return error.error_code == _CURSOR_NOT_FOUND or error.http_code in _TRANSIENT_HTTP


def _projection(variable: str, attributes: Sequence[str]) -> str:
    """Return an AQL object of exactly these attributes, never a whole document.

    :raises SourceError: for an attribute that may not be read, or that is no plain name.
    """
    for name in attributes:
        if name in FORBIDDEN or not _NAME.fullmatch(name):
            raise SourceError(f"the attribute {name!r} may not be read from the CDP")
    names = ("_key", "_rev", *attributes)
    return "{" + ", ".join(f"`{name}`: {variable}.`{name}`" for name in names) + "}"


def _serialise(body: Any) -> str:
    return orjson.dumps(body).decode()


def deserialise(text: str) -> Any:
    """Parse JSON into text that PostgreSQL can hold: no NUL, no halves of characters.

    :raises ValueError: when it is no JSON.
    """
    if "\\u0000" in text:
        text = _ESCAPED_NUL.sub(r"\1", text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # A lone surrogate, which only the standard library lets through.
        return _mended(json.loads(text))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(item) for name, item in value.items()}
    return value
