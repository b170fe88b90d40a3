"""When a deferred message is due: by Vietnam's clock, whatever the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.zalo_codes import VIETNAM, Until, due_at, is_night

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
HOURS = st.integers(0, 23)


@given(MOMENTS, HOURS, HOURS)
def test_a_due_time_lies_ahead_and_no_farther_than_it_must(
    now: datetime, morning: int, reset: int
) -> None:
    due = {until: due_at(until, now, morning_hour=morning, reset_hour=reset) for until in Until}
    assert min(due.values()) > now
    assert (due[Until.MORNING].hour, due[Until.NEXT_DAY].hour) == (morning, reset)
    assert due[Until.MORNING] - now <= timedelta(days=1)
    assert due[Until.NEXT_DAY] - now <= timedelta(days=1)
    month = due[Until.NEXT_MONTH]
    assert (month.day, month.hour) == (1, reset)
    here = now.astimezone(VIETNAM)
    assert (month.year * 12 + month.month) - (here.year * 12 + here.month) == 1


@given(MOMENTS, HOURS, HOURS)
def test_at_the_end_of_the_night_it_is_day(now: datetime, start: int, end: int) -> None:
    if is_night(now, start, end):
        morning = due_at(Until.MORNING, now, morning_hour=end, reset_hour=0)
        assert not is_night(morning, start, end)


@pytest.mark.parametrize(
    ("now", "until", "due"),
    [
        ("2026-12-31T20:00+07:00", Until.NEXT_MONTH, "2027-01-01T00:00+07:00"),
        ("2028-01-31T20:00+07:00", Until.NEXT_MONTH, "2028-02-01T00:00+07:00"),
        ("2026-11-30T23:59+07:00", Until.NEXT_DAY, "2026-12-01T00:00+07:00"),
        ("2026-11-30T00:00+07:00", Until.NEXT_DAY, "2026-12-01T00:00+07:00"),
        ("2026-11-23T05:59+07:00", Until.MORNING, "2026-11-23T06:00+07:00"),
        ("2026-11-23T22:00+07:00", Until.MORNING, "2026-11-24T06:00+07:00"),
    ],
)
def test_a_due_time_is_counted_in_vietnam(now: str, until: Until, due: str) -> None:
    moment = datetime.fromisoformat(now).astimezone(UTC)
    assert due_at(until, moment, morning_hour=6, reset_hour=0) == datetime.fromisoformat(due)
