"""Cursors are opaque, and good for one list only."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.api.pagination import Keyset, PageRequest
from leo_activation.api.problems import Problem

COLUMNS = {"created_at": datetime, "id": UUID}
NOW = datetime(2026, 11, 23, 9, 30, 0, 123456, tzinfo=UTC)


def keyset(**filters: Any) -> Keyset:
    return Keyset("things", COLUMNS, **filters)


def cursor_of(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@given(
    at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=7))])), uuid=st.uuids()
)
def test_a_page_begins_after_the_last_row_of_the_one_before(at: datetime, uuid: UUID) -> None:
    rows = [{"created_at": at, "id": uuid}, {"created_at": at, "id": uuid}]
    kept, cursor = keyset().cut(rows, PageRequest(1, None))
    assert len(kept) == 1
    assert keyset().after(PageRequest(5, cursor)) == {
        "after_created_at": at, "after_id": uuid, "most": 6,
    }  # fmt: skip


def test_the_last_page_has_no_cursor() -> None:
    rows = [{"created_at": NOW, "id": UUID(int=1)}]
    assert keyset().cut(rows, PageRequest(1, None)) == (rows, None)


def test_the_first_page_begins_nowhere() -> None:
    assert keyset().after(PageRequest(2, None)) == {
        "after_created_at": None, "after_id": None, "most": 3,
    }  # fmt: skip


def test_a_cursor_of_other_filters_is_refused() -> None:
    rows = [{"created_at": NOW, "id": UUID(int=1)}] * 2
    _, cursor = keyset(status="sent").cut(rows, PageRequest(1, None))
    with pytest.raises(Problem) as refused:
        keyset(status="failed").after(PageRequest(1, cursor))
    assert (refused.value.status_code, refused.value.slug) == (422, "invalid-cursor")


FINGERPRINT = keyset().fingerprint


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "%%%", "é", cursor_of([]), cursor_of([FINGERPRINT]),
        cursor_of([FINGERPRINT, 1, 2]),
        cursor_of([FINGERPRINT, "2026-11-23T09:30:00", str(UUID(int=1))]),
        cursor_of([FINGERPRINT, NOW.isoformat(), "no id"]),
        cursor_of([FINGERPRINT, NOW.isoformat(), str(UUID(int=1)), 3]),
        cursor_of({"a": 1}),  # type: ignore[arg-type]
        base64.urlsafe_b64encode(b"[" * 700).decode(),
    ],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Problem):
        keyset().after(PageRequest(1, cursor))


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda b: base64.b64encode(b).decode()))
def test_any_text_is_a_cursor_or_is_refused(text: str) -> None:
    for columns in (COLUMNS, {"ordinal": int}, {"ext_id": str}):
        with pytest.raises(Problem):
            Keyset("things", columns).after(PageRequest(1, text))


@pytest.mark.parametrize(
    ("kind", "value"), [(int, True), (int, -1), (int, 2**31), (str, "a\x00"), (str, 3)]
)
def test_a_place_that_no_list_has_is_refused(kind: type, value: Any) -> None:
    ordered = Keyset("things", {"place": kind})
    with pytest.raises(Problem):
        ordered.after(PageRequest(1, cursor_of([ordered.fingerprint, value])))
