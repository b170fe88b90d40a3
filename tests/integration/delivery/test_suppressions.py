"""Addresses that get nothing: a person's entries, the Do-Not-Call list, the link in a message."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from leo_activation.database import Connection
from leo_activation.delivery.suppressions import (
    ListReport,
    SuppressionError,
    import_do_not_call,
    lift_address,
    list_entries,
    stop_address,
)
from leo_activation.delivery.unsubscribe import (
    UnsubscribeLinks,
    UnsubscribeTokenError,
    unsubscribe,
)
from tests.support.campaigns import SECRET_KEY, customer, decided_campaign
from tests.support.receipts import LATER, NOON

A = "tenant_a"


def in_force(admin: Connection, **where: Any) -> list[tuple[str, str, str]]:
    rows = admin.execute(
        "select tenant_id, channel, address, reason from suppression where lifted_at is null"
        " order by address, channel, tenant_id"
    ).fetchall()
    return [
        (row["channel"], row["address"], row["reason"])
        for row in rows
        if row["tenant_id"] == where.get("tenant_id", A)
    ]


def load(connection: Connection, path: Path, content: str | bytes, **options: Any) -> ListReport:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    keys = {"tenant_id": A, "now": NOON, **options}
    return import_do_not_call(connection, path=path, **keys)


def numbers(count: int, start: int = 0) -> list[str]:
    return [f"0912{n:06d}" for n in range(start, start + count)]


def lines(values: Iterable[str]) -> str:
    return "".join(f"{value}\n" for value in values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dnc.txt"


def test_a_list_stops_every_spelling_of_a_number_on_every_channel_that_reaches_it(
    admin_conn: Connection, runtime_conn: Connection, path: Path
) -> None:
    content = "\ufeff01681234567\n\n+84 381 234 567\r\n84912000001\n"
    report = load(runtime_conn, path, content)
    assert (report.listed, report.entered, report.lifted, report.rejected) == (2, 2, 0, 0)
    assert in_force(admin_conn) == [
        (channel, address, "do_not_call")
        for address in ("84381234567", "84912000001")
        for channel in ("sms", "zalo")
    ]
    assert in_force(admin_conn, tenant_id="tenant_b") == []


def test_the_same_list_again_writes_nothing(
    admin_conn: Connection, runtime_conn: Connection, path: Path
) -> None:
    content = lines(numbers(50))
    load(runtime_conn, path, content)
    before = admin_conn.execute("select *, xmin from suppression order by 2").fetchall()
    again = load(runtime_conn, path, content, now=LATER)
    assert (again.listed, again.entered, again.lifted) == (50, 0, 0)
    assert admin_conn.execute("select *, xmin from suppression order by 2").fetchall() == before


def test_a_newer_list_replaces_the_old_one_and_lifts_only_what_the_list_had_stopped(
    admin_conn: Connection, runtime_conn: Connection, path: Path
) -> None:
    load(runtime_conn, path, lines(numbers(4)))
    stop_address(
        runtime_conn, tenant_id=A, channel="zalo", address="0912000000", reason="asked", by="lan",
        now=NOON,
    )  # fmt: skip
    load(runtime_conn, path, lines(numbers(4)), tenant_id="tenant_b")
    report = load(runtime_conn, path, lines(numbers(3, start=1) + numbers(1, start=9)))
    assert (report.listed, report.entered, report.lifted) == (4, 1, 1)
    stopped = in_force(admin_conn)
    assert ("zalo", "84912000000", "asked") in stopped
    assert ("sms", "84912000000", "do_not_call") not in stopped
    assert len(in_force(admin_conn, tenant_id="tenant_b")) == 8
    lifted = admin_conn.execute("select lifted_by from suppression where lifted_at is not null")
    assert lifted.fetchall() == [{"lifted_by": "do_not_call:dnc.txt"}]


def test_a_list_that_lets_go_more_than_half_is_refused_unless_a_person_insists(
    admin_conn: Connection, runtime_conn: Connection, path: Path
) -> None:
    load(runtime_conn, path, lines(numbers(10)))
    with pytest.raises(SuppressionError, match=r"lists 4 numbers and would let go 6 of 10"):
        load(runtime_conn, path, lines(numbers(4)))
    assert len(in_force(admin_conn)) == 20
    assert load(runtime_conn, path, lines(numbers(5))).lifted == 5
    assert load(runtime_conn, path, lines(numbers(1)), is_confirmed=True).lifted == 4


@pytest.mark.parametrize("content", ["", "\n\n", "so_dien_thoai\nkhông có\n"])
def test_a_list_without_a_number_is_refused_and_lifts_nothing(
    admin_conn: Connection, runtime_conn: Connection, path: Path, content: str
) -> None:
    load(runtime_conn, path, lines(numbers(1)))
    with pytest.raises(SuppressionError, match="holds no Vietnamese mobile number"):
        load(runtime_conn, path, content, is_confirmed=True)
    assert len(in_force(admin_conn)) == 2


@pytest.mark.invariant(8)
def test_every_line_that_is_no_number_is_reported_with_its_reason(
    runtime_conn: Connection, path: Path, tmp_path: Path
) -> None:
    bad = [*["abc"] * 30, "02438251234", "+16502530000", "0912000001;0912000002", "\x00", "9" * 999]
    rejects = tmp_path / "rejects.csv"
    report = load(runtime_conn, path, lines(["0912000001", *bad]), rejects_path=rejects)
    assert (report.listed, report.rejected) == (1, len(bad))
    assert len(report.first_rejects) == 20
    first = report.first_rejects[0]
    assert (first.line, first.value, first.why) == (2, "abc", "it holds letters")
    with rejects.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["line", "value", "why"]
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(2, len(bad) + 2)]
    assert rows[31] == ["32", "02438251234", "a landline, not a mobile number"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_column_of_a_csv_file_is_read_whatever_separates_it(
    admin_conn: Connection, runtime_conn: Connection, path: Path, delimiter: str
) -> None:
    rows = [["STT", "Số điện thoại"], ["1", "0912000001"], ["2", '"bad"'], ["3"]]
    content = "\ufeff" + lines(delimiter.join(row) for row in rows)
    report = load(runtime_conn, path, content, column="Số điện thoại")
    assert (report.listed, report.rejected) == (1, 1)
    assert (report.first_rejects[0].line, report.first_rejects[0].value) == (3, "bad")


def test_a_file_that_cannot_be_read_is_refused_with_the_place_and_changes_nothing(
    admin_conn: Connection, runtime_conn: Connection, path: Path
) -> None:
    load(runtime_conn, path, lines(numbers(2)))
    with pytest.raises(SuppressionError, match=r"not UTF-8 after line 0 .*save it as UTF-8"):
        load(runtime_conn, path, "0912000009\n".encode("utf-16"))
    with pytest.raises(SuppressionError, match="not UTF-8"):
        load(runtime_conn, path, b"0912000009\ns\xf4\n")
    with pytest.raises(SuppressionError, match="no column 'phone'; its first line names: a, b"):
        load(runtime_conn, path, "a,b\n1,2\n", column="phone")
    with pytest.raises(SuppressionError, match="cannot be read"):
        load(runtime_conn, path, "a,b\n1," + "x" * 200_000, column="b")
    with pytest.raises(SuppressionError, match="cannot be read"):
        import_do_not_call(runtime_conn, tenant_id=A, path=path / "none", now=NOON)
    assert {address for _, address, _ in in_force(admin_conn)} == {"84912000000", "84912000001"}


def test_200_000_lines_are_imported_and_compared_with_the_next_list(
    runtime_conn: Connection, admin_conn: Connection, path: Path
) -> None:
    report = load(runtime_conn, path, lines(numbers(200_000)))
    assert (report.listed, report.entered) == (200_000, 200_000)
    # Without statistics of the fresh rows this comparison would take hours.
    report = load(runtime_conn, path, lines(numbers(200_000, start=10)))
    assert (report.listed, report.entered, report.lifted) == (200_000, 10, 10)
    row = admin_conn.execute("select count(*) as n from suppression").fetchone()
    assert row == {"n": 400_020}


def test_the_memory_does_not_grow_with_the_list(runtime_conn: Connection, path: Path) -> None:
    most = []
    for count in (5_000, 5_000, 50_000):
        content = "0912000001\n" + "x\n" * count
        path.write_text(content, encoding="utf-8")
        tracemalloc.start()
        import_do_not_call(
            runtime_conn, tenant_id=A, path=path, now=NOON, rejects_path=path.with_suffix(".bad")
        )
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[2] < most[1] + 200_000


def test_what_a_customer_could_take_back_becomes_the_lists_and_a_hard_refusal_stays(
    admin_conn: Connection, runtime_conn: Connection, path: Path
) -> None:
    entries = (
        ("84912000000", "unsubscribed", None, '{"kind": "unsubscribed"}'),
        ("84912000001", "user_inactive", LATER, "{}"),
        ("84912000002", "no_account", None, "{}"),
    )
    for address, reason, until, evidence in entries:
        admin_conn.execute(
            "insert into suppression (tenant_id, channel, address, reason, until, evidence)"
            " values ('tenant_a', 'zalo', %s, %s, %s, %s)",
            (address, reason, until, evidence),
        )
    load(runtime_conn, path, lines(numbers(3)))
    reasons = {address: why for channel, address, why in in_force(admin_conn) if channel == "zalo"}
    assert list(reasons.values()) == ["do_not_call", "do_not_call", "no_account"]
    ends = admin_conn.execute("select until from suppression").fetchall()
    assert {row["until"] for row in ends} == {None}


def test_a_listed_number_gets_no_zalo_message_and_still_its_mail(
    admin_conn: Connection, runtime_conn: Connection, path: Path
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1, mobile="84912000001")])
    load(runtime_conn, path, "0912000001\n")
    report = campaign.enqueue(runtime_conn, "zalo", "email")
    assert (report.queued, report.skipped) == (1, {"suppressed": 1})


def test_a_persons_entry_is_normalised_holds_until_its_end_and_is_lifted_by_name(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    keys: dict[str, Any] = {"tenant_id": A, "channel": "email", "now": NOON}
    for until in (NOON + timedelta(days=2), NOON + timedelta(days=1)):
        assert "an@example.com" == stop_address(
            runtime_conn, address=" An@Example.com ", reason="vip", by="lan", until=until, **keys
        )
    totals, entries = list_entries(runtime_conn, address="AN@example.com", **keys)
    assert totals == [{"channel": "email", "reason": "vip", "row_count": 1}]
    assert [entry["until"] for entry in entries] == [NOON + timedelta(days=2)]
    later = {**keys, "now": NOON + timedelta(days=3)}
    assert list_entries(runtime_conn, **later) == ([], [])
    stop_address(runtime_conn, address="an@example.com", reason="vip", by="lan", **keys)
    assert list_entries(runtime_conn, **later)[1][0]["until"] is None
    lifted = lift_address(runtime_conn, address="an@example.com", by="lan", **keys)
    assert lifted == [{"scope": "all", "reason": "vip"}]
    row = admin_conn.execute("select lifted_by from suppression").fetchone()
    assert row == {"lifted_by": "person:lan"}
    with pytest.raises(SuppressionError, match="nothing stops an@example.com"):
        lift_address(runtime_conn, address="an@example.com", by="lan", **keys)


@pytest.mark.parametrize(
    ("channel", "address", "words"),
    [("fax", "1", "no channel"), ("zalo", "113", "no Vietnamese"), ("email", " ", "is empty")],
)
def test_what_cannot_be_an_address_is_refused(
    runtime_conn: Connection, channel: str, address: str, words: str
) -> None:
    with pytest.raises(SuppressionError, match=words):
        stop_address(
            runtime_conn, tenant_id=A, channel=channel, address=address, reason="x", by="lan",
            now=NOON,
        )  # fmt: skip


def test_the_link_in_a_message_refuses_and_stops_at_once_and_asks_for_one_confirmation(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email")
    (row,) = campaign.rows(runtime_conn)
    link = UnsubscribeLinks(SECRET_KEY, "https://u.example.vn").link(A, row["delivery_id"])
    token = link.rpartition("/")[2]
    first = unsubscribe(runtime_conn, token, secret_key=SECRET_KEY, now=NOON)
    again = unsubscribe(runtime_conn, token, secret_key=SECRET_KEY, now=LATER)
    assert (first.channel, first.address) == ("email", "k1@example.com")
    assert (first.wants_confirmation, again.wants_confirmation) == (True, False)
    said = admin_conn.execute("select decision, source, evidence from consent").fetchall()
    assert [(row["decision"], row["source"]) for row in said] == [("refused", "unsubscribe")]
    assert said[0]["evidence"] == {
        "kind": "unsubscribed",
        "delivery_id": str(row["delivery_id"]),
        "occurred_at": NOON.isoformat(),
        "confirmation": "wanted",
    }
    assert in_force(admin_conn) == [("email", "k1@example.com", "unsubscribed")]
    following = decided_campaign(
        admin_conn, [customer(1)], code="next", run_id="run-2", is_advertising=False
    )
    assert following.enqueue(runtime_conn, "email").skipped == {"no_consent": 1}
    assert following.enqueue(runtime_conn, "telegram").queued == 1


def test_a_click_after_a_new_yes_is_a_new_no(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email")
    (row,) = campaign.rows(runtime_conn)
    link = UnsubscribeLinks(SECRET_KEY, "https://u.example.vn").link(A, row["delivery_id"])
    token = link.rpartition("/")[2]
    unsubscribe(runtime_conn, token, secret_key=SECRET_KEY, now=NOON)
    admin_conn.execute(
        "insert into consent (tenant_id, profile_id, channel, decision, source)"
        " values ('tenant_a', %s, 'email', 'granted', 'form')",
        (row["profile_id"],),
    )
    assert unsubscribe(runtime_conn, token, secret_key=SECRET_KEY, now=LATER).wants_confirmation


@pytest.mark.invariant(6)
def test_a_link_that_names_no_message_of_its_tenant_is_refused(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)], tenant_id="tenant_b")
    campaign.enqueue(runtime_conn, "email")
    (row,) = campaign.rows(runtime_conn)
    link = UnsubscribeLinks(SECRET_KEY, "https://u.example.vn").link(A, row["delivery_id"])
    with pytest.raises(UnsubscribeTokenError, match="names no message"):
        unsubscribe(runtime_conn, link.rpartition("/")[2], secret_key=SECRET_KEY, now=NOON)
    assert admin_conn.execute("select from consent").fetchall() == []
