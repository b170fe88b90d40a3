"""From posted bytes to events that can be stored, one verdict for each of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta, Raw, Struct

from leo_activation.api.problems import Problem, short
from leo_activation.api.routing import why_not_storable

MAX_EVENTS = 10_000
MAX_EVENT_BYTES = 32 * 1024
# A client's clock may run ahead by so much.
MAX_AHEAD = timedelta(minutes=5)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# A thousand milliards of đồng; more is a mistake, and would not fit into sums over a customer.
MAX_VALUE_VND = 10**12
# What only the platform itself may say of a customer.
RESERVED_TYPES = frozenset({"campaign_targeted", "agent_activated"})
SOURCE = "api"
_ESCAPED_NUL = b"\\u0000"
# Idempotency-Key and event_key end up in the same column.
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class EventIn(Struct, forbid_unknown_fields=True, gc=False):
    """One event as clients post it."""

    ext_id: Annotated[str, Meta(min_length=1, max_length=254)]
    event_type: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}\Z")]
    occurred_at: Annotated[datetime, Meta(tz=True)]
    payload: dict[str, Any] = {}
    event_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    source: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}\Z")] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event that can be stored.

    :param place: its index among the posted ones.
    :param document: a JSON object that ``store_events`` reads, without its place.
    """

    place: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event that cannot be stored, and why.

    :param place: its index among the posted ones.
    :param reason: a word for programs.
    :param line: of NDJSON, counted from 1.
    """

    place: int
    reason: str
    what: str
    value: str | None = None
    action: str = ""
    line: int | None = None

    def document(self) -> dict[str, Any]:
        """Return the item of the answer."""
        item: dict[str, Any] = {
            "index": self.place,
            "status": "rejected",
            "event_id": None,
            "reason": self.reason,
            "what": self.what,
            "value": self.value,
            "action": self.action or None,
        }
        if self.line is not None:
            item["line"] = self.line
        return item


class _Refused(Exception):
    """Carries why one event is refused to where its place is known."""

    def __init__(self, reason: str, what: str, value: Any = None, action: str = "") -> None:
        super().__init__(what)
        self.reason, self.what, self.action = reason, what, action
        self.value = None if value is None else short(value)


Verdict = Event | Rejection

_EVENT = msgspec.json.Decoder(EventIn)
_ARRAY = msgspec.json.Decoder(list[Raw])


def parse_single(body: bytes, now: datetime, idempotency_key: str | None) -> Verdict:
    """Return the verdict on a body that is one JSON object.

    :param idempotency_key: names the event when it does not name itself.
    """
    return _verdict(0, body, now, idempotency_key, None)


def parse_array(body: bytes, now: datetime) -> list[Verdict]:
    """Return a verdict on each item of a body that is a JSON array.

    :raises Problem: the body is no array, so that its items cannot be told apart.
    """
    try:
        items = _ARRAY.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _no_json(error) from None
    _check_count(len(items))
    return [_verdict(place, item, now, None, None) for place, item in enumerate(items)]


def parse_lines(body: bytes, now: datetime) -> list[Verdict]:
    """Return a verdict on each line of NDJSON that is not empty."""
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    _check_count(len(lines))
    return [_verdict(place, line, now, None, number) for place, (number, line) in enumerate(lines)]


def checked_idempotency_key(value: str | None) -> str | None:
    """Return the header, unless it is none.

    :raises Problem: it cannot be the key of an event.
    """
    if value is not None and not _KEY.fullmatch(value):
        raise Problem(
            400, "invalid-idempotency-key", "the Idempotency-Key cannot be used", value,
            "send 1 to 255 printable ASCII characters without spaces",
        )  # fmt: skip
    return value


def _check_count(count: int) -> None:
    if count > MAX_EVENTS:
        raise Problem(
            413, "too-many-events", "the batch holds too many events", f"{count:,}",
            f"send at most {MAX_EVENTS:,} at a time",
        )  # fmt: skip


def _no_json(error: Exception) -> Problem:
    return Problem(
        400, "invalid-json", f"the body is no JSON array: {error}",
        action="send one JSON array in UTF-8, or NDJSON as application/x-ndjson",
    )  # fmt: skip


def _verdict(
    place: int, item: bytes | Raw, now: datetime, default_key: str | None, line: int | None
) -> Verdict:
    try:
        return Event(place, _document(item, now, default_key))
    except _Refused as error:
        return Rejection(place, error.reason, error.what, error.value, error.action, line)


def _document(item: bytes | Raw, now: datetime, default_key: str | None) -> bytes:
    """Return an event as ``store_events`` reads it.

    :raises _Refused: it cannot be stored.
    """
    if len(memoryview(item)) > MAX_EVENT_BYTES:
        raise _Refused(
            "too_large", "the event is too large", f"{len(memoryview(item)):,} bytes",
            f"send at most {MAX_EVENT_BYTES:,} bytes an event; keep the rest at home, with a link",
        )  # fmt: skip
    event = _decoded(item)
    occurred_at = _checked_time(event.occurred_at, now)
    _check_amount(event.payload.get("value_vnd"))
    if event.event_type in RESERVED_TYPES:
        raise _Refused("reserved_type", "event_type is the platform's own", event.event_type,
                       "name your event otherwise")  # fmt: skip
    try:
        payload = orjson.dumps(event.payload, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise _Refused("invalid", f"payload: {error}", None,
                       "send numbers of 64 bits and at most 250 levels") from None  # fmt: skip
    if _ESCAPED_NUL in bytes(item) and (reason := _nul(event)):
        raise _Refused("invalid", reason, None, "take the NUL character out")
    key = event.event_key or default_key or _content_key(event.event_type, occurred_at, payload)
    return orjson.dumps(
        {
            "ext_id": event.ext_id,
            "event_type": event.event_type,
            "source": SOURCE if event.source is None else f"{SOURCE}/{event.source}",
            "source_key": key,
            "occurred_at": occurred_at,
            "payload": orjson.Fragment(payload),
        }
    )


def _decoded(item: bytes | Raw) -> EventIn:
    try:
        return _EVENT.decode(item)
    except msgspec.ValidationError as error:
        what, value = str(error).replace("`", ""), _value_at(bytes(item), str(error))
        raise _Refused("invalid", what, value, "correct the event; see /docs") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _Refused("invalid_json", f"the event is no JSON: {error}", bytes(item)[:60].decode(
            "utf-8", "replace"), "send one JSON object in UTF-8") from None  # fmt: skip


def _value_at(item: bytes, message: str) -> Any:
    """Return the value of the field that an error message ends with, as far as it can be shown."""
    _, _, path = message.partition(" - at `$.")
    try:
        document = orjson.loads(item)
    except orjson.JSONDecodeError:
        return None
    if not path or not isinstance(document, dict):
        return None
    return document.get(re.split(r"[.\[`]", path)[0])


def _checked_time(occurred_at: datetime, now: datetime) -> datetime:
    if occurred_at < EARLIEST:
        raise _Refused("invalid", "occurred_at is before the year 2000", occurred_at.isoformat(),
                       "send when it happened, with its zone")  # fmt: skip
    if occurred_at > now + MAX_AHEAD:
        raise _Refused(
            "invalid", "occurred_at is in the future", occurred_at.isoformat(),
            f"set the clock right; the time here is {now.isoformat(timespec='seconds')}",
        )  # fmt: skip
    return occurred_at.astimezone(UTC)


def _check_amount(value: Any) -> None:
    """Refuse an amount that no sum over a customer could hold; what is no number is no amount."""
    if type(value) in (int, float) and not -MAX_VALUE_VND <= value <= MAX_VALUE_VND:
        raise _Refused("invalid", "payload.value_vnd is no amount of đồng", value,
                       f"send a number from {-MAX_VALUE_VND} to {MAX_VALUE_VND}")  # fmt: skip


def _nul(event: EventIn) -> str | None:
    """Return where an event holds a NUL character; what was escaped twice holds none."""
    return why_not_storable([event.ext_id, event.event_key, event.payload])


def _content_key(event_type: str, occurred_at: datetime, payload: bytes) -> str:
    """Return the key of an event that has none: the same content is the same event."""
    told = f"{event_type}\n{occurred_at.isoformat()}\n".encode()
    return hashlib.sha256(told + payload).hexdigest()


def accepted(verdicts: Sequence[Verdict]) -> Iterator[Event]:
    """Yield those that can be stored."""
    return (it for it in verdicts if isinstance(it, Event))
