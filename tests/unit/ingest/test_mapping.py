"""The mapping of CDP attributes to columns."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from leo_activation.errors import ConfigurationError
from leo_activation.ingest.mapping import (
    FORBIDDEN,
    EventRow,
    Problem,
    ProfileMapping,
    ProfileRow,
)

TODAY = date(2026, 11, 23)
EXAMPLE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "profile_example.json").read_text(encoding="utf-8")
)


def read(document: dict[str, Any], settings: dict[str, Any] | None = None) -> ProfileRow:
    row, _ = ProfileMapping(settings).profile({**EXAMPLE, **document}, today=TODAY)
    assert row is not None
    return row


def test_a_whole_profile_of_the_cdp_fills_every_column() -> None:
    row = read({})
    assert (row.ext_id, row.lifecycle, row.full_name) == (
        EXAMPLE["_key"], "active", "Nguyễn Thị Minh Anh",
    )  # fmt: skip
    assert row.columns["email"] == "nguyen.minhanh@example.com"
    assert row.columns["mobile"] == "84900000482"
    assert row.columns["zalo_user_id"] == "1000000000000000482"
    assert row.columns["telegram_chat_id"] == "500000482"
    assert row.columns["city"] == "Thành phố Hồ Chí Minh"
    assert row.columns["total_spent_vnd"] == 6_480_000
    assert [s["name"] for s in row.columns["segments"]] == [
        "Mua lại trong 30 ngày", "Khách hàng VIP",
    ]  # fmt: skip
    assert row.consent == {"email": "granted", "sms": "granted", "push": "granted"}


def test_secrets_are_never_asked_for() -> None:
    assert not FORBIDDEN & set(ProfileMapping().attributes)


@pytest.mark.parametrize("attribute", sorted(FORBIDDEN))
def test_a_tenant_cannot_map_a_secret(attribute: str) -> None:
    with pytest.raises(ConfigurationError, match="may never be read"):
        ProfileMapping({"mapping": {"city": f"{attribute}.x"}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mapping": {"telegram": "x"}}, "it can name"),
        ({"mapping": {"city": "a b`) REMOVE"}}, "is no path"),
        ({"consent": {"fax": "receiveFax"}}, "it can name"),
    ],
)
def test_unusable_settings_are_refused_with_what_would_do(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ProfileMapping(settings)


def test_an_installation_may_keep_addresses_elsewhere() -> None:
    settings = {
        "mapping": {"telegram_chat_id": "extAttributes.tg", "fcm_tokens": ["pushTokens.app"]},
        "consent": {"zalo": ["extAttributes.zalo_ok"]},
    }
    document = {
        "extAttributes": {"tg": 77, "zalo_ok": -1},
        "pushTokens": {"app": ["token-of-the-app"]},
    }
    row = read(document, settings)
    assert row.columns["telegram_chat_id"] == "77"
    assert row.columns["fcm_tokens"] == ["token-of-the-app"]
    assert row.consent["zalo"] == "refused"
    assert "pushTokens" in ProfileMapping(settings).attributes


def test_a_bad_contact_point_costs_only_itself_and_stays_in_the_raw_attributes() -> None:
    document = {**EXAMPLE, "primaryEmail": "không có", "secondaryEmails": [], "primaryPhone": "113",
                "secondaryPhones": None}  # fmt: skip
    row, problems = ProfileMapping().profile(document, today=TODAY)
    assert row is not None
    assert (row.columns["email"], row.columns["mobile"]) == (None, None)
    assert [(p.scope, p.field, p.value) for p in problems] == [
        ("field", "email", "không có"), ("field", "mobile", "113"),
    ]  # fmt: skip
    assert json.loads(row.raw)["primaryEmail"] == "không có"


def test_the_second_address_serves_when_the_first_is_unusable() -> None:
    row = read({"primaryEmail": "x@", "primaryPhone": "113"})
    assert row.columns["email"] == "minhanh.congty@example.com"
    assert row.columns["mobile"] == "84900000483"


@pytest.mark.parametrize(
    ("status", "root", "lifecycle"),
    [
        (1, "", "active"), (2, None, "active"), (0, "survivor", "merged"), (0, "", "inactive"),
        (0, EXAMPLE["_key"], "inactive"), (-1, "", "inactive"), (-4, "", "deleted"),
        (-44, "", "inactive"),
    ],
)  # fmt: skip
def test_the_status_of_the_cdp_becomes_a_lifecycle(
    status: int, root: str | None, lifecycle: str
) -> None:
    assert read({"status": status, "rootProfileId": root}).lifecycle == lifecycle


def test_a_removed_profile_keeps_nothing_personal() -> None:
    row = read({"status": -4})
    assert row.raw == "{}"
    assert not any(row.columns[name] for name in ("email", "mobile", "first_name", "segments"))
    assert row.full_name is None


@pytest.mark.parametrize("status", [None, "đang hoạt động", True, {"code": 1}])
def test_a_document_without_a_status_code_is_no_profile(status: Any) -> None:
    row, problems = ProfileMapping().profile({**EXAMPLE, "status": status}, today=TODAY)
    assert row is None
    assert [(p.scope, p.field) for p in problems] == [("document", "status")]


def test_the_hash_ignores_the_save_and_notices_the_content() -> None:
    first = read({})
    assert read({"_rev": "other", "updatedAt": "2027-01-01T00:00:00.000Z"}).content_hash == (
        first.content_hash
    )
    assert read({"livingCity": "Huế"}).content_hash != first.content_hash
    assert read({"receiveEmail": -1}).content_hash != first.content_hash


def test_absent_null_and_empty_mean_the_same() -> None:
    without = {name: value for name, value in EXAMPLE.items() if name != "jobTitles"}
    absent, _ = ProfileMapping().profile(without, today=TODAY)
    assert absent is not None
    hashes = {read({"jobTitles": empty}).content_hash for empty in (None, [], "")}
    assert hashes == {absent.content_hash}


@pytest.mark.parametrize(
    ("flags", "consent"),
    [
        ({"receiveEmail": 0, "receiveSMS": None, "receiveAppPush": 0, "receiveWebPush": 0}, {}),
        ({"receiveEmail": -1, "receiveSMS": 1, "receiveAppPush": 1, "receiveWebPush": -1},
         {"email": "refused", "sms": "granted", "push": "refused"}),
        ({"receiveAds": -1},
         dict.fromkeys(("email", "sms", "push", "zalo", "telegram"), "refused")),
        ({"receiveEmail": "yes", "receiveSMS": True, "receiveAppPush": 0, "receiveWebPush": 1},
         {"push": "granted"}),
    ],
)  # fmt: skip
def test_one_refusal_is_a_refusal_and_silence_is_no_consent(
    flags: dict[str, Any], consent: dict[str, str]
) -> None:
    assert read(flags).consent == consent


def test_a_purchase_becomes_an_event_with_its_value_in_dong() -> None:
    event = ProfileMapping().event(EXAMPLE["lastPurchaseEvent"])
    assert isinstance(event, EventRow)
    assert (event.ext_id, event.event_type) == (EXAMPLE["_key"], "purchase")
    assert event.source_key == "YnWLeEdpomsCpFqPlpECXV"
    assert json.loads(event.payload)["value_vnd"] == 1_110_000


def test_money_of_another_currency_is_never_taken_for_dong() -> None:
    document = {**EXAMPLE["lastPurchaseEvent"], "transactionCurrency": "USD"}
    event = ProfileMapping().event(document)
    assert isinstance(event, EventRow)
    assert "value_vnd" not in json.loads(event.payload)


@pytest.mark.invariant(8)
@pytest.mark.parametrize(
    ("field", "value"), [("createdAt", "hôm qua"), ("metricName", "unknown"), ("refProfileId", 5)]
)
def test_an_unusable_event_is_kept_with_its_reason(field: str, value: Any) -> None:
    document = {**EXAMPLE["lastPurchaseEvent"], field: value}
    problem = ProfileMapping().event(document)
    assert isinstance(problem, Problem)
    assert problem.field == field


def test_another_mapping_has_another_fingerprint() -> None:
    changed = ProfileMapping({"mapping": {"city": "livingProvince"}})
    assert changed.fingerprint != ProfileMapping().fingerprint
    assert ProfileMapping({}).fingerprint == ProfileMapping().fingerprint
